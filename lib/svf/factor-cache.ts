// The decomposed matrices of a model on disk: one safetensors file per matrix (S, U, Vh) and a manifest that lists them. Every file
// describes and checks itself, so an interrupted run goes on where it stopped, and the manifest only saves reading files again.
import { access, constants, mkdir, readdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { DecomposedMatrix } from "../../typings/addon.js";
import { Transformer2Error } from "../errors.js";
import { factorsFolder } from "../model/paths.js";
import { ioError, temporarySuffix, writeJsonAtomic } from "../util/atomic-file.js";
import { checkFactorFile, type FactorEntry, factorFormat, readSigma, sameStamp, stampOf, writeFactorFile } from "./factor-file.js";
import { readManifest } from "./factor-manifest.js";
import { fingerprint, type MatrixDigest } from "./fingerprint.js";

export interface FactorCacheOptions {
  /** Cache folder; default `factorsFolder()`. The model gets a folder of its own in it. */
  root?: string;
  /** The matrices whose fingerprint names the folder, in layer order. Pass all of a model's, so that runs with other targets share it. */
  matrices: readonly MatrixDigest[];
  /** Names of the wanted ones; default all. */
  names?: readonly string[];
  /** Precision of U and Vh. */
  dtype: "F16" | "F32";
  /** Reads every byte of every file and checks it. Default false: only of files that changed since they were last checked. */
  verify?: boolean;
  signal?: AbortSignal;
  onProgress?: (done: number, total: number, detail: string) => void;
}

/** A temporary file older than this was left by a run that died. */
const STALE_MILLISECONDS = 3_600_000;

/**
 * @example
 * const cache = await FactorCache.open({ matrices: digests, dtype: "F16" });
 * // decompose cache.missing, giving every result to cache.write(), then:
 * await cache.finish();
 * await addon.factorsAttach(model, cache.files());
 */
export class FactorCache {
  readonly folder: string;
  readonly fingerprint: string;
  readonly dtype: "F16" | "F32";
  /** Names still to be decomposed, in the order wanted. Shrinks with every `write`. */
  readonly missing: ReadonlySet<string>;
  /** Those of them that had a file which was damaged or belonged to other weights. */
  readonly damaged: readonly { readonly name: string; readonly reason: string }[];
  readonly #names: readonly string[];
  readonly #digests: ReadonlyMap<string, MatrixDigest>;
  readonly #entries: Map<string, FactorEntry>;
  readonly #missing: Set<string>;
  #changed: boolean;

  private constructor(
    about: { folder: string; fingerprint: string; dtype: "F16" | "F32" },
    names: readonly string[],
    digests: ReadonlyMap<string, MatrixDigest>,
    found: { entries: Map<string, FactorEntry>; damaged: { name: string; reason: string }[]; changed: boolean },
  ) {
    this.folder = about.folder;
    this.fingerprint = about.fingerprint;
    this.dtype = about.dtype;
    this.damaged = found.damaged;
    this.#names = names;
    this.#digests = digests;
    this.#entries = found.entries;
    this.#changed = found.changed;
    this.#missing = new Set(names.filter((name) => !found.entries.has(name)));
    this.missing = this.#missing;
  }

  /**
   * Looks at what is there and checks it; damaged files are listed to be redone, never used.
   * Throws `ERR_T2_IO` when something is missing and the folder cannot be written, before any work is done, and `ERR_T2_ABORTED`.
   */
  static async open(options: FactorCacheOptions): Promise<FactorCache> {
    const { root = factorsFolder(), matrices, dtype, verify = false, signal, onProgress } = options;
    const digests = new Map(matrices.map((matrix) => [matrix.name, matrix]));
    const names = options.names ?? matrices.map((matrix) => matrix.name);
    for (const name of names) if (!digests.has(name)) throw new TypeError(`"${name}" is not among the digests.`);
    const print = fingerprint(matrices);
    const folder = join(root, `${print.slice(0, 32)}-${dtype.toLowerCase()}`);
    const manifest = await readManifest(folder, print, dtype);
    const entries = new Map<string, FactorEntry>();
    const damaged: { name: string; reason: string }[] = [];
    let changed = false;
    let done = 0;
    for (const name of names) {
      if (signal?.aborted) throw new Transformer2Error("ERR_T2_ABORTED", "Checking cached factors was aborted.", { cause: signal.reason });
      const path = factorPath(folder, name);
      const known = manifest.get(name);
      const digest = digests.get(name) as MatrixDigest;
      const trusted = known && !verify && known.sha256 === digest.sha256 && (await sameStamp(path, known)) ? known : undefined;
      const found = trusted ?? (await checkFactorFile(path, digest, dtype, signal));
      if (found !== undefined && "reason" in found) damaged.push({ name, reason: found.reason });
      else if (found) entries.set(name, found);
      if (!trusted && found) changed = true;
      onProgress?.(++done, names.length, name);
    }
    const cache = new FactorCache({ folder, fingerprint: print, dtype }, names, digests, { entries, damaged, changed });
    if (cache.missing.size > 0) await prepareFolder(folder);
    return cache;
  }

  /** Whether nothing is left to decompose. */
  get complete(): boolean {
    return this.#missing.size === 0;
  }

  /**
   * Keeps one decomposed matrix; its file appears whole or not at all.
   * Throws `ERR_T2_IO` (full disk, …), `ERR_T2_ABORTED`, and `ERR_T2_NATIVE` when it is not the matrix that was asked for.
   */
  async write(matrix: DecomposedMatrix, options: { signal?: AbortSignal } = {}): Promise<void> {
    const digest = this.#digests.get(matrix.name);
    if (
      !digest ||
      digest.sha256 !== matrix.sha256 ||
      digest.rows !== matrix.rows ||
      digest.columns !== matrix.columns ||
      this.dtype !== matrix.dtype
    ) {
      throw new Transformer2Error("ERR_T2_NATIVE", `The decomposition of "${matrix.name}" is not of the matrix that was asked for.`, {
        detail: {
          name: matrix.name,
          expected: digest,
          actual: { rows: matrix.rows, columns: matrix.columns, sha256: matrix.sha256, dtype: matrix.dtype },
        },
      });
    }
    const path = factorPath(this.folder, matrix.name);
    const entry = await writeFactorFile(path, matrix, options.signal);
    this.#entries.set(matrix.name, { ...entry, ...(await stampOf(path)) });
    this.#missing.delete(matrix.name);
    this.#changed = true;
  }

  /** Writes the manifest, keeping what another process has added meanwhile. Call it after the last `write`, also after an abort. */
  async finish(): Promise<void> {
    if (!this.#changed) return;
    const merged = new Map([...(await readManifest(this.folder, this.fingerprint, this.dtype)), ...this.#entries]);
    const order = [...this.#digests.keys()].filter((name) => merged.has(name));
    await writeJsonAtomic(join(this.folder, "manifest.json"), {
      format: factorFormat,
      fingerprint: this.fingerprint,
      dtype: this.dtype,
      matrices: order.map((name) => merged.get(name)),
    });
    this.#changed = false;
  }

  /** What is known of a cached matrix: errors, driver, time. */
  entry(name: string): FactorEntry | undefined {
    return this.#entries.get(name);
  }

  /** The files of all wanted matrices that are there, as `factorsAttach` takes them. */
  files(): { name: string; path: string }[] {
    return this.#names.filter((name) => this.#entries.has(name)).map((name) => ({ name, path: factorPath(this.folder, name) }));
  }

  /** Singular values of a cached matrix, descending, [rank]. Throws `ERR_T2_INVALID_FACTORS` when it is not cached or damaged. */
  async sigma(name: string): Promise<Float32Array> {
    if (!this.#entries.has(name)) {
      throw new Transformer2Error("ERR_T2_INVALID_FACTORS", `"${name}" has not been decomposed; call decompose() first.`, {
        detail: { name },
      });
    }
    return readSigma(factorPath(this.folder, name));
  }
}

function factorPath(folder: string, name: string): string {
  if (!/^[\w.-]+$/.test(name)) throw new TypeError(`"${name}" cannot be the name of a factor file.`);
  return join(folder, `${name}.safetensors`);
}

async function prepareFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
    for (const name of await readdir(folder)) {
      if (!name.endsWith(temporarySuffix)) continue;
      const path = join(folder, name);
      const left = await stat(path).catch(() => undefined);
      if (left && Date.now() - left.mtimeMs > STALE_MILLISECONDS) await unlink(path).catch(() => {});
    }
  } catch (error) {
    throw ioError("write", folder, error);
  }
}
