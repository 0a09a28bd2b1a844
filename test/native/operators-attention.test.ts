// Attention forward and backward against fp64: GQA, odd head sizes, windows, packed and paged keys, chunks, shared prompts.
import t from "tap";
import { close, dense, differences, dot, type Inputs, normals, operator, Random, refuses, same, strided } from "./helpers.js";

interface Shape {
  heads: number;
  kv_heads: number;
  head_dim: number;
  window: number;
}

/** One sequence: the rows of its keys in order, and its queries, the first of which stands at `position`. */
interface Sequence {
  keys: number[];
  queries: number;
  position: number;
  group: number;
}

interface Problem extends Shape {
  sequences: Sequence[];
  rows: number;
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
  dout: Float32Array;
}

function problem(random: Random, shape: Shape, sequences: Sequence[], rows: number): Problem {
  const n = sequences.reduce((sum, s) => sum + s.queries, 0);
  const q_size = shape.heads * shape.head_dim;
  const kv_size = shape.kv_heads * shape.head_dim;
  const [q, dout] = [normals(random, n * q_size), normals(random, n * q_size)];
  const [k, v] = [normals(random, rows * kv_size), normals(random, rows * kv_size)];
  return { ...shape, sequences, rows, q, k, v, dout };
}

const scaleOf = (p: Shape) => 1 / Math.sqrt(p.head_dim);

/** Softmax attention and its gradients in fp64, query by query. */
function reference(p: Problem): { out: Float64Array; lse: Float64Array; dq: Float64Array; dk: Float64Array; dv: Float64Array } {
  const { heads, kv_heads, head_dim: d, window, q, k, v, dout } = p;
  const [qs, ks] = [heads * d, kv_heads * d];
  const n = q.length / qs;
  const [out, lse, dq] = [new Float64Array(n * qs), new Float64Array(n * heads), new Float64Array(n * qs)];
  const [dk, dv] = [new Float64Array(k.length), new Float64Array(v.length)];
  let token = 0;
  for (const s of p.sequences)
    for (let i = 0; i < s.queries; i++, token++)
      for (let h = 0; h < heads; h++) {
        const last = s.position + i;
        const seen = s.keys.slice(window > 0 ? Math.max(0, last - window + 1) : 0, last + 1);
        const kv = Math.floor((h * kv_heads) / heads) * d;
        const at = token * qs + h * d;
        const scores = seen.map((row) => scaleOf(p) * dot(q.subarray(at, at + d), k.subarray(row * ks + kv, row * ks + kv + d)));
        const maximum = Math.max(...scores);
        const sum = scores.reduce((total, x) => total + Math.exp(x - maximum), 0);
        lse[token * heads + h] = maximum + Math.log(sum);
        const weights = scores.map((x) => Math.exp(x - maximum) / sum);
        const slopes = seen.map((row) => dot(dout.subarray(at, at + d), v.subarray(row * ks + kv, row * ks + kv + d)));
        const mean = dot(weights, slopes);
        seen.forEach((row, j) => {
          const ds = scaleOf(p) * weights[j]! * (slopes[j]! - mean);
          for (let c = 0; c < d; c++) {
            out[at + c]! += weights[j]! * v[row * ks + kv + c]!;
            dq[at + c]! += ds * k[row * ks + kv + c]!;
            dk[row * ks + kv + c]! += ds * q[at + c]!;
            dv[row * ks + kv + c]! += weights[j]! * dout[at + c]!;
          }
        });
      }
  return { out, lse, dq, dk, dv };
}

