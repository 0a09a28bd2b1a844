// The GPU page says what the scripts compute, and the counts agree with ones made by hand.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import t from "tap";
import { planMemory } from "../../lib/memory-plan.js";
import { embeddingElements, factorElements, matrixElements, normElements } from "../../lib/model/shapes.js";
import { decode, llama8b, merge, svd } from "../../scripts/cuda/costs.js";
import { updatedPage } from "../../scripts/cuda/roofline.js";

t.test("docs/performance-gpu.md is up to date (npm run roofline -- --write)", async (t) => {
  const page = readFileSync(fileURLToPath(new URL("../../docs/performance-gpu.md", import.meta.url)), "utf8");
  t.equal(updatedPage(page), page);
});

t.test("Llama-3-8B: parameters, factors, merge and decode as counted by hand", async (t) => {
  const { matrices } = llama8b;
  t.equal(matrixElements(matrices) + embeddingElements(llama8b, false) + normElements(llama8b), 8030261248);
  t.equal(factorElements(matrices), 32 * (4 * 4096 * 4096 + 2 * 1024 * 5120 + 3 * 4096 * 18432));
  const flops = merge(llama8b).reduce((sum, work) => sum + work.flops, 0);
  t.equal(flops, 32 * 2 * (2 * 4096 ** 3 + 2 * 1024 * 4096 * 1024 + 3 * 14336 * 4096 * 4096));
  // One step of batch 1 reads all matrices and the head once, and keys and values in fp32.
  const bytes = decode(llama8b, 1, 1024, "base").reduce((sum, work) => sum + work.bytes, 0);
  const least = 2 * (matrixElements(matrices) + 128256 * 4096) + 1024 * 32 * 2 * 1024 * 4;
  t.ok(bytes > least && bytes < 1.01 * least, `${bytes} bytes, at least ${least}`);
  t.equal(svd(1024, 4096)[1]?.flops, 9 * 1024 ** 3);
});

t.test("memoryPlan takes its sizes from the same table", async (t) => {
  const plan = planMemory({ ...llama8b, contextLength: 8192, dtype: "BF16", fileBytes: 0 }, {});
  t.equal(plan.kvCache, 8192 * 32 * 2 * 1024 * 4);
  t.equal(plan.merged, 2 * matrixElements(llama8b.matrices));
});
