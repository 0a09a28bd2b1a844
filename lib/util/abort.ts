// AbortSignal as every long call uses it: one place that turns a fired signal into ERR_T2_ABORTED.
import { Transformer2Error } from "../errors.js";

/** Throws `ERR_T2_ABORTED` (cause: the signal's reason) if the signal has fired; `what` names the work for the message. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw new Transformer2Error("ERR_T2_ABORTED", `${what} was aborted.`, { cause: signal.reason });
}
