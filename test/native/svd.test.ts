// The singular value decomposition against fp64 checks of its own: shapes, conditions, repeated and vanishing singular values, signs, drivers.
import t, { type Test } from "tap";
import { addon } from "../../lib/native.js";
import { type Matrix, Matrix as MatrixOf, normals, operator, Random, testDevice } from "./helpers.js";

const drivers = { auto: 0, gram: 1, gesdd: 2, gesvd: 3, gesvdj: 4, gesvdp: 5 };
const names = ["gram+newton-schulz", "gram", "gesdd", "gesvd", "gesvdj", "gesvdp"];
/** Of the device that the tests run on, beside "gram"; the first is what "auto" falls back to. */
const others = testDevice === "cuda" ? (["gesvd", "gesvdj", "gesvdp"] as const) : (["gesdd", "gesvd"] as const);
const foreign = testDevice === "cuda" ? (["gesdd"] as const) : (["gesvdj", "gesvdp"] as const);

interface Decomposed {
  u: Float32Array;
  vh: Float32Array;
  sigma: Float32Array;
  rank: number;
  residual: number;
  orthogonalityU: number;
  orthogonalityV: number;
  driver: string;
}

function decompose(w: Matrix, driver: keyof typeof drivers = "auto", extra: Record<string, number> = {}): Decomposed {
  const out = operator("svd", { ...w.inputs("w", w.cols + 3), driver: drivers[driver], ...extra });
  const number = (key: string) => out[key]?.[0] as number;
  return {
    u: out.u as Float32Array,
    vh: out.vh as Float32Array,
    sigma: out.sigma as Float32Array,
    rank: number("rank"),
    residual: number("residual"),
    orthogonalityU: number("orthogonality_u"),
    orthogonalityV: number("orthogonality_v"),
    driver: names[number("driver")] as string,
  };
}

/** max |I − m mᵀ| over the rows of m [n, k], in fp64. */
function orthogonality(m: Float32Array, n: number, k: number): number {
  let worst = 0;
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = i === j ? -1 : 0;
      for (let l = 0; l < k; l++) sum += m[i * k + l]! * m[j * k + l]!;
      worst = Math.max(worst, Math.abs(sum));
    }
  return worst;
}

