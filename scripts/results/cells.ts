// How numbers stand in the result tables.
import { proportion } from "../../lib/evaluate/statistics.js";

export interface Count {
  right: number;
  total: number;
}

/** "371/400 = .928 [.898–.949]" */
export function cell({ right, total }: Count): string {
  const p = proportion(right, total);
  const short = (x: number) => x.toFixed(3).replace(/^0/, "");
  return `${right}/${total} = ${short(right / total)} [${short(p.interval[0])}–${short(p.interval[1])}]`;
}

/** ".928" */
export function rate({ right, total }: Count): string {
  return (right / total).toFixed(3).replace(/^0/, "");
}

export function sum(counts: readonly Count[]): Count {
  return { right: counts.reduce((s, c) => s + c.right, 0), total: counts.reduce((s, c) => s + c.total, 0) };
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [`| ${head.join(" | ")} |`, `|${head.map(() => "---").join("|")}|`, ...rows.map((r) => `| ${r.join(" | ")} |`)].join("\n");
}

export function pValue(p: number): string {
  return p < 1e-4 ? "p < .0001" : `p = ${p.toFixed(4).replace(/^0/, "")}`;
}

/** A curve in text: one bar per point. */
export function sparkline(values: readonly number[]): string {
  return values.map((v) => "▁▂▃▄▅▆▇█"[Math.max(0, Math.min(7, Math.floor(v * 8)))]).join("");
}
