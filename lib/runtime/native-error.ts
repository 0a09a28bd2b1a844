// Native errors as Transformer2Error: the addon gives `code` and `detail` (a JSON text), everything above sees one class.
import { type ErrorCode, errorCodes, Transformer2Error } from "../errors.js";

/** The same failure as a `Transformer2Error`; one without a known code is a bug of ours: ERR_T2_NATIVE. */
export function fromNative(error: unknown): Transformer2Error {
  if (error instanceof Transformer2Error) return error;
  const { code, message, detail } = (typeof error === "object" && error !== null ? error : {}) as {
    code?: unknown;
    message?: unknown;
    detail?: unknown;
  };
  const text = typeof message === "string" && message !== "" ? message : String(error);
  const known = typeof code === "string" && Object.hasOwn(errorCodes, code);
  const shown = known ? text : `The native core failed: ${text}. This is a bug in transformer2; please report it.`;
  return new Transformer2Error(known ? (code as ErrorCode) : "ERR_T2_NATIVE", shown, { detail: parseDetail(detail), cause: error });
}

function parseDetail(detail: unknown): Record<string, unknown> | undefined {
  if (typeof detail !== "string" || detail === "") return undefined;
  try {
    const parsed: unknown = JSON.parse(detail);
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? (parsed as Record<string, unknown>) : { value: parsed };
  } catch {
    return { text: detail };
  }
}
