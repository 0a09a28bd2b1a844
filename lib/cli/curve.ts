// A training as it goes: on a terminal a small plot that is drawn over itself, otherwise a line per step with news.
import type { Settings } from "../train/options.js";
import type { Count, StepRecord } from "../train/run-directory.js";
import type { Io } from "./io.js";

const HEIGHT = 9;
const LEFT = 7;

const share = (count: Count) => count.right / count.total;
const percent = (count: Count) => `${Math.round(100 * share(count))} %`;

/** One line about a step; `brief` leaves out what only an expert looks at. */
export function stepLine(record: StepRecord, steps: number, brief = false): string {
  const parts = [`step ${record.step}/${steps}`];
  if (record.reward !== undefined) parts.push(`reward ${record.reward.toFixed(2)}`);
  if (record.sampled !== undefined) parts.push(`sampled ${percent(record.sampled)}`);
  if (!brief && record.loss !== undefined) parts.push(`loss ${record.loss.toFixed(3)}`);
  if (!brief && record.kl !== undefined && record.kl > 0) parts.push(`KL ${record.kl.toFixed(3)}`);
  if (record.validation !== undefined)
    parts.push(`validation ${record.validation.right}/${record.validation.total} (${percent(record.validation)})`);
  return parts.join("  ");
}

/** Rows of the plot: `o` is validation, `.` the share of right samples; the newest line of numbers stands below. */
export function plot(records: readonly StepRecord[], steps: number, width: number): string[] {
  const columns = Math.max(10, width - LEFT - 1);
  const grid = Array.from({ length: HEIGHT }, () => new Array<string>(columns).fill(" "));
  const put = (step: number, value: number, sign: string) => {
    const x = Math.min(columns - 1, Math.round((step / Math.max(1, steps)) * (columns - 1)));
    const y = HEIGHT - 1 - Math.round(Math.min(1, Math.max(0, value)) * (HEIGHT - 1));
    grid[y]![x] = sign;
  };
  for (const record of records) if (record.sampled !== undefined) put(record.step, share(record.sampled), ".");
  for (const record of records) if (record.validation !== undefined) put(record.step, share(record.validation), "o");
  const marks = new Map([
    [0, "100 %"],
    [(HEIGHT - 1) / 2, "50 %"],
    [HEIGHT - 1, "0 %"],
  ]);
  const rows = grid.map((cells, y) => `${(marks.get(y) ?? "").padStart(LEFT - 2)} |${cells.join("").trimEnd()}`);
  rows.push(`${" ".repeat(LEFT - 1)}+${"-".repeat(columns)}`);
  rows.push(`${" ".repeat(LEFT)}o validation, greedy   . sampled answers that are right`);
  const last = records.at(-1);
  rows.push(last === undefined ? "" : `${" ".repeat(LEFT)}${stepLine(last, steps, true)}`);
  return rows.map((row) => [...row].slice(0, width - 1).join(""));
}

export class TrainingCurve {
  readonly #io: Io;
  readonly #records: StepRecord[] = [];
  #drawn = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  /** To be given as `onStep`. */
  readonly onStep = (record: StepRecord, { steps }: Settings): void => {
    // A sweep of λ begins again at step 0 with another curve.
    if (record.step <= (this.#records.at(-1)?.step ?? -1)) this.#restart();
    this.#records.push(record);
    if (!this.#io.errIsTerminal) {
      if (record.validation !== undefined || record.step % 5 === 0) this.#io.err(`${stepLine(record, steps)}\n`);
      return;
    }
    const rows = plot(this.#records, steps, Math.min(this.#io.columns, 78));
    const up = this.#drawn === 0 ? "" : `\u001b[${this.#drawn}A\r`;
    this.#io.err(`${up}${rows.map((row) => `\u001b[2K${row}\n`).join("")}`);
    this.#drawn = rows.length;
  };

  #restart(): void {
    this.#records.length = 0;
    this.#drawn = 0;
  }
}