/** Consecutive rows become one segment, cut again after every `page` of them. */
function inputsOf(p: Problem, page = Number.POSITIVE_INFINITY, pad = 0): Inputs {
  const segments: number[] = [];
  const sequences: number[] = [];
  let token = 0;
  for (const s of p.sequences) {
    const first = segments.length / 2;
    let [start, count] = [s.keys[0]!, 0];
    for (const row of s.keys) {
      if (count > 0 && (row !== start + count || count >= page)) {
        segments.push(start, count);
        [start, count] = [row, 0];
      }
      count++;
    }
    segments.push(start, count);
    sequences.push(token, s.queries, s.position, first, segments.length / 2 - first, s.group);
    token += s.queries;
  }
  const [qs, ks] = [p.heads * p.head_dim, p.kv_heads * p.head_dim];
  return {
    heads: p.heads,
    kv_heads: p.kv_heads,
    head_dim: p.head_dim,
    window: p.window,
    scale: scaleOf(p),
    n: token,
    kv_rows: p.rows,
    q_stride: qs + pad,
    kv_stride: ks + pad,
    q: strided(p.q, token, qs, qs + pad),
    k: strided(p.k, p.rows, ks, ks + pad),
    v: strided(p.v, p.rows, ks, ks + pad),
    segments: Int32Array.from(segments),
    sequences: Int32Array.from(sequences),
  };
}

const consecutive = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

/** Self-attention over packed sequences of the given lengths, keys in the order of the queries. */
function packed(random: Random, shape: Shape, lengths: number[]): Problem {
  let row = 0;
  const sequences = lengths.map((length, group) => {
    row += length;
    return { keys: consecutive(row - length, length), queries: length, position: 0, group };
  });
  return problem(random, shape, sequences, row);
}

const shapes: Shape[] = [];
for (const head_dim of [8, 10, 17, 64, 128])
  for (const per of [1, 2, 4]) for (const kv_heads of [1, 3]) shapes.push({ heads: kv_heads * per, kv_heads, head_dim, window: 0 });
for (const head_dim of [32, 80, 96, 256]) shapes.push({ heads: 4, kv_heads: 2, head_dim, window: 0 });

t.test("forward: packed sequences of awkward lengths", async (t) => {
  const random = new Random(3, "forward");
  for (const shape of shapes) {
    const p = packed(random, shape, [1, 3, 17, 49, 2]);
    const pad = shape.head_dim === 17 ? 5 : 0;
    const { out, lse } = operator("attention", inputsOf(p, undefined, pad));
    const expected = reference(p);
    const label = `${shape.heads}/${shape.kv_heads} heads of ${shape.head_dim}`;
    const size = shape.heads * shape.head_dim;
    close(t, dense(out!, 72, size, size + pad), expected.out, 3e-6, label);
    close(t, lse!, expected.lse, 2e-6, `${label}: log-sum-exp`);
  }
});

t.test("forward: windows shorter and longer than the sequence", async (t) => {
  const random = new Random(3, "window");
  for (const window of [1, 2, 5, 16, 33, 64, 1000])
    for (const lengths of [[7], [65, 33], [131]]) {
      const p = packed(random, { heads: 4, kv_heads: 2, head_dim: 16, window }, lengths);
      const { out, lse } = operator("attention", inputsOf(p));
      const expected = reference(p);
      close(t, out!, expected.out, 3e-6, `window ${window}, lengths ${lengths}`);
      close(t, lse!, expected.lse, 2e-6, "log-sum-exp");
    }
});

/** A cache of shuffled blocks: sequence by sequence, `context` keys of which the last `queries` are asked. */
function paged(random: Random, shape: Shape, block: number, contexts: number[], queries: number[]): Problem {
  const blocks = contexts.map((c) => Math.ceil(c / block));
  const order = random.shuffle(
    consecutive(
      0,
      blocks.reduce((a, b) => a + b, 0),
    ),
  );
  const sequences = contexts.map((context, group) => {
    const mine = order.splice(0, blocks[group]!);
    const keys = consecutive(0, context).map((i) => mine[Math.floor(i / block)]! * block + (i % block));
    return { keys, queries: queries[group]!, position: context - queries[group]!, group };
  });
  return problem(random, shape, sequences, blocks.reduce((a, b) => a + b, 0) * block);
}

