// Weighted mixtures of experts, and what any adapter ("base", an expert, a mixture) comes to: one z vector per matrix.
import { invalidOption, Transformer2Error } from "../errors.js";
import type { MatrixShape } from "../model/info.js";
import type { Expert } from "./expert.js";
import { baseHash, hashVectors, isIdentity } from "./hash.js";

/**
 * Weights over experts by name.
 * A number weighs the expert everywhere. A list of 1 is the same; a list of G ≤ layers weighs G groups of layers as equal as possible
 * (layer l of L belongs to group ⌊l G / L⌋); a list as long as the model's matrices weighs each of them, in the order of `info.matrices`.
 *
 * @example
 * { weights: { math: 0.7, code: 0.3 } }
 * { weights: { math: [1, 0.5, 0] }, rule: "sum" } // three groups of layers
 */
export interface Mixture {
  readonly weights: Readonly<Record<string, number | readonly number[]>>;
  /**
   * "delta" (default): z′ = 1 + Σ α_k (z_k − 1), so that α = 0 is the base bit for bit.
   * "sum": z′ = Σ α_k z_k, the paper's rule; where the weights of a matrix add up to 0 it stays the base's matrix.
   * In both a matrix that an expert does not have counts as z = 1, and a single weight of 1 gives that expert bit for bit.
   */
  readonly rule?: "delta" | "sum";
}

/** What an adapter comes to on one model. */
export interface ResolvedAdapter {
  /** "base", the expert's name, or the mixture written out, e.g. "math=0.7,code=0.3". */
  readonly name: string;
  /** "base" exactly when no matrix changes. */
  readonly hash: string;
  /** z as used, per matrix that differs from the base, in the order of the model's matrices. */
  readonly vectors: ReadonlyMap<string, Float32Array>;
}

/** The base weights, unchanged. */
export const baseAdapter: ResolvedAdapter = { name: "base", hash: baseHash, vectors: new Map() };

/**
 * Turns any adapter into its vectors. `experts` are the loaded ones by name.
 * Throws `ERR_T2_EXPERT_NOT_FOUND` for an unknown name, `ERR_T2_EXPERT_MISMATCH` for an expert of other shapes, and
 * `ERR_T2_INVALID_OPTION` for weights of the wrong length or that are not finite.
 */
export function resolveAdapter(
  adapter: string | Expert | Mixture,
  experts: ReadonlyMap<string, Expert>,
  model: { readonly name: string; readonly matrices: readonly MatrixShape[] },
): ResolvedAdapter {
  if (adapter === "base") return baseAdapter;
  if (typeof adapter === "string") return resolveExpert(findExpert(adapter, experts), model);
  if (isMixture(adapter)) return resolveMixture(adapter, experts, model);
  if (typeof adapter === "object" && adapter !== null && adapter.vectors instanceof Map) return resolveExpert(adapter, model);
  throw invalidOption("adapter", '"base", the name of a loaded expert, an Expert or a Mixture { weights, rule }', adapter);
}

export function isMixture(adapter: unknown): adapter is Mixture {
  return typeof adapter === "object" && adapter !== null && "weights" in adapter && !("vectors" in adapter);
}

function resolveExpert(expert: Expert, model: { readonly name: string; readonly matrices: readonly MatrixShape[] }): ResolvedAdapter {
  expert.check(model);
  const vectors = new Map<string, Float32Array>();
  for (const { name } of model.matrices) {
    const z = expert.vectors.get(name);
    if (z && !isIdentity(z)) vectors.set(name, z);
  }
  return { name: expert.name, hash: expert.hash, vectors };
}

/**
 * The vectors of a mixture; see `Mixture` for the rules. Sums are made in fp64 and rounded once to fp32.
 * Errors as `resolveAdapter`.
 */
