// Weights of the experts (α) as bars from zero, one group of bars per prompt or per mixture; α may be negative or above 1.
import { element, group, type Markup } from "../markup.js";
import { extent, linear, plain, ticks } from "../scale.js";
import { figure, legend, seriesClass, shortened, text, WIDTH } from "./frame.js";

export interface BarChart {
  readonly label: string;
  /** Names of the bars in every group. */
  readonly names: readonly string[];
  readonly groups: readonly { readonly name: string; readonly values: readonly number[] }[];
  /** Default: from 0 or below to 1 or above, as the values need. */
  readonly range?: readonly [number, number];
}

const LEFT = 12;
const RIGHT = 52;
const ROW = 18;
const BAR = 13;
const HEAD = 18;
const GAP = 12;

export function barChart({ label, names, groups, range }: BarChart): Markup {
  const [low, high] =
    range ??
    extent(
      groups.flatMap(({ values }) => values),
      [0, 1],
    );
  const x = linear(low, high, LEFT, WIDTH - RIGHT);
  const marks: Markup[] = [];
  let y = 16;
  for (const { name, values } of groups) {
    marks.push(text(LEFT, y + 2, shortened(name, WIDTH - LEFT), { class: "name" }));
    y += HEAD - 6;
    for (const [i, value] of values.entries()) {
      const shown = Number.isFinite(value) ? value : 0;
      const [from, to] = shown < 0 ? [x(shown), x(0)] : [x(0), x(shown)];
      marks.push(
        element(
          "g",
          { class: `bar ${seriesClass(i)}` },
          element("title", {}, `${name}: ${names[i]} ${plain(value)}`),
          element("rect", { x: from, y: y, width: Math.max(to - from, 1), height: BAR, rx: 2 }),
        ),
        text(WIDTH - RIGHT + 8, y + BAR - 2, plain(value), { class: "value" }),
      );
      y += ROW;
    }
    y += GAP;
  }
  const foot = ticks(low, high, 5).flatMap((value) => [
    element("line", { class: value === 0 ? "zero" : "grid", x1: x(value), x2: x(value), y1: 22, y2: y - 8 }),
    text(x(value), y + 8, plain(value), { class: "tick", anchor: "middle" }),
  ]);
  return group(figure(label, y + 16, ...foot, ...marks), legend(names));
}
