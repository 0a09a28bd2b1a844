// What runs where, as plain data: for `t2 doctor`, bug reports and result files.

import type { ModelMemory } from "../../typings/addon.js";
import { factorsFolder } from "../model/paths.js";
import type { DeviceChoice } from "./device.js";
import type { LoadedModel } from "./load.js";

export interface RuntimeReport {
  readonly version: string;
  readonly node: string;
  readonly platform: string;
  readonly device: DeviceChoice;
  /** Kernel variant chosen at run time, e.g. "avx512", or "amx" where products run on Intel's matrix unit. */
  readonly isa: string;
  readonly cores: number;
  /** Threads of the engine. */
  readonly threads: number;
  readonly blas: string;
  readonly compiler: string;
  readonly build: string;
  readonly model: { name: string; path: string; architecture: string; parameters: number; dtype: string; contextLength: number };
  readonly experts: readonly string[];
  readonly factors: {
    /** Root of the cache. */
    cache: string;
    /** Folder of the factors in use; undefined before any matrix was decomposed. */
    folder: string | undefined;
    /** How many matrices have their factors mapped. */
    matrices: number;
  };
  /** Bytes held now; `device` counts what lies in a GPU's own memory. */
  readonly memory: ModelMemory;
}

export function runtimeReport({ addon, model, info, device, threads, experts, weights, options }: LoadedModel): RuntimeReport {
  const { isa, cores, blas, compiler, build } = addon.systemInfo();
  const { name, path, architecture, parameters, dtype, contextLength } = info;
  return {
    version: addon.version,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    device,
    isa,
    cores,
    threads,
    blas,
    compiler,
    build,
    model: { name, path, architecture, parameters, dtype, contextLength },
    experts: experts.names,
    factors: { cache: options.factors ?? factorsFolder(), folder: weights.folder, matrices: weights.decomposed.length },
    memory: addon.modelMemory(model),
  };
}
