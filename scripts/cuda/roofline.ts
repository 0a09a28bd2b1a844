// `npm run roofline [-- --write]`: the tables of docs/performance-gpu.md, computed from shapes and data sheets; `--write` puts them there.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  activationElementsPerToken,
  embeddingElements,
  factorElements,
  kvElementsPerToken,
  matrixElements,
  normElements,
  PREFILL_CHUNK,
  rankElements,
  savedElementsPerToken,
} from "../../lib/model/shapes.js";
import {
  allowed,
  cards,
  decode,
  llama8b,
  MICRO_BATCH,
  type Mode,
  merge,
  prefill,
  svd,
  svdOfAll,
  trainingStep,
  type Work,
} from "./costs.js";

const page = fileURLToPath(new URL("../../docs/performance-gpu.md", import.meta.url));
/** Seconds by card and case, where somebody has measured: { "H100 SXM": { "decode, batch 1, base": 0.0047 } }. */
const measuredFile = fileURLToPath(new URL("../../docs/performance-gpu-measured.json", import.meta.url));
const [begin, end] = ["<!-- roofline -->", "<!-- /roofline -->"];
const modes: readonly Mode[] = ["base", "merged", "factored"];
const MEMORY = { context: 8192, decodeBatch: 32, decodeContext: 1024 };

/** What stands between the two marks. */
export function roofline(): string {
  const measured = existsSync(measuredFile)
    ? (JSON.parse(readFileSync(measuredFile, "utf8")) as Record<string, Record<string, number>>)
    : {};
  const rows: (readonly [string, Work[]])[] = [];
  for (const batch of [1, 8, 32])
    for (const mode of modes) rows.push([`decode, batch ${batch}, ${mode}`, decode(llama8b, batch, 1024, mode)]);
  for (const mode of modes) rows.push([`prefill 2048, ${mode}`, prefill(llama8b, 1, 2048, mode)]);
  rows.push(["merge of all 224 matrices", merge(llama8b)]);
  for (const [r, k] of [
    [1024, 4096],
    [4096, 4096],
    [4096, 14336],
  ] as const)
    rows.push([`SVD ${r} × ${k}`, svd(r, k)]);
  rows.push(["SVD of all 224 matrices", svdOfAll(llama8b)]);
  const step = Object.entries(trainingStep(llama8b, 256, 256, 256));
  const stepRows = [...step, ["the whole step", step.flatMap(([, works]) => works)] as [string, Work[]]];

  const columns = (name: string, works: Work[]) => [
    amount(total(works, "flops"), 1e6, ["MFLOP", "GFLOP", "TFLOP", "PFLOP"]),
    amount(total(works, "bytes"), 1e3, ["kB", "MB", "GB", "TB"]),
    ...cards.flatMap((card) => [time(allowed(card, works)), measuredTime(measured[card.name]?.[name])]),
  ];
  const head = ["case", "FLOPs", "bytes", ...cards.flatMap(({ name }) => [name, "measured"])];
  return [
    "### Inference and adaptation",
    table(
      head,
      rows.map(([name, works]) => [name, ...columns(name, works)]),
    ),
    "### Operators of one decode step, base, batch 1 and 32, context 1024",
    table(
      ["operator", "batch", "FLOPs", "bytes", ...cards.map(({ name }) => name)],
      [1, 32].flatMap((batch) =>
        [...grouped(decode(llama8b, batch, 1024, "base"))].map(([name, works]) => [
          name,
          String(batch),
          amount(total(works, "flops"), 1e6, ["MFLOP", "GFLOP", "TFLOP", "PFLOP"]),
          amount(total(works, "bytes"), 1e3, ["kB", "MB", "GB", "TB"]),
          ...cards.map((card) => time(allowed(card, works))),
        ]),
      ),
    ),
    "### One training step: 256 sequences of 256 + 256 tokens, merged, with KL, layers checkpointed",
    table(
      head,
      stepRows.map(([name, works]) => [name, ...columns(name, works)]),
    ),
    "### Memory",
    table(["part", "as this backend keeps it", "GB", "in 16 bit, GB"], memoryRows()),
    kvSentence(),
  ].join("\n\n");
}

