// One measured case and how it is printed.

export interface Row {
  group: string;
  name: string;
  size: string;
  /** Seconds: median, least and most of the counted runs. */
  median: number;
  least: number;
  most: number;
  /** Work done in one run, for the rate column. */
  rate?: { value: number; unit: string };
  /** Share of the machine's own limit measured in the same run, 0…1. */
  ofLimit?: number;
  /** e.g. "1.8× node-llama-cpp". */
  against?: string;
}

export function quantiles(seconds: readonly number[]): Pick<Row, "median" | "least" | "most"> {
  const sorted = [...seconds].sort((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)] ?? 0, least: sorted[0] ?? 0, most: sorted.at(-1) ?? 0 };
}

function time(seconds: number): string {
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return seconds >= 1e-3 ? `${(seconds * 1e3).toFixed(2)} ms` : `${(seconds * 1e6).toFixed(0)} µs`;
}

const columns = [28, 26, 11, 21, 16, 9];

export function header(): string {
  return ["case", "size", "median", "spread", "rate", "of limit", "against"].map((c, i) => c.padEnd(columns[i] ?? 0)).join(" ");
}

export function line(row: Row): string {
  const cells = [
    row.name,
    row.size,
    time(row.median),
    `${time(row.least)}–${time(row.most)}`,
    row.rate ? `${row.rate.value.toFixed(1)} ${row.rate.unit}` : "",
    row.ofLimit === undefined ? "" : `${(row.ofLimit * 100).toFixed(0)} %`,
    row.against ?? "",
  ];
  return cells
    .map((c, i) => c.padEnd(columns[i] ?? 0))
    .join(" ")
    .trimEnd();
}

/** Runs `f` `warm` times uncounted and `runs` times counted. */
export async function measure(f: () => Promise<unknown> | unknown, runs = 5, warm = 1): Promise<number[]> {
  for (let i = 0; i < warm; i++) await f();
  const seconds: number[] = [];
  for (let i = 0; i < runs; i++) {
    const begin = performance.now();
    await f();
    seconds.push((performance.now() - begin) / 1e3);
  }
  return seconds;
}
