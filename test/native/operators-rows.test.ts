// Row operators against fp64: embed, rms_norm, scale_rows, rope, scatter, gather, swiglu, and the backward ones against finite differences.
import t from "tap";
import {
  awkward,
  close,
  dense,
  differences,
  dot,
  dtypes,
  Matrix,
  normals,
  operator,
  Random,
  refuses,
  result,
  same,
  strided,
} from "./helpers.js";

t.test("embed copies rows of the table, widened", async (t) => {
  const random = new Random(1, "embed");
  for (const dtype of dtypes)
    for (const cols of awkward) {
      const table = Matrix.normal(random, 11, cols, dtype);
      const tokens = Int32Array.of(10, 0, 3, 3, 7);
      const y = result("embed", "y", { ...table.inputs("table", cols + 3), tokens });
      const expected = [...tokens].flatMap((token) => [...table.values.subarray(token * cols, (token + 1) * cols)]);
      same(t, y, expected, `${dtype} ${cols}`);
    }
  refuses(t, "embed", { ...Matrix.normal(random, 4, 3).inputs("table"), tokens: Int32Array.of(4) }, "a token beyond the table");
  refuses(t, "embed", { ...Matrix.normal(random, 4, 3).inputs("table"), tokens: Int32Array.of(-1) }, "a negative token");
});

function rmsNorm(x: ArrayLike<number>, weight: ArrayLike<number>, eps: number): Float64Array {
  const inverse = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return Float64Array.from(weight, (w, i) => w * x[i]! * inverse);
}

t.test("rms_norm and its gradient", async (t) => {
  const random = new Random(1, "norm");
  const eps = 1e-5;
  for (const size of awkward)
    for (const n of [1, 3, 17]) {
      const x = normals(random, n * size, 3);
      const weight = normals(random, size);
      const dy = normals(random, n * size);
      const before = normals(random, n * size);
      const row = (a: Float32Array, i: number) => a.subarray(i * size, (i + 1) * size);
      const y = result("rms_norm", "y", { n, size, eps, x, weight });
      const expected = new Float64Array(n * size);
      for (let i = 0; i < n; i++) expected.set(rmsNorm(row(x, i), weight, eps), i * size);
      close(t, y, expected, 2e-6, `forward ${n} × ${size}`);

      const dx = result("rms_norm_backward", "dx", { n, size, eps, x, weight, dy, dx: before });
      const slope = new Float64Array(n * size);
      for (let i = 0; i < n; i++) {
        const gradient = differences((at) => dot(rmsNorm(at, weight, eps), row(dy, i)), row(x, i));
        slope.set(
          gradient.map((g, j) => g + row(before, i)[j]!),
          i * size,
        );
      }
      close(t, dx, slope, 3e-6, `backward ${n} × ${size}, added to what was there`);
    }
  const tiny = result("rms_norm", "y", { n: 1, size: 3, eps, x: new Float32Array(3), weight: Float32Array.of(1, 2, 3) });
  same(t, tiny, [0, 0, 0], "a row of zeros stays zero");
  refuses(t, "rms_norm", { n: 2, size: 3, eps, x: new Float32Array(5), weight: new Float32Array(3) }, "a short x");
});

t.test("scale_rows multiplies by the row's own vector", async (t) => {
  const random = new Random(1, "scale");
  for (const r of awkward) {
    const n = 6;
    const stride = r + 2;
    const q = normals(random, n * r);
    const scales = normals(random, 3 * r);
    const row_scale = Int32Array.of(2, 0, -1, 1, 0, 2);
    const inputs = { n, r, q_stride: stride, scale_count: 3, scales, row_scale, null_scales: Int32Array.of(1) };
    const out = dense(result("scale_rows", "q", { ...inputs, q: strided(q, n, r, stride) }), n, r, stride);
    const expected = q.map((x, i) => {
      const scale = row_scale[Math.floor(i / r)]!;
      return scale < 0 || scale === 1 ? 0 : x * scales[scale * r + (i % r)]!;
    });
    same(t, out, expected, `r = ${r}; −1 and a null vector give zero`);
  }
});

t.test("rope turns pairs and turns them back", async (t) => {
  const random = new Random(1, "rope");
  for (const head_dim of [2, 6, 8, 16, 34, 64, 128])
    for (const heads of [1, 3]) {
      const n = 5;
      const size = heads * head_dim;
      const stride = size + 4;
      const half = head_dim / 2;
      const x = normals(random, n * size);
      const positions = Int32Array.of(0, 1, 17, 4095, 1);
      const inverse_frequencies = Float32Array.from({ length: half }, (_, i) => 10000 ** (-i / half));
      for (const factor of [1, 0.75]) {
        const inputs = { n, heads, head_dim, stride, positions, inverse_frequencies, factor };
        const turned = result("rope", "x", { ...inputs, x: strided(x, n, size, stride) });
        const expected = new Float64Array(n * size);
        for (let i = 0; i < n; i++)
          for (let h = 0; h < heads; h++)
            for (let p = 0; p < half; p++) {
              const angle = Math.fround(positions[i]! * inverse_frequencies[p]!);
              const [c, s] = [Math.cos(angle) * factor, Math.sin(angle) * factor];
              const at = i * size + h * head_dim + p;
              expected[at] = x[at]! * c - x[at + half]! * s;
              expected[at + half] = x[at + half]! * c + x[at]! * s;
            }
        close(t, dense(turned, n, size, stride), expected, 1e-6, `head_dim ${head_dim}, ${heads} heads, factor ${factor}`);
        const back = result("rope", "x", { ...inputs, x: Float32Array.from(turned), inverse: 1 });
        const scaled = x.map((v) => v * factor * factor);
        close(t, dense(back, n, size, stride), scaled, 1e-6, "inverse: the transpose");
      }
    }
});

