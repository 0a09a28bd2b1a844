// `npm run bench [-- --model DIR] [--quick] [--json FILE] [--only operators|svd|model]`: prints the table of design/quality: case, size, median,
// spread, rate, share of the machine's own limit measured in the same run, and the ratio to peers that are installed under bench/peers.
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { addon } from "../lib/native.js";
import { type ModelFigures, modelCases } from "./model.js";
import { linearCases, measureLimits, mergeCases, svdCases } from "./operators.js";
import { peerCases } from "./peers.js";
import { header, line, type Row } from "./table.js";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "models/micro" },
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    only: { type: "string" },
    threads: { type: "string", default: String(cpus().length) },
  },
});
const wanted = (part: string) => values.only === undefined || values.only === part;
const info = addon().systemInfo();
const rows: Row[] = [];
let group = "";
function emit(row: Row): void {
  if (row.group !== group) console.log(`\n${row.group}`);
  group = row.group;
  rows.push(row);
  console.log(line(row));
}

console.log(
  `${cpus()[0]?.model ?? "unknown processor"}, ${values.threads} threads, kernels ${info.isa}, ${info.blas}, Node ${process.version}`,
);
console.log(header());
const { limits, rows: limitRows } = measureLimits(Number(values.threads));
for (const row of limitRows) emit(row);
if (wanted("operators")) {
  for (const row of linearCases(limits)) emit(row);
  for (const row of mergeCases(limits)) emit(row);
}
if (wanted("svd")) for (const row of svdCases(limits, values.quick)) emit(row);
if (wanted("model")) {
  const figures: ModelFigures = { prefill: 0, decode: 0, batch: 0 };
  for await (const row of modelCases(values.model, limits, values.quick, figures)) emit(row);
  for await (const row of peerCases(values.model, limits.threads, figures)) emit(row);
}
if (values.json) writeFileSync(values.json, JSON.stringify({ machine: info, date: new Date().toISOString(), limits, rows }, null, 2));
