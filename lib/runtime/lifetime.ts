// Running work of one model: every public call is a job here, so that an abort or the model's disposal rejects it at once, whatever
// the native side is doing; its cancel token then stops that side at its next check (between layers, tiles or tokens).
import type { Addon, CancelToken } from "../../typings/addon.js";
import { Transformer2Error } from "../errors.js";
import { fromNative } from "./native-error.js";

/** One call in flight. */
export interface Job {
  /** For native calls of this job. */
  readonly token: CancelToken;
  /** Fires when the job is to stop: by its caller's signal, or by disposal. */
  readonly signal: AbortSignal;
  /** Throws when the job is to stop: to be called after every await, since the caller has been answered already. */
  check(): void;
  /** Runs when the job is stopped before its end. */
  onStop(action: () => void): void;
  /** Work that goes on for a moment after a stop (writing what is finished); disposal waits for it. */
  background<T>(work: Promise<T>): Promise<T>;
}

export class Lifetime {
  readonly #addon: Addon;
  readonly #running = new Set<(error: Transformer2Error) => void>();
  readonly #background = new Set<Promise<unknown>>();
  #closed = false;

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  /** Throws `ERR_T2_DISPOSED` after close(). */
  checkOpen(what: string): void {
    if (this.#closed) throw disposed(what);
  }

  /**
   * Runs `work` as a job. Rejects with `ERR_T2_ABORTED` (cause: the signal's reason) as soon as the signal fires, with
   * `ERR_T2_DISPOSED` as soon as close() is called, and otherwise with what `work` throws, native errors mapped.
   * @param what names the work in messages, e.g. "generate()"
   */
  run<T>(what: string, signal: AbortSignal | undefined, work: (job: Job) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.checkOpen(what);
      if (signal?.aborted) throw aborted(what, signal);
      const token = this.#addon.cancelCreate();
      const controller = new AbortController();
      const actions: (() => void)[] = [];
      let stopped: Transformer2Error | undefined;

      const finish = (): void => {
        signal?.removeEventListener("abort", onAbort);
        this.#running.delete(stop);
      };
      const stop = (error: Transformer2Error): void => {
        if (stopped !== undefined) return;
        stopped = error;
        finish();
        this.#addon.cancelFire(token);
        controller.abort(error);
        for (const action of actions) action();
        reject(error);
      };
      const onAbort = (): void => stop(aborted(what, signal));
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#running.add(stop);

      const job: Job = {
        token,
        signal: controller.signal,
        check() {
          if (stopped !== undefined) throw stopped;
        },
        onStop(action) {
          if (stopped === undefined) actions.push(action);
          else action();
        },
        background: (task) => this.#keep(task),
      };
      // In a microtask, so that a synchronous throw of `work` is a rejection like any other.
      Promise.resolve(job)
        .then(work)
        .then(
          (value) => {
            finish();
            resolve(value);
          },
          (error: unknown) => {
            finish();
            reject(fromNative(error));
          },
        );
    });
  }

  /** Rejects everything that runs; later jobs are refused. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const stop of [...this.#running]) stop(disposed("The work"));
  }

  /** Resolves when no background work is left. */
  async idle(): Promise<void> {
    while (this.#background.size > 0) await Promise.allSettled(this.#background);
  }

  #keep<T>(task: Promise<T>): Promise<T> {
    this.#background.add(task);
    const forget = (): void => {
      this.#background.delete(task);
    };
    task.then(forget, forget);
    return task;
  }
}

function aborted(what: string, signal: AbortSignal | undefined): Transformer2Error {
  return new Transformer2Error("ERR_T2_ABORTED", `${what} was aborted.`, { cause: signal?.reason });
}

function disposed(what: string): Transformer2Error {
  return new Transformer2Error("ERR_T2_DISPOSED", `${what}: the model was disposed of. Load it again to go on.`);
}
