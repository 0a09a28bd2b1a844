// The raw addon on a model of random weights, for tests below lib/: handles, promises and errors as the addon gives them.
import { join } from "node:path";
import { findCheckpoint } from "../../lib/model/checkpoint.js";
import { readModelConfig } from "../../lib/model/config.js";
import { addon } from "../../lib/native.js";
import { type FactorEntry, writeFactorFile } from "../../lib/svf/factor-file.js";
import type { DecomposedMatrix, GenerateRow, ModelHandle, ModelSpec, OpenOptions } from "../../typings/addon.js";

export const openOptions: OpenOptions = { threads: 1, maxMemory: 0, deterministic: false, checkWeights: true, device: { kind: "cpu" } };

export async function specOf(folder: string): Promise<ModelSpec> {
  const [config, checkpoint] = await Promise.all([readModelConfig(folder), findCheckpoint(folder)]);
  return { ...config, files: [...checkpoint.files] };
}

export async function openModel(folder: string, options: Partial<OpenOptions> = {}): Promise<ModelHandle> {
  return addon().modelOpen(await specOf(folder), { ...openOptions, ...options }, null, null);
}

/** Decomposes the named matrices into `folder` and attaches the files. */
export async function attachFactors(model: ModelHandle, folder: string, names: string[]): Promise<DecomposedMatrix[]> {
  const matrices: DecomposedMatrix[] = [];
  await addon().decompose(model, names, { dtype: "F32", driver: "auto" }, null, (matrix) => matrices.push(matrix));
  const files: { name: string; path: string }[] = [];
  for (const matrix of matrices) {
    const path = join(folder, `${matrix.name}.safetensors`);
    const entry: Omit<FactorEntry, "bytes" | "modified"> = await writeFactorFile(path, matrix);
    files.push({ name: entry.name, path });
  }
  await addon().factorsAttach(model, files);
  return matrices;
}

/** A greedy row; `change` says what is different. */
export function greedyRow(tokens: number[], change: Partial<GenerateRow> = {}): GenerateRow {
  return {
    tokens: Int32Array.from(tokens),
    n: 1,
    adapter: null,
    maxTokens: 8,
    temperature: 0,
    topK: 0,
    topP: 1,
    minP: 0,
    repetitionPenalty: 1,
    seed: 0,
    sequence: 0,
    stopIds: new Int32Array(0),
    logprobs: false,
    stream: true,
    ...change,
  };
}
