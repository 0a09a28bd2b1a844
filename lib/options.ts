// What every public call accepts, checked in one place: a wrong value is ERR_T2_INVALID_OPTION with its name, its range and itself.
// An option that does not exist is an error too, so that a misspelt one is never ignored.
import { z } from "zod";
import { invalidOption, Transformer2Error } from "./errors.js";

export const flag = z.boolean({ error: "true or false" });
export const text = z.string({ error: "a text" }).min(1, { error: "a text that is not empty" });
const list = "a list";

export function whole(min: number, max = Number.MAX_SAFE_INTEGER) {
  const error = max === Number.MAX_SAFE_INTEGER ? `a whole number ≥ ${min}` : `a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

export function real(error: string, test: (value: number) => boolean) {
  return z.custom<number>((value) => typeof value === "number" && Number.isFinite(value) && test(value), { error });
}

export function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, { error: `one of ${values.map((value) => JSON.stringify(value)).join(", ")}` });
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

export const signal = z.custom<AbortSignal>(
  (value) => isObject(value) && typeof value.aborted === "boolean" && typeof value.addEventListener === "function",
  { error: "an AbortSignal" },
);
export const callback = z.custom<(...values: never[]) => void>((value) => typeof value === "function", { error: "a function" });
const strategy = z.custom(
  (value) => (typeof value === "string" && value !== "") || (isObject(value) && typeof value.choose === "function"),
  {
    error: "the name of a strategy or an object with a `choose` method",
  },
);
/** Which experts exist, and whether the weights fit them, is known to the model only: lib/runtime/adapters.ts. */
const adapter = z.custom((value) => (typeof value === "string" && value !== "") || isObject(value), {
  error: '"base", the name of a loaded expert, an Expert or a Mixture',
});
const expert = z.custom((value) => (typeof value === "string" && value !== "") || (isObject(value) && value.vectors instanceof Map), {
  error: "the name or path of an expert file, or an Expert",
});
const mode = oneOf(["auto", "merged", "factored"]);

/** Checked by selectMatrices, which knows the model's matrices. */
export const targets = z.unknown();

export const running = { signal: signal.optional(), onProgress: callback.optional() };

/** Also for the command line. */
export const devicePattern = /^(auto|cpu|cuda(:\d{1,3})?)$/;
const device = z.string({ error: deviceNames() }).regex(devicePattern, { error: deviceNames() });

export const loadOptions = z.strictObject({
  device: device.optional(),
  cudaPath: text.optional(),
  experts: z.array(expert, { error: `${list} of experts: names, paths or Expert objects` }).optional(),
  strategy: strategy.optional(),
  mode: mode.optional(),
  factors: text.optional(),
  maxThreads: whole(1, 1024).optional(),
  maxMemory: whole(1).optional(),
  contextLength: whole(1).optional(),
  deterministic: flag.optional(),
  checkWeights: flag.optional(),
  ...running,
});

export const memoryPlanOptions = z.strictObject({
  contextLength: whole(1).optional(),
  sequences: whole(1).optional(),
  factorsDtype: oneOf(["F16", "F32"]).optional(),
  device: device.optional(),
});

const sampling = {
  maxTokens: whole(1).optional(),
  temperature: real("a number from 0 to 100", (value) => value >= 0 && value <= 100).optional(),
  topP: real("a number in (0, 1]", (value) => value > 0 && value <= 1).optional(),
  topK: whole(0, 0x7fffffff).optional(),
  minP: real("a number in [0, 1)", (value) => value >= 0 && value < 1).optional(),
  repetitionPenalty: real("a number from 0.001 to 1000", (value) => value >= 0.001 && value <= 1000).optional(),
  seed: whole(0).optional(),
  stop: z.array(text, { error: `${list} of texts` }).optional(),
  ignoreEos: flag.optional(),
  logprobs: flag.optional(),
  n: whole(1, 4096).optional(),
  prefill: z.string({ error: "a text" }).optional(),
  adapter: adapter.optional(),
  mode: mode.optional(),
  signal: signal.optional(),
};

export const generateOptions = z.strictObject(sampling);

export const scoreOptions = z.strictObject({
  adapter: adapter.optional(),
  mode: mode.optional(),
  prefill: z.string({ error: "a text" }).optional(),
  signal: signal.optional(),
});

export const logitsOptions = z.strictObject({ adapter: adapter.optional(), mode: mode.optional(), signal: signal.optional() });

export const gradientOptions = z.strictObject({
  adapter: adapter.optional(),
  loss: oneOf(["policy-gradient", "next-token"]).optional(),
  reduction: oneOf(["sequence-mean", "token-mean"]).optional(),
  kl: z
    .strictObject(
      {
        weight: real("a finite number ≥ 0", (value) => value >= 0),
        direction: oneOf(["policy-reference", "reference-policy"]),
      },
      { error: "{ weight, direction }" },
    )
    .optional(),
  targets: targets.optional(),
  mode: mode.optional(),
  ...running,
});

export const decomposeOptions = z.strictObject({
  targets: targets.optional(),
  dtype: oneOf(["F16", "F32"]).optional(),
  factors: text.optional(),
  driver: oneOf(["auto", "gram", "gesdd", "gesvd", "gesvdj", "gesvdp"]).optional(),
  ...running,
});

export const adaptOptions = z.strictObject({ strategy: strategy.optional(), ...running });

/** One item of generateBatch or scoreBatch, without its prompt, which encodePrompt checks. */
export const batchItem = z.looseObject({
  adapter: adapter.optional(),
  seed: whole(0).optional(),
  prefill: z.string({ error: "a text" }).optional(),
});

export function deviceNames(): string {
  return '"auto", "cpu", "cuda" or "cuda:" and a number';
}

/** The name as a user writes it: kl.weight, stop[0]. */
function optionName(path: readonly PropertyKey[]): string {
  let name = "";
  for (const part of path) name += typeof part === "number" ? `[${part}]` : name === "" ? String(part) : `.${String(part)}`;
  return name;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let found = value;
  for (const part of path) found = (found as Record<PropertyKey, unknown> | undefined)?.[part];
  return found;
}

/**
 * Checks `value` against one of the schemas above and returns it unchanged; undefined becomes an empty object.
 * `prefix` is put before the names of the options in a message, e.g. "items[3]".
 * Throws `ERR_T2_INVALID_OPTION` for the first thing that is wrong.
 */
export function checkOptions<T extends object>(schema: z.ZodObject, value: T | undefined, prefix = ""): T {
  if (value === undefined) return {} as T;
  const result = schema.safeParse(value);
  if (result.success) return value;
  const issue = result.error.issues[0];
  if (issue === undefined || !isObject(value)) throw invalidOption(prefix || "options", "an object", value);
  const nested = prefix === "" || issue.path.length === 0 ? prefix : `${prefix}.`;
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const name = nested + optionName([...issue.path, key]);
    // A nested object knows its own keys only; for the outer one the whole list helps to find the right spelling.
    const known = issue.path.length === 0 ? Object.keys(schema.shape) : [];
    const hint = known.length === 0 ? "" : ` The options are ${known.join(", ")}.`;
    throw new Transformer2Error("ERR_T2_INVALID_OPTION", `Option ${JSON.stringify(name)} does not exist.${hint}`, {
      detail: { option: name, expected: known, actual: valueAt(value, [...issue.path, key]) },
    });
  }
  throw invalidOption(nested + optionName(issue.path), issue.message, valueAt(value, issue.path));
}
