// A report with one section of every kind and hostile texts, for the tests of lib/report.
import type { Report } from "../../lib/report/index.js";

export const hostile = `<script>alert("1")</script>&amp;'\u0000\ud800`;

export const sampleReport: Report = {
  title: `Report ${hostile}`,
  summary: `Summary ${hostile}`,
  facts: [
    ["Model", hostile],
    ["Parameters", 1_728_192],
  ],
  time: "2025-01-01T00:00:00.000Z",
  sections: [
    { kind: "text", title: "Text", paragraphs: [hostile, "Second."] },
    {
      kind: "line",
      title: "Training",
      note: "Greedy on validation, sampled at T = 1.",
      chart: {
        xLabel: "step",
        yLabel: "right",
        yRange: [0, 1],
        format: (y) => `${Math.round(100 * y)} %`,
        mark: { x: 35, name: "kept" },
        series: [
          {
            name: `sampled ${hostile}`,
            points: Array.from(
              { length: 40 },
              (_, i) => [i + 1, 0.3 + 0.5 / (1 + Math.exp((20 - i) / 4)) + 0.04 * Math.sin(9 * i)] as const,
            ),
          },
          {
            name: "validation",
            points: [
              [0, 0.48],
              [10, 0.5],
              [20, 0.62],
              [30, 0.88],
              [35, 0.92],
              [40, Number.NaN],
            ],
          },
        ],
      },
    },
    {
      kind: "intervals",
      title: "Before and after",
      chart: {
        systems: ["base", "adapted"],
        groups: [
          {
            name: `math ${hostile}`,
            counts: [
              { right: 191, total: 400 },
              { right: 371, total: 400 },
            ],
          },
          {
            name: "code",
            counts: [
              { right: 0, total: 40 },
              { right: 40, total: 40 },
            ],
          },
          { name: "nothing", counts: [undefined, { right: 0, total: 0 }] },
        ],
      },
    },
    {
      kind: "bars",
      title: "Weights",
      chart: {
        names: ["math", "code", "reasoning"],
        groups: [
          { name: `mix ${hostile}`, values: [1.4, -0.3, 0] },
          { name: "broken", values: [Number.NaN, 1, 0.5] },
        ],
      },
    },
    {
      kind: "confusion",
      title: "Dispatch",
      chart: {
        rows: ["math", hostile, "unseen-reasoning"],
        columns: ["math", "code", "reasoning", "other"],
        counts: [[66, 20, 10, 4], [0, 100, 0, 0], []],
      },
    },
    {
      kind: "scores",
      title: "Experts by task",
      rows: ["base", hostile],
      columns: ["math", "code"],
      counts: [
        [{ right: 191, total: 400 }, undefined],
        [
          { right: 371, total: 400 },
          { right: 397, total: 400 },
        ],
      ],
    },
    {
      kind: "table",
      title: "Table",
      columns: ["a", hostile],
      rows: [
        ["x", 1],
        [hostile, 2],
      ],
    },
    {
      kind: "answers",
      title: "Answers",
      answers: [
        {
          kind: "math",
          prompt: `Tom has 3 apples. ${hostile}`,
          decided: "math",
          scores: { math: 0.91, other: 0.09 },
          weights: { math: 1, code: 0 },
          before: { text: "#### 3", right: false },
          after: { text: `Think: 3 + 4 = 7 #### 7\n${hostile}`, right: true },
        },
        {
          kind: "other",
          prompt: "x",
          decided: "base",
          scores: {},
          weights: {},
          before: { text: "a", right: null },
          after: { text: "a", right: null },
        },
      ],
    },
  ],
};
