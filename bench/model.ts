// A whole model: prefill, decode, rollouts, training step, decomposition, merge, factored forward, CEM generation, and the delay of the event loop.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { type Adapter, Expert, type Mixture, Transformer2 } from "../lib/index.js";
import { Random } from "../lib/util/random.js";
import { type Limits, share } from "./operators.js";
import { measure, quantiles, type Row } from "./table.js";

/** Prompts of the given lengths in tokens, made of random tokens. */
function prompts(t2: Transformer2, count: number, length: number, seed: number): { tokens: Int32Array }[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => ({ tokens: Int32Array.from({ length }, () => 5 + random.int(t2.info.vocabularySize - 5)) }));
}

function randomExpert(t2: Transformer2, name: string, seed: number): Expert {
  const random = new Random(seed);
  const vectors = Object.fromEntries(
    t2.info.matrices.map((m) => [m.name, Float32Array.from({ length: m.rank }, () => 1 + 0.1 * (random.float() - 0.5))]),
  );
  return Expert.from(vectors, { name, base: t2.info });
}

export interface ModelFigures {
  prefill: number;
  decode: number;
  batch: number;
}

export async function* modelCases(folder: string, limits: Limits, quick: boolean, figures: ModelFigures): AsyncGenerator<Row> {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const t2 = await Transformer2.load(folder, { maxThreads: limits.threads, device: limits.device });
  const weights = t2.info.matrices.reduce((sum, m) => sum + m.rows * m.columns, 0);
  const head = t2.info.vocabularySize * t2.info.hiddenSize;
  const bytes = (weights + head) * (t2.info.dtype === "F32" ? 4 : 2);
  const context = Math.min(512, t2.info.contextLength - 1);
  const runs = quick ? 3 : 5;
  const group = `model ${t2.info.name}`;
  const tokens = (n: number, seconds: number) => ({ value: n / seconds, unit: "tokens/s" });
  try {
    {
      const [prompt] = prompts(t2, 1, context, 1);
      const q = quantiles(await measure(() => t2.generate(prompt!, { maxTokens: 1, ignoreEos: true }), runs));
      figures.prefill = context / q.median;
      yield {
        group,
        name: "prefill",
        size: `${context} tokens`,
        ...q,
        rate: tokens(context, q.median),
        ofLimit: share(limits, q.median, 2 * weights * context, bytes),
      };
    }
    {
      const n = quick ? 32 : 64;
      const [prompt] = prompts(t2, 1, 16, 2);
      const seconds: number[] = [];
      for (let i = 0; i <= runs; i++) {
        const g = await t2.generate(prompt!, { maxTokens: n + 1, ignoreEos: true });
        if (i > 0) seconds.push((g.cost.milliseconds.decode ?? 0) / 1e3 / n);
      }
      const q = quantiles(seconds);
      figures.decode = 1 / q.median;
      yield {
        group,
        name: "decode, batch 1",
        size: "per token",
        ...q,
        rate: tokens(1, q.median),
        ofLimit: share(limits, q.median, 0, bytes),
      };
    }
    {
      const n = quick ? 16 : 64;
      const rows = prompts(t2, 32, 16, 3).map((prompt, seed) => ({ prompt, seed }));
      const q = quantiles(await measure(() => t2.generateBatch(rows, { maxTokens: n, temperature: 1, ignoreEos: true }), runs));
      figures.batch = (32 * n) / q.median;
      yield {
        group,
        name: "decode, batch 32",
        size: `32 × ${n} tokens`,
        ...q,
        rate: tokens(32 * n, q.median),
        ofLimit: share(limits, q.median, 2 * (weights + head) * 32 * n, bytes * n),
      };
    }
    {
      const r = await t2.decompose();
      const all = r.matrices.reduce((sum, m) => sum + m.milliseconds, 0) / 1e3;
      yield {
        group,
        name: "decompose",
        size: `${r.computed} computed, ${r.reused} reused`,
        median: r.milliseconds / 1e3,
        least: r.milliseconds / 1e3,
        most: r.milliseconds / 1e3,
        against: r.computed ? `sum of the matrices' times ${all.toFixed(1)} s` : "from the cache",
      };
    }
    const experts = ["a", "b", "c"].map((name, i) => randomExpert(t2, name, 10 + i));
    for (const e of experts) await t2.experts.add(e);
    {
      let seed = 100;
      const [prompt] = prompts(t2, 1, 2, 4);
      const flops = t2.info.matrices.reduce((sum, m) => sum + 2 * m.rows * m.columns * m.rank, 0);
      const q = quantiles(await measure(() => t2.score(prompt!, ["a"], { adapter: randomExpert(t2, "m", seed++), mode: "merged" }), runs));
      yield {
        group,
        name: "merge all + score 1 token",
        size: `${t2.info.matrices.length} matrices`,
        ...q,
        rate: { value: flops / q.median / 1e9, unit: "GFLOP/s" },
        ofLimit: share(limits, q.median, flops),
      };
    }
    for (const [name, mode] of [
      ["forward, one expert merged", "merged"],
      ["forward, one expert factored", "factored"],
    ] as const) {
      const [prompt] = prompts(t2, 1, context, 5);
      const q = quantiles(await measure(() => t2.generate(prompt!, { maxTokens: 1, ignoreEos: true, adapter: "a", mode }), runs));
      yield { group, name, size: `${context} tokens`, ...q, rate: tokens(context, q.median) };
    }
    {
      const [count, n, length] = quick ? [4, 32, 40] : [16, 128, 100];
      const items = prompts(t2, count, length, 6).map((prompt) => ({ prompt }));
      let made: Awaited<ReturnType<typeof t2.generateBatch>> = [];
      const roll = await measure(
        async () => {
          made = await t2.generateBatch(items, {
            n: 4,
            maxTokens: n,
            temperature: 1,
            seed: 1,
            ignoreEos: true,
            adapter: "a",
            mode: "merged",
          });
        },
        quick ? 2 : 2,
      );
      const q = quantiles(roll);
      yield { group, name: "rollouts", size: `${count} prompts × 4 × ${n}`, ...q, rate: tokens(count * 4 * n, q.median) };
      const sequences = made.flatMap((samples) =>
        samples.map((g, i) => ({
          tokens: Int32Array.from([...g.promptTokens, ...g.tokens]),
          promptLength: g.promptTokens.length,
          advantage: i % 2 ? 1 : -0.5,
        })),
      );
      const before = process.memoryUsage().rss;
      let peak = before;
      const watch = setInterval(() => {
        peak = Math.max(peak, process.memoryUsage().rss);
      }, 50);
      const g = quantiles(await measure(() => t2.gradients({ sequences }, { adapter: "a", mode: "merged" }), 1, 0));
      clearInterval(watch);
      yield {
        group,
        name: "gradient of these rollouts",
        size: `${sequences.length} sequences`,
        ...g,
        rate: tokens(count * 4 * n, g.median),
        against: `peak memory of the process ${(peak / 1e9).toFixed(2)} GB`,
      };
    }
    {
      const [population, shots, n] = quick ? [8, 4, 8] : [32, 10, 16];
      const random = new Random(7);
      const items = prompts(t2, shots, 24, 8);
      const mixtures: Mixture[] = Array.from({ length: population }, () => ({
        weights: { a: random.float(), b: random.float(), c: random.float() },
      }));
      const batch = mixtures.flatMap((adapter: Adapter) => items.map((prompt) => ({ prompt, adapter })));
      const once = async (mode: "auto" | "factored") => {
        const begin = performance.now();
        await t2.generateBatch(batch, { maxTokens: n, ignoreEos: true, mode });
        return (performance.now() - begin) / 1e3;
      };
      const merges = async () => {
        const begin = performance.now();
        for (const adapter of mixtures)
          await t2.generateBatch(
            items.map((prompt) => ({ prompt })),
            { maxTokens: n, ignoreEos: true, adapter, mode: "merged" },
          );
        return (performance.now() - begin) / 1e3;
      };
      const oneByOne = async () => {
        const begin = performance.now();
        for (const adapter of mixtures)
          for (const prompt of items) await t2.generate(prompt, { maxTokens: n, ignoreEos: true, adapter, mode: "merged" });
        return (performance.now() - begin) / 1e3;
      };
      await once("factored");
      const [auto, batched, merged, published] = [await once("auto"), await once("factored"), await merges(), await oneByOne()];
      const same = (s: number) => ({ median: s, least: s, most: s });
      yield {
        group,
        name: "CEM generation, planner",
        size: `${population} × ${shots} shots × ${n}`,
        ...same(auto),
        against: `${(merged / auto).toFixed(2)}× merges with batched shots, ${(published / auto).toFixed(2)}× merges and shots one by one`,
      };
      yield {
        group,
        name: "CEM generation, one batch",
        size: "factored",
        ...same(batched),
        against: `${(merged / batched).toFixed(2)}× and ${(published / batched).toFixed(2)}×`,
      };
    }
    delay.disable();
    const p99 = delay.percentile(99) / 1e9;
    yield {
      group,
      name: "event-loop delay",
      size: "p99 during all of it",
      median: delay.percentile(50) / 1e9,
      least: delay.min / 1e9,
      most: p99,
    };
  } finally {
    await t2[Symbol.asyncDispose]();
  }
}