export function resolveMixture(
  mixture: Mixture,
  experts: ReadonlyMap<string, Expert>,
  model: { readonly name: string; readonly matrices: readonly MatrixShape[] },
): ResolvedAdapter {
  const { rule = "delta" } = mixture;
  if (rule !== "delta" && rule !== "sum") throw invalidOption("rule", '"delta" or "sum"', rule);
  if (typeof mixture.weights !== "object" || mixture.weights === null) {
    throw invalidOption("weights", "an object of weights by the name of an expert", mixture.weights);
  }
  const parts = Object.entries(mixture.weights).map(([name, weights]) => {
    const expert = findExpert(name, experts);
    expert.check(model);
    return { name, expert, weights: spreadWeights(name, weights, model.matrices) };
  });
  const vectors = new Map<string, Float32Array>();
  model.matrices.forEach((matrix, index) => {
    const alphas = parts.map((part) => part.weights[index] as number);
    const z = mixVectors(
      parts.map((part) => part.expert.vectors.get(matrix.name)),
      alphas,
      rule,
      matrix.rank,
    );
    if (z && !isIdentity(z)) vectors.set(matrix.name, z);
  });
  const shown = Object.entries(mixture.weights).map(([name, weight]) => `${name}=${typeof weight === "number" ? weight : `[${weight}]`}`);
  return { name: vectors.size === 0 ? "base" : shown.join(","), hash: hashVectors(vectors), vectors };
}

/**
 * Mixes one matrix: z_k (undefined: 1 throughout) with weights α_k. Returns undefined where the base's matrix stays.
 * The constant part is gathered first: z′ = (1 − Σ α_k) + Σ α_k z_k is exact for a single weight of 1 and for weights of 0,
 * which 1 + Σ α_k (z_k − 1) is not in floating point when z_k is small.
 */
export function mixVectors(
  vectors: readonly (Float32Array | undefined)[],
  alphas: readonly number[],
  rule: "delta" | "sum",
  rank: number,
): Float32Array | undefined {
  let constant = rule === "delta" ? 1 : 0;
  let total = 0;
  const present: { z: Float32Array; alpha: number }[] = [];
  vectors.forEach((z, k) => {
    const alpha = alphas[k] as number;
    total += alpha;
    if (alpha === 0) return;
    if (z) present.push({ z, alpha });
    if (rule === "delta" && z) constant -= alpha;
    if (rule === "sum" && !z) constant += alpha;
  });
  // All weights 0 under "sum" would be a matrix of zeros (and NaN once rescaled): the published code's defect D2.
  if (rule === "sum" && total === 0) return undefined;
  if (present.length === 0 && constant === 1) return undefined;
  const mixed = new Float64Array(rank).fill(constant);
  for (const { z, alpha } of present) for (let i = 0; i < rank; i++) mixed[i] = (mixed[i] as number) + alpha * (z[i] as number);
  return Float32Array.from(mixed);
}

/** One weight per matrix of the model, from a number or a list; see `Mixture`. */
export function spreadWeights(name: string, weights: number | readonly number[], matrices: readonly MatrixShape[]): number[] {
  const list = typeof weights === "number" ? [weights] : weights;
  if (!Array.isArray(list)) throw invalidOption(`weights.${name}`, "a number or a list of numbers", weights);
  const layers = matrices.reduce((most, matrix) => Math.max(most, matrix.layer + 1), 0);
  const perMatrix = list.length === matrices.length;
  if (list.length === 0 || (list.length > layers && !perMatrix)) {
    const expected = `a number, or a list of 1 to ${layers} (groups of layers) or ${matrices.length} (matrices) numbers`;
    throw invalidOption(`weights.${name}`, expected, `a list of ${list.length}`);
  }
  for (const weight of list) {
    if (typeof weight !== "number" || !Number.isFinite(weight)) throw invalidOption(`weights.${name}`, "finite", weight);
  }
  return matrices.map((matrix, index) => list[perMatrix ? index : Math.floor((matrix.layer * list.length) / layers)] as number);
}

function findExpert(name: string, experts: ReadonlyMap<string, Expert>): Expert {
  const expert = experts.get(name);
  if (expert) return expert;
  const loaded = [...experts.keys()];
  throw new Transformer2Error(
    "ERR_T2_EXPERT_NOT_FOUND",
    `There is no expert "${name}". Loaded: ${loaded.length > 0 ? loaded.map((other) => `"${other}"`).join(", ") : "none"}.`,
    { detail: { expert: name, loaded } },
  );
}
