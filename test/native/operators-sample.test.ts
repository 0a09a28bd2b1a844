// The sampler: greedy choice, the filters' exact support, frequencies against probabilities, and draws that depend on nothing but their key.
import t from "tap";
import { philox4x32 } from "../../lib/util/random.js";
import { close, type Inputs, normals, operator, Random, refuses, testDevice } from "./helpers.js";

/** How often to draw for a frequency: less where threads are emulated, at many times the cost. */
const often = (n: number) => (testDevice === "cpu" ? n : n / 4);

function softmax(logits: ArrayLike<number>, temperature = 1): Float64Array {
  const x = Float64Array.from(logits, (v) => v / temperature);
  const maximum = x.reduce((a, b) => Math.max(a, b));
  const e = x.map((v) => Math.exp(v - maximum));
  const sum = e.reduce((a, b) => a + b);
  return e.map((v) => v / sum);
}

function repeated(logits: ArrayLike<number>, n: number): Float32Array {
  const out = new Float32Array(n * logits.length);
  for (let i = 0; i < n; i++) out.set(Float32Array.from(logits), i * logits.length);
  return out;
}

const positions = (n: number) => Int32Array.from({ length: n }, (_, i) => i);

function draws(logits: ArrayLike<number>, n: number, options: Inputs): number[] {
  return [...operator("sample", { n, vocabulary: logits.length, logits: repeated(logits, n), position: positions(n), ...options })["ids"]!];
}

/** Pearson's statistic over expected counts ≥ 5, others pooled, as standard deviations from its mean. */
function surprise(ids: number[], p: Float64Array): number {
  const counts = new Float64Array(p.length);
  for (const id of ids) counts[id]!++;
  let [statistic, cells, restCount, restExpected] = [0, 0, 0, 0];
  p.forEach((q, i) => {
    const expected = q * ids.length;
    if (expected < 5) {
      restCount += counts[i]!;
      restExpected += expected;
    } else {
      statistic += (counts[i]! - expected) ** 2 / expected;
      cells++;
    }
  });
  if (restExpected > 0) statistic += (restCount - restExpected) ** 2 / Math.max(restExpected, 1);
  return (statistic - (cells - 1)) / Math.sqrt(2 * Math.max(1, cells - 1));
}

t.test("greedy: the largest logit, the lowest index among equals; log-probs of the untempered distribution", async (t) => {
  const random = new Random(5, "greedy");
  for (const vocabulary of [1, 2, 3, 7, 17, 131, 1001]) {
    const n = 5;
    const logits = normals(random, n * vocabulary, 3);
    const { ids, logprobs } = operator("sample", { n, vocabulary, logits, temperature: 0, top_k: 3, top_p: 0.5 });
    const expected: number[] = [];
    for (let i = 0; i < n; i++) {
      const row = logits.subarray(i * vocabulary, (i + 1) * vocabulary);
      t.equal(ids![i], row.indexOf(Math.max(...row)));
      expected.push(Math.log(softmax(row)[ids![i]!]!));
    }
    close(t, logprobs!, expected, 1e-5, `vocabulary ${vocabulary}`);
  }
  t.same(draws([1, 5, 5, 2], 1, { temperature: 0 }), [1]);
  const { ids, logprobs } = operator("sample", { n: 1, vocabulary: 4, logits: Float32Array.of(0, 1, 2, 3), temperature: 0.1, position: 3 });
  close(t, logprobs!, [Math.log(softmax([0, 1, 2, 3])[ids![0]!]!)], 1e-6, "temperature does not change the log-prob that is reported");
});

t.test("a draw is the inverse distribution function at Philox(seed; position, sequence)", async (t) => {
  const random = new Random(5, "philox");
  const logits = normals(random, 50, 2);
  const p = softmax(logits, 0.7);
  const n = 200;
  const [seed, sequence] = [2 ** 40 + 12345, 2 ** 33 + 7];
  const ids = draws(logits, n, { temperature: 0.7, seed, sequence });
  const key = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
  let agree = 0;
  for (let i = 0; i < n; i++) {
    const [a, b] = philox4x32([i, sequence % 2 ** 32, Math.floor(sequence / 2 ** 32), 0], key);
    const u = (a! * 2 ** 21 + Math.floor(b! / 2 ** 11)) / 2 ** 53;
    let [sum, id] = [0, 0];
    while (id < 49 && sum + p[id]! <= u) sum += p[id++]!;
    if (id === ids[i]) agree++;
  }
  t.ok(agree >= n - 1, `${agree} of ${n} draws agree (one may lie on an edge)`);
});

