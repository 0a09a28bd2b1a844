// Writes the micro model's pretraining documents as JSON lines to standard output.
// Usage: node --import ./scripts/typescript-loader.mjs scripts/micro-documents.ts SEED COUNT > documents.jsonl
import { once } from "node:events";
import { microDocuments } from "../lib/tasks/micro/index.js";

const seed = Number(process.argv[2]);
const count = Number(process.argv[3]);
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(count) || count < 1) {
  console.error("Usage: node --import ./scripts/typescript-loader.mjs scripts/micro-documents.ts SEED COUNT > documents.jsonl");
  process.exit(2);
}
for (const document of microDocuments(seed, count)) {
  if (!process.stdout.write(`${JSON.stringify(document)}\n`)) await once(process.stdout, "drain");
}
