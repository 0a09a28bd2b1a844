// What a model takes in memory, in bytes and by part, from its sizes alone: nothing needs to be loaded to know it.
import type { WeightDtype } from "./model/info.js";
import {
  activationElementsPerToken,
  factorElements,
  kvElementsPerToken,
  type ModelSizes,
  matrixElements,
  PREFILL_CHUNK,
  rankElements,
} from "./model/shapes.js";
import type { DeviceName } from "./runtime/device.js";

export interface MemoryPlanOptions {
  /** Tokens per sequence. Default: the model's context length. */
  contextLength?: number;
  /** Sequences that run at once. Default 1. */
  sequences?: number;
  /** Precision of U and V. Default "F32" for F32 models, else "F16". */
  factorsDtype?: "F16" | "F32";
  /** Also plan for this device, where it can be used. Default: the loaded model's own; before loading none. */
  device?: DeviceName;
}

/** What a plan counts with of a GPU. */
export interface DeviceMemory {
  readonly device: string;
  /** Bytes that could still be had, were the model not there. */
  readonly available: number;
  readonly total: number;
}

/** The plan for a GPU's own memory, where everything but the mapped files lies. */
export interface DevicePlan extends DeviceMemory {
  /** Bytes that must be there: weights, KV cache, activations. */
  readonly needed: number;
  /** … and with factors (else brought over as they are used) and one merged copy (else adapters stay factored). */
  readonly wanted: number;
  readonly fits: boolean;
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
  /** Where the model runs, or would run, on a GPU. */
  readonly device?: DevicePlan;
}

/** The sizes a plan follows from. */
export interface PlanSizes extends ModelSizes {
  readonly contextLength: number;
  readonly dtype: WeightDtype;
  /** Bytes of the checkpoint's files. */
  readonly fileBytes: number;
}

const FLOAT = 4;

/** The plan for these sizes. Pure arithmetic; the engine reports what is really held in report().memory. */
export function planMemory(sizes: PlanSizes, options: MemoryPlanOptions = {}, on?: DeviceMemory): MemoryPlan {
  const { vocabularySize, dtype, matrices } = sizes;
  const { contextLength = sizes.contextLength, sequences = 1 } = options;
  const factorsDtype = options.factorsDtype ?? (dtype === "F32" ? "F32" : "F16");
  const factorBytes = factorsDtype === "F32" ? 4 : 2;
  const weightBytes = dtype === "F32" ? 4 : 2;

  const factors = factorElements(matrices) * factorBytes + rankElements(matrices) * FLOAT;
  const merged = matrixElements(matrices) * weightBytes;
  const kvCache = sequences * contextLength * kvElementsPerToken(sizes) * FLOAT;

  const chunk = Math.min(PREFILL_CHUNK, contextLength * sequences);
  const activations = (chunk * activationElementsPerToken(sizes) + sequences * vocabularySize) * FLOAT;

  const resident = merged + kvCache + activations;
  const needed = sizes.fileBytes + kvCache + activations;
  const device = on && { ...on, needed, wanted: needed + factors + merged, fits: needed <= on.available };
  const total = sizes.fileBytes + factors + resident;
  return { weights: sizes.fileBytes, factors, merged, kvCache, activations, total, resident, ...(device && { device }) };
}