t.test("draws depend on seed, sequence and position, not on the batch or its order", async (t) => {
  const random = new Random(5, "batch");
  const vocabulary = 300;
  const n = 40;
  const logits = normals(random, n * vocabulary);
  const temperature = Float32Array.from({ length: n }, (_, i) => (i % 5 === 0 ? 0 : 0.5 + random.float()));
  const sequence = Int32Array.from({ length: n }, (_, i) => i % 7);
  const filters = { top_p: 0.9, top_k: 50, min_p: 0.01, seed: 11 };
  const all = operator("sample", { n, vocabulary, logits, temperature, sequence, position: positions(n), ...filters });
  t.same(
    operator("sample", { n, vocabulary, logits, temperature, sequence, position: positions(n), ...filters, threads: 3 })["ids"],
    all["ids"],
  );
  for (let i = 0; i < n; i++) {
    const row = logits.slice(i * vocabulary, (i + 1) * vocabulary);
    const one = { temperature: temperature[i]!, sequence: sequence[i]!, position: i };
    const alone = operator("sample", { n: 1, vocabulary, logits: row, ...one, ...filters });
    t.equal(alone["ids"]![0], all["ids"]![i]);
    t.equal(alone["logprobs"]![0], all["logprobs"]![i]);
  }
  const flat = new Float32Array(1000);
  const first = draws(flat, 100, { temperature: 1, seed: 1 });
  t.not(first.join(), draws(flat, 100, { temperature: 1, seed: 2 }).join(), "another seed");
  t.not(first.join(), draws(flat, 100, { temperature: 1, seed: 1, sequence: 1 }).join(), "another sequence");
  t.equal(new Set(first).size > 80, true, "positions differ");
});

t.test("frequencies follow the tempered probabilities", async (t) => {
  const random = new Random(5, "frequencies");
  const logits = normals(random, 37, 2);
  for (const temperature of [0.5, 1, 2]) {
    const z = surprise(draws(logits, often(20000), { temperature, seed: 3 }), softmax(logits, temperature));
    t.ok(Math.abs(z) < 4, `temperature ${temperature}: χ² is ${z.toFixed(2)} σ from its mean`);
  }
});

t.test("top-k, top-p, min-p: the right support, renormalised", async (t) => {
  const random = new Random(5, "filters");
  const logits = normals(random, 40, 1.5);
  const p = softmax(logits);
  const order = [...p.keys()].sort((a, b) => p[b]! - p[a]!);
  const nucleus = (ids: number[], mass: number) => {
    const total = ids.reduce((sum, id) => sum + p[id]!, 0);
    let sum = 0;
    return ids.filter((id) => {
      const inside = sum < mass * total;
      sum += p[id]!;
      return inside;
    });
  };
  const likely = (minimum: number) => order.filter((id) => p[id]! >= minimum * p[order[0]!]!);
  const cases: [string, Inputs, number[]][] = [
    ["top_k 1", { top_k: 1 }, order.slice(0, 1)],
    ["top_k 5", { top_k: 5 }, order.slice(0, 5)],
    ["top_k 40: all", { top_k: 40 }, order],
    ["top_p 0.5", { top_p: 0.5 }, nucleus(order, 0.5)],
    ["top_p 0: the best", { top_p: 0 }, order.slice(0, 1)],
    ["min_p 0.1", { min_p: 0.1 }, likely(0.1)],
    ["min_p 1: the best", { min_p: 1 }, order.slice(0, 1)],
    ["top_k 8, then top_p 0.7", { top_k: 8, top_p: 0.7 }, nucleus(order.slice(0, 8), 0.7)],
  ];
  for (const [label, options, support] of cases) {
    const kept = new Float64Array(40);
    const total = support.reduce((sum, id) => sum + p[id]!, 0);
    for (const id of support) kept[id] = p[id]! / total;
    const ids = draws(logits, often(4000), { temperature: 1, seed: 9, ...options });
    t.ok(
      ids.every((id) => kept[id]! > 0),
      `${label}: nothing outside`,
    );
    t.ok(Math.abs(surprise(ids, kept)) < 4, `${label}: frequencies`);
  }
});

type Filters = { temperature: number; top_k?: number; top_p?: number; min_p?: number };

