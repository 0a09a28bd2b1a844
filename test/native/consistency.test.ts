// One engine for rollout, scoring and gradient: what they say about the same tokens must be the same, whatever the adapter's mode, the batch
// around a row and what ran before.
import t from "tap";
import type { Adapter, Generation } from "../../lib/engine.js";
import { Expert } from "../../lib/svf/expert.js";
import type { Transformer2 } from "../../lib/transformer2.js";
import { Random } from "../../lib/util/random.js";
import { openNative } from "../support/open-native.js";

const size = { hiddenSize: 64, intermediateSize: 96, layers: 3, heads: 4, kvHeads: 2, contextLength: 256 };
// F32 weights: what is left is the order of fp32 sums over at most 96 products and 3 layers.
const TOLERANCE = 2e-4;

function randomExpert(t2: Transformer2, name: string, seed: number, deviation = 0.3): Expert {
  const random = new Random(seed);
  const vectors = t2.info.matrices.map(({ name: matrix, rank }) => [
    matrix,
    Float32Array.from({ length: rank }, () => 1 + deviation * random.normal()),
  ]);
  return Expert.from(Object.fromEntries(vectors), { name, base: t2.info });
}

const ids = (text: string) => Int32Array.from(Buffer.from(text));
const largest = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let worst = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs((a[i] as number) - (b[i] as number)));
  return worst;
};

t.test("log-probs of generate, score, logits and gradients agree", async (t) => {
  const t2 = await openNative(t, {}, size);
  await t2.decompose();
  const expert = randomExpert(t2, "x", 1);
  for (const adapter of ["base", expert] as Adapter[]) {
    const prompt = { tokens: ids("The quick brown fox") };
    const answer = await t2.generate(prompt, { maxTokens: 12, ignoreEos: true, temperature: 1, seed: 9, logprobs: true, adapter });
    const tokens = Int32Array.from([...prompt.tokens, ...answer.tokens]);
    const [logits] = (await t2.logits([tokens], { adapter })) as [Float32Array];
    const fromLogits = [...answer.tokens].map((token, i) => {
      const row = logits.subarray((prompt.tokens.length - 1 + i) * t2.info.vocabularySize).subarray(0, t2.info.vocabularySize);
      const top = Math.max(...row);
      return (row[token] as number) - top - Math.log(row.reduce((sum, value) => sum + Math.exp(value - top), 0));
    });
    t.ok(largest(answer.logprobs ?? [], fromLogits) < TOLERANCE, "generate and logits");
    const { logprobs } = await t2.gradients({ sequences: [{ tokens, promptLength: prompt.tokens.length, advantage: 1 }] }, { adapter });
    t.ok(largest(logprobs[0] ?? [], fromLogits) < TOLERANCE, "gradients and logits");
    const [score] = await t2.score(prompt, ["jumps"], { adapter });
    const again = await t2.gradients(
      { sequences: [{ tokens: Int32Array.from([...prompt.tokens, ...ids("jumps")]), promptLength: prompt.tokens.length, advantage: 1 }] },
      { adapter },
    );
    t.ok(largest(score?.logprobs ?? [], again.logprobs[0] ?? []) < TOLERANCE, "score and gradients");
    t.ok(Math.abs(again.loss + (score?.sum ?? 0)) < TOLERANCE, "the loss is their negative sum");
  }
});

t.test("merged and factored agree, and differ from the base", async (t) => {
  const t2 = await openNative(t, {}, size);
  const adapter = randomExpert(t2, "x", 2);
  const tokens = [ids("Merged or factored?")];
  const run = async (mode: "merged" | "factored", used: Adapter) => (await t2.logits(tokens, { mode, adapter: used }))[0] as Float32Array;
  const [merged, factored, base] = [await run("merged", adapter), await run("factored", adapter), await run("merged", "base")];
  const scale = Math.max(...merged.map(Math.abs));
  t.ok(largest(merged, factored) < TOLERANCE * scale, `${largest(merged, factored)} of ${scale}`);
  t.ok(largest(merged, base) > 0.01 * scale, "the adapter does something");
  const greedy = async (mode: "merged" | "factored") =>
    [...(await t2.generate({ text: "Once" }, { mode, adapter, maxTokens: 16, ignoreEos: true })).tokens].join();
  t.equal(await greedy("merged"), await greedy("factored"));
});