t.test("forward: paged caches, decode and chunks of a prompt together", async (t) => {
  const random = new Random(3, "paged");
  for (const window of [0, 9])
    for (const block of [1, 5, 16])
      for (const per of [1, 2, 4, 7]) {
        const p = paged(random, { heads: 2 * per, kv_heads: 2, head_dim: 24, window }, block, [1, 17, 33, 70, 65], [1, 1, 5, 60, 1]);
        const { out, lse } = operator("attention", { ...inputsOf(p, block), threads: 2 });
        const expected = reference(p);
        close(t, out!, expected.out, 3e-6, `block ${block}, ${per} heads per key head, window ${window}`);
        close(t, lse!, expected.lse, 2e-6, "log-sum-exp");
      }
});

t.test("forward: a query's bits depend neither on its neighbours, nor on chunks, nor on pages", async (t) => {
  const random = new Random(3, "bits");
  for (const window of [0, 20]) {
    const shape = { heads: 6, kv_heads: 2, head_dim: 20, window };
    const size = shape.heads * shape.head_dim;
    const whole = packed(random, shape, [67, 5]);
    const deterministic = 1; // else a GPU takes a single query by another way than many
    const { out } = operator("attention", { ...inputsOf(whole), deterministic });
    same(t, operator("attention", { ...inputsOf(whole, 16), deterministic, threads: 3 })["out"]!, out!, "pages of 16, three threads");
    for (const [from, count] of [
      [0, 67],
      [66, 1],
      [3, 1],
      [40, 27],
      [11, 49],
    ] as const) {
      const sequence = { keys: consecutive(0, from + count), queries: count, position: from, group: 0 };
      const part = { ...whole, sequences: [sequence], q: whole.q.slice(from * size, (from + count) * size) };
      const chunk = operator("attention", { ...inputsOf(part, 7), deterministic })["out"]!;
      same(t, chunk, out!.slice(from * size, (from + count) * size), `queries ${from} … ${from + count - 1}, window ${window}`);
    }
  }
});

t.test("forward: a prompt in chunks of several queries has the bits of the whole one, deterministic or not", async (t) => {
  const random = new Random(3, "chunks");
  for (const [head_dim, window] of [
    [16, 0],
    [64, 40],
    [128, 0],
  ] as const) {
    const size = 4 * head_dim;
    const whole = packed(random, { heads: 4, kv_heads: 2, head_dim, window }, [150]);
    const { out, lse } = operator("attention", inputsOf(whole));
    for (const [from, to] of [
      [0, 32],
      [32, 100],
      [100, 150],
    ] as const) {
      const sequence = { keys: consecutive(0, to), queries: to - from, position: from, group: 0 };
      const part = operator("attention", inputsOf({ ...whole, sequences: [sequence], q: whole.q.slice(from * size, to * size) }, 32));
      same(t, part["out"]!, out!.slice(from * size, to * size), `queries ${from} … ${to - 1} of heads of ${head_dim}, window ${window}`);
      same(t, part["lse"]!, lse!.slice(from * 4, to * 4), "log-sum-exp");
    }
  }
});

t.test("forward: decode over many blocks, alone and with neighbours", async (t) => {
  const random = new Random(3, "many blocks");
  for (const [head_dim, window] of [
    [16, 0],
    [64, 700],
    [80, 0],
    [256, 300],
  ] as const) {
    const size = 4 * head_dim;
    const p = paged(random, { heads: 4, kv_heads: 1, head_dim, window }, 32, [1500, 256, 257, 3, 513], [1, 1, 1, 1, 1]);
    const { out, lse } = operator("attention", inputsOf(p, 32));
    const expected = reference(p);
    close(t, out!, expected.out, 3e-6, `heads of ${head_dim}, window ${window}`);
    close(t, lse!, expected.lse, 2e-6, "log-sum-exp");
    p.sequences.forEach((sequence, i) => {
      const alone = operator("attention", inputsOf({ ...p, sequences: [sequence], q: p.q.slice(i * size, (i + 1) * size) }, 32));
      same(t, alone["out"]!, out!.slice(i * size, (i + 1) * size), `sequence ${i} alone`);
    });
  }
});

