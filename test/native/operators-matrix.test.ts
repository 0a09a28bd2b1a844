// Products with stored matrices against fp64: linear, its input gradient, the gradient of z, and the residual merge. Where the device rounds
// activations to the matrix' dtype (asOperand), the references are of the rounded ones: what is left are fp32 sums in another order.
import t from "tap";
import {
  asOperand,
  awkward,
  close,
  dense,
  dot,
  dtypes,
  Matrix,
  normals,
  operator,
  product,
  Random,
  refuses,
  result,
  rounded,
  same,
  strided,
  testDevice,
} from "./helpers.js";

/** The tokens beyond which kernels change their tiling, and odd numbers between. */
const batches = [1, 2, 3, 4, 5, 7, 8, 17, 24, 33, 65, 131];

t.test("linear: x wᵀ in every dtype, with strides, bias and several matrices", async (t) => {
  const random = new Random(2, "linear");
  for (const dtype of dtypes)
    for (const k of awkward)
      for (const m of [1, 3, 5, 33, 130]) {
        const n = batches[(k + m) % batches.length]!;
        const w = Matrix.normal(random, m, k, dtype);
        const w1 = Matrix.normal(random, 7, k, "F32");
        const x = normals(random, n * k);
        const bias = normals(random, m);
        const y1 = normals(random, n * 7);
        const strides = { x_stride: k + 3, y_stride: m + 5 };
        const inputs = { n, ...strides, x: strided(x, n, k, k + 3), ...w.inputs("w", k + 2), ...w1.inputs("w1"), bias, y1 };
        const results = operator("linear", inputs);
        const expected = product(asOperand(x, n, k, dtype), w.values, n, k, m, { b: true }).map((v, i) => v + bias[i % m]!);
        close(t, dense(results["y"]!, n, m, m + 5), expected, 3e-6, `${dtype} ${n} × ${k} → ${m}`);
        const added = product(x, w1.values, n, k, 7, { b: true }).map((v, i) => v + y1[i]!);
        close(t, results["y1"]!, added, 3e-6, "second matrix, added to its output");
      }
  refuses(t, "linear", { n: 2, x: new Float32Array(5), ...Matrix.normal(random, 2, 3).inputs("w") }, "a short x");
});

t.test("linear: a row's bits do not depend on the rows and matrices computed with it, nor on the threads", async (t) => {
  const random = new Random(2, "rows");
  for (const dtype of dtypes)
    for (const [m, k] of [
      [33, 65],
      [131, 200],
      [5, 7],
      [320, 577],
      [50, 1301],
    ] as const) {
      const w = Matrix.normal(random, m, k, dtype);
      const counts = testDevice === "cpu" ? batches : batches.filter((n) => n <= 33); // an emulated GPU takes its time
      const most = Math.max(...counts);
      const x = normals(random, most * k);
      const stored = w.inputs("w");
      const alone = new Float32Array(most * m);
      for (let i = 0; i < most; i++) alone.set(result("linear", "y", { n: 1, x: x.subarray(i * k, (i + 1) * k), ...stored }), i * m);
      for (const n of counts) {
        // beyond eight rows a GPU promises it in deterministic mode only
        const deterministic = testDevice === "cuda" && n > 8 ? 1 : 0;
        const y = result("linear", "y", { n, x: x.subarray(0, n * k), ...stored, deterministic, threads: 1 + (n % 3) });
        same(t, y, alone.subarray(0, n * m), `${dtype} ${m} × ${k}: ${n} rows at once`);
      }
      const rows = Math.ceil(m / 2);
      const half = new Matrix(w.values.subarray(0, rows * k), rows, k, dtype);
      const y = result("linear", "y", { n: 3, x: x.subarray(0, 3 * k), ...half.inputs("w") });
      const expected = Float32Array.from({ length: 3 * rows }, (_, i) => alone[Math.floor(i / rows) * m + (i % rows)]!);
      same(t, y, expected, `${dtype} ${m} × ${k}: the upper half of the matrix`);
    }
});

