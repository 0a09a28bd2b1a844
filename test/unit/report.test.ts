// The HTML report: well-formed whatever the texts, nothing loaded from anywhere, numbers where they belong.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { barChart } from "../../lib/report/charts/bars.js";
import { lineChart } from "../../lib/report/charts/line.js";
import { reportHtml, writeReport } from "../../lib/report/index.js";
import { element, escapeText } from "../../lib/report/markup.js";
import { extent, linear, percent, plain, ticks } from "../../lib/report/scale.js";
import { sampleReport } from "../support/sample-report.js";

/** Tags and attributes of a page, by a strict reader: anything that is no tag, text or entity fails the test. */
function parse(html: string) {
  const stack: string[] = [];
  const tags: { name: string; attributes: Record<string, string>; path: string }[] = [];
  const pattern =
    /<!doctype html>|<style>[^<]*<\/style>|<(\/?)([a-zA-Z0-9]+)((?: [a-zA-Z0-9-]+="[^"<>]*")*)(\/?)>|&(?:amp|lt|gt|quot|#39);|[^<>&"']+|(["'])/gy;
  let text = "";
  while (pattern.lastIndex < html.length) {
    const at = pattern.lastIndex;
    const match = pattern.exec(html);
    if (match === null || match[5] !== undefined) throw new Error(`not well-formed at ${at}: ${html.slice(at, at + 80)}`);
    const [whole, closing, name, attributes = "", selfClosing] = match;
    if (name === undefined) {
      text += whole;
      continue;
    }
    if (closing) {
      if (stack.pop() !== name) throw new Error(`</${name}> closes nothing`);
      continue;
    }
    const pairs = [...attributes.matchAll(/ ([a-zA-Z0-9-]+)="([^"]*)"/g)].map((m) => [m[1]!, m[2]!] as const);
    tags.push({ name, attributes: Object.fromEntries(pairs), path: stack.join("/") });
    if (!selfClosing && !["meta", "br", "hr"].includes(name)) stack.push(name);
  }
  return { tags, open: stack, text };
}

t.test("a page with every kind of section and hostile texts is well-formed and self-contained", (t) => {
  const html = reportHtml(sampleReport);
  const { tags, open } = parse(html);
  t.same(open, []);
  const names = new Set(tags.map((tag) => tag.name));
  for (const forbidden of ["script", "img", "link", "iframe", "a"]) t.notOk(names.has(forbidden), forbidden);
  for (const { name, attributes } of tags) {
    for (const key of Object.keys(attributes)) t.notOk(/^(on|src|href|style)/.test(key), `${name} ${key}`);
    if (name === "svg") t.ok(attributes["aria-label"] && attributes.viewBox, "pictures have a name");
  }
  t.equal(tags.filter((tag) => tag.name === "svg").length, 4);
  t.notMatch(html, /NaN|Infinity|undefined|\[object|url\(|https?:/);
  t.match(html, /default-src 'none'|default-src &#39;none&#39;/);
  t.match(html, /prefers-color-scheme: dark/);
  t.match(html, /width=device-width/);
  t.match(html, "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;&#39;\ufffd\ufffd");
  t.end();
});

t.test("numbers: accuracies with Wilson intervals, the best of a column, counts in the matrix", (t) => {
  const html = reportHtml(sampleReport);
  t.match(html, "191 of 400, 95 % interval 42.9 % to 52.6 %");
  t.match(html, '<td class="best">92.8 %<span class="range">90–95, n 400</span></td>');
  t.match(html, "0 of 40, 95 % interval 0.0 % to 8.8 %");
  t.match(html, "math taken for code: 20 of 100 (20.0 %)");
  t.match(html, "<td>–</td>", "what was not measured is a dash");
  t.match(html, "First pass: math 0.91, other 0.09. Decided: math. Weights: math 1, code 0.");
  t.match(html, '<span class="right"> · right</span>');
  t.equal(html.match(/<h3>Before<\/h3>/g)!.length, 1, "no verdict where there is none");
  t.end();
});

t.test("the line chart puts points where they belong", (t) => {
  const { html } = lineChart({
    label: "x",
    xLabel: "step",
    yLabel: "y",
    yRange: [0, 1],
    series: [
      {
        name: "a",
        points: [
          [0, 0],
          [10, 1],
          [5, 0.5],
        ],
      },
    ],
  });
  t.match(html, 'd="M48.0 210.0L237.0 113.0L426.0 16.0"', "sorted by x, from corner to corner");
  t.match(html, "<title>a, step 5: 0.5</title>");
  t.notMatch(html, "legend", "one series needs no legend");
  const fine = lineChart({
    label: "x",
    xLabel: "x",
    yLabel: "y",
    series: [
      {
        name: "a",
        points: [
          [1, 0.18311],
          [2, 0.18325],
        ],
      },
    ],
  }).html;
  t.match(fine, ">0.18315</text>");
  t.match(fine, ">0.1832</text>", "ticks that lie close are told apart");
  for (const points of [[], [[3, 7]], [[1, Number.POSITIVE_INFINITY]]] as [number, number][][]) {
    const odd = lineChart({ label: "x", xLabel: "x", yLabel: "y", series: [{ name: "a", points }] }).html;
    t.notMatch(odd, /NaN|Infinity/, JSON.stringify(points));
    parse(odd);
  }
  t.end();
});

t.test("bars grow from zero, to the left when negative", (t) => {
  const { html } = barChart({ label: "x", names: ["a", "b"], groups: [{ name: "g", values: [2, -0.5] }] });
  const [a, b] = [...html.matchAll(/<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/g)].map((m) => [Number(m[1]), Number(m[2])] as const);
  t.ok(Math.abs(a![0] - (b![0] + b![1])) < 0.02, "they meet at zero");
  t.ok(Math.abs(a![1] / b![1] - 4) < 0.01);
  t.end();
});

t.test("escaping", (t) => {
  t.equal(escapeText(`<a b="c" d='e'>&`), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
  t.equal(escapeText("a\r\nb\tc\u0007\ud83d\ude00\udc00"), "a\nb\tc\ufffd\u{1f600}\ufffd");
  t.equal(
    element("p", { title: '"><script>', none: undefined, n: 1 / 3 }, "<", null, false, 5, ["a", element("br")]).html,
    '<p title="&quot;&gt;&lt;script&gt;" n="0.33">&lt;5a<br></p>',
  );
  t.end();
});

t.test("scales", (t) => {
  t.same(ticks(0, 1, 4), [0, 0.5, 1]);
  t.same(ticks(0, 40, 6), [0, 10, 20, 30, 40]);
  t.same(ticks(-0.5, 2, 5), [-0.5, 0, 0.5, 1, 1.5, 2]);
  t.same(ticks(3, 3, 5), [3]);
  t.same(ticks(0.1, 0.30000000000000004, 2), [0.1, 0.2, 0.3]);
  t.equal(linear(0, 10, 100, 200)(5), 150);
  t.equal(linear(1, 1, 100, 200)(1), 150);
  t.same(extent([3, Number.NaN, 1], [2]), [1, 3]);
  t.same(extent([Number.NaN]), [0, 1]);
  t.equal(percent(0.1234), "12.3 %");
  t.equal(plain(0.12345), "0.123");
  t.equal(plain(Number.NaN), "–");
  t.end();
});

t.test("the file is written whole", async (t) => {
  const path = join(t.testdir(), "deep", "report.html");
  await writeReport(path, sampleReport);
  t.equal(await readFile(path, "utf8"), reportHtml(sampleReport));
  await t.rejects(writeReport(join(path, "below-a-file.html"), sampleReport), { code: "ERR_T2_IO" });
});
