// How a point of a search becomes a mixture: α per expert, or per expert and group of layers, or per expert and matrix.
import type { ModelInfo } from "../engine.js";
import { invalidOption } from "../errors.js";
import type { Mixture } from "../svf/mixture.js";

/** "model": one α per expert. A number: that many groups of neighbouring layers, one α per expert and group. "matrix": one per matrix. */
export type Granularity = "model" | "matrix" | number;

export interface AlphaLayout {
  readonly dimension: number;
  readonly experts: readonly string[];
  /** α per expert; 1 for "model". */
  readonly groups: number;
  /** Group of a matrix, by its position in `info.matrices`. */
  groupOf(matrix: number): number;
  /** Point [expert · groups + group] → mixture. */
  mixture(point: ArrayLike<number>): Mixture;
  /** Mean α per expert. */
  weights(point: ArrayLike<number>): Record<string, number>;
}

/** Throws `ERR_T2_INVALID_OPTION` for a granularity that the model does not have. */
export function alphaLayout(info: ModelInfo, experts: readonly string[], granularity: Granularity, rule: "delta" | "sum"): AlphaLayout {
  const isGroups = typeof granularity === "number" && Number.isSafeInteger(granularity) && granularity >= 1 && granularity <= info.layers;
  if (granularity !== "model" && granularity !== "matrix" && !isGroups) {
    throw invalidOption("granularity", `"model", "matrix", or a number of layer groups from 1 to ${info.layers}`, granularity);
  }
  const groups = granularity === "model" ? 1 : granularity === "matrix" ? info.matrices.length : granularity;
  const slice = (point: ArrayLike<number>, expert: number) => Array.from({ length: groups }, (_, g) => point[expert * groups + g]!);
  return {
    dimension: experts.length * groups,
    experts,
    groups,
    groupOf: (matrix) => (granularity === "matrix" ? matrix : Math.floor((info.matrices[matrix]!.layer * groups) / info.layers)),
    mixture: (point) => ({
      weights: Object.fromEntries(experts.map((name, k) => [name, granularity === "model" ? point[k]! : slice(point, k)])),
      rule,
    }),
    weights: (point) => Object.fromEntries(experts.map((name, k) => [name, slice(point, k).reduce((a, b) => a + b, 0) / groups])),
  };
}