function memoryRows(): string[][] {
  const s = llama8b;
  const gb = (bytes: number) => (bytes / 1e9).toFixed(2);
  const weights = matrixElements(s.matrices) + embeddingElements(s, false) + normElements(s);
  const kv = kvElementsPerToken(s);
  const saved = savedElementsPerToken(s);
  const both = (elements: number) => [gb(elements * 4), gb(elements * 2)];
  return [
    ["weights", "BF16, as stored", gb(weights * 2), gb(weights * 2)],
    ["U, V and σ of all matrices", "F16, σ fp32", ...repeatTwice(gb(factorElements(s.matrices) * 2 + rankElements(s.matrices) * 4))],
    ["one merged copy", "BF16", ...repeatTwice(gb(matrixElements(s.matrices) * 2))],
    [`KV cache, one sequence of ${MEMORY.context}`, "fp32", ...both(kv * MEMORY.context)],
    [
      `KV cache, ${MEMORY.decodeBatch} sequences of ${MEMORY.decodeContext}`,
      "fp32",
      ...both(kv * MEMORY.decodeBatch * MEMORY.decodeContext),
    ],
    [`activations of a prefill chunk of ${PREFILL_CHUNK}`, "fp32", ...both(activationElementsPerToken(s) * PREFILL_CHUNK)],
    [`training, ${MICRO_BATCH} tokens: everything kept`, "fp32", ...both(saved * s.layers * MICRO_BATCH)],
    [`training, ${MICRO_BATCH} tokens: layer inputs and one layer`, "fp32", ...both((s.layers * s.hiddenSize + saved) * MICRO_BATCH)],
  ];
}

function repeatTwice(text: string): [string, string] {
  return [text, text];
}

function kvSentence(): string {
  const { decodeBatch: batch, decodeContext: context } = MEMORY;
  const half = (kvElementsPerToken(llama8b) * batch * context * 4) / 2;
  const step = decode(llama8b, batch, context, "base");
  const costs = cards.map((card) => `${time(half / card.bandwidth)} of ${time(allowed(card, step))} on ${card.name}`).join(", ");
  return `Keys and values in fp32 instead of 16 bit cost ${half / 1e9 < 10 ? (half / 1e9).toFixed(1) : Math.round(half / 1e9)} GB more to hold and to read at every step of batch ${batch} at context ${context}: ${costs}. At batch 1 it is ${((100 * half) / batch / total(decode(llama8b, 1, context, "base"), "bytes")).toFixed(1)} % of the step's bytes.`;
}

/** Works of one name together, in the order of first appearance. */
function grouped(works: readonly Work[]): Map<string, Work[]> {
  const groups = new Map<string, Work[]>();
  for (const work of works) groups.set(work.name, [...(groups.get(work.name) ?? []), work]);
  return groups;
}

function total(works: readonly Work[], key: "flops" | "bytes"): number {
  return works.reduce((sum, work) => sum + work[key], 0);
}

/** Three digits, in the first unit that leaves fewer than a thousand. */
function amount(value: number, first: number, units: readonly string[]): string {
  let scaled = value / first;
  let i = 0;
  for (; scaled >= 1000 && i < units.length - 1; i++) scaled /= 1000;
  return `${scaled >= 100 ? scaled.toFixed(0) : scaled.toPrecision(3)} ${units[i]}`;
}

function time(seconds: number): string {
  return amount(seconds, 1e-6, ["µs", "ms", "s"]);
}

function measuredTime(seconds: number | undefined): string {
  return seconds === undefined ? "" : time(seconds);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`.replaceAll("|  |", "| |");
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}

/** The page with the tables in their place. */
export function updatedPage(text: string): string {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${page} has no ${begin} … ${end}.`);
  return `${text.slice(0, from + begin.length)}\n\n${roofline()}\n\n${text.slice(to)}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  if (process.argv.includes("--write")) writeFileSync(page, updatedPage(readFileSync(page, "utf8")));
  else console.log(roofline());
}
