// What a model of given sizes holds, counted in elements: the one table behind memory plans and the performance page of the GPU.
import type { MatrixShape, MatrixSizes } from "./info.js";

export interface ModelSizes extends MatrixSizes {
  readonly vocabularySize: number;
  readonly matrices: readonly MatrixShape[];
}

/** Tokens the engine takes through the layers at once. */
export const PREFILL_CHUNK = 512;

/** Elements of the adaptable matrices: of the weights as stored, or of one merged copy. */
export function matrixElements(matrices: readonly MatrixShape[]): number {
  return sum(matrices, (m) => m.rows * m.columns);
}

/** Elements of U and V of the adaptable matrices. */
export function factorElements(matrices: readonly MatrixShape[]): number {
  return sum(matrices, (m) => (m.rows + m.columns) * m.rank);
}

/** Singular values of the adaptable matrices, as many as one expert has numbers. */
export function rankElements(matrices: readonly MatrixShape[]): number {
  return sum(matrices, (m) => m.rank);
}

/** Elements of the embedding, and of the head where that is a matrix of its own. */
export function embeddingElements({ vocabularySize, hiddenSize }: ModelSizes, tiedHead: boolean): number {
  return vocabularySize * hiddenSize * (tiedHead ? 1 : 2);
}

/** Elements of all norms: two per layer and the last one. */
export function normElements({ layers, hiddenSize }: ModelSizes): number {
  return (2 * layers + 1) * hiddenSize;
}

/** Keys and values that one token leaves in the cache. */
export function kvElementsPerToken({ layers, kvHeads, headDim }: ModelSizes): number {
  return layers * 2 * kvHeads * headDim;
}

/** Working memory per token of a chunk: residual stream, its norm, the block's output; q, k, v, the attention's output; gate, up, product. */
export function activationElementsPerToken({ hiddenSize, heads, kvHeads, headDim, intermediateSize }: ModelSizes): number {
  return 3 * hiddenSize + (2 * heads + 2 * kvHeads) * headDim + 3 * intermediateSize;
}

/** What one layer keeps of a token for the backward pass: its input, q, k, v, the attention's output and log-sum-exp, x1, gate, up. */
export function savedElementsPerToken({ hiddenSize, heads, kvHeads, headDim, intermediateSize }: ModelSizes): number {
  return 2 * hiddenSize + 2 * (heads + kvHeads) * headDim + heads + 2 * intermediateSize;
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += value(item);
  return total;
}
