// Long loops in JavaScript (tokenising a large batch, decoding many answers) give the event loop a turn every few milliseconds.
import { setImmediate } from "node:timers/promises";

const BUDGET_MILLISECONDS = 8; // well below the 20 ms that the event loop may be late

export class Pace {
  #since = performance.now();

  /** Resolves at once, or after a turn of the event loop when the time is up. */
  async tick(): Promise<void> {
    if (performance.now() - this.#since < BUDGET_MILLISECONDS) return;
    await setImmediate();
    this.#since = performance.now();
  }
}
