// The experts a model has loaded, by name. Each one is checked against the model's weights before it is taken.
import { stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { invalidOption, Transformer2Error } from "./errors.js";
import { Expert } from "./svf/expert.js";

/** What a set needs to know of its model. */
export interface ExpertHome {
  /** Folder of the model: experts by name are <folder>/experts/<name>.safetensors. */
  readonly path: string;
  /** Throws `ERR_T2_EXPERT_MISMATCH` for an expert of another base. */
  check(expert: Expert, signal: AbortSignal | undefined): Promise<void>;
}

/** @example await t2.experts.add("my-task.safetensors"); t2.experts.names; // ["math", "code", "my-task"] */
export class ExpertSet {
  readonly #home: ExpertHome;
  readonly #byName = new Map<string, Expert>();

  /** Made by Transformer2. */
  constructor(home: ExpertHome) {
    this.#home = home;
  }

  /** In the order in which they were added. */
  get names(): string[] {
    return [...this.#byName.keys()];
  }

  get size(): number {
    return this.#byName.size;
  }

  get(name: string): Expert | undefined {
    return this.#byName.get(name);
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  [Symbol.iterator](): IterableIterator<Expert> {
    return this.#byName.values();
  }

  /** As resolveAdapter wants them. */
  get byName(): ReadonlyMap<string, Expert> {
    return this.#byName;
  }

  /**
   * Adds an expert: an `Expert`, the path of its file, or the name of a file in the model's experts folder. Under its own name, which
   * must not be loaded yet (loaded twice it would count twice in every mixture).
   * Throws `ERR_T2_EXPERT_NOT_FOUND`, `ERR_T2_INVALID_EXPERT`, `ERR_T2_EXPERT_MISMATCH` (made for another base) and
   * `ERR_T2_INVALID_OPTION` (the name is taken).
   */
  async add(expert: string | Expert, options: { signal?: AbortSignal } = {}): Promise<Expert> {
    const loaded = typeof expert === "string" ? await Expert.load(await this.#locate(expert)) : expert;
    if (!(loaded instanceof Expert)) throw invalidOption("expert", "the name or path of an expert file, or an Expert", expert);
    await this.#home.check(loaded, options.signal);
    if (this.#byName.has(loaded.name))
      throw invalidOption("expert", `of a name that is not loaded yet; remove("${loaded.name}") first`, loaded.name);
    this.#byName.set(loaded.name, loaded);
    return loaded;
  }

  /** Whether there was one of that name. */
  remove(name: string): boolean {
    return this.#byName.delete(name);
  }

  async #locate(name: string): Promise<string> {
    if (name === "") throw invalidOption("expert", "a name or path that is not empty", name);
    const tried = /[\\/]|\.safetensors$/.test(name) ? [name] : [join(this.#home.path, "experts", `${name}.safetensors`)];
    // A path that is not found from here may be meant from the model's folder.
    if (tried[0] === name && !isAbsolute(name)) tried.push(join(this.#home.path, name));
    for (const path of tried) if ((await stat(path).catch(() => undefined))?.isFile()) return path;
    throw new Transformer2Error(
      "ERR_T2_EXPERT_NOT_FOUND",
      `There is no expert "${name}": no file ${tried.map((path) => `"${path}"`).join(" or ")}.`,
      {
        detail: { expert: name, tried },
      },
    );
  }
}
