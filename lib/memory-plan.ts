// What a model takes in memory, in bytes and by part, from its sizes alone: nothing needs to be loaded to know it.
import type { MatrixShape, WeightDtype } from "./model/info.js";

export interface MemoryPlanOptions {
  /** Tokens per sequence. Default: the model's context length. */
  contextLength?: number;
  /** Sequences that run at once. Default 1. */
  sequences?: number;
  /** Precision of U and V. Default "F32" for F32 models, else "F16". */
  factorsDtype?: "F16" | "F32";
}

/** Bytes by part. `total` is all of them; `resident` leaves out what is mapped from files, which the system may drop and read again. */
export interface MemoryPlan {
  /** The checkpoint, memory-mapped: shared by all models and threads of the machine that use the same files. */
  readonly weights: number;
  /** U, sigma and V of the adaptable matrices, memory-mapped; 0 bytes of it are touched until an expert is used. */
  readonly factors: number;
  /** One merged copy of the adaptable matrices, made when one adapter is used for many tokens. */
  readonly merged: number;
  /** Keys and values of all sequences at full length, fp32. */
  readonly kvCache: number;
  /** Working memory of one prefill chunk, fp32. */
  readonly activations: number;
  readonly total: number;
  readonly resident: number;
}

/** The sizes a plan follows from. */
export interface PlanSizes {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly dtype: WeightDtype;
  readonly matrices: readonly MatrixShape[];
  /** Bytes of the checkpoint's files. */
  readonly fileBytes: number;
}

const FLOAT = 4;
/** Tokens the engine takes through the layers at once. */
const PREFILL_CHUNK = 512;

/** The plan for these sizes. Pure arithmetic; the engine reports what is really held in report().memory. */
export function planMemory(sizes: PlanSizes, options: MemoryPlanOptions = {}): MemoryPlan {
  const { layers, hiddenSize, intermediateSize, heads, kvHeads, headDim, vocabularySize, dtype, matrices } = sizes;
  const { contextLength = sizes.contextLength, sequences = 1 } = options;
  const factorsDtype = options.factorsDtype ?? (dtype === "F32" ? "F32" : "F16");
  const factorBytes = factorsDtype === "F32" ? 4 : 2;
  const weightBytes = dtype === "F32" ? 4 : 2;

  const factors = sum(matrices, (m) => (m.rows + m.columns) * m.rank * factorBytes + m.rank * FLOAT);
  const merged = sum(matrices, (m) => m.rows * m.columns * weightBytes);
  const kvCache = sequences * contextLength * layers * 2 * kvHeads * headDim * FLOAT;

  const chunk = Math.min(PREFILL_CHUNK, contextLength * sequences);
  // Per token: residual stream, its norm and the block's output; q, k, v and the attention's output; gate, up and their product.
  const perToken = 3 * hiddenSize + (2 * heads + 2 * kvHeads) * headDim + 3 * intermediateSize;
  const activations = (chunk * perToken + sequences * vocabularySize) * FLOAT;

  const resident = merged + kvCache + activations;
  return { weights: sizes.fileBytes, factors, merged, kvCache, activations, total: sizes.fileBytes + factors + resident, resident };
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += value(item);
  return total;
}
