// The sizes that a memory plan follows from, of a loaded model or of a folder that is not loaded.
import type { PlanSizes } from "../memory-plan.js";
import { findCheckpoint } from "../model/checkpoint.js";
import { type ModelConfig, readModelConfig } from "../model/config.js";
import { matrixShapes, type WeightDtype } from "../model/info.js";
import { countParameters, type LoadedModel, modelFolder } from "./load.js";

export function planSizes({ config, info, fileBytes }: LoadedModel): PlanSizes {
  return { ...sizes(config), contextLength: info.contextLength, dtype: info.dtype, matrices: info.matrices, fileBytes };
}

/** Reads config.json and the sizes of the files. Errors as Transformer2.load. */
export async function planSizesOf(model: string): Promise<PlanSizes> {
  const folder = await modelFolder(model);
  const [config, checkpoint] = await Promise.all([readModelConfig(folder), findCheckpoint(folder)]);
  const matrices = matrixShapes(config);
  const dtype = config.dtype ?? guessDtype(checkpoint.bytes / countParameters(config, matrices));
  return { ...sizes(config), contextLength: config.contextLength, dtype, matrices, fileBytes: checkpoint.bytes };
}

function guessDtype(bytesPerParameter: number): WeightDtype {
  return bytesPerParameter > 3 ? "F32" : "BF16";
}

function sizes({ layers, hiddenSize, intermediateSize, heads, kvHeads, headDim, vocabularySize }: ModelConfig) {
  return { layers, hiddenSize, intermediateSize, heads, kvHeads, headDim, vocabularySize };
}
