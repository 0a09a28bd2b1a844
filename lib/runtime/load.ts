// A model folder opened: files found and read, weights mapped by the engine, experts loaded and checked.
import { stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, resolve } from "node:path";
import type { Addon, ModelHandle } from "../../typings/addon.js";
import { invalidOption, Transformer2Error } from "../errors.js";
import { ExpertSet } from "../experts.js";
import { findCheckpoint } from "../model/checkpoint.js";
import { type ModelConfig, readModelConfig } from "../model/config.js";
import { type MatrixShape, type ModelInfo, matrixShapes } from "../model/info.js";
import { embeddingElements, matrixElements, normElements } from "../model/shapes.js";
import { Tokenizer } from "../model/tokenizer.js";
import type { Expert } from "../svf/expert.js";
import type { Progress } from "../types.js";
import { Adapters } from "./adapters.js";
import { type DeviceChoice, type DeviceName, deviceLabel, openOnDevice } from "./device.js";
import { type Job, Lifetime } from "./lifetime.js";
import { Weights } from "./weights.js";

/** How a model is opened. */
export interface OpenModelOptions {
  /**
   * Default "auto": a GPU where one can be used and holds the model, else the CPU; report().device says what was tried. "cuda" (the first
   * GPU) and "cuda:N" do not fall back.
   */
  device?: DeviceName;
  /** Folder to look for NVIDIA's libraries (cuBLASLt, cuSOLVER) in first. Default $T2_CUDA_PATH, then the usual places. */
  cudaPath?: string;
  /** Expert files, or names of files in <model>/experts (without .safetensors), or experts. Default none. */
  experts?: readonly (string | Expert)[];
  /** How adapters are applied, unless a call says otherwise. Default "auto": what is fastest for the batch. */
  mode?: "auto" | "merged" | "factored";
  /** Folder of the factor cache. Default $T2_CACHE/factors, else factors in the user's cache folder for transformer2. */
  factors?: string;
  /** Threads of the engine, 1 to 1024. Default: as many as the process may use. */
  maxThreads?: number;
  /** Bytes for KV cache, activations and merged weights together. Default: no cap. */
  maxMemory?: number;
  /** Tokens of prompt and answer together. Default and at most: the model's own. */
  contextLength?: number;
  /** Default false: fastest. True: results do not depend on what else is in the batch, bit for bit. */
  deterministic?: boolean;
  /** Default true: every weight is read once, so that NaN and infinities are an error now and not wrong answers later. */
  checkWeights?: boolean;
  signal?: AbortSignal;
  /** Phases "load" and "experts". */
  onProgress?: (p: Progress) => void;
}

/** Everything a Transformer2 works with. */
export interface LoadedModel {
  readonly addon: Addon;
  readonly model: ModelHandle;
  readonly lifetime: Lifetime;
  readonly info: ModelInfo;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly weights: Weights;
  readonly experts: ExpertSet;
  readonly adapters: Adapters;
  readonly options: OpenModelOptions;
  readonly fileBytes: number;
  readonly device: DeviceChoice;
  readonly threads: number;
}

/** The folder of a model. Throws `ERR_T2_MODEL_NOT_FOUND`, and `ERR_T2_INVALID_OPTION` unless it is a text. */
export async function modelFolder(model: string): Promise<string> {
  if (typeof model !== "string" || model === "") throw invalidOption("model", "the path of a model folder", model);
  const folder = resolve(model);
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory()) return folder;
  const isHubId = /^[\w.-]+\/[\w.-]+$/.test(model);
  const what = found ? `"${model}" is a file; give the folder it lies in` : `There is no model folder "${model}"`;
  const hint = isHubId
    ? ` If it is meant as a hub id: this version does not download models; get it with "hf download ${model} --local-dir FOLDER" and give the folder.`
    : "";
  throw new Transformer2Error("ERR_T2_MODEL_NOT_FOUND", `${what}.${hint}`, { detail: { model, path: folder } });
}