t.test("linear: more tokens than are taken at once", async (t) => {
  const random = new Random(2, "tokens");
  const [n, m, k] = testDevice === "cpu" ? [400, 3, 12000] : [70, 3, 1200];
  const w = Matrix.normal(random, m, k, "BF16");
  const x = normals(random, n * k);
  const y = normals(random, n * m);
  const expected = product(asOperand(x, n, k, "BF16"), w.values, n, k, m, { b: true }).map((v, i) => v + y[i]!);
  close(t, result("linear", "y", { n, x, ...w.inputs("w"), y }), expected, 3e-6, `${n} × ${k} → ${m}`);
});

t.test("linear_backward: g w in every dtype", async (t) => {
  const random = new Random(2, "backward");
  for (const dtype of dtypes)
    for (const k of [...awkward, 400])
      for (const m of [1, 3, 33, 300]) {
        const n = batches[(k + m) % batches.length]!;
        const w = Matrix.normal(random, m, k, dtype);
        const g = normals(random, n * m);
        const dx = normals(random, n * k);
        const expected = product(asOperand(g, n, m, dtype), w.values, n, m, k);
        const inputs = { n, g_stride: m + 1, g: strided(g, n, m, m + 1), ...w.inputs("w", k + 2), dx_stride: k + 4 };
        const fresh = result("linear_backward", "dx", inputs);
        close(t, dense(fresh, n, k, k + 4), expected, 4e-6, `${dtype} ${n} × ${m} → ${k}`);
        const added = result("linear_backward", "dx", { ...inputs, dx: strided(dx, n, k, k + 4) });
        close(
          t,
          dense(added, n, k, k + 4),
          expected.map((v, i) => v + dx[i]!),
          4e-6,
          "added to what was there",
        );
      }
});

t.test("linear_backward is the transpose of linear", async (t) => {
  const random = new Random(2, "transpose");
  const [n, m, k] = [17, 65, 33];
  const w = Matrix.normal(random, m, k, "BF16");
  const x = rounded(normals(random, n * k), "BF16"); // nothing is left to round on any device
  const g = rounded(normals(random, n * m), "BF16");
  const y = result("linear", "y", { n, x, ...w.inputs("w") });
  const dx = result("linear_backward", "dx", { n, g, ...w.inputs("w") });
  t.ok(Math.abs(dot(y, g) - dot(x, dx)) < 1e-5 * Math.abs(dot(y, g)) + 1e-3, "⟨W x, g⟩ = ⟨x, Wᵀ g⟩");
});

t.test("z_gradient: Σ_t (g U)(x Vhᵀ), by both of its ways", async (t) => {
  const random = new Random(2, "z");
  const shapes = [
    [1, 1],
    [3, 5],
    [17, 33],
    [65, 17],
    [131, 131],
    [33, 131],
    [200, 40],
  ] as const;
  for (const dtype of ["F32", "F16"] as const)
    for (const [m, k] of shapes)
      for (const n of [1, 2, 5, 33, 131, 700]) {
        const r = Math.min(m, k);
        const u = Matrix.normal(random, m, r, dtype, 0.3);
        const vh = Matrix.normal(random, r, k, dtype, 0.3);
        const g = normals(random, n * m);
        const x = normals(random, n * k);
        const q = normals(random, r);
        // a GPU's second way rounds dW too: that is not followed here
        const second = n * (m + k) * r > n * m * k + m * k * r;
        const rounds = testDevice === "cuda" && dtype === "F16" && second;
        const gu = product(rounds ? g : asOperand(g, n, m, dtype), u.values, n, m, r);
        const xv = product(rounds ? x : asOperand(x, n, k, dtype), vh.values, n, k, r, { b: true });
        const expected = Float64Array.from(q);
        const squares = new Float64Array(r); // their roots measure the rounding of the terms and of dW: the sums themselves may cancel
        for (let i = 0; i < n; i++)
          for (let j = 0; j < r; j++) {
            const term = gu[i * r + j]! * xv[i * r + j]!;
            expected[j]! += term;
            squares[j]! += term ** 2;
          }
        const strides = { g_stride: m + 1, x_stride: k + 2, g: strided(g, n, m, m + 1), x: strided(x, n, k, k + 2) };
        const inputs = { n, ...strides, ...u.inputs("u"), ...vh.inputs("vh"), q };
        const [tolerance, floor] = rounds ? [1e-3, Math.sqrt(Math.max(...squares))] : [1e-5, 0];
        close(t, result("z_gradient", "q", inputs), expected, tolerance, `${dtype} ${m} × ${k}, ${n} tokens`, floor);
        if (n === 131) {
          const one = result("z_gradient", "q", inputs);
          const two = result("z_gradient", "q", { ...inputs });
          t.same(one, two, "twice the same bits");
        }
      }
});

