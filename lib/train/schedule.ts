// Learning rate as a function of the step alone, so that a resumed run needs no schedule state.

export interface Schedule {
  readonly kind: "constant" | "cosine";
  /** The highest rate, reached after the warm-up. */
  readonly rate: number;
  /** Steps of linear warm-up from rate/warmup to rate. 0: none. */
  readonly warmup: number;
  /** Steps in all; the cosine reaches `final` at the last one. */
  readonly steps: number;
  /** The rate at the last step, as a share of `rate`. */
  readonly final: number;
}

/**
 * The rate of a step, counted from 1.
 *
 * @example learningRate({ kind: "cosine", rate: 1e-2, warmup: 4, steps: 40, final: 0.1 }, 1) // 2.5e-3
 */
export function learningRate(schedule: Schedule, step: number): number {
  const { kind, rate, warmup, steps, final } = schedule;
  if (step < warmup) return (rate * step) / warmup;
  if (kind === "constant") return rate;
  const start = Math.max(1, warmup); // the step that has the full rate
  if (steps <= start) return rate;
  const progress = Math.min(1, (step - start) / (steps - start));
  return rate * (final + (1 - final) * 0.5 * (1 + Math.cos(Math.PI * progress)));
}