/** Opens a model. Errors as Transformer2.load. */
export async function loadModel(addon: Addon, model: string, options: OpenModelOptions): Promise<LoadedModel> {
  const lifetime = new Lifetime(addon);
  return lifetime.run("load()", options.signal, async (job) => {
    const folder = await modelFolder(model);
    const [config, checkpoint, tokenizer] = await Promise.all([readModelConfig(folder), findCheckpoint(folder), Tokenizer.load(folder)]);
    job.check();
    const contextLength = contextOf(config, options.contextLength);
    const threads = options.maxThreads ?? availableParallelism();
    const { onProgress } = options;
    const { opened: handle, choice } = await openOnDevice(options, (where) =>
      open(addon, job, () =>
        addon.modelOpen(
          { ...specOf(config), files: [...checkpoint.files], contextLength },
          {
            threads,
            maxMemory: options.maxMemory ?? 0,
            deterministic: options.deterministic ?? false,
            checkWeights: options.checkWeights ?? true,
            device: where,
          },
          job.token,
          onProgress ? (done, total, detail) => onProgress({ phase: "load", done, total, detail }) : null,
        ),
      ),
    );
    try {
      const device = { ...choice, description: JSON.parse(addon.modelDevice(handle)) as Record<string, unknown> };
      const info = infoOf(folder, config, contextLength, addon, handle, device);
      const weights = new Weights(addon, handle, info, options.factors);
      const experts = new ExpertSet({
        path: folder,
        check: (expert, signal) => lifetime.run("experts.add()", signal, (inner) => weights.checkExpert(expert, inner)),
      });
      const names = options.experts ?? [];
      for (const [index, expert] of names.entries()) {
        onProgress?.({ phase: "experts", done: index, total: names.length, detail: typeof expert === "string" ? expert : expert.name });
        await experts.add(expert, { signal: job.signal });
      }
      job.check();
      const adapters = new Adapters(addon, handle, { info, experts, weights });
      const rest = { options, fileBytes: checkpoint.bytes, device, threads };
      return { addon, model: handle, lifetime, info, config, tokenizer, weights, experts, adapters, ...rest };
    } catch (error) {
      await addon.modelClose(handle);
      throw error;
    }
  });
}

/** A model that finishes opening after its job was stopped has nobody to close it. */
async function open(addon: Addon, job: Job, start: () => Promise<ModelHandle>): Promise<ModelHandle> {
  const handle = await start();
  try {
    job.check();
  } catch (error) {
    await addon.modelClose(handle);
    throw error;
  }
  return handle;
}

export function contextOf(config: ModelConfig, asked: number | undefined): number {
  if (asked === undefined) return config.contextLength;
  if (asked <= config.contextLength) return asked;
  throw invalidOption("contextLength", `at most ${config.contextLength}, the model's own`, asked);
}

/** What the native core wants of a configuration, without what only TypeScript uses. */
function specOf(config: ModelConfig) {
  const { modelType: _type, architecture: _architecture, bosTokenId: _bos, eosTokenIds: _eos, dtype: _dtype, ...spec } = config;
  return spec;
}

function infoOf(
  folder: string,
  config: ModelConfig,
  contextLength: number,
  addon: Addon,
  handle: ModelHandle,
  device: DeviceChoice,
): ModelInfo {
  const matrices = matrixShapes(config);
  const [first] = addon.modelMatrices(handle);
  return {
    name: basename(folder),
    path: folder,
    architecture: config.architecture,
    parameters: countParameters(config, matrices),
    layers: config.layers,
    hiddenSize: config.hiddenSize,
    vocabularySize: config.vocabularySize,
    contextLength,
    // As stored: config.json may say something else.
    dtype: first?.dtype ?? config.dtype ?? "F32",
    device: deviceLabel(device),
    matrices,
  };
}

export function countParameters(config: ModelConfig, matrices: readonly MatrixShape[]): number {
  const sizes = { ...config, matrices };
  return embeddingElements(sizes, config.tiedHead) + normElements(sizes) + matrixElements(matrices);
}
