// Takes the vectors of an expert to another model on purpose: the paper's cross-model transfer, its shuffled control, and a version for
// models of other sizes.
import { invalidOption, Transformer2Error } from "../errors.js";
import { type MatrixShape, parseMatrixName } from "../model/info.js";
import { Random } from "../util/random.js";
import { Expert } from "./expert.js";

export const transferMethods = ["ordered", "shuffled", "interpolated"] as const;

export type TransferMethod = (typeof transferMethods)[number];

export interface TransferOptions {
  /**
   * "ordered": every vector goes to the matrix of its name as it is; ranks must agree.
   * "shuffled": as "ordered", the numbers of each vector in random order: the control that shows whether the order matters.
   * "interpolated": works for other ranks and other numbers of layers. A matrix takes the vector of the same role in the source's layer
   * at the same relative depth, read linearly over the normalised index i / (rank − 1).
   */
  method: TransferMethod;
  /** For "shuffled". Default 0. */
  seed?: number;
  /** Default: the expert's name. */
  name?: string;
  /** Fingerprint of the target's matrices under the names of the new vectors, to bind the new expert to it. */
  fingerprint?: string;
  /** Layers of the source model, for "interpolated". Default: one more than the highest layer the expert adapts. */
  sourceLayers?: number;
}

/**
 * An expert for `target` from an expert for another model. Its card says where it came from.
 * Throws `ERR_T2_EXPERT_MISMATCH` when the shapes do not allow the method, or when no matrix of the target gets a vector.
 */
export function transferExpert(
  expert: Expert,
  target: { readonly name: string; readonly matrices: readonly MatrixShape[] },
  options: TransferOptions,
): Expert {
  const { method, seed = 0, name = expert.name } = options;
  if (!transferMethods.includes(method)) throw invalidOption("method", `one of ${transferMethods.join(", ")}`, method);
  const fit = method === "interpolated" ? interpolated(expert, target.matrices, options.sourceLayers) : ordered(expert, target);
  const vectors = method === "shuffled" ? shuffled(fit, seed) : fit;
  if (vectors.size === 0) throw mismatch(expert, target.name, "no matrix of it has the role of one that the expert adapts");
  return Expert.from(vectors, {
    name,
    base: target,
    ...(options.fingerprint === undefined ? {} : { fingerprint: options.fingerprint }),
    label: expert.label,
    description: expert.description,
    parametrisation: expert.parametrisation,
    rescale: expert.rescale,
    card: {
      ...expert.card,
      transfer: {
        from: expert.base,
        fingerprint: expert.fingerprint,
        hash: expert.hash,
        method,
        ...(method === "shuffled" ? { seed } : {}),
      },
    },
  });
}

function ordered(expert: Expert, target: { readonly name: string; readonly matrices: readonly MatrixShape[] }): Map<string, Float32Array> {
  const ranks = new Map(target.matrices.map((matrix) => [matrix.name, matrix.rank]));
  for (const [name, z] of expert.vectors) {
    const rank = ranks.get(name);
    if (rank === z.length) continue;
    const what = rank === undefined ? `it has no matrix "${name}"` : `"${name}" has rank ${rank}, the vector ${z.length} numbers`;
    throw mismatch(expert, target.name, `${what}; method "interpolated" can do that`);
  }
  return new Map(expert.vectors);
}

function shuffled(vectors: ReadonlyMap<string, Float32Array>, seed: number): Map<string, Float32Array> {
  // A stream per matrix: the order of one does not depend on which others there are.
  return new Map([...vectors].map(([name, z]) => [name, Float32Array.from(new Random(seed, `transfer/${name}`).shuffle([...z]))]));
}

function interpolated(expert: Expert, matrices: readonly MatrixShape[], sourceLayers: number | undefined): Map<string, Float32Array> {
  const sources = [...expert.vectors].map(([name, z]) => ({ ...parseMatrixName(name), z }));
  const deepest = sources.reduce((most, { layer }) => Math.max(most, layer ?? 0), 0);
  const from = Math.max(sourceLayers ?? 0, deepest + 1);
  const to = matrices.reduce((most, { layer }) => Math.max(most, layer + 1), 0);
  const vectors = new Map<string, Float32Array>();
  for (const matrix of matrices) {
    const depth = to === 1 ? 0 : matrix.layer / (to - 1);
    const layer = Math.round(depth * (from - 1));
    const source = sources.find((candidate) => candidate.layer === layer && candidate.role === matrix.role);
    if (source) vectors.set(matrix.name, resample(source.z, matrix.rank));
  }
  return vectors;
}

/** Reads z linearly at `length` equally spaced places from its first to its last number; the same length gives the same numbers. */
export function resample(z: Float32Array, length: number): Float32Array {
  const last = z.length - 1;
  return Float32Array.from({ length }, (_, i) => {
    const at = length === 1 ? 0 : (i * last) / (length - 1);
    const left = Math.floor(at);
    const share = at - left;
    const a = z[left] as number;
    return share === 0 ? a : a + share * ((z[left + 1] as number) - a);
  });
}

function mismatch(expert: Expert, target: string, why: string): Transformer2Error {
  return new Transformer2Error(
    "ERR_T2_EXPERT_MISMATCH",
    `Expert "${expert.name}", made for "${expert.base}", cannot go to "${target}": ${why}.`,
    {
      detail: { expert: expert.name, base: expert.base, model: target },
    },
  );
}
