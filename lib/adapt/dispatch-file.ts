// dispatch.json: how a model folder wants its prompts classified, where the general wording does not suit the model. Plain data, untrusted.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { Transformer2Error } from "../errors.js";

const schema = z.strictObject({
  /** What the model is asked; `{prompt}` stands for the user's prompt. */
  prompt: z.string().refine((text) => text.includes("{prompt}"), { error: 'must contain "{prompt}"' }),
  /** Beginning of the model's answer, put behind the generation prompt. */
  prefix: z.string().default(""),
  /** Label → what the model writes for it behind the prefix. */
  labels: z.record(z.string().min(1), z.string().min(1)),
  /** Prompt without content, whose log-probs calibrate the labels; null leaves the calibration out. */
  contentFree: z.string().min(1).nullable().optional(),
  /** How much likelier (in nats) than behind the content-free prompt a label must become; below it the prompt is `other`. */
  otherGain: z.number().nullable().optional(),
  /** The least lead of the best label's probability over the second's; below it the base answers. */
  margin: z.number().min(0).max(1).optional(),
});

export type DispatchFile = z.infer<typeof schema>;

/**
 * Reads `dispatch.json` of a model folder; undefined when there is none.
 * Throws `ERR_T2_INVALID_CHECKPOINT` when it is malformed, `ERR_T2_IO` when it cannot be read.
 */
export async function readDispatch(folder: string): Promise<DispatchFile | undefined> {
  const path = join(folder, "dispatch.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new Transformer2Error("ERR_T2_IO", `Cannot read ${path}: ${(cause as Error).message}`, { cause, detail: { path } });
  }
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    throw malformed(path, (cause as Error).message, cause);
  }
  const result = schema.safeParse(data);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw malformed(path, `"${issue?.path.join(".") ?? ""}": ${issue?.message ?? "unknown"}`);
}

function malformed(path: string, reason: string, cause?: unknown): Transformer2Error {
  return new Transformer2Error(
    "ERR_T2_INVALID_CHECKPOINT",
    `${path} is malformed: ${reason}. Correct it, or remove the file to use the general wording.`,
    { cause, detail: { path, reason } },
  );
}
