// A loaded model's base weights: their fingerprint, and their factors, which are decomposed when they are first needed, kept in the
// cache and mapped by the engine. Nothing is hashed or decomposed twice.
import type { Addon, MatrixInfo, ModelHandle } from "../../typings/addon.js";
import type { DecomposeOptions, DecompositionReport } from "../engine.js";
import { invalidOption } from "../errors.js";
import type { MatrixShape, ModelInfo } from "../model/info.js";
import type { Expert } from "../svf/expert.js";
import { FactorCache } from "../svf/factor-cache.js";
import { fingerprint, type MatrixDigest } from "../svf/fingerprint.js";
import { selectMatrices } from "../svf/targets.js";
import type { Progress } from "../types.js";
import type { Job } from "./lifetime.js";

type OnProgress = ((p: Progress) => void) | undefined;

/** Factor files written at the same time: enough to hide the disk's waiting. */
const WRITERS = 4;

/** One thing at a time, in the order of asking; whoever waits may give up without harm to the others. */
class Turn {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}

export class Weights {
  readonly #addon: Addon;
  readonly #model: ModelHandle;
  readonly #info: ModelInfo;
  readonly #root: string | undefined;
  readonly #matrices: ReadonlyMap<string, MatrixInfo>;
  readonly #hashes = new Map<string, string>();
  /** Where the factors that the engine has mapped come from. */
  readonly #attached = new Map<string, FactorCache>();
  readonly #hashTurn = new Turn();
  readonly #factorTurn = new Turn();

  /** `root`: the cache folder, undefined for the default one. */
  constructor(addon: Addon, model: ModelHandle, info: ModelInfo, root: string | undefined) {
    this.#addon = addon;
    this.#model = model;
    this.#info = info;
    this.#root = root;
    this.#matrices = new Map(addon.modelMatrices(model).map((matrix) => [matrix.name, matrix]));
  }

  /** Names of the matrices whose factors are mapped, in layer order. */
  get decomposed(): string[] {
    return this.#info.matrices.filter((matrix) => this.#attached.has(matrix.name)).map((matrix) => matrix.name);
  }

