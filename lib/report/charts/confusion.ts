// A confusion matrix: rows are the true kinds, columns what was decided; every cell shows its count, shaded by its share of the row.
import { element, type Markup } from "../markup.js";
import { percent } from "../scale.js";
import { figure, shortened, text, WIDTH } from "./frame.js";

export interface ConfusionChart {
  readonly label: string;
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** [row][column] */
  readonly counts: readonly (readonly number[])[];
}

const LEFT = 134;
const HEAD = 46;
const ROW = 34;

export function confusionChart({ label, rows, columns, counts }: ConfusionChart): Markup {
  const width = (WIDTH - LEFT - 4) / Math.max(1, columns.length);
  const marks: Markup[] = [
    text(LEFT - 8, 16, "true", { class: "axis", anchor: "end" }),
    text(LEFT + 2, 16, "decided", { class: "axis" }),
    ...columns.map((name, c) => text(LEFT + (c + 0.5) * width, HEAD - 10, shortened(name, width), { class: "name", anchor: "middle" })),
  ];
  for (const [r, name] of rows.entries()) {
    const row = counts[r] ?? [];
    const total = row.reduce((a, b) => a + b, 0);
    const y = HEAD + r * ROW;
    marks.push(text(LEFT - 8, y + ROW / 2 + 4, shortened(name, LEFT - 12), { class: "name", anchor: "end" }));
    for (const [c, column] of columns.entries()) {
      const count = row[c] ?? 0;
      const share = total === 0 ? 0 : count / total;
      marks.push(
        element(
          "g",
          { class: share > 0.55 ? "cell strong" : "cell" },
          element("title", {}, `${name} taken for ${column}: ${count} of ${total} (${percent(share)})`),
          element("rect", {
            x: LEFT + c * width + 1,
            y: y + 1,
            width: width - 2,
            height: ROW - 2,
            rx: 3,
            "fill-opacity": 0.06 + 0.94 * share,
          }),
          text(LEFT + (c + 0.5) * width, y + ROW / 2 + 5, String(count), { anchor: "middle" }),
        ),
      );
    }
  }
  return figure(label, HEAD + rows.length * ROW + 6, ...marks);
}
