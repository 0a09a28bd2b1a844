// score, logits and gradients over the fake addon: what trainers and strategies work with.
import t from "tap";
import type { TrainBatch } from "../../lib/engine.js";
import { openFake, shiftExpert } from "../support/open-fake.js";
import { special, vocabularySize } from "../support/tiny-model.js";

const ids = (text: string) => Int32Array.from(Buffer.from(text));

t.test("score: log-probs of continuations, summed and averaged", async (t) => {
  const { t2, fake } = await openFake(t);
  const [right, half] = await t2.score({ text: "a" }, ["bcd", "bx"]);
  t.match(right, { sum: -0.375, mean: -0.125 });
  t.strictSame([...(right?.logprobs ?? [])], [-0.125, -0.125, -0.125]);
  t.match(half, { sum: -4.125, mean: -2.0625 });
  t.equal(fake.log.scored.length, 1);
});

t.test("scoreBatch: one native call, each row with its adapter", async (t) => {
  const { t2, fake } = await openFake(t);
  await t2.experts.add(shiftExpert(t2, "skip", 1));
  const rows = await t2.scoreBatch([
    { prompt: { text: "a" }, continuations: ["b", "c"] },
    { prompt: { text: "a" }, continuations: ["b", "c"], adapter: "skip" },
    { prompt: "hi", continuations: ["a"], prefill: "x" },
  ]);
  t.strictSame(
    rows.map((row) => row.map((score) => score.sum)),
    [[-0.125, -4], [-4, -0.125], [-4]],
  );
  t.equal(fake.log.scored.length, 1);
  const { "<|user|>": user, "<|assistant|>": assistant } = special;
  t.strictSame([...(fake.log.scored[0]?.[2]?.tokens ?? [])], [user, 104, 105, assistant, 120]);
  t.strictSame(await t2.scoreBatch([]), []);
});

t.test("score: what cannot be", async (t) => {
  const { t2 } = await openFake(t, { contextLength: 16 });
  await t.rejects(t2.score({ text: "a" }, []), { code: "ERR_T2_INVALID_OPTION", detail: { option: "continuations" } });
  await t.rejects(t2.score({ text: "a" }, ["b", ""]), { code: "ERR_T2_INVALID_OPTION", detail: { option: "continuations[1]" } });
  await t.rejects(t2.score({ text: "a".repeat(10) }, ["b", "c".repeat(7)]), { code: "ERR_T2_PROMPT_TOO_LONG" });
  await t.rejects(t2.score("", ["b"]), { code: "ERR_T2_INVALID_PROMPT" });
  await t.rejects(t2.scoreBatch(5 as unknown as []), { code: "ERR_T2_INVALID_OPTION", detail: { option: "items" } });
  await t.rejects(t2.scoreBatch([null as never]), { code: "ERR_T2_INVALID_OPTION", detail: { option: "items[0]" } });
});

t.test("logits", async (t) => {
  const { t2 } = await openFake(t);
  const [logits] = await t2.logits([ids("ab")]);
  t.equal(logits?.length, 2 * vocabularySize);
  t.equal(logits?.indexOf(1), 98);
  t.strictSame(await t2.logits([]), []);
  await t.rejects(t2.logits([Int32Array.of(vocabularySize)]), { code: "ERR_T2_INVALID_OPTION", detail: { option: "sequences[0][0]" } });
  await t.rejects(t2.logits([new Int32Array(0)]), { code: "ERR_T2_INVALID_OPTION" });
  await t.rejects(t2.logits([new Int32Array(200)]), { code: "ERR_T2_INVALID_OPTION", message: /at most 128/ });
  await t.rejects(t2.logits(5 as unknown as []), { code: "ERR_T2_INVALID_OPTION" });
});

const batch: TrainBatch = {
  sequences: [
    { tokens: ids("abc"), promptLength: 1, advantage: 2 },
    { tokens: ids("xyz"), promptLength: 2, advantage: -1 },
    { tokens: ids("ax"), promptLength: 1, advantage: 0.5 },
    { tokens: ids("abcd"), promptLength: 2, advantage: 1 },
  ],
};