t.test("forward and backward: an offset that all segments share", async (t) => {
  const p = packed(new Random(3, "offset"), { heads: 4, kv_heads: 2, head_dim: 16, window: 0 }, [40, 1, 33]);
  const before = 11 * 2 * 16;
  const shifted = (x: Float32Array) => Float32Array.from([...new Float32Array(before).fill(Number.NaN), ...x]);
  const added = { dk: new Float32Array(p.k.length), dv: new Float32Array(p.v.length), dout: p.dout };
  const plain = operator("attention_backward", { ...inputsOf(p), ...added });
  const moved = operator("attention_backward", {
    ...inputsOf(p),
    ...{ dout: p.dout, dk: shifted(added.dk), dv: shifted(added.dv), k: shifted(p.k), v: shifted(p.v) },
    ...{ kv_rows: p.rows + 11, segment_offset_rows: 11 },
  });
  same(t, moved["dq"]!, plain["dq"]!, "dq");
  for (const key of ["dk", "dv"]) {
    same(t, moved[key]!.slice(before), plain[key]!, key);
    t.ok(moved[key]!.slice(0, before).every(Number.isNaN), `${key}: nothing is written before the offset`);
  }
  const forward = (inputs: Inputs) => operator("attention", inputs)["out"]!;
  const layer = { ...inputsOf(p), k: shifted(p.k), v: shifted(p.v), kv_rows: p.rows + 11, segment_offset_rows: 11 };
  same(t, forward(layer), forward(inputsOf(p)), "out");
});

t.test("forward: decode with more heads per key head than a tile has rows", async (t) => {
  const p = paged(new Random(3, "many heads"), { heads: 150, kv_heads: 1, head_dim: 8, window: 0 }, 16, [5, 40], [1, 3]);
  const { out, lse } = operator("attention", inputsOf(p, 16));
  close(t, out!, reference(p).out, 3e-6, "out");
  close(t, lse!, reference(p).lse, 2e-6, "log-sum-exp");
});

t.test("forward: large scores do not overflow", async (t) => {
  const p = packed(new Random(3, "large"), { heads: 2, kv_heads: 1, head_dim: 8, window: 0 }, [5]);
  p.q.forEach((x, i) => {
    p.q[i] = 300 * x;
  });
  const { out, lse } = operator("attention", inputsOf(p));
  close(t, out!, reference(p).out, 1e-4, "scores in the hundreds");
  close(t, lse!, reference(p).lse, 1e-6, "log-sum-exp");
});

function checkBackward(t: Parameters<typeof close>[0], random: Random, p: Problem, page: number | undefined, label: string, pad = 0): void {
  const inputs = inputsOf(p, page, pad);
  const [qs, ks] = [p.heads * p.head_dim, p.kv_heads * p.head_dim];
  const n = p.q.length / qs;
  const [dk0, dv0] = [normals(random, p.k.length), normals(random, p.v.length)];
  const added = { dk: strided(dk0, p.rows, ks, ks + pad), dv: strided(dv0, p.rows, ks, ks + pad) };
  const { dq, dk, dv } = operator("attention_backward", { ...inputs, ...added, dout: strided(p.dout, n, qs, qs + pad) });
  const expected = reference(p);
  close(t, dense(dq!, n, qs, qs + pad), expected.dq, 8e-6, `${label}: dq`, 1); // with a window of 1 it is all zeros
  close(
    t,
    dense(dk!, p.rows, ks, ks + pad),
    expected.dk.map((x, i) => x + dk0[i]!),
    8e-6,
    `${label}: dk, added`,
  );
  close(
    t,
    dense(dv!, p.rows, ks, ks + pad),
    expected.dv.map((x, i) => x + dv0[i]!),
    8e-6,
    `${label}: dv, added`,
  );
}

t.test("the fp64 gradients agree with finite differences", async (t) => {
  const random = new Random(3, "differences");
  for (const window of [0, 2]) {
    const p = packed(random, { heads: 2, kv_heads: 1, head_dim: 3, window }, [4, 2]);
    const { dq, dk, dv } = reference(p);
    const asked = (change: Partial<Record<"q" | "k" | "v", Float64Array>>) =>
      dot(reference({ ...p, ...(change as unknown as Partial<Problem>) }).out, p.dout);
    close(
      t,
      differences((q) => asked({ q }), p.q),
      dq,
      1e-8,
      "dq",
    );
    close(
      t,
      differences((k) => asked({ k }), p.k),
      dk,
      1e-8,
      "dk",
    );
    close(
      t,
      differences((v) => asked({ v }), p.v),
      dv,
      1e-8,
      "dv",
    );
  }
});

