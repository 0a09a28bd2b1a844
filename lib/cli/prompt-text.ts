// The prompt of a command: its arguments, or what is piped in.
import { Transformer2Error } from "../errors.js";
import type { Prompt } from "../types.js";

/** Larger input is a mistake, e.g. a model file piped in. */
const LIMIT = 16 * 1024 * 1024;

/** The words joined; "-" alone, or no words where something is piped in, reads stdin. Throws `ERR_T2_INVALID_PROMPT` when there is none. */
export async function promptFrom(words: readonly string[], input: NodeJS.ReadStream = process.stdin): Promise<string> {
  const piped = words.length === 0 && !input.isTTY;
  const text = piped || (words.length === 1 && words[0] === "-") ? await readAll(input) : words.join(" ");
  if (text.trim() === "") throw new Transformer2Error("ERR_T2_INVALID_PROMPT", "The prompt is empty.");
  return text;
}

async function readAll(input: AsyncIterable<Buffer | string>): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of input) {
    const bytes = typeof piece === "string" ? Buffer.from(piece) : piece;
    size += bytes.length;
    if (size > LIMIT) throw new Transformer2Error("ERR_T2_INVALID_PROMPT", `The prompt on standard input is longer than ${LIMIT} bytes.`);
    pieces.push(bytes);
  }
  return Buffer.concat(pieces)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}

/** As a prompt: with a system message where one is given; `raw` without the chat template. */
export function asPrompt(text: string, options: { system?: string; raw?: boolean }): Prompt {
  if (options.raw) return { text };
  if (options.system === undefined) return text;
  return [
    { role: "system", content: options.system },
    { role: "user", content: text },
  ];
}
