// An expert: one z vector per adapted matrix, with its card, and the safetensors file it is kept in (format transformer2.expert/1).
import { invalidOption, Transformer2Error } from "../errors.js";
import { type MatrixShape, type ModelInfo, parseMatrixName, roles } from "../model/info.js";
import { readSafetensors, toFloat32, writeSafetensors } from "../model/safetensors.js";
import { hashVectors } from "./hash.js";
import { type ParametrisationName, parametrisations } from "./parametrisation.js";

/** Value of `format` in an expert file's metadata. */
export const expertFormat = "transformer2.expert/1";

/** Where an expert comes from, as plain data: task, preset, seed, steps, scores with counts, version of the library, … */
export type ExpertCard = Readonly<Record<string, unknown>>;

export interface ExpertAbout {
  /** How the expert is called, e.g. in `weights` of a mixture. */
  name: string;
  /** The model it is for; only its name is kept. */
  base: Pick<ModelInfo, "name"> & { readonly matrices?: readonly MatrixShape[] };
  /** Fingerprint of the base's matrices under the names of the vectors; left out, the expert fits any base of equal shapes. */
  fingerprint?: string;
  /** What the dispatcher calls it when it lists the skills, e.g. "math". Default: the name. */
  label?: string;
  /** One sentence for the dispatcher. Default "". */
  description?: string;
  card?: ExpertCard;
  /** How z was trained. Default "direct". Provenance only: the vectors are z as used. */
  parametrisation?: ParametrisationName;
  /** Whether training rescaled z to keep the nuclear norm; the factor is already in the vectors. Default false. */
  rescale?: boolean;
}

/** An expert file is small: 8 bytes per singular value would be 6 MB for Llama-3-8B. Larger ones are refused unread. */
const MAX_FILE = 1 << 30;

/**
 * Immutable: do not write into the vectors. Vectors are z as used, W' = U diag(σ z) Vᵀ, with any rescaling already in them.
 *
 * @example
 * const expert = await Expert.load("experts/math.safetensors");
 * expert.vectors.get("model.layers.0.mlp.up_proj"); // Float32Array [rank]
 */
export class Expert {
  readonly name: string;
  readonly base: string;
  readonly fingerprint: string | undefined;
  readonly label: string;
  readonly description: string;
  readonly card: ExpertCard;
  readonly parametrisation: ParametrisationName;
  readonly rescale: boolean;
  readonly kind = "svf";
  /** Matrix name → z [rank], in layer order. */
  readonly vectors: ReadonlyMap<string, Float32Array>;
  /** SHA-256 of the vectors, hexadecimal; "base" when all of them are 1. Experts of one hash change the weights alike. */
  readonly hash: string;

  private constructor(vectors: ReadonlyMap<string, Float32Array>, about: ExpertAbout) {
    this.name = about.name;
    this.base = about.base.name;
    this.fingerprint = about.fingerprint;
    this.label = about.label ?? about.name;
    this.description = about.description ?? "";
    this.card = about.card ?? {};
    this.parametrisation = about.parametrisation ?? "direct";
    this.rescale = about.rescale ?? false;
    this.vectors = vectors;
    this.hash = hashVectors(vectors);
  }