t.test("a batch of different experts, in which the factors stand for W, agrees with each alone", async (t) => {
  const t2 = await openNative(t, {}, size);
  await t2.decompose({ dtype: "F32" });
  const experts = Array.from({ length: 12 }, (_, i) => randomExpert(t2, `e${i}`, 100 + i));
  const prompt = { text: "All at once" };
  const items = experts.map((adapter) => ({ prompt, adapter }));
  const options = { maxTokens: 2, ignoreEos: true, logprobs: true };
  const rows = await t2.generateBatch(items, options);
  const residual = await t2.generateBatch(items, { ...options, mode: "factored" });
  const bits = (all: Generation[][]) => all.map(([row]) => [...(row?.logprobs ?? [])].join()).join();
  t.not(bits(rows), bits(residual), "twelve merges for two tokens each would be dearer: this ran without W, and so rounds otherwise");
  for (const [i, adapter] of experts.entries()) {
    const row = rows[i]?.[0] as Generation;
    const tokens = Int32Array.from([...row.promptTokens, ...row.tokens]);
    const { logprobs } = await t2.gradients(
      { sequences: [{ tokens, promptLength: row.promptTokens.length, advantage: 1 }] },
      { adapter, mode: "factored" },
    );
    t.ok(largest(row.logprobs ?? [], logprobs[0] ?? []) < TOLERANCE, `expert ${i}: ${largest(row.logprobs ?? [], logprobs[0] ?? [])}`);
  }
});

t.test("z = 1 and going back to the base give the base's logits bit for bit", async (t) => {
  const t2 = await openNative(t, {}, size);
  const tokens = [ids("Pristine weights stay mapped.")];
  const before = await t2.logits(tokens);
  const adapter = randomExpert(t2, "x", 3);
  const ones = Expert.from(Object.fromEntries([...adapter.vectors].map(([name, z]) => [name, z.map(() => 1)])), {
    name: "ones",
    base: t2.info,
  });
  for (const mode of ["merged", "factored"] as const) {
    t.strictSame(await t2.logits(tokens, { adapter: ones, mode }), before, `z = 1, ${mode}`);
    await t2.logits(tokens, { adapter, mode });
    await t2.generate({ text: "a" }, { adapter, mode, maxTokens: 4 });
    t.strictSame(await t2.logits(tokens), before, `after an expert was ${mode}`);
  }
  await t2.experts.add(adapter);
  t.strictSame(await t2.logits(tokens, { adapter: { weights: { x: 0 } } }), before, "weights of 0");
});

t.test("deterministic: a row does not depend on the batch around it, bit for bit", async (t) => {
  const t2 = await openNative(t, { deterministic: true }, size);
  await t2.decompose();
  const [first, second] = [randomExpert(t2, "first", 4), randomExpert(t2, "second", 5)];
  const options = { maxTokens: 10, ignoreEos: true, temperature: 0.8, seed: 3, logprobs: true };
  const item = { prompt: { text: "the row in question" }, adapter: first };
  const [[alone]] = (await t2.generateBatch([item], options)) as [[Generation]];
  const others = [
    { prompt: { text: "short" } },
    { prompt: { text: "x".repeat(90) }, adapter: second },
    { prompt: { text: "another one" }, adapter: first },
  ];
  for (const batch of [
    [...others, item],
    [item, ...others],
    [others[1], item, item],
  ] as (typeof others)[]) {
    const rows = await t2.generateBatch(batch, options);
    const [row] = rows[batch.indexOf(item)] as [Generation];
    t.strictSame(row.tokens, alone.tokens);
    t.strictSame(row.logprobs, alone.logprobs);
  }
  const [together, apart] = await Promise.all([t2.generateBatch([item], options), t2.generateBatch(others, options)]);
  t.strictSame(together[0]?.[0]?.tokens, alone.tokens, "also when two calls share the batch");
  t.equal(apart.length, 3);
  const scores = await t2.scoreBatch([
    { ...item, continuations: ["yes", "no"] },
    { ...others[1], continuations: ["a much longer one"] } as never,
  ]);
  const [single] = await t2.scoreBatch([{ ...item, continuations: ["yes"] }]);
  t.strictSame(scores[0]?.[0]?.logprobs, single?.[0]?.logprobs, "scores too");
});

