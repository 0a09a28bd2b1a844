// Worker threads: two at once get the same results as the main thread, and one that is terminated in the middle harms nobody.
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import t from "tap";
import { Transformer2 } from "../../lib/transformer2.js";
import { temporaryFolder } from "../support/open-fake.js";
import { writeTinyModel } from "../support/tiny-model.js";

const file = new URL("../support/generate-worker.ts", import.meta.url);
const size = { hiddenSize: 64, intermediateSize: 128, layers: 2, heads: 4, kvHeads: 2, contextLength: 2048 };

function start(data: object): Worker {
  return new Worker(file, { workerData: { prompts: ["one", "two", "three"], maxTokens: 40, endless: false, ...data } });
}

/** The worker's answer, once it has ended by itself. */
async function finished(worker: Worker): Promise<{ message: unknown; code: number }> {
  let message: unknown;
  worker.on("message", (value) => {
    message = value;
  });
  const code = await new Promise<number>((resolve, reject) => {
    worker.on("error", reject);
    worker.on("exit", resolve);
  });
  return { message, code };
}

t.test("two workers at once, beside the main thread", async (t) => {
  const root = temporaryFolder(t);
  const folder = writeTinyModel(join(root, "m"), size);
  const t2 = await Transformer2.load(folder, { factors: join(root, "factors") });
  const prompts = ["one", "two", "three"].map((text) => ({ text }));
  const [first, second, answers] = await Promise.all([
    finished(start({ folder, factors: join(root, "a") })),
    finished(start({ folder, factors: join(root, "b") })),
    t2.generate(prompts, { maxTokens: 40, ignoreEos: true, temperature: 1, seed: 3 }),
  ]);
  const expected = answers.map((answer) => [...answer.tokens]);
  t.strictSame(first, { message: expected, code: 0 });
  t.strictSame(second, { message: expected, code: 0 });
  await t2[Symbol.asyncDispose]();
});

t.test("workers that are terminated mid-generation", async (t) => {
  const root = temporaryFolder(t);
  const folder = writeTinyModel(join(root, "m"), size);
  const t2 = await Transformer2.load(folder, { factors: join(root, "factors"), maxThreads: 1 });
  const [before] = await t2.generate([{ text: "one" }], { maxTokens: 20, ignoreEos: true });
  for (let round = 0; round < 2; round++) {
    const workers = [0, 1].map(() => start({ folder, factors: join(root, "factors"), endless: true, maxTokens: 2000 }));
    const running = t2.generate([{ text: "one" }], { maxTokens: 20, ignoreEos: true });
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("message", resolve))));
    // The first at once, the second some tokens later.
    const codes = [
      await (workers[0] as Worker).terminate(),
      await new Promise<number>((resolve) => setTimeout(() => (workers[1] as Worker).terminate().then(resolve), 15 * round)),
    ];
    t.strictSame(codes, [1, 1], `round ${round}`);
    t.strictSame((await running)[0]?.tokens, before?.tokens, "the main thread goes on");
  }
  await t2[Symbol.asyncDispose]();
});

t.test("a worker that is terminated while it loads or decomposes", async (t) => {
  const root = temporaryFolder(t);
  const folder = writeTinyModel(join(root, "m"), { ...size, hiddenSize: 256, intermediateSize: 512, layers: 3 });
  for (const delay of [400, 1000]) {
    const worker = start({ folder, factors: join(root, "factors") });
    await new Promise((resolve) => setTimeout(resolve, delay));
    t.ok([0, 1].includes(await worker.terminate()), `after ${delay} ms`);
  }
  const { code, message } = await finished(start({ folder, factors: join(root, "factors") }));
  t.equal(code, 0, "and what they left behind is sound");
  t.ok(Array.isArray(message));
});
