// The strategy `few-shot` on a fake model whose best weights are known: what it finds, what it returns, how it asks; defects D1 and D2.
import t from "tap";
import { alphaLayout } from "../../lib/adapt/alpha.js";
import { decide } from "../../lib/adapt/dispatcher.js";
import { type FewShotDetail, type FewShotOptions, fewShotStrategy } from "../../lib/adapt/few-shot.js";
import { alphaGradient } from "../../lib/adapt/gradient-search.js";
import { shotsFrom, withoutShots } from "../../lib/adapt/shots.js";
import type { Decision, Shot } from "../../lib/adapt/strategy.js";
import { Expert } from "../../lib/svf/expert.js";
import { resolveMixture } from "../../lib/svf/mixture.js";
import { defineTask } from "../../lib/tasks/task.js";
import { expert, fakeEngine, info } from "../support/adapt-engine.js";

/** z = 2 in one layer, so that a mixture's α of this expert can be read off: z′ − 1. */
function inLayer(name: string, layer: number): Expert {
  const own = info.matrices.filter((matrix) => matrix.layer === layer);
  return Expert.from(Object.fromEntries(own.map((m) => [m.name, new Float32Array(m.rank).fill(2)])), { name, base: info });
}
const experts = [inLayer("one", 0), inLayer("two", 1)];
const alphaOf = (z: ReadonlyMap<string, Float32Array>) => [0, 1].map((layer) => (z.get(`model.layers.${layer}.mlp.up_proj`)?.[0] ?? 1) - 1);
const target = [1.1, 0.5];
const distance = (z: ReadonlyMap<string, Float32Array>) => Math.hypot(...alphaOf(z).map((a, k) => a - target[k]!));

/** Shot i is solved within its own radius of the target. */
const shots: Shot[] = Array.from({ length: 10 }, (_, i) => ({ id: `s${i}`, prompt: `q${i}`, answer: "yes", solution: "yes" }));
const radius = (prompt: string) => 0.1 + 0.12 * Number(/q(\d+)/.exec(prompt)![1]);
const model = {
  answer: (prompt: string, { z }: { z: ReadonlyMap<string, Float32Array> }) => (distance(z) < radius(prompt) ? " yes " : "no"),
  score: (_: string, __: string, { z }: { z: ReadonlyMap<string, Float32Array> }) => -3 * distance(z),
};
const detailOf = (decision: Decision) => decision.detail as FewShotDetail;
const away = (decision: Decision) => Math.hypot(decision.weights["one"]! - target[0]!, decision.weights["two"]! - target[1]!);

t.test("finds the weights and returns the mean, with its yardsticks beside", async (t) => {
  const engine = fakeEngine(model, experts);
  const decision = await decide("few-shot", shots, { engine, experts });
  t.ok(away(decision) < 0.25, `${JSON.stringify(decision.weights)}`);
  t.equal(decision.abstained, false);
  t.same(decision.adapter, { weights: decision.weights, rule: "delta" });
  const detail = detailOf(decision);
  t.equal(detail.chosen, "cem");
  t.same(detail.history.at(-1)!.solution, Object.values(decision.weights), "the mean, not a sample");
  t.same(Object.keys(detail.scores).sort(), ["base", "cem", "single:one", "single:two", "uniform"]);
  t.same(detail.scores["single:one"]!.right, shots.filter((shot) => Math.hypot(0.1, 0.5) < radius(shot.prompt as string)).length);
  t.ok(detail.scores["cem"]!.right >= 8);
  for (const [name, { right, total, logprob, fitness }] of Object.entries(detail.scores)) {
    t.ok(Math.abs(fitness - (right / total + 0.1 * logprob!)) < 1e-12, name);
    t.equal(decision.scores[name], fitness);
  }
  t.same(
    detail.shots,
    shots.map((shot) => shot.id),
  );
  t.equal(detail.evaluations, 8 * 32);
  t.ok(decision.cost.promptTokens > 0 && decision.cost.completionTokens > 0);
});

