// Adapters of calls as native handles: resolved to z vectors, their factors made sure of, and kept by the vectors' hash, so that equal
// weights are one adapter to the engine however they were written.
import type { AdapterHandle, Addon, ModelHandle } from "../../typings/addon.js";
import type { Adapter } from "../engine.js";
import type { ExpertSet } from "../experts.js";
import type { ModelInfo } from "../model/info.js";
import { Expert } from "../svf/expert.js";
import { resolveAdapter } from "../svf/mixture.js";
import type { Job } from "./lifetime.js";
import type { Weights } from "./weights.js";

export interface UsedAdapter {
  /** "base", the expert's name, or the mixture written out. */
  readonly name: string;
  /** Null: the base weights. */
  readonly handle: AdapterHandle | null;
}

const base: UsedAdapter = { name: "base", handle: null };

/** Handles kept at most; the least recently used go first. A population of CEM and its experts fit several times. */
const MAX_COUNT = 128;
const MAX_BYTES = 256 * 1024 * 1024;

export class Adapters {
  readonly #addon: Addon;
  readonly #model: ModelHandle;
  readonly #info: ModelInfo;
  readonly #experts: ExpertSet;
  readonly #weights: Weights;
  /** By hash, in the order of last use. */
  readonly #kept = new Map<string, { handle: AdapterHandle; bytes: number }>();
  #bytes = 0;

  constructor(addon: Addon, model: ModelHandle, parts: { info: ModelInfo; experts: ExpertSet; weights: Weights }) {
    this.#addon = addon;
    this.#model = model;
    this.#info = parts.info;
    this.#experts = parts.experts;
    this.#weights = parts.weights;
  }

  /**
   * The adapter as the engine takes it. Decomposes what is missing.
   * Throws `ERR_T2_EXPERT_NOT_FOUND`, `ERR_T2_EXPERT_MISMATCH` and `ERR_T2_INVALID_OPTION` (weights of a mixture).
   */
  async use(adapter: Adapter | undefined, job: Job): Promise<UsedAdapter> {
    if (adapter === undefined || adapter === "base") return base;
    const { name, hash, vectors } = resolveAdapter(adapter, this.#experts.byName, this.#info);
    // Loaded experts were checked when they were added.
    if (adapter instanceof Expert && this.#experts.get(adapter.name) !== adapter) await this.#weights.checkExpert(adapter, job);
    if (vectors.size === 0) return { name, handle: null };
    if (!this.#kept.has(hash)) {
      await this.#weights.ensure([...vectors.keys()], job);
      job.check();
    }
    // Another call may have made the same one meanwhile.
    return { name, handle: this.#recent(hash) ?? this.#make(hash, vectors) };
  }

  /** Adapters of many rows, each one resolved once. */
  async useAll(adapters: readonly (Adapter | undefined)[], job: Job): Promise<UsedAdapter[]> {
    const used = new Map<Adapter | undefined, UsedAdapter>();
    for (const adapter of new Set(adapters)) used.set(adapter, await this.use(adapter, job));
    return adapters.map((adapter) => used.get(adapter) as UsedAdapter);
  }

  #recent(hash: string): AdapterHandle | undefined {
    const kept = this.#kept.get(hash);
    if (kept === undefined) return undefined;
    this.#kept.delete(hash);
    this.#kept.set(hash, kept);
    return kept.handle;
  }

  #make(hash: string, vectors: ReadonlyMap<string, Float32Array>): AdapterHandle {
    const handle = this.#addon.adapterCreate(this.#model, Object.fromEntries(vectors));
    let bytes = 0;
    for (const z of vectors.values()) bytes += z.byteLength;
    this.#kept.set(hash, { handle, bytes });
    this.#bytes += bytes;
    for (const [oldest, entry] of this.#kept) {
      if ((this.#bytes <= MAX_BYTES && this.#kept.size <= MAX_COUNT) || oldest === hash) break;
      this.#kept.delete(oldest);
      this.#bytes -= entry.bytes;
    }
    return handle;
  }
}
