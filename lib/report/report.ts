// A report: plain data in, one self-contained HTML page out. No script, no request to anywhere; every text is escaped.
import { proportion } from "../evaluate/statistics.js";
import { writeFileAtomic } from "../util/atomic-file.js";
import { type BarChart, barChart } from "./charts/bars.js";
import { type ConfusionChart, confusionChart } from "./charts/confusion.js";
import { type Counted, type IntervalChart, intervalChart } from "./charts/interval.js";
import { type LineChart, lineChart } from "./charts/line.js";
import { element, group, type Markup } from "./markup.js";
import { percent, plain } from "./scale.js";
import { style } from "./style.js";

interface Titled {
  readonly title: string;
  /** A sentence or two under the title. */
  readonly note?: string;
}

/** How one prompt was answered before and after adapting. */
export interface AnswerPair {
  readonly kind: string;
  readonly prompt: string;
  readonly decided: string;
  readonly scores: Readonly<Record<string, number>>;
  readonly weights: Readonly<Record<string, number>>;
  readonly before: { readonly text: string; readonly right: boolean | null };
  readonly after: { readonly text: string; readonly right: boolean | null };
}

export type Section =
  | (Titled & { readonly kind: "text"; readonly paragraphs: readonly string[] })
  | (Titled & { readonly kind: "line"; readonly chart: Omit<LineChart, "label"> })
  | (Titled & { readonly kind: "bars"; readonly chart: Omit<BarChart, "label"> })
  | (Titled & { readonly kind: "intervals"; readonly chart: Omit<IntervalChart, "label"> })
  | (Titled & { readonly kind: "confusion"; readonly chart: Omit<ConfusionChart, "label"> })
  /** Accuracies of systems (rows) on tasks (columns), with intervals; the best of each column stands out. */
  | (Titled & {
      readonly kind: "scores";
      readonly rows: readonly string[];
      readonly columns: readonly string[];
      readonly counts: readonly (readonly (Counted | null | undefined)[])[];
    })
  | (Titled & { readonly kind: "table"; readonly columns: readonly string[]; readonly rows: readonly (readonly (string | number)[])[] })
  | (Titled & { readonly kind: "answers"; readonly answers: readonly AnswerPair[] });

export interface Report {
  readonly title: string;
  readonly summary?: string;
  /** Shown large under the title, as [name, value]. */
  readonly facts?: readonly (readonly [string, string | number])[];
  readonly sections: readonly Section[];
  /** ISO 8601; shown at the end. */
  readonly time?: string;
}

/** Kinds that need the whole width of the page. */
const wide: ReadonlySet<Section["kind"]> = new Set(["scores", "table", "answers", "text"]);

/**
 * The report as an HTML document.
 *
 * @example reportHtml({ title: "Run 7", sections: [{ kind: "text", title: "Result", paragraphs: ["It learnt."] }] })
 */
export function reportHtml(report: Report): string {
  const facts = report.facts ?? [];
  const page = element(
    "html",
    { lang: "en" },
    element(
      "head",
      {},
      element("meta", { charset: "utf-8" }),
      element("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
      element("meta", { "http-equiv": "Content-Security-Policy", content: "default-src 'none'; style-src 'unsafe-inline'" }),
      element("title", {}, report.title),
      { html: `<style>${style}</style>` },
    ),
    element(
      "body",
      {},
      element(
        "main",
        {},
        element("h1", {}, report.title),
        report.summary === undefined ? null : element("p", { class: "muted" }, report.summary),
        facts.length === 0
          ? null
          : element(
              "dl",
              { class: "facts" },
              facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(value)))),
            ),
        element("div", { class: "grid-of-cards" }, report.sections.map(section)),
        report.time === undefined ? null : element("footer", {}, `Made by transformer2, ${report.time}. Intervals are Wilson's, 95 %.`),
      ),
    ),
  );
  return `<!doctype html>\n${page.html}\n`;
}

/** Writes the page whole or not at all. Throws `ERR_T2_IO`. */
export async function writeReport(path: string, report: Report): Promise<void> {
  await writeFileAtomic(path, reportHtml(report));
}

function section(one: Section): Markup {
  return element(
    "section",
    { class: wide.has(one.kind) ? "card wide" : "card" },
    element("h2", {}, one.title),
    one.note === undefined ? null : element("p", { class: "note" }, one.note),
    body(one),
  );
}

