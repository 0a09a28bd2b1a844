// The one error class and the list of its codes. Every code has an entry in docs/errors.md; a test holds the two together.

import { inspect } from "node:util";

/** Every code the library throws, with the sentence that docs/errors.md explains further. */
export const errorCodes = {
  ERR_T2_INVALID_OPTION: "An option has a value outside its range or type, or does not exist.",
  ERR_T2_INVALID_PROMPT: "A prompt is empty or of no known form.",
  ERR_T2_PROMPT_TOO_LONG: "Prompt and requested tokens do not fit the context length.",
  ERR_T2_MODEL_NOT_FOUND: "The model folder or one of its files does not exist.",
  ERR_T2_UNSUPPORTED_MODEL: "The checkpoint's architecture, or a key of its config, is not supported.",
  ERR_T2_INVALID_CHECKPOINT: "A checkpoint file is truncated, malformed, or has tensors of the wrong name, shape, type or value.",
  ERR_T2_INVALID_TOKENIZER: "tokenizer.json is missing, malformed or uses a feature that is not supported.",
  ERR_T2_NO_CHAT_TEMPLATE: "The model has no chat template, and the prompt needs one.",
  ERR_T2_EXPERT_NOT_FOUND: "No expert of that name or path.",
  ERR_T2_EXPERT_MISMATCH: "The expert was made for another base model.",
  ERR_T2_INVALID_EXPERT: "An expert file is damaged or malformed.",
  ERR_T2_INVALID_FACTORS: "A factor file is damaged and could not be redone.",
  ERR_T2_INVALID_TASK: "A task file is malformed; detail.line says where.",
  ERR_T2_INVALID_RUN: "A run directory is not one of ours, is damaged, or was made with other options.",
  ERR_T2_IO: "Reading or writing a file failed (permission, full disk, …); cause has the system's error.",
  ERR_T2_OUT_OF_MEMORY: "The work would exceed maxMemory or the device's memory; detail has the numbers.",
  ERR_T2_CUDA_UNAVAILABLE: "CUDA was asked for and cannot be used; detail.attempts lists what was tried.",
  ERR_T2_DEVICE_LOST: "The GPU is in an error state that only a new process ends; the model on it cannot be used any more.",
  ERR_T2_NATIVE_NOT_FOUND: "The native addon could not be loaded; detail.attempts lists what was tried.",
  ERR_T2_NATIVE: "The native core failed in a way that is a bug of ours.",
  ERR_T2_DISPOSED: "The object was disposed of before this call.",
  ERR_T2_ABORTED: "The work was aborted; cause is the signal's reason.",
} as const;

export type ErrorCode = keyof typeof errorCodes;

/**
 * What every failing call of this library throws.
 * `code` is stable; `detail` holds the offending value and what was expected, as plain data; `cause` the error underneath, if any.
 */
export class Transformer2Error extends Error {
  override readonly name = "Transformer2Error";
  readonly code: ErrorCode;
  readonly detail: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, message: string, options: { detail?: Record<string, unknown>; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.detail = options.detail;
  }
}

/** Throws ERR_T2_INVALID_OPTION in one form everywhere: which option, what was expected, what came. */
export function invalidOption(option: string, expected: string, actual: unknown): Transformer2Error {
  const shown = show(actual);
  return new Transformer2Error("ERR_T2_INVALID_OPTION", `Option "${option}" must be ${expected}, but is ${shown}.`, {
    detail: { option, expected, actual },
  });
}

/** A value in a message: short whatever it is, and never an error of its own (circular objects, BigInt, getters that throw). */
function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 200 ? `${value.slice(0, 200)}…` : value);
  if (typeof value === "function") return "a function";
  return inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY, maxArrayLength: 8, maxStringLength: 100 });
}