t.test("z_gradient is the slope of ⟨g, (W + U diag(sigma (z − 1)) Vh) x⟩ in z", async (t) => {
  const random = new Random(2, "slope");
  const [n, m, k] = [5, 7, 4];
  const u = Matrix.normal(random, m, 4);
  const vh = Matrix.normal(random, 4, k);
  const sigma = Float64Array.of(3, 2, 1, 0.5);
  const g = normals(random, n * m);
  const x = normals(random, n * k);
  const value = (z: ArrayLike<number>) => {
    const xv = product(x, vh.values, n, k, 4, { b: true }).map((v, i) => v * sigma[i % 4]! * (z[i % 4]! - 1));
    return dot(product(xv, u.values, n, 4, m, { b: true }), g);
  };
  const q = result("z_gradient", "q", { n, g, x, ...u.inputs("u"), ...vh.inputs("vh") });
  for (let i = 0; i < 4; i++) {
    const [up, down] = [1, -1].map((sign) => value(Float64Array.from({ length: 4 }, (_, j) => 1.1 + (i === j ? sign * 1e-4 : 0))));
    const slope = (up! - down!) / 2e-4;
    t.ok(Math.abs(sigma[i]! * q[i]! - slope) < 1e-4 * (1 + Math.abs(slope)), `z[${i}]`);
  }
});

t.test("merge: W + U diag(s) Vh, rounded once; s = 0 gives W bit for bit", async (t) => {
  const random = new Random(2, "merge");
  const shapes = [
    [1, 1],
    [3, 5],
    [17, 33],
    [65, 17],
    [131, 131],
    [300, 33],
  ] as const;
  for (const dtype of dtypes)
    for (const factors of ["F32", "F16"] as const)
      for (const [m, k] of shapes) {
        const r = Math.min(m, k);
        const w = Matrix.normal(random, m, k, dtype);
        const u = Matrix.normal(random, m, r, factors, 0.3);
        const vh = Matrix.normal(random, r, k, factors, 0.3);
        const s = normals(random, r);
        const inputs = { ...w.inputs("w", k + 1), ...u.inputs("u", r + 2), ...vh.inputs("vh", k + 3) };
        // a GPU takes both factors in the matrix' dtype
        const factor = (values: Float32Array) => (testDevice === "cuda" ? rounded(values, dtype) : values);
        const scaled = factor(Float32Array.from(u.values, (v, i) => v * s[i % r]!));
        const exact = product(scaled, factor(vh.values), m, r, k).map((v, i) => v + w.values[i]!);
        const wide = result("merge", "out", { ...inputs, s, out_dtype: 0 });
        close(t, wide, exact, 2e-6, `${dtype} + ${factors} ${m} × ${k} in fp32`);
        const out = result("merge", "out", { ...inputs, s });
        const once = rounded(wide, dtype);
        if (testDevice === "cpu" || dtype === "F32") same(t, out, once, "the model's dtype: the same, rounded to nearest even");
        else {
          // the library may sum in another order when it writes 16 bits: a unit in the last place of each element, or the order's own error
          const unit = dtype === "F16" ? 2 ** -10 : 2 ** -7;
          const order = 2e-6 * Math.max(...exact.map(Math.abs));
          t.ok(
            once.every((v, i) => Math.abs(out[i]! - v) <= unit * Math.abs(v) + order),
            "the model's dtype: every element the same, or its neighbour",
          );
        }
        same(t, result("merge", "out", { ...inputs, s: new Float32Array(r) }), w.values, "s = 0");
      }
});
