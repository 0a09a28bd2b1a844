// Waiting for somebody else's promise (a user's reward, a judge) without waiting past an abort.
import { throwIfAborted } from "./abort.js";

/** The promise's result, or `ERR_T2_ABORTED` as soon as the signal fires; the promise itself goes on unheard. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined, what: string): Promise<T> {
  if (!signal) return promise;
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<void>((resolve) => {
    onAbort = resolve;
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    promise.catch(() => {}); // when the abort wins, a later rejection is nobody's
    const result = await Promise.race([promise.then((value) => ({ value })), aborted]);
    throwIfAborted(signal, what);
    return (result as { value: T }).value;
  } finally {
    signal.removeEventListener("abort", onAbort!);
  }
}
