// Single operators on random inputs, each result checked against another way to compute it before it is timed.
import { addon } from "../lib/native.js";
import { Random } from "../lib/util/random.js";
import { quantiles, type Row } from "./table.js";

export interface Limits {
  threads: number;
  /** bytes/s */
  read: number;
  /** FLOP/s */
  sgemm: number;
}

const random = new Random(1);
function floats(count: number): Float32Array {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = random.float() - 0.5;
  return out;
}
function bf16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer);
  return Uint16Array.from(words, (w) => w >>> 16);
}

type Inputs = Parameters<ReturnType<typeof addon>["operator"]>[1];
function run(name: string, inputs: Inputs): { seconds: number[]; result: Record<string, unknown> } {
  const result = addon().operator(name, inputs);
  const all = [...(result.milliseconds as Float64Array)].map((ms) => ms / 1e3);
  return { seconds: all.length > 1 ? all.slice(1) : all, result };
}

function assertClose(what: string, got: Float32Array, want: Float32Array, tolerance: number): void {
  let error = 0;
  let scale = 0;
  for (let i = 0; i < want.length; i++) {
    error = Math.max(error, Math.abs((got[i] ?? Number.NaN) - (want[i] ?? 0)));
    scale = Math.max(scale, Math.abs(want[i] ?? 0));
  }
  if (!(error <= tolerance * scale))
    throw new Error(`${what}: the result is wrong by ${error} (largest value ${scale}), so it is not timed.`);
}

export function measureLimits(threads: number): { limits: Limits; rows: Row[] } {
  const read = run("read_memory", { megabytes: 512, threads, repeat: 6 });
  const m = 1024;
  const gemm = run("sgemm", { m, n: m, k: m, a: floats(m * m), b: floats(m * m), threads, repeat: 6 });
  const bytes = 512 * 2 ** 20;
  const r = quantiles(read.seconds);
  const g = quantiles(gemm.seconds);
  const limits = { threads, read: bytes / r.least, sgemm: (2 * m ** 3) / g.least };
  return {
    limits,
    rows: [
      { group: "limits", name: "read memory", size: "512 MiB", ...r, rate: { value: limits.read / 1e9, unit: "GB/s" } },
      { group: "limits", name: "sgemm (OpenBLAS)", size: "1024 × 1024 × 1024", ...g, rate: { value: limits.sgemm / 1e9, unit: "GFLOP/s" } },
    ],
  };
}

export function* linearCases(limits: Limits): Generator<Row> {
  const [m, k] = [1536, 576];
  const w = floats(m * k);
  const stored = bf16(w);
  const exact = Float32Array.from(stored, (h) => new Float32Array(Uint32Array.of(h << 16).buffer)[0] ?? 0);
  for (const n of [1, 8, 32, 512]) {
    const x = floats(n * k);
    const shape = { n, threads: limits.threads, repeat: n > 64 ? 11 : 101 };
    const { seconds, result } = run("linear", { ...shape, x, w: stored, w_rows: m, w_cols: k, w_dtype: 2 });
    const check = run("sgemm", { m: n, n: m, k, a: x, b: exact, threads: 1 });
    assertClose("linear", result.y as Float32Array, check.result.c as Float32Array, 1e-5);
    const q = quantiles(seconds);
    const flops = (2 * m * n * k) / q.median;
    yield {
      group: "operators",
      name: "linear, BF16 weights",
      size: `${n} tokens, ${m} × ${k}`,
      ...q,
      rate: { value: flops / 1e9, unit: "GFLOP/s" },
      ofLimit: flops / limits.sgemm,
    };
  }
}

export function* mergeCases(limits: Limits): Generator<Row> {
  for (const [m, k] of [
    [576, 576],
    [1536, 576],
    [2048, 2048],
  ] as const) {
    const r = Math.min(m, k);
    const inputs = {
      w: bf16(floats(m * k)),
      w_rows: m,
      w_cols: k,
      w_dtype: 2,
      u: floats(m * r),
      u_rows: m,
      u_cols: r,
      vh: floats(r * k),
      vh_rows: r,
      vh_cols: k,
      s: floats(r),
      out_dtype: 2,
      threads: limits.threads,
      repeat: 11,
    };
    const { seconds } = run("merge", inputs);
    const q = quantiles(seconds);
    const flops = (2 * m * k * r) / q.median;
    yield {
      group: "operators",
      name: "merge W′(z)",
      size: `${m} × ${k}`,
      ...q,
      rate: { value: flops / 1e9, unit: "GFLOP/s" },
      ofLimit: flops / limits.sgemm,
    };
  }
}

export function* svdCases(limits: Limits, quick: boolean): Generator<Row> {
  const sizes = quick
    ? ([[576, 576]] as const)
    : ([
        [576, 576],
        [1024, 4096],
        [2048, 2048],
      ] as const);
  for (const [rows, cols] of sizes) {
    const w = floats(rows * cols);
    const repeat = rows >= 1024 ? 2 : 4;
    const ours = run("svd", { w, w_rows: rows, w_cols: cols, threads: limits.threads, repeat });
    const residual = Number((ours.result as { residual: number }).residual);
    if (!(residual <= 1e-6)) throw new Error(`SVD of ${rows} × ${cols}: residual ${residual}`);
    const lapack = run("sgesdd", { w, rows, cols, threads: limits.threads, repeat });
    const [a, b] = [quantiles(ours.seconds), quantiles(lapack.seconds)];
    yield {
      group: "svd",
      name: "SVD",
      size: `${rows} × ${cols}`,
      ...a,
      against: `${(b.median / a.median).toFixed(2)}× LAPACK sgesdd (${b.median.toFixed(2)} s)`,
    };
  }
}
