// What every chart shares: its width in its own units, the accessible <svg> around it, and the legend.
import { element, group, type Markup } from "../markup.js";

/** Charts are drawn this wide and scaled to the page, so that at phone width a 13-unit letter is still about 10 pixels high. */
export const WIDTH = 440;

/** Colours are CSS classes s1 … s6 (see style.ts), which differ in lightness too, for readers who cannot tell the hues apart. */
export const SERIES = 6;
export const seriesClass = (index: number) => `s${(index % SERIES) + 1}`;

/** `label` is what a screen reader says instead of the picture. */
export function figure(label: string, height: number, ...content: Markup[]): Markup {
  return element("svg", { viewBox: `0 0 ${WIDTH} ${Math.ceil(height)}`, role: "img", "aria-label": label }, ...content);
}

export function text(x: number, y: number, content: string, about: { class?: string; anchor?: "start" | "middle" | "end" } = {}): Markup {
  return element("text", { x, y, class: about.class, "text-anchor": about.anchor }, content);
}

/** A text shortened to about `units` of width, the whole of it in a tooltip. */
export function shortened(content: string, units: number, size = 13): string {
  const letters = Math.max(3, Math.floor(units / (0.63 * size)));
  const all = [...content];
  return all.length <= letters ? content : `${all.slice(0, letters - 1).join("")}…`;
}

/** Colour and name of each series; nothing where there is only one. */
export function legend(names: readonly string[]): Markup {
  if (names.length < 2) return group();
  return element(
    "ul",
    { class: "legend" },
    names.map((name, i) => element("li", { class: seriesClass(i) }, element("span", { class: "key" }), name)),
  );
}