t.test("one batch of answers per generation, common random numbers", async (t) => {
  const engine = fakeEngine(model, experts);
  await decide(fewShotStrategy({ population: 6, elites: 2, generations: 3, seed: 40, temperature: 1 }), shots, { engine, experts });
  const sizes = (kind: string) => engine.calls.filter((call) => call.kind === kind).map((call) => call.rows.length / shots.length);
  t.same(sizes("generate"), [4 + 6, 6, 6, 1], "yardsticks ride along in the first, the mean is verified in the last");
  t.same(sizes("score"), [4 + 6, 6, 6, 1]);
  for (const call of engine.calls.filter((c) => c.kind === "generate")) {
    for (const [i, row] of call.rows.entries()) t.equal(row.seed, 40 + (i % shots.length));
  }
});

t.test("a seed decides everything", async (t) => {
  const run = async (seed: number) => {
    const { cost: _, ...rest } = await decide(fewShotStrategy({ seed, generations: 3 }), shots, {
      engine: fakeEngine(model, experts),
      experts,
    });
    return rest;
  };
  t.same(await run(1), await run(1));
  t.notSame((await run(1)).weights, (await run(2)).weights);
});

t.test("rivals on the same budget", async (t) => {
  for (const search of ["random", "cma-es"] as const) {
    const engine = fakeEngine(model, experts);
    const decision = await decide(fewShotStrategy({ search, fallback: false }), shots, { engine, experts });
    t.equal(detailOf(decision).chosen, search);
    t.equal(detailOf(decision).evaluations, 256);
    t.ok(away(decision) < 0.45, `${search} ${JSON.stringify(decision.weights)}`);
  }
});

t.test("gradient on α", async (t) => {
  // loss = ½ Σ_layer |α − target|², spread evenly over the elements of the layer's matrices.
  const gradients = (_: unknown, __: unknown, z: ReadonlyMap<string, Float32Array>) => {
    const alpha = alphaOf(z);
    const elements = (layer: number) => info.matrices.filter((m) => m.layer === layer).reduce((sum, m) => sum + m.rank, 0);
    const slopes = info.matrices
      .filter((m) => m.layer < 2)
      .map((m) => [m.name, new Float32Array(m.rank).fill((alpha[m.layer]! - target[m.layer]!) / elements(m.layer))] as const);
    return { loss: 0.5 * distance(z) ** 2, z: Object.fromEntries(slopes) };
  };
  const engine = fakeEngine({ ...model, gradients }, experts);
  const decision = await decide(fewShotStrategy({ search: "gradient", generations: 60 }), shots, { engine, experts });
  t.ok(away(decision) < 0.05, JSON.stringify(decision.weights));
  t.equal(engine.calls.filter((call) => call.kind === "gradients").length, 60);
  t.equal(detailOf(decision).chosen, "gradient");
  t.same(Object.keys(detailOf(decision).scores).sort(), ["base", "gradient", "single:one", "single:two", "uniform"]);
  const bare = shots.map(({ solution: _, ...shot }) => shot);
  await t.rejects(decide(fewShotStrategy({ search: "gradient" }), bare, { engine, experts }), {
    code: "ERR_T2_INVALID_OPTION",
    detail: { option: "search" },
  });
});

t.test("the gradient of α equals finite differences, for both rules and every granularity", async (t) => {
  const slope = (name: string, i: number) => Math.sin(name.length * 7 + i);
  const gradient = Object.fromEntries(
    info.matrices.map((m) => [m.name, Float32Array.from({ length: m.rank }, (_, i) => slope(m.name, i))]),
  );
  const mixed = [expert("a", 1.5), inLayer("b", 2)];
  const byName = new Map(mixed.map((e) => [e.name, e]));
  const engine = fakeEngine({}, mixed);
  for (const rule of ["delta", "sum"] as const) {
    for (const granularity of ["model", 2, "matrix"] as const) {
      const layout = alphaLayout(info, ["a", "b"], granularity, rule);
      const linear = (alpha: number[]) => {
        const { vectors } = resolveMixture(layout.mixture(alpha), byName, info);
        return info.matrices.reduce(
          (sum, m) =>
            sum + Array.from({ length: m.rank }, (_, i) => (vectors.get(m.name)?.[i] ?? 1) * slope(m.name, i)).reduce((x, y) => x + y, 0),
          0,
        );
      };
      const alpha = Array.from({ length: layout.dimension }, (_, i) => 0.3 + 0.01 * i);
      const exact = alphaGradient({ engine, experts: mixed, layout, rule }, gradient);
      for (const d of [0, layout.groups - 1, layout.dimension - 1]) {
        const step = 0.5; // z′ is linear in α
        const nearby = alpha.map((x, i) => (i === d ? x + step : x));
        t.ok(Math.abs((linear(nearby) - linear(alpha)) / step - exact[d]!) < 1e-4, `${rule} ${granularity} ${d}`);
      }
    }
  }
});