t.test("backward: packed sequences, GQA, odd head sizes", async (t) => {
  const random = new Random(3, "backward");
  for (const shape of shapes) {
    const p = packed(random, shape, [1, 3, 17, 50]);
    checkBackward(t, random, p, undefined, `${shape.heads}/${shape.kv_heads} heads of ${shape.head_dim}`, shape.head_dim === 10 ? 3 : 0);
  }
});

t.test("backward: windows and pages", async (t) => {
  const random = new Random(3, "backward window");
  for (const window of [1, 5, 33, 1000])
    for (const page of [undefined, 7]) {
      const p = packed(random, { heads: 4, kv_heads: 2, head_dim: 12, window }, [65, 7, 100]);
      checkBackward(t, random, p, page, `window ${window}, page ${page}`);
    }
});

t.test("backward: completions that share a prompt add up in its keys and values", async (t) => {
  const random = new Random(3, "shared");
  for (const window of [0, 6]) {
    const sequences: Sequence[] = [];
    let row = 0;
    for (const [group, lengths] of [
      [5, [3, 1, 9]],
      [17, [50, 2]],
      [1, [4]],
      [70, [40, 3, 33]],
    ].entries() as Iterable<[number, [number, number[]]]>) {
      const [prompt, completions] = lengths;
      const head = consecutive(row, prompt);
      row += prompt;
      sequences.push({ keys: head, queries: prompt, position: 0, group });
      for (const length of completions) {
        sequences.push({ keys: [...head, ...consecutive(row, length)], queries: length, position: prompt, group });
        row += length;
      }
    }
    const p = problem(random, { heads: 4, kv_heads: 2, head_dim: 16, window }, sequences, row);
    checkBackward(t, random, p, undefined, `window ${window}`);
    checkBackward(t, random, p, 32, `window ${window}, blocks of 32`);
    const zero = { dk: new Float32Array(p.k.length), dv: new Float32Array(p.v.length), dout: p.dout };
    const one = operator("attention_backward", { ...inputsOf(p), ...zero });
    const three = operator("attention_backward", { ...inputsOf(p), ...zero, threads: 3 });
    for (const key of ["dq", "dk", "dv"]) same(t, three[key]!, one[key]!, `${key}: three threads give the bits of one`);
  }
});

t.test("backward: gradients far smaller than one keep their digits", async (t) => {
  const random = new Random(3, "small");
  const p = packed(random, { heads: 4, kv_heads: 2, head_dim: 64, window: 0 }, [40, 33]);
  p.dout.forEach((x, i) => {
    p.dout[i] = 1e-9 * x;
  });
  const zero = { dk: new Float32Array(p.k.length), dv: new Float32Array(p.v.length), dout: p.dout };
  const { dq, dk, dv } = operator("attention_backward", { ...inputsOf(p), ...zero });
  const expected = reference(p);
  close(t, dq!, expected.dq, 8e-6, "dq");
  close(t, dk!, expected.dk, 8e-6, "dk");
  close(t, dv!, expected.dv, 8e-6, "dv");
});

t.test("what does not fit is refused", async (t) => {
  const p = packed(new Random(3, "refuse"), { heads: 2, kv_heads: 1, head_dim: 4, window: 0 }, [3]);
  const inputs = inputsOf(p);
  refuses(t, "attention", { ...inputs, segments: Int32Array.of(1, 3) }, "keys beyond the pool");
  refuses(t, "attention", { ...inputs, sequences: Int32Array.of(0, 3, 1, 0, 1, 0) }, "more positions than keys");
  refuses(t, "attention", { ...inputs, sequences: Int32Array.of(1, 3, 0, 0, 1, 0) }, "queries beyond q");
  refuses(t, "attention", { ...inputs, kv_heads: 3 }, "heads that do not divide");
});
