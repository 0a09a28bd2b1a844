// What the operator tests share: seeded inputs, matrices in all three dtypes, and comparison with fp64 references.
import type t from "tap";
import type { Test } from "tap";
import { addon } from "../../lib/native.js";
import { Random } from "../../lib/util/random.js";

export type Dtype = "F32" | "F16" | "BF16";
export const dtypes: readonly Dtype[] = ["F32", "F16", "BF16"];
export type Inputs = Record<string, Float32Array | Int32Array | Uint16Array | number>;
export type Numbers = ArrayLike<number>;

/** Sizes that no vector width, tile or block divides. */
export const awkward = [1, 2, 3, 5, 7, 17, 33, 65, 131] as const;

/** One operator on the device of T2_TEST_DEVICE; its results by name. */
export function operator(name: string, inputs: Inputs): Record<string, Float32Array | Float64Array> {
  const results = addon().operator(name, inputs);
  for (const [key, value] of Object.entries(results)) if (typeof value === "number") results[key] = Float64Array.of(value);
  return results as Record<string, Float32Array | Float64Array>;
}

/** One named result of an operator. */
export function result(name: string, key: string, inputs: Inputs): Float32Array | Float64Array {
  const value = operator(name, inputs)[key];
  if (value === undefined) throw new Error(`operator ${name} gave no ${key}`);
  return value;
}

export function normals(random: Random, count: number, scale = 1): Float32Array {
  return Float32Array.from({ length: count }, () => scale * random.normal());
}

const word = new Float32Array(1);
const bits = new Uint32Array(word.buffer);

function bf16Bits(x: number): number {
  word[0] = x;
  const u = bits[0]!;
  return ((u + 0x7fff + ((u >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Round to nearest, ties to even. */
function roundEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

function f16Bits(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const a = Math.abs(x);
  if (a === 0) return sign;
  const exponent = Math.max(-14, Math.floor(Math.log2(a)));
  const units = roundEven(a / 2 ** (exponent - 10)); // 2048 carries into the exponent by itself
  const code = exponent === -14 && units < 1024 ? units : (exponent + 15) * 1024 + (units - 1024);
  return sign | Math.min(code, 0x7c00);
}

function widen(code: number, dtype: Dtype): number {
  if (dtype === "BF16") {
    bits[0] = code << 16;
    return word[0]!;
  }
  const exponent = (code >> 10) & 31;
  const magnitude = exponent === 0 ? (code & 1023) * 2 ** -24 : (1024 + (code & 1023)) * 2 ** (exponent - 25);
  return code & 0x8000 ? -magnitude : magnitude;
}

/** The nearest values that `dtype` holds. */
export function rounded(values: Numbers, dtype: Dtype): Float32Array {
  if (dtype === "F32") return Float32Array.from(values);
  return Float32Array.from(values, (x) => widen(dtype === "BF16" ? bf16Bits(x) : f16Bits(x), dtype));
}

/** A matrix as the operators take it, and the values it holds. */
export class Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: Dtype;
  readonly values: Float32Array;

  constructor(values: Numbers, rows: number, cols: number, dtype: Dtype = "F32") {
    this.rows = rows;
    this.cols = cols;
    this.dtype = dtype;
    this.values = rounded(values, dtype);
  }

  static normal(random: Random, rows: number, cols: number, dtype: Dtype = "F32", scale = 1): Matrix {
    return new Matrix(normals(random, rows * cols, scale), rows, cols, dtype);
  }

  /** The inputs `key`, `key_rows`, `key_cols`, … with rows `stride` apart; what lies between them is NaN. */
  inputs(key: string, stride = this.cols): Inputs {
    const count = this.rows * stride;
    const padded = new Float32Array(count).fill(Number.NaN);
    for (let i = 0; i < this.rows; i++) padded.set(this.values.subarray(i * this.cols, (i + 1) * this.cols), i * stride);
    const shape = { [`${key}_rows`]: this.rows, [`${key}_cols`]: this.cols, [`${key}_stride`]: stride };
    if (this.dtype === "F32") return { ...shape, [key]: padded };
    const nan = this.dtype === "BF16" ? 0x7fc0 : 0x7e00;
    const encode = this.dtype === "BF16" ? bf16Bits : f16Bits;
    const codes = Uint16Array.from(padded, (x) => (Number.isNaN(x) ? nan : encode(x)));
    return { ...shape, [key]: codes, [`${key}_dtype`]: this.dtype === "BF16" ? 2 : 1 };
  }
}

/**
 * x [n, size] as the device's products with a matrix of `dtype` take it. The CPU takes fp32. A GPU rounds: to BF16 plainly, to F16 after
 * a power of two has brought the largest magnitude of each row to [2^14, 2^15).
 */
export function asOperand(x: Numbers, n: number, size: number, dtype: Dtype): Float32Array {
  if (testDevice === "cpu" || dtype !== "F16") return testDevice === "cpu" ? Float32Array.from(x) : rounded(x, dtype);
  const out = new Float32Array(n * size);
  for (let i = 0; i < n; i++) {
    const row = Array.from({ length: size }, (_, j) => x[i * size + j]!);
    const largest = Math.max(...row.map(Math.abs));
    const factor = largest === 0 ? 1 : 2 ** Math.min(126, 14 - Math.floor(Math.log2(largest)));
    const values = rounded(
      row.map((v) => v * factor),
      dtype,
    );
    for (let j = 0; j < size; j++) out[i * size + j] = values[j]! / factor;
  }
  return out;
}

/** [n, size] with rows `stride` apart, NaN between. */
export function strided(values: Numbers, n: number, size: number, stride: number): Float32Array {
  const out = new Float32Array(n * stride).fill(Number.NaN);
  for (let i = 0; i < n; i++) for (let j = 0; j < size; j++) out[i * stride + j] = values[i * size + j]!;
  return out;
}

/** The reverse of `strided`; fails when something was written between the rows. */
export function dense(values: Numbers, n: number, size: number, stride: number): Float64Array {
  const out = new Float64Array(n * size);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < size; j++) out[i * size + j] = values[i * stride + j]!;
    for (let j = size; j < stride; j++) if (!Number.isNaN(values[i * stride + j])) throw new Error(`row ${i}: column ${j} was written`);
  }
  return out;
}

/** a [n, k] · b [k, m] in fp64; either may be given transposed. */
export function product(
  a: Numbers,
  b: Numbers,
  n: number,
  k: number,
  m: number,
  transposed: { a?: boolean; b?: boolean } = {},
): Float64Array {
  const out = new Float64Array(n * m);
  for (let i = 0; i < n; i++)
    for (let l = 0; l < k; l++) {
      const x = transposed.a ? a[l * n + i]! : a[i * k + l]!;
      if (transposed.b) for (let j = 0; j < m; j++) out[i * m + j]! += x * b[j * k + l]!;
      else for (let j = 0; j < m; j++) out[i * m + j]! += x * b[l * m + j]!;
    }
  return out;
}

/** The largest |actual − expected| over the largest |expected|, the latter taken as `floor` at least. */
export function error(actual: Numbers, expected: Numbers, floor = 1e-30): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= worst)) worst = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return worst === 0 ? 0 : worst / Math.max(largest, floor);
}