t.test("sequences with the same prompt become one group", async (t) => {
  const { t2, fake } = await openFake(t);
  const result = await t2.gradients(batch);
  const groups = fake.log.gradients[0]?.groups ?? [];
  t.strictSame(
    groups.map((group) => [
      String.fromCharCode(...group.tokens),
      group.completions.map((tokens) => String.fromCharCode(...tokens)),
      [...group.weights],
    ]),
    [
      ["a", ["bc", "x"], [0.5, 0.125]],
      ["xy", ["z"], [-0.25]],
      ["ab", ["cd"], [0.25]],
    ],
  );
  t.strictSame(
    result.logprobs.map((values) => [...values]),
    [[-0.125, -0.125], [-0.125], [-4], [-0.125, -0.125]],
    "log-probs in the order of the batch",
  );
  // 0.5·0.25 + 0.125·4 − 0.25·0.125 + 0.25·0.25
  t.equal(result.loss, 0.65625);
  t.equal(result.kl, 0);
  t.equal(Object.keys(result.z).length, 14, "without factors or targets: all matrices, decomposed for it");
  t.match(result.cost, { promptTokens: 5, completionTokens: 6 });
  t.match(fake.log.gradients[0], { klWeight: 0, mode: "auto", adapter: null });
});

t.test("reductions and objectives are the formulas", async (t) => {
  const { t2, fake } = await openFake(t);
  const weights = () => fake.log.gradients.at(-1)?.groups.flatMap((group) => [...group.weights]) ?? [];
  const close = (actual: number[], expected: number[], message: string) =>
    t.ok(
      actual.length === expected.length && actual.every((value, i) => Math.abs(value - (expected[i] as number)) < 1e-7),
      `${message}: ${actual}`,
    );
  await t2.gradients(batch, { reduction: "token-mean" });
  close(weights(), [2 / 6, 0.5 / 6, -1 / 6, 1 / 6], "token-mean: advantage / all completion tokens");
  await t2.gradients(batch, { loss: "next-token" });
  close(weights(), [1 / 4, 1 / 4, 1 / 4, 1 / 4], "next-token takes every advantage as 1");
  const kl = { weight: 0.2, direction: "reference-policy" } as const;
  const { kl: mean } = await t2.gradients(batch, { kl });
  t.equal(mean, 0.5, "the mean per completion token");
  t.match(fake.log.gradients.at(-1), { klWeight: 0.2 / 4, klDirection: "reference-policy" });
  await t2.gradients(batch, { kl, reduction: "token-mean" });
  t.ok(Math.abs((fake.log.gradients.at(-1)?.klWeight ?? 0) - 0.2 / 6) < 1e-9);
});

t.test("targets: what is asked for, else what has factors", async (t) => {
  const { t2, fake } = await openFake(t);
  const { z } = await t2.gradients(batch, { targets: ["q"] });
  t.strictSame(Object.keys(z), ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"]);
  t.equal(z["model.layers.0.self_attn.q_proj"]?.length, 16);
  t.strictSame(fake.log.decomposed.flat(), Object.keys(z), "only these are decomposed");
  t.strictSame(Object.keys((await t2.gradients(batch)).z), Object.keys(z));
  await t.rejects(t2.gradients(batch, { targets: ["nose"] }), { code: "ERR_T2_INVALID_OPTION" });
});

t.test("batches that cannot be", async (t) => {
  const { t2 } = await openFake(t, { contextLength: 8 });
  const good = { tokens: ids("abc"), promptLength: 1, advantage: 1 };
  const cases: [unknown, RegExp][] = [
    [{}, /"batch.sequences"/],
    [null, /"batch.sequences"/],
    [{ sequences: [] }, /at least one sequence/],
    [{ sequences: [good, { ...good, promptLength: 0 }] }, /"batch.sequences\[1\].promptLength".*from 1 to 2/],
    [{ sequences: [{ ...good, promptLength: 3 }] }, /promptLength/],
    [{ sequences: [{ ...good, promptLength: 1.5 }] }, /promptLength/],
    [{ sequences: [{ ...good, advantage: Number.NaN }] }, /advantage/],
    [{ sequences: [{ ...good, tokens: [1, 2] }] }, /Int32Array/],
    [{ sequences: [{ ...good, tokens: Int32Array.of(1, 999) }] }, /tokens\[1\].*from 0 to 263/],
    [{ sequences: [{ ...good, tokens: ids("abcdefghi") }] }, /at most 8 tokens/],
    [{ sequences: [null] }, /Int32Array/],
  ];
  for (const [value, message] of cases)
    await t.rejects(t2.gradients(value as TrainBatch), { code: "ERR_T2_INVALID_OPTION", message }, String(message));
});