  /**
   * An expert from z vectors per matrix name; they are copied.
   * Throws `ERR_T2_INVALID_OPTION` for an empty name or set, a value that is not finite, a matrix that `about.base.matrices` (when given)
   * does not have, or a vector whose length is not that matrix' rank.
   */
  static from(vectors: Readonly<Record<string, Float32Array>> | ReadonlyMap<string, Float32Array>, about: ExpertAbout): Expert {
    if (typeof about.name !== "string" || about.name === "") throw invalidOption("name", "a text that is not empty", about.name);
    if (about.name === "base") throw invalidOption("name", 'another name than "base", which means the base weights', about.name);
    const entries = isMap(vectors) ? [...vectors] : Object.entries(vectors);
    if (entries.length === 0) throw invalidOption("vectors", "at least one vector", {});
    const shapes = about.base.matrices && new Map(about.base.matrices.map((matrix) => [matrix.name, matrix]));
    for (const [name, z] of entries) {
      if (!(z instanceof Float32Array) || z.length === 0)
        throw invalidOption(`vectors["${name}"]`, "a Float32Array that is not empty", typeof z);
      const bad = z.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0) throw invalidOption(`vectors["${name}"][${bad}]`, "a finite number", z[bad]);
      if (!shapes) continue;
      const shape = shapes.get(name);
      if (!shape) throw invalidOption("vectors", `named after matrices of "${about.base.name}"`, name);
      if (shape.rank !== z.length) throw invalidOption(`vectors["${name}"]`, `of length ${shape.rank}, the rank of its matrix`, z.length);
    }
    const copies = entries.map(([name, z]) => [name, z.slice()] as const).sort((a, b) => layerOrder(a[0], b[0]));
    return new Expert(new Map(copies), about);
  }

  /**
   * Reads an expert file.
   * Throws `ERR_T2_EXPERT_NOT_FOUND` when there is none, `ERR_T2_IO` when it cannot be read, and `ERR_T2_INVALID_EXPERT` when it is
   * truncated, of another format, has values that are not finite, or does not match its own checksum.
   */
  static async load(path: string): Promise<Expert> {
    const file = await readSafetensors(path, { code: "ERR_T2_INVALID_EXPERT", maxBytes: MAX_FILE }).catch((error: unknown) => {
      const missing = error instanceof Transformer2Error && error.code === "ERR_T2_IO" && error.detail?.code === "ENOENT";
      if (!missing) throw error;
      throw new Transformer2Error("ERR_T2_EXPERT_NOT_FOUND", `There is no expert file "${path}".`, {
        detail: { path },
        cause: error.cause,
      });
    });
    const fail = (what: string, detail: Record<string, unknown> = {}) =>
      new Transformer2Error("ERR_T2_INVALID_EXPERT", `"${path}" is not a sound expert file: ${what}.`, { detail: { path, ...detail } });
    const { metadata } = file;
    if (metadata.format !== expertFormat) {
      throw fail(`its format is ${JSON.stringify(metadata.format ?? null)}, expected "${expertFormat}"`, { format: metadata.format });
    }
    if (metadata.kind !== "svf") throw fail(`its kind is ${JSON.stringify(metadata.kind ?? null)}, this version reads "svf"`);
    const vectors = new Map<string, Float32Array>();
    for (const tensor of file.tensors.values()) {
      if (!tensor.name.endsWith(".z") || tensor.dtype !== "F32" || tensor.shape.length !== 1) {
        throw fail(`tensor "${tensor.name}" (${tensor.dtype}, [${tensor.shape}]) is not a vector "<matrix>.z" of F32`);
      }
      vectors.set(tensor.name.slice(0, -2), toFloat32(file.data.get(tensor.name) as Uint8Array));
    }
    let expert: Expert;
    try {
      expert = Expert.from(vectors, aboutFrom(metadata));
    } catch (error) {
      throw fail(error instanceof Error ? error.message.replace(/\.$/, "") : String(error));
    }
    if (expert.hash !== metadata.checksum)
      throw fail("its vectors do not match its checksum", { checksum: metadata.checksum, actual: expert.hash });
    return expert;
  }

  /** Writes the expert's file whole or not at all. Throws `ERR_T2_IO`. */
  async save(path: string): Promise<void> {
    const tensors = [...this.vectors].map(([name, z]) => ({ name: `${name}.z`, dtype: "F32" as const, shape: [z.length], data: z }));
    await writeSafetensors(path, tensors, {
      format: expertFormat,
      kind: this.kind,
      name: this.name,
      base: this.base,
      ...(this.fingerprint === undefined ? {} : { fingerprint: this.fingerprint }),
      parametrisation: this.parametrisation,
      rescale: String(this.rescale),
      label: this.label,
      description: this.description,
      card: JSON.stringify(this.card),
      checksum: this.hash,
    });
  }

  /** The same vectors under other words; `vectors` and `hash` are shared. */
  with(changes: Partial<Pick<ExpertAbout, "name" | "label" | "description" | "card">>): Expert {
    const about: ExpertAbout = { ...this, base: { name: this.base }, ...changes };
    if (about.name === "" || about.name === "base") throw invalidOption("name", 'a text that is neither empty nor "base"', about.name);
    return new Expert(this.vectors, about);
  }

  /**
   * Checks that the expert can be used on a model: every vector belongs to one of its matrices and has that matrix' rank, and, when both
   * fingerprints are known, they agree. `fingerprint` is the model's, over the matrices named in `vectors`, in layer order.
   * Throws `ERR_T2_EXPERT_MISMATCH`.
   */
  check(model: Pick<ModelInfo, "name" | "matrices">, fingerprint?: string): void {
    const shapes = new Map(model.matrices.map((matrix) => [matrix.name, matrix]));
    const hint = 'Use an expert trained on this model, or transfer it on purpose (method "ordered" or "interpolated").';
    const fail = (what: string, detail: Record<string, unknown>) =>
      new Transformer2Error(
        "ERR_T2_EXPERT_MISMATCH",
        `Expert "${this.name}", made for "${this.base}", does not fit "${model.name}": ${what}. ${hint}`,
        {
          detail: { expert: this.name, base: this.base, model: model.name, ...detail },
        },
      );
    for (const [name, z] of this.vectors) {
      const shape = shapes.get(name);
      if (!shape) throw fail(`there is no matrix "${name}"`, { matrix: name });
      if (shape.rank !== z.length) {
        throw fail(`"${name}" has rank ${shape.rank}, its vector ${z.length} numbers`, {
          matrix: name,
          expected: shape.rank,
          actual: z.length,
        });
      }
    }
    if (fingerprint !== undefined && this.fingerprint !== undefined && fingerprint !== this.fingerprint) {
      throw fail("the weights differ (fingerprints)", { expected: this.fingerprint, actual: fingerprint });
    }
  }
}

