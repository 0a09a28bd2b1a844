// Element-wise operators on vectors against fp64: mixtures, sums, changes of dtype, and the optimiser's step.
import t from "tap";
import { close, dtypes, type Inputs, Matrix, normals, operator, Random, refuses, result, rounded, same } from "./helpers.js";

const sizes = [1, 3, 4, 31, 1000, 1001, 40_003] as const;

t.test("mix: base + Σ weight (vector − base)", async (t) => {
  const random = new Random(5, "mix");
  for (const n of sizes)
    for (const count of [0, 1, 2, 5])
      for (const base of [0, 1]) {
        const vectors = Array.from({ length: count }, () => normals(random, n));
        const weights = normals(random, count);
        const inputs: Inputs = { n, weights, base };
        for (const [k, vector] of vectors.entries()) inputs[k ? `v${k}` : "v"] = vector;
        const expected = Float64Array.from({ length: n }, (_, i) =>
          vectors.reduce((sum, v, k) => sum + weights[k]! * (v[i]! - base), base),
        );
        close(t, result("mix", "out", inputs), expected, 1e-6, `${count} vectors of ${n} around ${base}`);
      }
  const v = normals(random, 33);
  same(t, result("mix", "out", { n: 33, v, weights: Float32Array.of(1), base: 0 }), v, "one vector of weight 1 around 0 is itself");
  refuses(t, "mix", { n: 3, v: new Float32Array(3), v1: new Float32Array(3), weights: new Float32Array(1), base: 1 }, "too few weights");
});

t.test("axpy: y + a x", async (t) => {
  const random = new Random(5, "axpy");
  for (const n of sizes) {
    const x = normals(random, n);
    const y = normals(random, n);
    const expected = Float64Array.from(y, (v, i) => v - 0.37 * x[i]!);
    close(t, result("axpy", "y", { n, a: -0.37, x, y }), expected, 1e-6, `${n} elements`);
    same(t, result("axpy", "y", { n, a: 0, x, y }), y, "a = 0");
  }
  refuses(t, "axpy", { n: 3, a: 1, x: new Float32Array(2), y: new Float32Array(3) }, "a short x");
});

t.test("cast: every pair of dtypes, rounded to nearest even", async (t) => {
  const random = new Random(5, "cast");
  const special = [
    0,
    1,
    -1,
    1 + 2 ** -8,
    1 + 3 * 2 ** -8,
    1 + 2 ** -11,
    1 + 3 * 2 ** -11,
    57_344,
    2 ** -14,
    2 ** -24,
    1.5 * 2 ** -24,
    3e-6,
  ];
  for (const from of dtypes)
    for (const to of dtypes)
      for (const n of [1, 3, 4, 12, 513, 4096, 40_003]) {
        const values = normals(random, n, 100);
        values.set(special.slice(0, n));
        const x = new Matrix(values, 1, n, from);
        const out = result("cast", "out", { ...x.inputs("x"), to: dtypes.indexOf(to) });
        same(t, out, rounded(x.values, to), `${from} to ${to}: ${n} elements`);
      }
});

t.test("adamw: decoupled decay, corrected moments, over several steps", async (t) => {
  const random = new Random(5, "adamw");
  const settings = { learning_rate: 2e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
  for (const n of sizes.slice(0, 6)) {
    let p = normals(random, n);
    let m: Float32Array = new Float32Array(n);
    let v: Float32Array = new Float32Array(n);
    const exact = { p: Float64Array.from(p), m: new Float64Array(n), v: new Float64Array(n) };
    for (let step = 1; step <= 3; step++) {
      const gradient = normals(random, n, 10 ** -step);
      const results = operator("adamw", { n, p, gradient, m, v, ...settings, step });
      [p, m, v] = [results["p"], results["m"], results["v"]] as [Float32Array, Float32Array, Float32Array];
      for (let i = 0; i < n; i++) {
        exact.m[i] = settings.beta1 * exact.m[i]! + (1 - settings.beta1) * gradient[i]!;
        exact.v[i] = settings.beta2 * exact.v[i]! + (1 - settings.beta2) * gradient[i]! ** 2;
        const mean = exact.m[i]! / (1 - settings.beta1 ** step);
        const square = exact.v[i]! / (1 - settings.beta2 ** step);
        exact.p[i]! -= settings.learning_rate * (mean / (Math.sqrt(square) + settings.eps) + settings.weight_decay * exact.p[i]!);
      }
      for (const [name, actual, expected] of [
        ["p", p, exact.p],
        ["m", m, exact.m],
        ["v", v, exact.v],
      ] as const)
        close(t, actual, expected, 2e-6, `${name} of ${n} after step ${step}`);
    }
  }
  const p = normals(random, 5);
  const still = operator("adamw", {
    ...{ n: 5, p, gradient: new Float32Array(5), m: new Float32Array(5), v: new Float32Array(5), step: 1 },
    ...{ ...settings, weight_decay: 0 },
  });
  same(t, still["p"]!, p, "no gradient, no decay: nothing moves");
});
