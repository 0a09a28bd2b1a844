// Many aborts at random moments, models opened and closed: results stay right and memory stays where it was.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import t from "tap";
import { Expert } from "../../lib/svf/expert.js";
import { Transformer2 } from "../../lib/transformer2.js";
import { Random } from "../../lib/util/random.js";
import { temporaryFolder } from "../support/open-fake.js";
import { openNative } from "../support/open-native.js";
import { writeTinyModel } from "../support/tiny-model.js";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** Resident memory in MiB, after everything collectable is gone. */
async function resident(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return process.memoryUsage().rss / 2 ** 20;
}

const size = { hiddenSize: 64, intermediateSize: 128, layers: 2, heads: 4, kvHeads: 2, contextLength: 1024 };

function randomExpert(t2: Transformer2, random: Random, name: string): Expert {
  const vectors = t2.info.matrices.map(({ name: matrix, rank }) => [
    matrix,
    Float32Array.from({ length: rank }, () => 1 + 0.1 * random.normal()),
  ]);
  return Expert.from(Object.fromEntries(vectors), { name, base: t2.info });
}

t.test("150 aborts at random moments", async (t) => {
  const t2 = await openNative(t, {}, size);
  const random = new Random(1);
  await t2.decompose();
  const expert = randomExpert(t2, random, "x");
  const generate = () =>
    t2.generate([{ text: "one" }, { text: "two" }], { maxTokens: 30, ignoreEos: true, temperature: 1, adapter: expert });
  const batch = { sequences: [{ tokens: new Int32Array(200).fill(7), promptLength: 20, advantage: 1 }] };
  const before = { answers: await generate(), gradients: await t2.gradients(batch, { adapter: expert }) };
  const calls: ((signal: AbortSignal) => Promise<unknown>)[] = [
    (signal) => t2.generate([{ text: "a" }, { text: "b" }], { maxTokens: 500, ignoreEos: true, n: 3, signal }),
    (signal) => t2.generate({ text: "a" }, { maxTokens: 500, ignoreEos: true, adapter: expert, mode: "factored", signal }),
    (signal) => t2.generate({ text: "a" }, { maxTokens: 500, ignoreEos: true, adapter: expert, mode: "merged", signal }),
    (signal) => t2.score({ tokens: new Int32Array(900).fill(3) }, ["a", "bc"], { adapter: expert, signal }),
    (signal) => t2.gradients(batch, { adapter: expert, signal }),
    (signal) => t2.logits([new Int32Array(1000)], { signal }),
    (signal) => t2.stream({ text: "a" }, { maxTokens: 500, ignoreEos: true, stop: ["never written"], signal }).result,
  ];
  let aborted = 0;
  for (let round = 0; round < 30; round++) {
    const runs = Array.from({ length: 5 }, () => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 40 * random.float());
      return random.choice(calls)(controller.signal);
    });
    for (const result of await Promise.allSettled(runs)) {
      if (result.status === "fulfilled") continue;
      t.equal(result.reason.code, "ERR_T2_ABORTED");
      aborted++;
    }
  }
  t.ok(aborted > 30, `${aborted} of 150 came before the end`);
  const after = { answers: await generate(), gradients: await t2.gradients(batch, { adapter: expert }) };
  t.strictSame(
    after.answers.map((answer) => [...answer.tokens]),
    before.answers.map((answer) => [...answer.tokens]),
  );
  t.equal(after.gradients.loss, before.gradients.loss);
  t.strictSame(after.gradients.z, before.gradients.z, "gradients to the bit");
});

t.test("models opened and closed do not pile up", async (t) => {
  const root = temporaryFolder(t);
  const folder = writeTinyModel(join(root, "m"), { ...size, hiddenSize: 256, intermediateSize: 512 });
  const once = async () => {
    const t2 = await Transformer2.load(folder, { factors: join(root, "factors") });
    await t2.generate({ tokens: new Int32Array(500).fill(9) }, { maxTokens: 5, ignoreEos: true });
    await t2[Symbol.asyncDispose]();
  };
  const descriptors = () => (process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0);
  for (let round = 0; round < 5; round++) await once();
  const before = { memory: await resident(), descriptors: descriptors() };
  for (let round = 0; round < 25; round++) await once();
  const growth = (await resident()) - before.memory;
  t.ok(growth < 40, `${growth.toFixed(1)} MiB more after 25 models`);
  t.ok(descriptors() <= before.descriptors, "no file stays open");
});
