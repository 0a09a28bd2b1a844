// Accuracies as points with their 95 % intervals, grouped by task: before and after, or several systems side by side.
import { proportion } from "../../evaluate/statistics.js";
import { element, group, type Markup } from "../markup.js";
import { linear, percent } from "../scale.js";
import { figure, legend, seriesClass, shortened, text, WIDTH } from "./frame.js";

export interface Counted {
  readonly right: number;
  readonly total: number;
}

export interface IntervalChart {
  readonly label: string;
  /** Names of the systems, in the order of every group's counts. */
  readonly systems: readonly string[];
  /** One per task; a system without a count there is left out. */
  readonly groups: readonly { readonly name: string; readonly counts: readonly (Counted | null | undefined)[] }[];
}

const LEFT = 12;
const RIGHT = 64;
const ROW = 22;
const HEAD = 24;
const GAP = 10;

export function intervalChart({ label, systems, groups }: IntervalChart): Markup {
  const x = linear(0, 1, LEFT, WIDTH - RIGHT);
  const marks: Markup[] = [];
  let y = 18;
  for (const { name, counts } of groups) {
    if (!counts.some((count) => count && count.total > 0)) continue;
    marks.push(text(LEFT, y + 4, shortened(name, WIDTH - LEFT), { class: "name" }));
    y += HEAD;
    for (const [i, count] of counts.entries()) {
      if (!count || count.total === 0) continue;
      const { accuracy, interval } = proportion(count.right, count.total);
      const [low, high] = interval;
      const title = `${name}, ${systems[i]}: ${count.right} of ${count.total}, 95 % interval ${percent(low)} to ${percent(high)}`;
      marks.push(
        element("line", { class: "grid", x1: x(0), x2: x(1), y1: y, y2: y }),
        element(
          "g",
          { class: `interval ${seriesClass(i)}` },
          element("title", {}, title),
          element("line", { x1: x(low), x2: x(high), y1: y, y2: y }),
          element("circle", { cx: x(accuracy), cy: y, r: 5 }),
        ),
        text(WIDTH - RIGHT + 10, y + 4.5, percent(accuracy), { class: "value" }),
      );
      y += ROW;
    }
    y += GAP;
  }
  const foot = [0, 0.25, 0.5, 0.75, 1].flatMap((value) => [
    element("line", { class: "grid upright", x1: x(value), x2: x(value), y1: 8, y2: y - 4 }),
    text(x(value), y + 12, percent(value, 0), { class: "tick", anchor: value === 0 ? "start" : "middle" }),
  ]);
  return group(figure(label, y + 20, ...foot, ...marks), legend(systems));
}