t.test("α per layer group and per matrix", async (t) => {
  const groups = await decide(fewShotStrategy({ granularity: 2 }), shots, { engine: fakeEngine(model, experts), experts });
  t.same(
    Object.values((groups.adapter as { weights: object }).weights).map((w) => w.length),
    [2, 2],
  );
  t.equal(detailOf(groups).dimension, 4);
  const matrices = await decide(fewShotStrategy({ granularity: "matrix", generations: 2 }), shots, {
    engine: fakeEngine(model, experts),
    experts,
  });
  t.same(detailOf(matrices).dimension, 2 * 28);
  for (const granularity of [0, 5, 1.5, "layer"] as never[]) {
    await t.rejects(decide(fewShotStrategy({ granularity }), shots, { engine: fakeEngine(model, experts), experts }), {
      code: "ERR_T2_INVALID_OPTION",
      detail: { option: "granularity" },
    });
  }
});

t.test("D1: weight 1 on one expert is that expert, whatever parametrisation trained it", (t) => {
  const trained = [0.1, -0.7, 1.3].map((p) => 2 / (1 + Math.exp(-p))); // z = 2 sigmoid(p): what is stored and mixed is z, never p
  const matrix = info.matrices[0]!;
  const one = Expert.from({ [matrix.name]: Float32Array.of(...trained, 1) }, { name: "one", base: info, parametrisation: "sigmoid" });
  for (const rule of ["delta", "sum"] as const) {
    const layout = alphaLayout(info, ["one", "two"], "model", rule);
    const { vectors } = resolveMixture(
      layout.mixture([1, 0]),
      new Map([
        ["one", one],
        ["two", inLayer("two", 1)],
      ]),
      info,
    );
    t.same(vectors.get(matrix.name), one.vectors.get(matrix.name), rule);
  }
  t.end();
});

t.test("D2: α all 0 is the base, never NaN", async (t) => {
  for (const rule of ["delta", "sum"] as const) {
    const byName = new Map(experts.map((e) => [e.name, e]));
    t.equal(resolveMixture(alphaLayout(info, ["one", "two"], "model", rule).mixture([0, 0]), byName, info).name, "base");
    let base = 0;
    const answer = (_: string, { name, z }: { name: string; z: ReadonlyMap<string, Float32Array> }) => {
      if (name === "base") base++;
      return [...z.values()].some((vector) => vector.some(Number.isNaN)) ? "NaN" : "yes";
    };
    // Clamped at 0, about a quarter of the members are all zeros.
    const options: FewShotOptions = { rule, mean: 0, deviation: 0.5, bounds: [0, 1], generations: 1, fallback: false };
    const decision = await decide(fewShotStrategy(options), shots, { engine: fakeEngine({ ...model, answer }, experts), experts });
    t.ok(base > 2 * shots.length, `${base} rows`);
    for (const [name, { right }] of Object.entries(detailOf(decision).scores)) t.equal(right, 10, name);
    t.ok(Object.values(decision.weights).every(Number.isFinite));
  }
});

t.test("a search that ended worse than a yardstick gives way to it", async (t) => {
  // Only the pure second expert solves anything.
  const only = {
    ...model,
    answer: (_: string, { z }: { z: ReadonlyMap<string, Float32Array> }) => (alphaOf(z).join() === "0,1" ? "yes" : "no"),
    score: () => -1,
  };
  const decision = await decide("few-shot", shots, { engine: fakeEngine(only, experts), experts });
  t.equal(detailOf(decision).chosen, "single:two");
  t.same(decision.weights, { one: 0, two: 1 });
  t.same(decision.adapter, { weights: { two: 1 }, rule: "delta" });
  const base = { ...only, answer: (_: string, { name }: { name: string }) => (name === "base" ? "yes" : "no") };
  const abstained = await decide("few-shot", shots, { engine: fakeEngine(base, experts), experts });
  t.equal(abstained.adapter, "base");
  t.equal(abstained.abstained, true);
  t.same(abstained.weights, { one: 0, two: 0 });
  const kept = await decide(fewShotStrategy({ fallback: false }), shots, { engine: fakeEngine(only, experts), experts });
  t.equal(detailOf(kept).chosen, "cem");
});

