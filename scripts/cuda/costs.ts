// FLOPs and bytes of the CUDA backend's operators for a model's shapes, and the time that a card's limits allow for them.
import { type MatrixShape, matrixShapes } from "../../lib/model/info.js";
import type { ModelSizes } from "../../lib/model/shapes.js";

export interface Card {
  readonly name: string;
  /** Device memory, bytes/s. */
  readonly bandwidth: number;
  /** FLOP/s: 16-bit tensor cores with fp32 sums, fp32, and fp64 (tensor cores where there are some). Dense. */
  readonly tensor: number;
  readonly single: number;
  readonly double: number;
  /** Bytes. */
  readonly memory: number;
}

export const cards: readonly Card[] = [
  { name: "H100 SXM", bandwidth: 3.35e12, tensor: 989e12, single: 67e12, double: 67e12, memory: 80e9 },
  { name: "H200", bandwidth: 4.8e12, tensor: 989e12, single: 67e12, double: 67e12, memory: 141e9 },
  { name: "RTX 4090", bandwidth: 1.008e12, tensor: 165e12, single: 82.6e12, double: 1.29e12, memory: 24e9 },
];

/** One operator, or several alike: sums over all its calls. `limits` keeps calls apart, since each has its own bound. */
export interface Work {
  readonly name: string;
  readonly flops: number;
  readonly bytes: number;
  readonly unit: "tensor" | "single" | "double";
}

/** The least time: the larger of computing and moving the bytes. */
export function allowed(card: Card, works: readonly Work[]): number {
  return works.reduce((seconds, work) => seconds + Math.max(work.flops / card[work.unit], work.bytes / card.bandwidth), 0);
}

const sizes = { layers: 32, hiddenSize: 4096, intermediateSize: 14336, heads: 32, kvHeads: 8, headDim: 128, vocabularySize: 128256 };
export const llama8b: ModelSizes = { ...sizes, matrices: matrixShapes(sizes) };

const FLOAT = 4;
const HALF = 2;
/** fp32 operands of attention go through the 16-bit tensor cores as a high and a low part: hi·hi + hi·lo + lo·hi. */
const SPLIT = 3;
/** Up to here the kernel for few rows reads x in fp32; beyond it x is first rounded to the matrix' type. */
const FEW_ROWS = 8;

export type Mode = "base" | "merged" | "factored";

/** y (+)= x wᵀ for n rows. */
function linear(name: string, n: number, rows: number, columns: number, accumulate = false): Work {
  const x = n > FEW_ROWS ? n * columns * (FLOAT + 2 * HALF) : n * columns * FLOAT;
  const bytes = rows * columns * HALF + x + n * rows * FLOAT * (accumulate ? 2 : 1);
  return { name, flops: 2 * n * rows * columns, bytes, unit: "tensor" };
}

/** One matrix for n rows: the dense product, and with factors y += ((x Vhᵀ) ⊙ s) Uᵀ behind it. */
function product(m: MatrixShape, n: number, mode: Mode): Work[] {
  const dense = linear(m.role, n, m.rows, m.columns, m.role === "o" || m.role === "down");
  if (mode !== "factored") return [dense];
  const low = n * m.rank * FLOAT;
  return [
    dense,
    linear(`${m.role}: x Vhᵀ`, n, m.rank, m.columns),
    { name: "scale_rows", flops: n * m.rank, bytes: 2 * low + m.rank * FLOAT, unit: "single" },
    linear(`${m.role}: … Uᵀ`, n, m.rows, m.rank, true),
  ];
}

/** Everything but the products and attention, per row of a layer: norms, rotation, writing the cache, SwiGLU. fp32 in and out. */
function rowWork(s: ModelSizes, n: number): Work {
  const [q, kv] = [s.heads * s.headDim, s.kvHeads * s.headDim];
  const floats = 2 * 2 * s.hiddenSize + 2 * q + 2 * 2 * kv + 3 * s.intermediateSize; // k is read once, and written to the cache only
  return { name: "norms, RoPE, cache, SwiGLU", flops: 4 * n * floats, bytes: n * floats * FLOAT, unit: "single" };
}

/** n rows of new tokens through all layers; `attention` is one layer's. */
function layers(s: ModelSizes, n: number, mode: Mode, attention: Work): Work[] {
  return [...s.matrices.flatMap((m) => product(m, n, mode)), ...repeat(s.layers, rowWork(s, n)), ...repeat(s.layers, attention)];
}

function head(s: ModelSizes, n: number): Work[] {
  return [
    linear("head", n, s.vocabularySize, s.hiddenSize),
    { name: "sample", flops: 4 * n * s.vocabularySize, bytes: n * s.vocabularySize * FLOAT, unit: "single" },
  ];
}

/** One decode step: `batch` sequences of `context` tokens each. */
export function decode(s: ModelSizes, batch: number, context: number, mode: Mode): Work[] {
  const [q, kv] = [s.heads * s.headDim, s.kvHeads * s.headDim];
  const attention: Work = {
    name: "attention",
    flops: 4 * batch * context * q,
    bytes: batch * (context * 2 * kv + 2 * q) * FLOAT,
    unit: "single",
  };
  return [...layers(s, batch, mode, attention), ...head(s, batch)];
}