  /** Folder of the factors in use; undefined before the first decomposition. */
  get folder(): string | undefined {
    return [...this.#attached.values()][0]?.folder;
  }

  /** SHA-256 over the matrices of these names, in layer order; all when left out. */
  async fingerprint(names: readonly string[] | undefined, job: Job, onProgress?: OnProgress): Promise<string> {
    return fingerprint(await this.#digests(this.#ordered(names), job, onProgress));
  }

  /** Throws `ERR_T2_EXPERT_MISMATCH` for an expert of other shapes or weights. */
  async checkExpert(expert: Expert, job: Job): Promise<void> {
    expert.check(this.#info);
    if (expert.fingerprint !== undefined) expert.check(this.#info, await this.fingerprint([...expert.vectors.keys()], job));
  }

  /** Makes sure that the engine has the factors of these matrices. */
  async ensure(names: readonly string[], job: Job, onProgress?: OnProgress): Promise<void> {
    const missing = () => names.filter((name) => !this.#attached.has(name));
    if (missing().length === 0) return;
    await this.#factorTurn.take(async () => {
      job.check();
      const wanted = missing();
      if (wanted.length > 0) await this.#attach(this.#ordered(wanted), {}, job, onProgress);
    });
  }

  /** Decomposes the selected matrices, or finds them in the cache, and maps their factors. */
  async decompose(options: DecomposeOptions, job: Job): Promise<DecompositionReport> {
    const selected = selectMatrices(this.#info.matrices, options.targets ?? "all");
    const began = performance.now();
    return this.#factorTurn.take(async () => {
      job.check();
      const { cache, redone, computed } = await this.#attach(selected, options, job, options.onProgress);
      return {
        folder: cache.folder,
        fingerprint: cache.fingerprint,
        computed: computed.size,
        reused: selected.length - computed.size,
        redone,
        milliseconds: performance.now() - began,
        matrices: selected.flatMap(({ name }) => {
          const entry = cache.entry(name);
          if (entry === undefined) return [];
          const { rows, columns, residual, orthogonalityU, orthogonalityV, driver, milliseconds } = entry;
          return [{ name, rows, columns, residual, orthogonalityU, orthogonalityV, driver, milliseconds }];
        }),
      };
    });
  }

  /** Singular values, descending, [rank]; the matrix is decomposed first where it is not. */
  async sigma(name: string, job: Job): Promise<Float32Array> {
    if (!this.#matrices.has(name)) throw invalidOption("name", "the name of one of the model's matrices", name);
    await this.ensure([name], job);
    return (this.#attached.get(name) as FactorCache).sigma(name);
  }

  async #attach(selected: readonly MatrixShape[], options: DecomposeOptions, job: Job, onProgress: OnProgress) {
    const dtype = options.dtype ?? (this.#info.dtype === "F32" ? "F32" : "F16");
    const root = options.factors ?? this.#root;
    const digests = await this.#digests(this.#info.matrices, job, onProgress);
    const cache = await FactorCache.open({
      ...(root === undefined ? {} : { root }),
      matrices: digests,
      names: selected.map((matrix) => matrix.name),
      dtype,
      signal: job.signal,
    });
    job.check();
    const computed = new Set(cache.missing);
    const redone = cache.damaged.map((file) => file.name);
    const total = selected.length;
    let done = total - computed.size;
    onProgress?.({ phase: "decompose", done, total });
    if (!cache.complete) {
      await this.#fill(cache, options.driver ?? "auto", job, (detail) => onProgress?.({ phase: "decompose", done: ++done, total, detail }));
    }
    job.check();
    await this.#addon.factorsAttach(this.#model, cache.files());
    for (const { name } of selected) this.#attached.set(name, cache);
    return { cache, redone, computed };
  }

  /**
   * Decomposes what the cache lacks and writes it as it comes. When the job is stopped, or a write fails, no more matrices are made;
   * those that were made are still written, so that the next attempt goes on from there.
   */
  async #fill(
    cache: FactorCache,
    driver: NonNullable<DecomposeOptions["driver"]>,
    job: Job,
    onWritten: (name: string) => void,
  ): Promise<void> {
    const writers: Promise<void>[] = Array.from({ length: WRITERS }, () => Promise.resolve());
    let next = 0;
    let stopped: { error: unknown } | undefined;
    let unwritten: { error: unknown } | undefined;
    const work = async (): Promise<void> => {
      try {
        await this.#addon.decompose(this.#model, [...cache.missing], { dtype: cache.dtype, driver }, job.token, (matrix) => {
          const writer = next++ % WRITERS;
          writers[writer] = (writers[writer] as Promise<void>).then(async () => {
            if (unwritten !== undefined) return;
            try {
              await cache.write(matrix);
              onWritten(matrix.name);
            } catch (error) {
              unwritten = { error };
              this.#addon.cancelFire(job.token);
            }
          });
        });
      } catch (error) {
        stopped = { error };
      }
      await Promise.all(writers);
      await cache.finish();
      // A failed write stops the decomposition too: then the write is the reason.
      const failure = unwritten ?? stopped;
      if (failure !== undefined) throw failure.error;
    };
    await job.background(work());
  }

  async #digests(matrices: readonly MatrixShape[], job: Job, onProgress: OnProgress): Promise<MatrixDigest[]> {
    await this.#hashTurn.take(async () => {
      job.check();
      const names = matrices.map((matrix) => matrix.name).filter((name) => !this.#hashes.has(name));
      if (names.length === 0) return;
      const report =
        onProgress && ((done: number, total: number, detail: string) => onProgress({ phase: "fingerprint", done, total, detail }));
      const hashes = await this.#addon.modelHash(this.#model, names, job.token, report ?? null);
      names.forEach((name, index) => {
        this.#hashes.set(name, hashes[index] as string);
      });
    });
    return matrices.map(({ name, rows, columns }) => ({
      name,
      rows,
      columns,
      dtype: (this.#matrices.get(name) as MatrixInfo).dtype,
      sha256: this.#hashes.get(name) as string,
    }));
  }

  /** The model's matrices of these names, in layer order. */
  #ordered(names: readonly string[] | undefined): readonly MatrixShape[] {
    if (names === undefined) return this.#info.matrices;
    const wanted = new Set(names);
    for (const name of wanted) if (!this.#matrices.has(name)) throw invalidOption("names", "names of the model's matrices", name);
    return this.#info.matrices.filter((matrix) => wanted.has(matrix.name));
  }
}