t.test("seeds: the same one repeats, samples and other seeds differ", async (t) => {
  const t2 = await openNative(t, {}, size);
  const draw = async (seed: number, n = 1) =>
    (await t2.generate({ text: "Draw" }, { temperature: 1, seed, n, maxTokens: 12, ignoreEos: true })).map((answer) =>
      answer.tokens.join(),
    );
  const [one, again, other] = [await draw(1, 3), await draw(1, 3), await draw(2, 3)];
  t.strictSame(one, again);
  t.equal(new Set([...one, ...other]).size, 6, "all different");
  t.strictSame(await draw(1), one.slice(0, 1), "the first of n samples is the only one of one");
});

t.test("KL is exactly 0 at the base, and pulls towards it elsewhere", async (t) => {
  const t2 = await openNative(t, {}, size);
  const batch = { sequences: [{ tokens: ids("a prompt and an answer"), promptLength: 8, advantage: 0 }] };
  for (const direction of ["policy-reference", "reference-policy"] as const) {
    const kl = { weight: 1, direction };
    const base = await t2.gradients(batch, { kl });
    t.equal(base.kl, 0);
    for (const [name, dz] of Object.entries(base.z))
      t.ok(
        dz.every((value) => Math.abs(value) < 1e-6),
        name,
      );
    const adapter = randomExpert(t2, "x", 6, 0.05);
    const away = await t2.gradients(batch, { kl, adapter });
    t.ok(away.kl > 0, `${direction}: ${away.kl}`);
    // One small step against the gradient, the same for every mode of travel: KL falls.
    const stepped = Expert.from(
      Object.fromEntries([...adapter.vectors].map(([name, z]) => [name, z.map((value, i) => value - 0.02 * (away.z[name]?.[i] ?? 0))])),
      { name: "stepped", base: t2.info },
    );
    t.ok((await t2.gradients(batch, { kl, adapter: stepped })).kl < away.kl);
  }
});

t.test("gradients of z are those of the score, by finite differences", async (t) => {
  const t2 = await openNative(t, {}, size);
  const adapter = randomExpert(t2, "x", 7, 0.1);
  const tokens = ids("finite differences are slow but honest");
  const batch = { sequences: [{ tokens, promptLength: 10, advantage: 1 }] };
  const { z } = await t2.gradients(batch, { adapter });
  const loss = async (name: string, direction: Float32Array, step: number) => {
    const vectors = Object.fromEntries(adapter.vectors);
    vectors[name] = (adapter.vectors.get(name) as Float32Array).map((value, i) => value + step * (direction[i] as number));
    return (await t2.gradients(batch, { adapter: Expert.from(vectors, { name: "moved", base: t2.info }), targets: [name] })).loss;
  };
  for (const { name, rank } of t2.info.matrices) {
    const random = new Random(8, name);
    const direction = Float32Array.from({ length: rank }, () => random.normal());
    const step = 2e-3;
    const measured = ((await loss(name, direction, step)) - (await loss(name, direction, -step))) / (2 * step);
    const expected = direction.reduce((sum, value, i) => sum + value * (z[name]?.[i] ?? 0), 0);
    // The loss is about 150; fp32 leaves some 1e-5 of it, divided by the step.
    t.ok(Math.abs(measured - expected) < 0.02 + 0.02 * Math.abs(expected), `${name}: ${measured} and ${expected}`);
  }
});

t.test("samples of one prompt share it, and several calls share the batch", async (t) => {
  const t2 = await openNative(t, {}, size);
  const prompt = { text: "p".repeat(100) };
  const [many] = await t2.generateBatch([{ prompt }], { n: 8, maxTokens: 3, ignoreEos: true });
  t.equal(many?.length, 8);
  t.equal(new Set(many?.map((answer) => answer.tokens.join())).size, 1, "greedy samples are alike");
  const alone = await t2.generate(prompt, { maxTokens: 20, ignoreEos: true });
  const calls = await Promise.all(Array.from({ length: 6 }, () => t2.generate(prompt, { maxTokens: 20, ignoreEos: true })));
  for (const answer of calls) t.strictSame(answer.tokens, alone.tokens);
});
