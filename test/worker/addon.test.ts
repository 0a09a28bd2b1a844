// Worker threads on the raw addon: engines of their own side by side, and termination at any moment without harm to the others.
import { once } from "node:events";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import t from "tap";
import { addon } from "../../lib/native.js";
import { greedyRow, openModel } from "../support/open-addon.js";
import { writeTinyModel } from "../support/tiny-model.js";

t.setTimeout(120_000);
const folder = writeTinyModel(join(t.testdir(), "tiny"), {
  hiddenSize: 128,
  intermediateSize: 256,
  layers: 4,
  heads: 4,
  contextLength: 4096,
});
const start = (task: string) => new Worker(new URL("../support/addon-worker.ts", import.meta.url), { workerData: { folder, task } });

async function tokensHere(): Promise<number[]> {
  const native = addon();
  const model = await openModel(folder);
  const tokens: number[] = [];
  await new Promise<void>((resolve) => {
    const row = greedyRow([65, 66, 67], { maxTokens: 60, temperature: 0.8, seed: 5 });
    const take = (events: { tokens: Int32Array }[]) => {
      for (const event of events) tokens.push(...event.tokens);
    };
    native.generateStart(model, [row], "auto", take, () => resolve());
  });
  await native.modelClose(model);
  return tokens;
}

t.test("two workers and the main thread at once give the same tokens", async (t) => {
  const workers = [start("tokens"), start("tokens")];
  const ends = workers.map((worker) => once(worker, "exit"));
  const answers = workers.map(async (worker) => (await once(worker, "message"))[0] as number[]);
  const here = await tokensHere();
  t.equal(here.length, 60);
  for (const answer of answers) t.same(await answer, here);
  for (const end of ends) t.same(await end, [0], "ends by itself, its model still open");
});

t.test("two workers are terminated in the middle of everything", async (t) => {
  const tasks = ["generate", "open", "decompose"] as const;
  for (let round = 0; round < 6; round++) {
    const workers = [start("generate"), start(tasks[round % 3]!)];
    await Promise.all(workers.map((worker) => once(worker, "message")));
    await new Promise((resolve) => setTimeout(resolve, (round * 7) % 20));
    const began = performance.now();
    await Promise.all(workers.map((worker) => worker.terminate()));
    const took = performance.now() - began;
    t.ok(took < 1000, `round ${round}, ${tasks[round % 3]}: ended after ${took.toFixed(0)} ms`);
  }
  t.equal((await tokensHere()).length, 60, "the main thread's engine works on");
});

t.test("an idle worker with an open model ends by itself", async (t) => {
  const worker = start("idle");
  t.same(await once(worker, "exit"), [0]);
});