function transposed(m: Float32Array, rows: number, cols: number): Float32Array {
  const out = new Float32Array(m.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = m[i * cols + j]!;
  return out;
}

/** ‖W − U S Vh‖F / ‖W‖F in fp64. */
function residual(w: Matrix, { u, sigma, vh, rank }: Decomposed): number {
  let difference = 0;
  let whole = 0;
  const row = new Float64Array(w.cols);
  for (let i = 0; i < w.rows; i++) {
    row.fill(0);
    for (let l = 0; l < rank; l++) {
      const x = u[i * rank + l]! * sigma[l]!;
      for (let j = 0; j < w.cols; j++) row[j]! += x * vh[l * w.cols + j]!;
    }
    for (let j = 0; j < w.cols; j++) {
      difference += (w.values[i * w.cols + j]! - row[j]!) ** 2;
      whole += w.values[i * w.cols + j]! ** 2;
    }
  }
  return whole > 0 ? Math.sqrt(difference / whole) : Math.sqrt(difference);
}

/** The four promises of every decomposition, and that the library's own numbers are honest about them. */
function sound(t: Test, w: Matrix, d: Decomposed, label: string): void {
  t.equal(d.rank, Math.min(w.rows, w.cols), `${label}: rank`);
  const r = residual(w, d);
  t.ok(r <= 1e-6, `${label}: residual ${r}`);
  const ou = orthogonality(transposed(d.u, w.rows, d.rank), d.rank, w.rows);
  const ov = orthogonality(d.vh, d.rank, w.cols);
  t.ok(ou <= 1e-5, `${label}: orthogonality of U ${ou}`);
  t.ok(ov <= 1e-5, `${label}: orthogonality of V ${ov}`);
  for (const [what, said, is] of [
    ["residual", d.residual, r],
    ["orthogonality of U", d.orthogonalityU, ou],
    ["orthogonality of V", d.orthogonalityV, ov],
  ] as const)
    t.ok(Math.abs(said - is) < 1e-6, `${label}: ${what} said ${said}, is ${is}`);
  t.ok(
    d.sigma.every((s, i) => s >= 0 && (i === 0 || s <= d.sigma[i - 1]!)),
    `${label}: sigma descends`,
  );
  for (let j = 0; j < d.rank; j++) {
    let largest = 0;
    for (let i = 0; i < w.rows; i++) if (Math.abs(d.u[i * d.rank + j]!) > Math.abs(largest)) largest = d.u[i * d.rank + j]!;
    if (!(largest > 0)) t.fail(`${label}: the largest entry of column ${j} of U is ${largest}`);
  }
}

/** `count` orthonormal rows of length n, by Gram–Schmidt done twice. */
function orthonormal(random: Random, count: number, n: number): Float64Array[] {
  const rows: Float64Array[] = [];
  for (let i = 0; i < count; i++) {
    const row = Float64Array.from(normals(random, n));
    for (let pass = 0; pass < 2; pass++)
      for (const other of rows) {
        let p = 0;
        for (let l = 0; l < n; l++) p += row[l]! * other[l]!;
        for (let l = 0; l < n; l++) row[l]! -= p * other[l]!;
      }
    const norm = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
    rows.push(row.map((x) => x / norm));
  }
  return rows;
}

/** A matrix with given singular values (up to its rounding to fp32). */
function withSpectrum(rows: number, cols: number, sigma: number[]): Matrix {
  const random = new Random(7, `spectrum ${rows} ${cols}`);
  const u = orthonormal(random, sigma.length, rows);
  const v = orthonormal(random, sigma.length, cols);
  const w = new Float64Array(rows * cols);
  for (const [l, s] of sigma.entries())
    for (let i = 0; i < rows; i++) {
      const x = u[l]![i]! * s;
      for (let j = 0; j < cols; j++) w[i * cols + j]! += x * v[l]![j]!;
    }
  return new MatrixOf(w, rows, cols);
}

t.test("random matrices of awkward shapes, in every dtype", async (t) => {
  const random = new Random(1, "svd");
  const shapes = [
    ...[1, 2, 7, 130].flatMap((n) => [
      [1, n],
      [n, 1],
    ]),
    ...[
      [2, 2],
      [3, 5],
      [33, 31],
      [64, 64],
      [65, 200],
      [200, 65],
      [131, 131],
      [260, 300],
    ],
  ] as [number, number][];
  for (const [rows, cols] of shapes) {
    const w = MatrixOf.normal(random, rows, cols, "F32", 0.02);
    const d = decompose(w);
    sound(t, w, d, `${rows} × ${cols}`);
    t.equal(d.driver, "gram", `${rows} × ${cols}: no repair is needed`);
  }
  for (const dtype of ["F16", "BF16"] as const) {
    const w = MatrixOf.normal(random, 40, 70, dtype, 0.02);
    sound(t, w, decompose(w), dtype);
  }
});

t.test("condition 1e2 to 1e10, wide and tall", async (t) => {
  for (const exponent of [2, 3, 4, 5, 6, 7, 8, 9, 10]) {
    const sigma = Array.from({ length: 50 }, (_, i) => 10 ** ((-exponent * i) / 49));
    for (const [rows, cols] of [
      [50, 80],
      [80, 50],
    ] as const) {
      const label = `1e${exponent}, ${rows} × ${cols}`;
      const w = withSpectrum(rows, cols, sigma);
      const d = decompose(w);
      sound(t, w, d, label);
      // Rounding W to fp32 moves singular values by up to about 1e-7 of the largest.
      const worst = Math.max(...sigma.map((s, i) => Math.abs(d.sigma[i]! - s)));
      t.ok(worst < 3e-7, `${label}: singular values are right to ${worst}`);
      if (exponent <= 4) t.equal(d.driver, "gram", label);
      if (exponent === 10) t.equal(d.driver, others[0], label);
    }
  }
  const repaired = [6, 6.5, 7].map(
    (e) =>
      decompose(
        withSpectrum(
          50,
          80,
          Array.from({ length: 50 }, (_, i) => 10 ** ((-e * i) / 49)),
        ),
      ).driver,
  );
  t.ok(repaired.includes("gram+newton-schulz"), `Newton–Schulz has work between 1e6 and 1e7: ${repaired}`);
});

t.test("repeated singular values, rank-deficient, zero", async (t) => {
  const groups = Array.from({ length: 60 }, (_, i) => 3 - Math.floor(i / 20));
  for (const [label, w] of [
    ["all equal", withSpectrum(60, 90, new Array<number>(60).fill(1))],
    ["three groups", withSpectrum(90, 60, groups)],
    [
      "identity",
      new MatrixOf(
        Float64Array.from({ length: 400 }, (_, i) => (i % 21 === 0 ? 1 : 0)),
        20,
        20,
      ),
    ],
    [
      "minus identity",
      new MatrixOf(
        Float64Array.from({ length: 400 }, (_, i) => (i % 21 === 0 ? -1 : 0)),
        20,
        20,
      ),
    ],
    ["zero", new MatrixOf(new Float64Array(600), 20, 30)],
    ["one entry", new MatrixOf(Float64Array.of(-3), 1, 1)],
    ["zero 1 × 1", new MatrixOf(Float64Array.of(0), 1, 1)],
  ] as const) {
    sound(t, w, decompose(w), label);
  }
  const full = MatrixOf.normal(new Random(2, "svd"), 40, 70).values;
  for (const [label, rows] of [
    ["repeated rows", [...full.slice(0, 30 * 70), ...full.slice(0, 10 * 70)]],
    ["zero rows", [...full.slice(0, 30 * 70), ...new Float32Array(10 * 70)]],
    ["rank 1", Array.from({ length: 40 * 70 }, (_, i) => full[Math.floor(i / 70)]! * full[1000 + (i % 70)]!)],
  ] as const) {
    const wide = new MatrixOf(rows, 40, 70);
    const d = decompose(wide);
    sound(t, wide, d, label);
    t.ok(d.sigma[39]! <= 1e-6 * d.sigma[0]!, `${label}: the last singular value vanishes`);
    const tall = new MatrixOf(transposed(wide.values, 40, 70), 70, 40);
    sound(t, tall, decompose(tall), `${label}, tall`);
  }
});

t.test("very large and very small entries", async (t) => {
  for (const scale of [1e37, 1e-30]) {
    const w = MatrixOf.normal(new Random(3, "svd"), 30, 50, "F32", scale / 10);
    const d = decompose(w);
    sound(
      t,
      new MatrixOf(
        w.values.map((x) => x / scale),
        30,
        50,
      ),
      { ...d, sigma: d.sigma.map((s) => s / scale) },
      `${scale}`,
    );
  }
});

t.test("drivers agree", async (t) => {
  const w = MatrixOf.normal(new Random(4, "svd"), 90, 60, "F32", 0.1);
  const all = (["gram", ...others] as const).map((driver) => {
    const d = decompose(w, driver);
    t.equal(d.driver, driver);
    sound(t, w, d, driver);
    return d;
  });
  for (const d of all.slice(1))
    for (const key of ["u", "sigma", "vh"] as const) {
      const worst = d[key].reduce((most, x, i) => Math.max(most, Math.abs(x - all[0]![key][i]!)), 0);
      t.ok(worst < 1e-5, `${d.driver}: ${key} differs from the Gram route's by ${worst}`);
    }
  for (const driver of foreign)
    t.throws(() => decompose(w, driver), { code: "ERR_T2_INVALID_OPTION", message: new RegExp(driver) }, `${driver} is another device's`);
});

t.test("every driver, wide and tall, with and without full rank", async (t) => {
  const random = new Random(8, "svd");
  for (const driver of others)
    for (const [rows, cols] of [
      [1, 1],
      [1, 9],
      [9, 1],
      [33, 31],
      [31, 70],
    ] as const) {
      const w = MatrixOf.normal(random, rows, cols);
      sound(t, w, decompose(w, driver), `${driver}, ${rows} × ${cols}`);
      if (rows < 10) continue;
      const deficient = withSpectrum(rows, cols, [3, 2, 1]);
      sound(t, deficient, decompose(deficient, driver), `${driver}, rank 3 of ${rows} × ${cols}`);
    }
});

t.test("neither threads nor neighbours change a bit; factors in F16 are those in F32, rounded", async (t) => {
  // Larger than a tile, and than what dstedc does on the caller's thread.
  const w = MatrixOf.normal(new Random(5, "svd"), 530, 560, "F32", 0.02);
  const one = decompose(w);
  const three = decompose(w, "auto", testDevice === "cuda" ? { copies: 3 } : { threads: 3 });
  for (const key of ["u", "sigma", "vh"] as const) t.ok(Buffer.from(one[key].buffer).equals(Buffer.from(three[key].buffer)), key);
  t.ok(one.residual <= 1e-6 && one.orthogonalityU <= 1e-5 && one.orthogonalityV <= 1e-5);
  const half = decompose(w, "auto", { dtype: 1 });
  t.equal(half.residual, one.residual, "measured before the cast");
  const worst = half.u.reduce((most, x, i) => Math.max(most, Math.abs(x - one.u[i]!)), 0);
  t.ok(worst > 0 && worst < 2 ** -12, `F16 rounds U by up to ${worst}`);
});

t.test("entries that are not finite", async (t) => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    const values = normals(new Random(6, "svd"), 20 * 30);
    values[7 * 30 + 4] = bad;
    t.throws(
      () => addon().operator("svd", { w: values, w_rows: 20, w_cols: 30 }),
      { code: "ERR_T2_INVALID_CHECKPOINT", message: /row 7, column 4/ },
      String(bad),
    );
  }
});

t.test("the Gram route alone refuses what it cannot do", async (t) => {
  t.throws(() => decompose(new MatrixOf(new Float64Array(12), 3, 4), "gram"), {
    code: "ERR_T2_INVALID_OPTION",
    message: new RegExp(`"${others[0]}"`),
  });
});
