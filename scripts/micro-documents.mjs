// Writes the micro model's pretraining documents as JSON lines to standard output. Needs the built library (npm run build).
// Usage: node scripts/micro-documents.mjs SEED COUNT > documents.jsonl
import { once } from "node:events";
import { microDocuments } from "../dist/tasks/micro/index.js";

const [seed, count] = process.argv.slice(2).map(Number);
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(count) || count < 1) {
  console.error("Usage: node scripts/micro-documents.mjs SEED COUNT > documents.jsonl");
  process.exit(2);
}
for (const document of microDocuments(seed, count)) {
  if (!process.stdout.write(`${JSON.stringify(document)}\n`)) await once(process.stdout, "drain");
}
