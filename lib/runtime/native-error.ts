// Native errors as Transformer2Error: the addon gives `code` and `detail` (a JSON text), everything above sees one class.
import { type ErrorCode, errorCodes, Transformer2Error } from "../errors.js";

/**
 * What to throw for `error`: a native one as `Transformer2Error`, one with a code that this version does not know as ERR_T2_NATIVE.
 * Anything else was thrown by a caller's own function (a strategy, onProgress) and stays as it is.
 */
export function fromNative(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof Transformer2Error) return error;
  const { code, message, detail } = error as Error & { code?: unknown; detail?: unknown };
  if (typeof code !== "string" || !code.startsWith("ERR_T2_")) return error;
  const known = Object.hasOwn(errorCodes, code);
  const text = known ? message : `The native core failed with ${code}: ${message}. This is a bug in transformer2; please report it.`;
  return new Transformer2Error(known ? (code as ErrorCode) : "ERR_T2_NATIVE", text, { detail: parseDetail(detail), cause: error });
}

function parseDetail(detail: unknown): Record<string, unknown> | undefined {
  if (typeof detail !== "string" || detail === "") return undefined;
  try {
    const parsed: unknown = JSON.parse(detail);
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : { value: parsed };
  } catch {
    return { text: detail };
  }
}