/** Metadata of a file as the texts it was made of; throws Error with what is wrong. */
function aboutFrom(metadata: Readonly<Record<string, string>>): ExpertAbout {
  const { name, base, fingerprint, parametrisation, rescale, label, description, card } = metadata;
  if (!name) throw new Error("it has no name");
  if (base === undefined) throw new Error("it does not name its base model");
  if (fingerprint !== undefined && !/^[0-9a-f]{64}$/.test(fingerprint)) throw new Error("its fingerprint is not a SHA-256");
  if (!isParametrisation(parametrisation)) throw new Error(`its parametrisation is ${JSON.stringify(parametrisation ?? null)}`);
  if (rescale !== "true" && rescale !== "false") throw new Error('"rescale" is neither "true" nor "false"');
  return {
    name,
    base: { name: base },
    ...(fingerprint === undefined ? {} : { fingerprint }),
    label: label ?? name,
    description: description ?? "",
    card: parseCard(card),
    parametrisation,
    rescale: rescale === "true",
  };
}

function parseCard(text: string | undefined): ExpertCard {
  if (text === undefined) return {};
  let card: unknown;
  try {
    card = JSON.parse(text);
  } catch {
    throw new Error("its card is not JSON");
  }
  if (typeof card !== "object" || card === null || Array.isArray(card)) throw new Error("its card is not a JSON object");
  return card as ExpertCard;
}

function isParametrisation(name: string | undefined): name is ParametrisationName {
  return name !== undefined && (parametrisations as readonly string[]).includes(name);
}

function isMap<K, V>(value: object | ReadonlyMap<K, V>): value is ReadonlyMap<K, V> {
  return value instanceof Map;
}

/** Names of matrices by layer, then by role; other names after them, by text. */
function layerOrder(a: string, b: string): number {
  const [left, right] = [sortKey(a), sortKey(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function sortKey(name: string): string {
  const parsed = parseMatrixName(name);
  return parsed ? `0 ${String(parsed.layer).padStart(8, "0")} ${roles.indexOf(parsed.role)}` : `1 ${name}`;
}