/** `sequences` prompts of `length` tokens, with the logits of `rows` of their tokens. */
export function prefill(s: ModelSizes, sequences: number, length: number, mode: Mode, rows = sequences): Work[] {
  return [...layers(s, sequences * length, mode, causal(s, sequences, length)), ...head(s, rows)];
}

function causal(s: ModelSizes, sequences: number, length: number, products = 2): Work {
  const [q, kv] = [s.heads * s.headDim, s.kvHeads * s.headDim];
  const pairs = (length * (length + 1)) / 2;
  return {
    name: "attention",
    flops: SPLIT * products * 2 * sequences * pairs * q,
    bytes: products * sequences * length * (q + kv) * FLOAT,
    unit: "tensor",
  };
}

/** W + U diag(s) Vh of all adaptable matrices: A = U diag(s) in 16 bit, then one product that reads W and writes W′. */
export function merge(s: ModelSizes): Work[] {
  return s.matrices.map((m) => ({
    name: "merge",
    flops: 2 * m.rows * m.columns * m.rank,
    bytes: (2 * m.rows * m.columns + 3 * m.rows * m.rank + m.rank * m.columns) * HALF,
    unit: "tensor",
  }));
}

/**
 * One full SVD in fp64 of a matrix with short side r and long side k: Gram matrix 2 r² k, its eigenvectors 9 r³, B = Uᵀ A 2 r² k, the check
 * V Vᵀ 2 r² k. The tridiagonalisation within reads what is left of the matrix at every step: r³ / 3 numbers, of a symmetric one half.
 */
export function svd(r: number, k: number): Work[] {
  return [
    { name: "products", flops: 6 * r * r * k, bytes: 8 * (6 * r * k + 4 * r * r), unit: "double" },
    { name: "eigenvectors", flops: 9 * r ** 3, bytes: (8 * r ** 3) / 3 / 2, unit: "double" },
  ];
}

export function svdOfAll(s: ModelSizes): Work[] {
  return s.matrices.flatMap((m) => svd(m.rank, Math.max(m.rows, m.columns)));
}

/** Tokens of one micro-batch of the gradient. */
export const MICRO_BATCH = 16384;

/** The parts of one policy-gradient step: `sequences` of `prompt` + `completion` tokens, all matrices adapted, layers checkpointed. */
export function trainingStep(s: ModelSizes, sequences: number, prompt: number, completion: number): Record<string, Work[]> {
  const length = prompt + completion;
  const tokens = sequences * length;
  const forward = layers(s, tokens, "merged", causal(s, sequences, length));
  const rollout = [
    ...prefill(s, sequences, prompt, "merged"),
    ...Array.from({ length: completion - 1 }, (_, i) => decode(s, sequences, prompt + i + 1, "merged")).flat(),
  ];
  const dx: Work[] = s.matrices.map((m) => linear(`dx of ${m.role}`, tokens, m.columns, m.rows));
  return {
    "merge W′(z)": merge(s),
    [`rollout: prompts, then ${completion} steps of ${sequences} rows`]: rollout,
    "forward, layer inputs kept": forward,
    "forward of the reference, for the KL": layers(s, tokens, "base", causal(s, sequences, length)),
    "loss: logits of policy and reference in chunks, dlogits · head": [3 * sequences * completion].map((rows) => ({
      name: "loss",
      flops: 2 * rows * s.vocabularySize * s.hiddenSize,
      bytes: rows * s.vocabularySize * 2 * FLOAT,
      unit: "tensor" as const,
    })),
    "layers once more (checkpointing)": forward,
    "backward: input gradients": [...dx, ...repeat(s.layers, causal(s, sequences, length, 5)), ...repeat(2 * s.layers, rowWork(s, tokens))],
    "backward: gradient of z": s.matrices.map((m) => zGradient(m, tokens)),
  };
}

/** Σ_t (g U)[t, i] (x Vhᵀ)[t, i]; or, where that is less, the diagonal of Uᵀ (gᵀ x) Vhᵀ once per micro-batch. */
function zGradient({ rows, columns, rank }: MatrixShape, tokens: number): Work {
  const perToken = 2 * tokens * rank * (rows + columns);
  const batches = Math.ceil(tokens / MICRO_BATCH);
  const perBatch = 2 * tokens * rows * columns + batches * 2 * rank * rows * columns;
  const operands = tokens * (rows + columns) * (FLOAT + 2 * HALF);
  if (perBatch < perToken)
    return { name: "z_gradient", flops: perBatch, bytes: operands + batches * 3 * rows * columns * FLOAT, unit: "tensor" };
  return { name: "z_gradient", flops: perToken, bytes: operands + 4 * tokens * rank * FLOAT, unit: "tensor" };
}

function repeat(count: number, work: Work): Work[] {
  return Array.from({ length: count }, () => work);
}