t.test("rope_write: rope on queries and keys, and the rows in their places of the cache", async (t) => {
  const random = new Random(1, "rope_write");
  for (const [n, heads, kv_heads, head_dim] of [
    [1, 1, 1, 2],
    [5, 3, 1, 6],
    [7, 8, 2, 34],
    [33, 9, 3, 64],
  ] as const) {
    const [q_size, kv_size] = [heads * head_dim, kv_heads * head_dim];
    const [q_stride, kv_stride] = [q_size + 3, kv_size + 5];
    const [q, k, v] = [normals(random, n * q_stride), normals(random, n * kv_stride), normals(random, n * kv_stride)];
    const positions = Int32Array.from({ length: n }, () => random.int(5000));
    const turning = {
      n,
      head_dim,
      positions,
      inverse_frequencies: Float32Array.from({ length: head_dim / 2 }, (_, i) => 10000 ** (-i / head_dim)),
    };
    const turned_q = result("rope", "x", { ...turning, heads, stride: q_stride, x: Float32Array.from(q) });
    const turned_k = result("rope", "x", { ...turning, heads: kv_heads, stride: kv_stride, x: Float32Array.from(k) });
    const inputs = { ...turning, heads, kv_heads, q_stride, kv_stride, q, k, v };
    const name = `${n} tokens, ${heads} and ${kv_heads} heads of ${head_dim}`;

    const packed = operator("rope_write", inputs);
    same(t, packed["q"]!, turned_q, `${name}: q`);
    same(t, packed["k"]!, turned_k, `${name}: k in place`);

    const places = random.shuffle(Array.from({ length: n + 2 }, (_, i) => i)).slice(0, n);
    const offset = 4;
    const cache_size = offset + (n + 2) * kv_size;
    const cached = operator("rope_write", { ...inputs, cache_size, offset, to: Int32Array.from(places, (p) => p * kv_size) });
    same(t, cached["q"]!, turned_q, `${name}: q beside a cache`);
    same(t, cached["k"]!, k, `${name}: k stays`);
    for (const [cache, rows] of [
      ["k_cache", turned_k],
      ["v_cache", v],
    ] as const) {
      const expected = new Float32Array(cache_size).fill(Number.NaN);
      for (const [i, p] of places.entries()) expected.set(rows.subarray(i * kv_stride, i * kv_stride + kv_size), offset + p * kv_size);
      same(t, cached[cache]!, expected, `${name}: ${cache}`);
    }
  }
});

t.test("gather, scatter_add", async (t) => {
  const random = new Random(1, "rows");
  for (const size of awkward) {
    const x = normals(random, 4 * size);
    const at = (i: number) => x.subarray(i * size, (i + 1) * size);
    const rows = Int32Array.of(3, 3, 0, 2, 1);
    const gathered = result("gather_rows", "y", { x_rows: 4, size, x, rows });
    same(
      t,
      gathered,
      [...rows].flatMap((row) => [...at(row)]),
      `gather_rows ${size}`,
    );

    const before = normals(random, 3 * size);
    const added = result("scatter_add_rows", "y", { y_rows: 3, size, x, rows: Int32Array.of(2, 0, 2, 2), y: before });
    const expected = Float32Array.from(before);
    for (const [i, row] of [2, 0, 2, 2].entries()) for (let j = 0; j < size; j++) expected[row * size + j]! += at(i)[j]!;
    same(t, added, expected, `scatter_add_rows ${size}: repeated rows add up in order`);
  }
  refuses(t, "gather_rows", { x_rows: 2, size: 1, x: new Float32Array(2), rows: Int32Array.of(2) }, "a row beyond x");
});

t.test("swiglu and its gradient", async (t) => {
  const random = new Random(1, "swiglu");
  const silu = (x: number) => x / (1 + Math.exp(-x));
  for (const count of [...awkward, 20001]) {
    const gate = normals(random, count, 4);
    const up = normals(random, count);
    const dy = normals(random, count);
    const y = result("swiglu", "y", { count, gate, up });
    close(
      t,
      y,
      gate.map((g, i) => silu(g) * up[i]!),
      1e-6,
      `forward ${count}`,
    );
    const { dgate, dup } = operator("swiglu_backward", { count, gate, up, dy });
    const step = 1e-5;
    const slope = Float64Array.from(gate, (g, i) => ((silu(g + step) - silu(g - step)) / (2 * step)) * up[i]! * dy[i]!);
    close(t, dgate!, slope, 2e-6, `dgate ${count}`);
    close(
      t,
      dup!,
      Float64Array.from(gate, (g, i) => silu(g) * dy[i]!),
      1e-6,
      `dup ${count}`,
    );
  }
  const extreme = result("swiglu", "y", { count: 4, gate: Float32Array.of(-200, 200, 0, -90), up: Float32Array.of(1, 1, 1, 1) });
  t.ok(extreme.every(Number.isFinite) && extreme[1] === 200 && Math.abs(extreme[0]!) < 1e-30, "no overflow at ±200");
});

t.test("several threads give the same bits as one", async (t) => {
  const random = new Random(1, "threads");
  const size = 640;
  const n = 131;
  const inputs = { n, size, eps: 1e-5, x: normals(random, n * size), weight: normals(random, size) };
  same(t, result("rms_norm", "y", { ...inputs, threads: 3 }), result("rms_norm", "y", inputs), "rms_norm");
  const gates = { count: n * size, gate: normals(random, n * size), up: normals(random, n * size) };
  same(t, result("swiglu", "y", { ...gates, threads: 3 }), result("swiglu", "y", gates), "swiglu");
});