/** The token at which a walk over the sorted weights of one row stops. */
function walked(logits: Float32Array, u: number, o: Filters): number {
  const maximum = logits.reduce((a, b) => Math.max(a, b));
  const p = Float64Array.from(logits, (x) => Math.exp((x - maximum) / o.temperature));
  let kept = [...p.keys()].filter((id) => p[id]! >= (o.min_p ?? 0));
  kept = kept.sort((a, b) => p[b]! - p[a]! || a - b).slice(0, o.top_k ?? kept.length);
  const total = kept.reduce((sum, id) => sum + p[id]!, 0);
  let [mass, length] = [0, 0];
  while (length < kept.length && (length === 0 || mass < (o.top_p ?? 1) * total)) mass += p[kept[length++]!]!;
  let sum = 0;
  return kept.find((id) => {
    sum += p[id]!;
    return sum > u * mass;
  })!;
}

t.test("filters over large vocabularies, flat and peaked: in order of weight, then of id", async (t) => {
  const random = new Random(5, "large");
  const n = 4;
  for (const vocabulary of [1500, 9000])
    for (const scale of [0.05, 3]) {
      // on a grid: equal weights abound, and others are not nearly equal
      const logits = Float32Array.from({ length: n * vocabulary }, () => Math.round(64 * scale * random.normal()) / 64);
      for (const options of [
        { top_k: 30 },
        { top_k: vocabulary - 1 },
        { top_p: 0.4 },
        { top_p: 0.99 },
        { min_p: 0.9 },
        { min_p: 1e-4 },
        { top_k: 6000, top_p: 0.9, min_p: 0.01 },
      ] as Omit<Filters, "temperature">[]) {
        const o = { temperature: 1.25, ...options };
        const { ids } = operator("sample", { n, vocabulary, logits, seed: 77, position: positions(n), ...o });
        const expected = [...positions(n)].map((i) => {
          const [a, b] = philox4x32([i, 0, 0, 0], [77, 0]);
          const u = (a! * 2 ** 21 + Math.floor(b! / 2 ** 11)) / 2 ** 53;
          return walked(logits.subarray(i * vocabulary, (i + 1) * vocabulary), u, o);
        });
        t.same([...ids!], expected, `vocabulary ${vocabulary}, scale ${scale}, ${JSON.stringify(options)}`);
      }
    }
});

t.test("repetition penalty: positive logits divided, negative ones multiplied, once per token", async (t) => {
  const options = { temperature: 0, repetition_penalty: 2, seen: Int32Array.of(0, 0, 3, 0) };
  t.same(draws([4, 2.5, 1, -1], 1, options), [1], "4 / 2 < 2.5");
  t.same(draws([4, 1.9, 1, -1], 1, options), [0], "4 / 2 > 1.9, though 0 was seen three times");
  t.same(draws([-5, -3, -9, -1], 1, { ...options, seen: Int32Array.of(3) }), [3], "−1 · 2 > −3");
  t.same(draws([-5, -1.5, -9, -1], 1, { ...options, seen: Int32Array.of(3) }), [1], "−1 · 2 < −1.5");
  const { logprobs } = operator("sample", { n: 1, vocabulary: 2, logits: Float32Array.of(1, 0), ...options, seen: Int32Array.of(0) });
  close(t, logprobs!, [Math.log(softmax([1, 0])[0]!)], 1e-6, "log-probs are those of the model");
});

t.test("degenerate logits give a token, never a crash", async (t) => {
  const infinite = Number.POSITIVE_INFINITY;
  const rows: [string, number[], number[]][] = [
    ["all NaN", [Number.NaN, Number.NaN, Number.NaN], [0, 1, 2]],
    ["all −∞", [-infinite, -infinite, -infinite], [0, 1, 2]],
    ["one ∞", [0, infinite, 0], [0, 1, 2]],
    ["−∞ is never drawn", [-infinite, 0, -infinite], [1]],
    ["huge", [3e38, -3e38, 0], [0]],
  ];
  for (const [label, logits, allowed] of rows)
    for (const temperature of [0, 1e-30, 1, 1e30])
      for (const options of [{}, { top_p: 0.5 }, { top_k: 2, min_p: 0.1 }] as Inputs[]) {
        if (label === "huge" && temperature === 1e30) continue;
        const ids = draws(logits, 20, { temperature, ...options });
        t.ok(
          ids.every((id) => allowed.includes(id)),
          `${label}, temperature ${temperature}: ${ids[0]}`,
        );
      }
  t.same(draws([1, 3, 2], 10, { temperature: 1e-30 }), Array(10).fill(1), "a temperature near 0 is greedy");
});

t.test("bad sizes are refused", async (t) => {
  refuses(t, "sample", { n: 2, vocabulary: 3, logits: new Float32Array(5) }, "short logits");
  refuses(t, "sample", { n: 1, vocabulary: 3, logits: new Float32Array(3), seen: Int32Array.of(3) }, "a seen token beyond the vocabulary");
});