/** Asserts that `actual` is `expected` up to `tolerance` of its largest element (of `floor`, where that is larger). */
export function close(test: Test | typeof t, actual: Numbers, expected: Numbers, tolerance: number, label: string, floor?: number): void {
  const e = error(actual, expected, floor);
  if (e <= tolerance) test.pass(label);
  else test.fail(`${label}: error ${e.toExponential(2)} > ${tolerance}`);
}

/** Asserts equality of every bit. */
export function same(test: Test | typeof t, actual: Numbers, expected: Numbers, label: string): void {
  const a = Float32Array.from(actual);
  const b = Float32Array.from(expected);
  test.ok(Buffer.from(a.buffer).equals(Buffer.from(b.buffer)), label);
}

/** Asserts that operator calls fail with ERR_T2_INVALID_OPTION instead of touching memory that is not theirs. */
export function refuses(test: Test | typeof t, name: string, inputs: Inputs, label: string): void {
  test.throws(() => addon().operator(name, inputs), { code: "ERR_T2_INVALID_OPTION" }, label);
}

/** The gradient of f at x by central differences in fp64. */
export function differences(f: (x: Float64Array) => number, x: Numbers, step = 1e-5): Float64Array {
  const at = Float64Array.from(x);
  return Float64Array.from(x, (value, i) => {
    at[i] = value + step;
    const above = f(at);
    at[i] = value - step;
    const below = f(at);
    at[i] = value;
    return (above - below) / (2 * step);
  });
}

export function dot(a: Numbers, b: Numbers): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** The device that operator() runs on. */
export const testDevice: "cpu" | "cuda" = process.env.T2_TEST_DEVICE === "cuda" ? "cuda" : "cpu";

export { Random };
