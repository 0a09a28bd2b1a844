// `npm run bench [-- --model DIR] [--device cpu|cuda] [--quick] [--json FILE] [--only operators|svd|model]`: prints the table of design/quality:
// case, size, median, spread, rate, share of the device's own limit measured in the same run, and the ratio to peers that are installed under
// bench/peers.
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { addon } from "../lib/native.js";
import { type ModelFigures, modelCases } from "./model.js";
import { linearCases, measureLimits, mergeCases, svdCases } from "./operators.js";
import { peerCases } from "./peers.js";
import { header, line, type Row } from "./table.js";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "models/micro" },
    device: { type: "string", default: "cpu" },
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    only: { type: "string" },
    threads: { type: "string", default: String(cpus().length) },
  },
});
if (values.device !== "cpu" && values.device !== "cuda") throw new Error(`--device must be cpu or cuda, but is ${values.device}.`);
if (values.device === "cuda") {
  // Where single operators run, and whole models the same way.
  process.env["T2_TEST_DEVICE"] = "cuda";
  process.env["T2_CUDA_LIBRARY"] ??= fileURLToPath(new URL("../build/cuda/libt2_cuda.so", import.meta.url));
}
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
  `${cpus()[0]?.model ?? "unknown processor"}, ${values.threads} threads, device ${values.device}, kernels ${info.isa}, ${info.blas}, Node ${process.version}`,
);
console.log(header());
const { limits, rows: limitRows } = measureLimits(values.device, Number(values.threads), values.quick);
for (const row of limitRows) emit(row);
if (wanted("operators")) {
  for (const row of linearCases(limits)) emit(row);
  for (const row of mergeCases(limits)) emit(row);
}
if (wanted("svd")) for (const row of svdCases(limits, values.quick)) emit(row);
if (wanted("model")) {
  const figures: ModelFigures = { prefill: 0, decode: 0, batch: 0 };
  for await (const row of modelCases(values.model, limits, values.quick, figures)) emit(row);
  if (values.device === "cpu") for await (const row of peerCases(values.model, limits.threads, figures)) emit(row);
}
if (values.json) writeFileSync(values.json, JSON.stringify({ machine: info, date: new Date().toISOString(), limits, rows }, null, 2));