function body(one: Section): Markup {
  const label = one.title;
  switch (one.kind) {
    case "text":
      return group(one.paragraphs.map((paragraph) => element("p", {}, paragraph)));
    case "line": {
      const rows = one.chart.series.flatMap(({ name, points }) => points.map(([x, y]) => [name, plain(x), plain(y)]));
      return group(lineChart({ label, ...one.chart }), numbers(["series", one.chart.xLabel, one.chart.yLabel], rows));
    }
    case "bars": {
      const rows = one.chart.groups.map(({ name, values }) => [name, ...values.map(plain)]);
      return group(barChart({ label, ...one.chart }), numbers(["", ...one.chart.names], rows));
    }
    case "intervals": {
      const rows = one.chart.groups.flatMap(({ name, counts }) =>
        counts.flatMap((count, i) => (count ? [[`${name}: ${one.chart.systems[i]}`, ...described(count)]] : [])),
      );
      return group(intervalChart({ label, ...one.chart }), numbers(["", "right", "accuracy", "95 % interval"], rows));
    }
    case "confusion":
      return confusionChart({ label, ...one.chart });
    case "scores":
      return scores(one);
    case "table":
      return table(
        one.columns,
        one.rows.map((row) => row.map((cell) => element("td", { class: typeof cell === "number" ? null : "text" }, cell))),
      );
    case "answers":
      return group(one.answers.map(answer));
  }
}

function described({ right, total }: Counted): string[] {
  const { accuracy, interval } = proportion(right, total);
  return [`${right} of ${total}`, percent(accuracy), `${percent(interval[0])} to ${percent(interval[1])}`];
}

/** The numbers behind a picture, folded away. */
function numbers(columns: readonly string[], rows: readonly (readonly string[])[]): Markup {
  return element(
    "details",
    {},
    element("summary", {}, "Numbers"),
    table(
      columns,
      rows.map((row) => row.map((cell) => element("td", {}, cell))),
    ),
  );
}

function table(columns: readonly string[], rows: readonly (readonly Markup[])[]): Markup {
  const head = element(
    "tr",
    {},
    columns.map((name) => element("th", { scope: "col" }, name)),
  );
  return element(
    "div",
    { class: "scroll" },
    element(
      "table",
      {},
      element("thead", {}, head),
      element(
        "tbody",
        {},
        rows.map((cells) => element("tr", {}, cells)),
      ),
    ),
  );
}

function scores({ rows, columns, counts }: Extract<Section, { kind: "scores" }>): Markup {
  const share = (count: Counted | null | undefined) => (count && count.total > 0 ? count.right / count.total : Number.NEGATIVE_INFINITY);
  const best = columns.map((_, c) => Math.max(...counts.map((row) => share(row[c]))));
  const cells = rows.map((name, r) => [
    element("th", { scope: "row" }, name),
    ...columns.map((_, c) => {
      const count = counts[r]?.[c];
      if (!count || count.total === 0) return element("td", {}, "–");
      const [low, high] = proportion(count.right, count.total).interval;
      const range = element("span", { class: "range" }, `${(100 * low).toFixed(0)}–${(100 * high).toFixed(0)}, n ${count.total}`);
      return element("td", { class: share(count) === best[c] ? "best" : null }, percent(share(count)), range);
    }),
  ]);
  return table(["", ...columns], cells);
}

function answer(pair: AnswerPair): Markup {
  const list = (values: Readonly<Record<string, number>>) =>
    Object.entries(values)
      .map(([name, value]) => `${name} ${plain(value)}`)
      .join(", ");
  const verdict = (right: boolean | null) =>
    right === null ? null : element("span", { class: right ? "right" : "wrong" }, right ? " · right" : " · wrong");
  const side = (name: string, one: AnswerPair["before"]) =>
    element("div", {}, element("h3", {}, name, verdict(one.right)), element("pre", {}, one.text));
  return element(
    "div",
    { class: "answer" },
    element("p", {}, element("span", { class: "tag" }, pair.kind), pair.prompt),
    element(
      "p",
      { class: "note" },
      `First pass: ${list(pair.scores) || "none"}. Decided: ${pair.decided}. Weights: ${list(pair.weights) || "base"}.`,
    ),
    element("div", { class: "pair" }, side("Before", pair.before), side("After", pair.after)),
  );
}
