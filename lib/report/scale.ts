// Axes: numbers to positions, and round numbers for ticks. Pure functions.

/** Maps [from, to] to [low, high]; a range of no width maps to the middle. */
export function linear(from: number, to: number, low: number, high: number): (value: number) => number {
  if (from === to) return () => (low + high) / 2;
  return (value) => low + ((value - from) / (to - from)) * (high - low);
}

/** About `count` round numbers (1, 2 or 5 times a power of ten apart) within [from, to]. */
export function ticks(from: number, to: number, count: number): number[] {
  const span = to - from;
  if (!(span > 0) || !Number.isFinite(span)) return [from];
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough * 0.999) ?? 10);
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** The range of the finite ones among values, widened to hold `include`; [0, 1] where there are none. */
export function extent(values: readonly number[], include: readonly number[] = []): [number, number] {
  const finite = [...values, ...include].filter(Number.isFinite);
  return finite.length === 0 ? [0, 1] : [finite.reduce((a, b) => Math.min(a, b)), finite.reduce((a, b) => Math.max(a, b))];
}

/** 0.731 → "73.1 %". */
export function percent(share: number, digits = 1): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** A number with as many digits as it needs, at most three after the point. */
export function plain(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toFixed(3))) : "–";
}
