// The sizes that a memory plan follows from, of a loaded model or of a folder that is not loaded.
import type { Addon } from "../../typings/addon.js";
import type { DeviceMemory, PlanSizes } from "../memory-plan.js";
import { findCheckpoint } from "../model/checkpoint.js";
import { type ModelConfig, readModelConfig } from "../model/config.js";
import { matrixShapes, type WeightDtype } from "../model/info.js";
import { deviceLabel, probeDevice } from "./device.js";
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

/** The GPU's memory as it would be without the model; undefined on the CPU. */
export function loadedDeviceMemory({ addon, model, device }: LoadedModel): DeviceMemory | undefined {
  if (device.used === "cpu") return undefined;
  const { merged, kv, device: own } = addon.modelMemory(model);
  return { device: deviceLabel(device), available: own.available + own.weights + own.factors + merged + kv, total: own.total };
}

/** The memory of a device that no model is on yet; undefined for the CPU and where there is none. */
export function deviceMemory(addon: Addon, device: string): DeviceMemory | undefined {
  if (device === "cpu") return undefined;
  const probed = probeDevice(addon, device);
  return probed.memory && { device: deviceLabel(probed), ...probed.memory };
}