t.test("judging: by task, function or grader; without solutions no log-probs", async (t) => {
  const bare = shots.map(({ solution: _, ...shot }) => shot);
  const options: FewShotOptions = { generations: 1, population: 4, elites: 2 };
  const engine = fakeEngine(model, experts);
  const plain = await decide(fewShotStrategy(options), bare, { engine, experts });
  t.equal(detailOf(plain).scores["base"]!.logprob, null);
  t.equal(engine.calls.filter((call) => call.kind === "score").length, 0);
  const all = async (extra: FewShotOptions) =>
    detailOf(await decide(fewShotStrategy({ ...options, ...extra }), bare, { engine: fakeEngine(model, experts), experts })).scores["base"]!
      .right;
  t.equal(await all({ reward: () => 1 }), 10);
  t.equal(await all({ reward: () => -1 }), 0);
  t.equal(await all({ grader: "regex" }), await all({}));
  const items = bare.map((shot) => ({ id: shot.id!, prompt: shot.prompt as string, answer: "yes" }));
  const task = defineTask({ name: "t", splits: { train: items }, reward: (_, completion) => (completion === "no" ? 1 : -1) });
  const inverted = detailOf(
    await decide(fewShotStrategy({ ...options, task }), shotsFrom(task, task.splits.train), {
      engine: fakeEngine(model, experts),
      experts,
    }),
  );
  t.equal(inverted.scores["base"]!.right, 10 - (await all({})));
  await t.rejects(decide(fewShotStrategy({ reward: () => Number.NaN }), bare, { engine, experts }), {
    code: "ERR_T2_INVALID_OPTION",
    detail: { option: "reward" },
  });
});

t.test("shots are kept out of what is scored", (t) => {
  const items = [
    { id: "a", prompt: "1" },
    { id: "b", prompt: "2" },
    { id: "c", prompt: "3" },
  ];
  t.same(
    withoutShots(items, [
      { id: "a", prompt: "x", answer: "" },
      { prompt: "3 ", answer: "" },
    ]),
    [items[1]],
  );
  t.end();
});

t.test("no experts, wrong input, duplicates, aborts, wrong options", async (t) => {
  const engine = fakeEngine(model, experts);
  t.equal((await decide("few-shot", shots, { engine, experts: [] })).adapter, "base");
  t.equal(engine.calls.length, 0);
  await t.rejects(decide("few-shot", [], { engine, experts }), { code: "ERR_T2_INVALID_OPTION", detail: { option: "shots" } });
  await t.rejects(decide("few-shot", [{ prompt: "x" } as never], { engine, experts }), {
    code: "ERR_T2_INVALID_PROMPT",
    detail: { shot: 0 },
  });
  await t.rejects(decide("few-shot", shots, { engine, experts: [experts[0]!, experts[0]!] }), {
    code: "ERR_T2_INVALID_OPTION",
    detail: { option: "experts" },
  });
  const controller = new AbortController();
  const stopping = {
    ...model,
    answer: () => {
      controller.abort();
      return "no";
    },
  };
  const signal = controller.signal;
  await t.rejects(decide("few-shot", shots, { engine: fakeEngine(stopping, experts), experts, signal }), { code: "ERR_T2_ABORTED" });
  const wrong: Record<string, FewShotOptions> = {
    search: { search: "x" as "cem" },
    rule: { rule: "x" as "sum" },
    logprobWeight: { logprobWeight: -1 },
    temperature: { temperature: -1 },
    maxTokens: { maxTokens: 0 },
    seed: { seed: -1 },
    grader: { grader: "x" as "exact" },
  };
  for (const [option, value] of Object.entries(wrong))
    t.throws(() => fewShotStrategy(value), { code: "ERR_T2_INVALID_OPTION", detail: { option } }, option);
  const seen: number[] = [];
  await decide("few-shot", shots, { engine, experts, onProgress: (p) => seen.push(p.done / p.total) });
  t.same(
    seen,
    [1, 2, 3, 4, 5, 6, 7, 8].map((n) => n / 8),
  );
});
