// Rotary position embedding: inverse frequencies from config.json, step by step in the precision of transformers (fp32), so that they
// agree with it to the last bit or nearly so. Angles at position p are p times these, so an error here grows with the position.
import { invalidOption } from "../errors.js";

export interface Rope {
  /** Length headDim / 2. */
  readonly inverseFrequencies: Float32Array;
  /** Factor on cos and sin. */
  readonly attentionFactor: number;
}

/** The scaling part of a config, normalised; `type` is one of `ropeTypes`. */
export type RopeScaling =
  | { readonly type: "default" | "dynamic" }
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContextLength: number;
    }
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly originalContextLength: number;
      readonly attentionFactor?: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly mscale?: number;
      readonly mscaleAllDimensions?: number;
      readonly truncate: boolean;
    };

export const ropeTypes = ["default", "linear", "dynamic", "llama3", "yarn"] as const;

const f = Math.fround;

/**
 * @param theta the base, 10000 in most models
 * "dynamic" changes the frequencies only beyond the context length, which this engine never exceeds, so it equals "default" here.
 */
export function computeRope(headDim: number, theta: number, scaling: RopeScaling): Rope {
  if (headDim < 2 || headDim % 2 !== 0) throw invalidOption("headDim", "an even number from 2 on", headDim);
  // 1 / theta^(2i / headDim)
  const periods = Float32Array.from({ length: headDim / 2 }, (_, i) => theta ** f((2 * i) / headDim));
  const plain = periods.map((period) => 1 / period);
  switch (scaling.type) {
    case "default":
    case "dynamic":
      return { inverseFrequencies: plain, attentionFactor: 1 };
    case "linear":
      return { inverseFrequencies: plain.map((frequency) => frequency / f(scaling.factor)), attentionFactor: 1 };
    case "llama3":
      return { inverseFrequencies: plain.map((frequency) => llama3(frequency, scaling)), attentionFactor: 1 };
    case "yarn":
      return yarn(periods, headDim, theta, scaling);
  }
}

/** Llama 3.1: long waves are stretched by `factor`, short ones kept, those between blended. */
function llama3(frequency: number, scaling: Extract<RopeScaling, { type: "llama3" }>): number {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContextLength: context } = scaling;
  const wave = f(f(1 / frequency) * f(2 * Math.PI)); // a number divided by a tensor is a product with its reciprocal in PyTorch
  const longest = context / low;
  const shortest = context / high;
  if (wave > longest) return f(frequency / factor);
  if (wave < shortest) return frequency;
  const smooth = f(f(f(f(1 / wave) * context) - low) / (high - low));
  return f(f(f(f(1 - smooth) * frequency) / factor) + f(smooth * frequency));
}

/** YaRN (Peng et al. 2023), as transformers computes it. */
function yarn(periods: Float32Array, headDim: number, theta: number, scaling: Extract<RopeScaling, { type: "yarn" }>): Rope {
  const { factor, originalContextLength: context } = scaling;
  const dimension = (rotations: number) => (headDim * Math.log(context / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  let low = dimension(scaling.betaFast);
  let high = dimension(scaling.betaSlow);
  if (scaling.truncate) [low, high] = [Math.floor(low), Math.ceil(high)];
  low = Math.max(low, 0);
  high = Math.min(high, headDim - 1);
  if (low === high) high += 0.001;
  const inverseFrequencies = periods.map((period, i) => {
    const ramp = Math.min(1, Math.max(0, f(f(i - low) / (high - low))));
    const keep = f(1 - ramp);
    return f(f(f(1 / f(factor * period)) * f(1 - keep)) + f(f(1 / period) * keep));
  });
  return { inverseFrequencies, attentionFactor: scaling.attentionFactor ?? yarnAttention(scaling) };
}

function yarnAttention({ factor, mscale, mscaleAllDimensions }: Extract<RopeScaling, { type: "yarn" }>): number {
  const scale = (m: number) => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);
  return mscale && mscaleAllDimensions ? scale(mscale) / scale(mscaleAllDimensions) : scale(1);
}
