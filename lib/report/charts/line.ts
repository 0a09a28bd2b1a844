// Lines over a common x axis: a training's reward, sampled accuracy and validation by step.
import { element, group, type Markup } from "../markup.js";
import { extent, linear, plain, ticks } from "../scale.js";
import { figure, legend, seriesClass, text, WIDTH } from "./frame.js";

export interface Series {
  readonly name: string;
  /** [x, y]; points that are not finite are left out. */
  readonly points: readonly (readonly [number, number])[];
}

export interface LineChart {
  /** What a screen reader says. */
  readonly label: string;
  readonly series: readonly Series[];
  readonly xLabel: string;
  readonly yLabel: string;
  /** Default: the extent of the data. */
  readonly yRange?: readonly [number, number];
  /** How a value is written. Default: with the decimals that tell the ticks apart. */
  readonly format?: (value: number) => string;
  /** An x worth a vertical line, e.g. the step that was kept. */
  readonly mark?: { readonly x: number; readonly name: string };
}

const HEIGHT = 250;
const LEFT = 48;
const RIGHT = 14;
const TOP = 16;
const BOTTOM = 40;

export function lineChart(chart: LineChart): Markup {
  const series = chart.series.map(({ name, points }) => ({
    name,
    points: points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)).toSorted((a, b) => a[0] - b[0]),
  }));
  const all = series.flatMap(({ points }) => points);
  const [x0, x1] = extent(all.map(([x]) => x));
  const [y0, y1] = chart.yRange ?? extent(all.map(([, y]) => y));
  const yTicks = ticks(y0, y1, 4);
  const format = chart.format ?? digitsFor(yTicks);
  const x = linear(x0, x1, LEFT, WIDTH - RIGHT);
  const y = linear(y0, y1, HEIGHT - BOTTOM, TOP);
  const grid = yTicks.flatMap((value) => [
    element("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
    text(LEFT - 6, y(value) + 4, format(value), { class: "tick", anchor: "end" }),
  ]);
  const xTicks = ticks(x0, x1, 6).map((value) => text(x(value), HEIGHT - BOTTOM + 17, plain(value), { class: "tick", anchor: "middle" }));
  const mark = chart.mark && [
    element("line", { class: "mark", x1: x(chart.mark.x), x2: x(chart.mark.x), y1: TOP, y2: HEIGHT - BOTTOM }),
    text(x(chart.mark.x), TOP - 4, chart.mark.name, { class: "tick", anchor: x(chart.mark.x) > WIDTH / 2 ? "end" : "start" }),
  ];
  const lines = series.map(({ name, points }, i) => {
    const path = points.map(([px, py], k) => `${k === 0 ? "M" : "L"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("");
    const dots = points.map(([px, py]) =>
      element(
        "circle",
        { cx: x(px), cy: y(py), r: points.length > 60 ? 1.6 : 3 },
        element("title", {}, `${name}, ${chart.xLabel} ${plain(px)}: ${format(py)}`),
      ),
    );
    return element("g", { class: `series ${seriesClass(i)}` }, points.length > 1 ? element("path", { d: path }) : null, dots);
  });
  const svg = figure(
    chart.label,
    HEIGHT,
    ...grid,
    ...xTicks,
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, chart.xLabel, { class: "axis", anchor: "middle" }),
    ...(mark ?? []),
    ...lines,
  );
  return group(element("p", { class: "axis-name" }, chart.yLabel), svg, legend(series.map(({ name }) => name)));
}

/** As many decimals as the distance of the ticks needs: 0.1831 and 0.1832 must not both read 0.183. */
function digitsFor(values: readonly number[]): (value: number) => string {
  const step = values.length > 1 ? Math.abs(values[1]! - values[0]!) : 0;
  const decimals = step > 0 ? Math.min(12, Math.max(3, Math.ceil(-Math.log10(step)))) : 3;
  return (value) => (Number.isFinite(value) ? String(Number(value.toFixed(decimals))) : "–");
}
