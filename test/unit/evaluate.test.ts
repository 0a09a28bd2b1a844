import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { compare, evaluate, loadEvaluation, saveEvaluation } from "../../lib/evaluate/evaluate.js";
import { Expert } from "../../lib/svf/expert.js";
import { defineTask } from "../../lib/tasks/task.js";
import { banditTask } from "../support/bandit-task.js";
import { TableEngine } from "../support/table-engine.js";

const engine = new TableEngine();
/** Half the items want what the base writes greedily, "aaa". */
const mixed = defineTask({
  name: "mixed",
  version: "3",
  splits: { test: Array.from({ length: 10 }, (_, i) => ({ id: `i${i}`, prompt: "x".repeat(i + 1), answer: i % 2 ? "aaa" : "b" })) },
  reward: "exact",
  maxTokens: 3,
});
const other = Expert.from(Object.fromEntries(engine.info.matrices.map(({ name }) => [name, Float32Array.of(-3, 4, 2)])), {
  name: "other",
  base: engine.info,
});

t.test("counts, interval, every answer, and what made them", async (t) => {
  const result = await evaluate(engine.asEngine(), mixed);
  t.match(result, {
    format: "transformer2.evaluation/1",
    task: { name: "mixed", version: "3", grader: "exact" },
    split: "test",
    right: 5,
    total: 10,
    accuracy: 0.5,
    model: { name: "table", fingerprint: "0".repeat(64) },
    adapters: ["base"],
    decoding: { temperature: 0, maxTokens: 3, seed: 0 },
    completionTokens: 30,
    promptTokens: 20,
    library: /^\d+\.\d+\.\d+/,
  });
  t.ok(result.interval[0] > 0.23 && result.interval[0] < 0.24 && result.interval[1] < 0.77);
  t.match(result.items[1], { id: "i1", completion: "aaa", reward: 1, right: true, tokens: 3, finishReason: "length" });
  t.match(result.items[0], { right: false, reward: -1 });
  t.match(result.time, /^\d{4}-\d\d-\d\dT/);
  t.ok(result.milliseconds >= 0);
});

t.test("batching does not change a sampled result, the seed does", async (t) => {
  const answers = async (batch: number, seed: number) =>
    (await evaluate(engine.asEngine(), mixed, { temperature: 1, batch, seed })).items.map(({ completion }) => completion);
  t.same(await answers(3, 1), await answers(64, 1));
  t.notSame(await answers(64, 1), await answers(64, 2));
});

t.test("an adapter per item, items left out, and a limit", async (t) => {
  const result = await evaluate(engine.asEngine(), mixed, {
    adapter: async (_sample, index) => (index < 2 ? other : "base"),
    exclude: ["i0", "i3"],
    limit: 5,
  });
  t.same(
    result.items.map(({ id, adapter }) => [id, adapter]),
    [
      ["i1", "other"],
      ["i2", "other"],
      ["i4", "base"],
      ["i5", "base"],
      ["i6", "base"],
    ],
  );
  t.same(result.adapters, ["other", "base"]);
});

t.test("two systems on the same items", async (t) => {
  const base = await evaluate(engine.asEngine(), mixed);
  const changed = await evaluate(engine.asEngine(), mixed, { adapter: other });
  t.equal(changed.right, 0);
  t.same(compare(base, changed), { total: 10, both: 0, onlyFirst: 5, onlySecond: 0, neither: 5, pValue: 2 / 32 });
  const fewer = await evaluate(engine.asEngine(), mixed, { limit: 9 });
  t.throws(() => compare(base, fewer), { code: "ERR_T2_INVALID_OPTION" });
  t.throws(() => compare(base, { ...changed, task: { ...changed.task, version: "4" } }), { code: "ERR_T2_INVALID_OPTION" });
});

t.test("result files", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "t2-evaluate-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const result = await evaluate(engine.asEngine(), mixed);
  const path = join(folder, "sub", "result.json");
  await saveEvaluation(result, path);
  t.same(await loadEvaluation(path), result);
  writeFileSync(path, "{}");
  await t.rejects(loadEvaluation(path), { code: "ERR_T2_INVALID_OPTION" });
  await t.rejects(loadEvaluation(join(folder, "none.json")), { code: "ERR_T2_IO" });
});

t.test("bad options, empty splits, abort, progress", async (t) => {
  await t.rejects(evaluate(engine.asEngine(), mixed, { limit: 0 }), { code: "ERR_T2_INVALID_OPTION", message: /limit/ });
  await t.rejects(evaluate(engine.asEngine(), mixed, { splitt: "test" } as never), { code: "ERR_T2_INVALID_OPTION", message: /splitt/ });
  await t.rejects(evaluate(engine.asEngine(), mixed, { split: "train" }), { code: "ERR_T2_INVALID_TASK", message: /train/ });
  const slow = new TableEngine({ delay: 30 });
  const controller = new AbortController();
  const done: number[] = [];
  const running = evaluate(slow.asEngine(), banditTask(), {
    batch: 2,
    signal: controller.signal,
    onProgress: (p) => {
      done.push(p.done);
      if (p.done === 4) controller.abort();
    },
  });
  await t.rejects(running, { code: "ERR_T2_ABORTED" });
  t.same(done, [0, 2, 4]);
});
