// Progress of long work: one line that is written over on a terminal, now and then a plain line otherwise.
import type { Progress } from "../types.js";
import { duration, type Io, printable } from "./io.js";

const CLEAR = "\r\u001b[2K";
/** Milliseconds between two drawings of the line, and between two plain lines. */
const REDRAW = 80;
const PLAIN = 5000;
const BAR = 24;

export class ProgressLine {
  readonly #io: Io;
  readonly #clock: () => number;
  #phase = "";
  #began = 0;
  #drawn = Number.NEGATIVE_INFINITY;
  #shown = false;
  #written = "";

  constructor(io: Io, clock: () => number = () => performance.now()) {
    this.#io = io;
    this.#clock = clock;
  }

  /** To be given as `onProgress`. */
  readonly update = (progress: Progress): void => {
    const now = this.#clock();
    const starts = progress.phase !== this.#phase;
    if (starts) {
      this.#phase = progress.phase;
      this.#began = now;
    }
    const ends = progress.done >= progress.total;
    const due = now - this.#drawn >= (this.#io.errIsTerminal ? REDRAW : PLAIN);
    if (!(starts || ends || due)) return;
    this.#drawn = now;
    if (this.#io.errIsTerminal) {
      this.#io.err(`${CLEAR}${this.#line(progress, now)}`);
      this.#shown = true;
    } else {
      const line = plainLine(progress);
      if (line !== this.#written) this.#io.err(`${line}\n`);
      this.#written = line;
    }
  };

  /** Takes the line away, so that other text can be written. */
  clear(): void {
    if (this.#shown) this.#io.err(CLEAR);
    this.#shown = false;
    this.#phase = "";
  }

  #line({ phase, done, total, detail }: Progress, now: number): string {
    const share = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
    const filled = Math.round(share * BAR);
    const elapsed = now - this.#began;
    const left = share > 0 && share < 1 && elapsed > 2000 ? `, ${duration((elapsed * (1 - share)) / share)} left` : "";
    const start = `${phase} [${"#".repeat(filled)}${"-".repeat(BAR - filled)}] ${done}/${total} ${Math.floor(100 * share)}%${left}`;
    const line = detail === undefined ? start : `${start}  ${printable(detail)}`;
    return [...line].slice(0, Math.max(10, this.#io.columns - 1)).join("");
  }
}

function plainLine({ phase, done, total, detail }: Progress): string {
  return `${phase} ${done}/${total}${detail === undefined ? "" : ` ${printable(detail)}`}`;
}
