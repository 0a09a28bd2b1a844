// How a command ends when it fails: code, message and hint on stderr, and the exit status.
import { type ErrorCode, errorCodes, Transformer2Error } from "../errors.js";
import { type Io, printable, toJson } from "./io.js";

export const exitCodes = { success: 0, failure: 1, usage: 2, interrupted: 130 } as const;

/** What to try, where the message alone may not say it. */
const hints: Partial<Record<ErrorCode, string>> = {
  ERR_T2_INVALID_OPTION: 'see "t2 help <command>" for the options and their ranges',
  ERR_T2_INVALID_PROMPT: 'give a prompt as an argument, or pipe it in: echo "…" | t2 generate -',
  ERR_T2_PROMPT_TOO_LONG: "shorten the prompt or lower --max-tokens",
  ERR_T2_MODEL_NOT_FOUND:
    "--model takes a folder in Hugging Face format (config.json, tokenizer.json, *.safetensors); without it the embedded model is used",
  ERR_T2_NO_CHAT_TEMPLATE: "use --raw to give the prompt as it stands",
  ERR_T2_EXPERT_NOT_FOUND: "--experts takes names of files in <model>/experts, paths of expert files, or folders of them",
  ERR_T2_EXPERT_MISMATCH: "use the model that the expert was trained on",
  ERR_T2_INVALID_TASK: 'a task is a name from "t2 train --help", or a file of JSON lines like {"prompt": "2 + 2", "answer": "4"}',
  ERR_T2_INVALID_RUN: "give another folder to --out, or the options that the run was started with",
  ERR_T2_OUT_OF_MEMORY: "lower --max-tokens, or the number of prompts and samples",
  ERR_T2_NATIVE: "this is a bug: please report it with the output of t2 doctor --json",
};

/** The error as text, or as a JSON object `{ error: { code, message, detail } }`. */
export function describeFailure(error: unknown, json: boolean): string {
  if (!(error instanceof Transformer2Error)) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return json ? `${toJson({ error: { message } })}\n` : `t2: ${printable(message)}\n`;
  }
  const { code, message, detail } = error;
  const hint = hints[code];
  if (json) return `${toJson({ error: { code, message, ...(hint === undefined ? {} : { hint }), detail } })}\n`;
  const lines = [`t2: ${code}: ${printable(message)}`];
  if (hint !== undefined) lines.push(`hint: ${hint}`);
  else if (!message.includes(errorCodes[code])) lines.push(`hint: ${errorCodes[code]}`);
  return `${lines.join("\n")}\n`;
}

/** Writes the error and gives the exit status. */
export function fail(io: Io, error: unknown, json: boolean): number {
  if (io.signal.aborted && error instanceof Transformer2Error && error.code === "ERR_T2_ABORTED") {
    io.err("\nStopped.\n");
    return exitCodes.interrupted;
  }
  io.err(describeFailure(error, json));
  return exitCodes.failure;
}
