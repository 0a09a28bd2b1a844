// Single operators on random inputs, each result checked against another way to compute it before it is timed.
import { addon } from "../lib/native.js";
import { Random } from "../lib/util/random.js";
import { quantiles, type Row } from "./table.js";

/** What the device itself can do, measured in the same run. */
export interface Limits {
  device: "cpu" | "cuda";
  threads: number;
  /** bytes/s */
  read: number;
  /** FLOP/s: of sgemm on a CPU, of a large product with BF16 weights on a GPU. */
  flops: number;
}

/** The share of the device's limit that `seconds` for this work is. */
export function share(limits: Limits, seconds: number, flops: number, bytes = 0): number {
  return Math.max(flops / limits.flops, bytes / limits.read) / seconds;
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

function widened(codes: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(codes, (code) => code << 16).buffer);
}

type Inputs = Parameters<ReturnType<typeof addon>["operator"]>[1];
function run(name: string, inputs: Inputs): { seconds: number[]; result: Record<string, unknown> } {
  const result = addon().operator(name, inputs);
  const all = [...(result.milliseconds as Float64Array)].map((ms) => ms / 1e3);
  return { seconds: all.length > 1 ? all.slice(1) : all, result };
}

/** Entries of y = x wᵀ, picked at random, against the sum in fp64. */
function assertProduct(what: string, y: Float32Array, x: Float32Array, w: Float32Array, n: number, m: number, k: number): void {
  for (let turn = 0; turn < 256; turn++) {
    const [i, j] = [random.int(n), random.int(m)];
    let sum = 0;
    let size = 0;
    for (let l = 0; l < k; l++) {
      const term = (x[i * k + l] ?? 0) * (w[j * k + l] ?? 0);
      sum += term;
      size += Math.abs(term);
    }
    const error = Math.abs((y[i * m + j] ?? Number.NaN) - sum);
    if (!(error <= 1e-5 * size)) throw new Error(`${what}: y[${i}, ${j}] is wrong by ${error}, so it is not timed.`);
  }
}

export function measureLimits(device: Limits["device"], threads: number, quick: boolean): { limits: Limits; rows: Row[] } {
  return device === "cpu" ? cpuLimits(threads) : gpuLimits(threads, quick);
}

function cpuLimits(threads: number): { limits: Limits; rows: Row[] } {
  const read = run("read_memory", { megabytes: 512, threads, repeat: 6 });
  const m = 1024;
  const gemm = run("sgemm", { m, n: m, k: m, a: floats(m * m), b: floats(m * m), threads, repeat: 6 });
  const bytes = 512 * 2 ** 20;
  const r = quantiles(read.seconds);
  const g = quantiles(gemm.seconds);
  const limits: Limits = { device: "cpu", threads, read: bytes / r.least, flops: (2 * m ** 3) / g.least };
  return { limits, rows: limitRows(limits, ["read memory", "512 MiB", r], ["sgemm (OpenBLAS)", `${m} × ${m} × ${m}`, g]) };
}

/** y += a x over vectors larger than any cache reads two of them and writes one; a product large enough to keep all tensor cores busy. */
function gpuLimits(threads: number, quick: boolean): { limits: Limits; rows: Row[] } {
  const n = 2 ** (quick ? 20 : 26);
  const r = quantiles(run("axpy", { n, a: 0.5, x: floats(n), y: floats(n), repeat: 11 }).seconds);
  const m = quick ? 512 : 8192;
  const weights = { w: bf16(floats(m * m)), w_rows: m, w_cols: m, w_dtype: 2 };
  const g = quantiles(run("linear", { n: m, x: floats(m * m), ...weights, repeat: 11 }).seconds);
  const limits: Limits = { device: "cuda", threads, read: (12 * n) / r.least, flops: (2 * m ** 3) / g.least };
  return {
    limits,
    rows: limitRows(limits, ["memory (axpy)", `${(12 * n) / 2 ** 20} MiB`, r], ["product, BF16 weights", `${m} × ${m} × ${m}`, g]),
  };
}

type Measured = readonly [name: string, size: string, seconds: ReturnType<typeof quantiles>];

function limitRows({ read, flops }: Limits, memory: Measured, product: Measured): Row[] {
  return [
    { group: "limits", name: memory[0], size: memory[1], ...memory[2], rate: { value: read / 1e9, unit: "GB/s" } },
    { group: "limits", name: product[0], size: product[1], ...product[2], rate: { value: flops / 1e9, unit: "GFLOP/s" } },
  ];
}

export function* linearCases(limits: Limits): Generator<Row> {
  const [m, k] = [1536, 576];
  const w = floats(m * k);
  const stored = bf16(w);
  const exact = widened(stored);
  for (const n of [1, 8, 32, 512]) {
    const x = widened(bf16(floats(n * k))); // so that a device which rounds x to the weights' type changes nothing
    const shape = { n, threads: limits.threads, repeat: n > 64 ? 11 : 101 };
    const { seconds, result } = run("linear", { ...shape, x, w: stored, w_rows: m, w_cols: k, w_dtype: 2 });
    assertProduct("linear", result.y as Float32Array, x, exact, n, m, k);
    const q = quantiles(seconds);
    const flops = 2 * m * n * k;
    yield {
      group: "operators",
      name: "linear, BF16 weights",
      size: `${n} tokens, ${m} × ${k}`,
      ...q,
      rate: { value: flops / q.median / 1e9, unit: "GFLOP/s" },
      ofLimit: share(limits, q.median, flops), // not of memory: these matrices stay in the cache
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
    const flops = 2 * m * k * r;
    yield {
      group: "operators",
      name: "merge W′(z)",
      size: `${m} × ${k}`,
      ...q,
      rate: { value: flops / q.median / 1e9, unit: "GFLOP/s" },
      ofLimit: share(limits, q.median, flops),
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
    const row: Row = { group: "svd", name: "SVD", size: `${rows} × ${cols}`, ...quantiles(ours.seconds) };
    if (limits.device === "cpu") {
      const { median } = quantiles(run("sgesdd", { w, rows, cols, threads: limits.threads, repeat }).seconds);
      row.against = `${(median / row.median).toFixed(2)}× LAPACK sgesdd (${median.toFixed(2)} s)`;
    }
    yield row;
  }
}
