// From what the optimiser sees (p) to what the weights use (z), and back for gradients. Numbers are computed in fp64.
import { invalidOption } from "../errors.js";
import type { Random } from "../util/random.js";

/** direct z = p; residual z = 1 + p; sigmoid z = s / (1 + e^−p); exp z = e^p; tanh z = 1 + s tanh p. `s` is `scale`. */
export const parametrisations = ["direct", "residual", "sigmoid", "exp", "tanh"] as const;

export type ParametrisationName = (typeof parametrisations)[number];

export interface Parametrisation {
  readonly name: ParametrisationName;
  /** Largest z of "sigmoid", default 1 as published; reach of "tanh" around 1, default 1. Without meaning for the others. */
  readonly scale?: number;
  /** Use c z with c = Σσ / Σ(σ z), which keeps every matrix' nuclear norm, as the published code does. Default false. */
  readonly rescale?: boolean;
}

/** How p begins: so that z = 1, or drawn from N(mean, variance). */
export type Initialisation = "identity" | { readonly mean: number; readonly variance: number };

/** What the presets use; see design of `train`: paper and published code differ in the variance. */
export const presetParameters: Readonly<
  Record<"paper" | "sakana" | "recommended", { readonly parametrisation: Parametrisation; readonly initialisation: Initialisation }>
> = {
  paper: { parametrisation: { name: "sigmoid", scale: 1, rescale: true }, initialisation: { mean: 0.1, variance: 1e-3 } },
  sakana: { parametrisation: { name: "sigmoid", scale: 1, rescale: true }, initialisation: { mean: 0.1, variance: 1e-4 } },
  recommended: { parametrisation: { name: "residual" }, initialisation: "identity" },
};

/** z of one parameter, before rescaling. */
function forward(name: ParametrisationName, scale: number, p: number): number {
  switch (name) {
    case "direct":
      return p;
    case "residual":
      return 1 + p;
    case "sigmoid":
      return scale / (1 + Math.exp(-p));
    case "exp":
      return Math.exp(p);
    case "tanh":
      return 1 + scale * Math.tanh(p);
  }
}

/** dz/dp of one parameter. */
function derivative(name: ParametrisationName, scale: number, p: number): number {
  switch (name) {
    case "direct":
    case "residual":
      return 1;
    case "sigmoid": {
      const e = Math.exp(-Math.abs(p)); // symmetric in p; this way it cannot overflow
      return (scale * e) / ((1 + e) * (1 + e));
    }
    case "exp":
      return Math.exp(p);
    case "tanh": {
      const t = Math.tanh(p);
      return scale * (1 - t * t);
    }
  }
}

/** c = Σσ / Σ(σ z). `sigma` and `z` have the matrix' rank. Throws `ERR_T2_INVALID_OPTION` when Σ(σ z) is not above 0. */
export function rescaleFactor(sigma: ArrayLike<number>, z: ArrayLike<number>): number {
  let norm = 0;
  let scaled = 0;
  for (let i = 0; i < sigma.length; i++) {
    norm += sigma[i] as number;
    scaled += (sigma[i] as number) * (z[i] as number);
  }
  if (norm === 0) return 1; // a matrix of zeros stays one
  if (!(scaled > 0)) throw invalidOption("rescale", "used with z whose weighted sum Σ σ z is above 0", scaled);
  return norm / scaled;
}

/**
 * z as used for parameters p, both [rank], in fp64: with rescale the factor c is in it. `sigma` [rank] is needed only with rescale.
 * @example
 * const z = Float32Array.from(toVector({ name: "residual" }, p));
 */
export function toVector(parametrisation: Parametrisation, p: ArrayLike<number>, sigma?: ArrayLike<number>): Float64Array {
  const { name, scale = 1, rescale = false } = parametrisation;
  const z = Float64Array.from(p, (value) => forward(name, scale, value));
  if (!rescale) return z;
  const factor = rescaleFactor(needSigma(sigma, p.length), z);
  return z.map((value) => value * factor);
}

/**
 * dL/dp from g = dL/dz for z as used (what `Engine.gradients` returns), all [rank], in fp64.
 * With rescale dL/dz_i = c (g_i − σ_i Σ_j z_j g_j / Σ_j σ_j z_j), where z is the one before rescaling: the pull back to the kept norm.
 */
export function toGradient(
  parametrisation: Parametrisation,
  p: ArrayLike<number>,
  g: ArrayLike<number>,
  sigma?: ArrayLike<number>,
): Float64Array {
  const { name, scale = 1, rescale = false } = parametrisation;
  const gradient = Float64Array.from(p, (value, i) => (g[i] as number) * derivative(name, scale, value));
  if (!rescale) return gradient;
  const s = needSigma(sigma, p.length);
  const z = Float64Array.from(p, (value) => forward(name, scale, value));
  const factor = rescaleFactor(s, z);
  let along = 0;
  let norm = 0;
  for (let i = 0; i < z.length; i++) {
    along += (z[i] as number) * (g[i] as number);
    norm += (s[i] as number) * (z[i] as number);
  }
  const pull = norm === 0 ? 0 : along / norm;
  return gradient.map((_, i) => factor * ((g[i] as number) - (s[i] as number) * pull) * derivative(name, scale, p[i] as number));
}

/**
 * Parameters to begin with, fp32 [rank].
 * "identity" gives z = 1: exactly for direct, residual, exp, tanh and a sigmoid of scale 2, up to rounding for other sigmoids.
 * Throws `ERR_T2_INVALID_OPTION` where no identity exists (a sigmoid of scale ≤ 1 without rescale).
 */
export function initialParameters(
  parametrisation: Parametrisation,
  initialisation: Initialisation,
  rank: number,
  random: Pick<Random, "normal">,
): Float32Array {
  if (initialisation === "identity") return new Float32Array(rank).fill(identityParameter(parametrisation));
  const { mean, variance } = initialisation;
  if (!Number.isFinite(mean)) throw invalidOption("initialisation.mean", "a finite number", mean);
  if (!Number.isFinite(variance) || variance < 0) throw invalidOption("initialisation.variance", "a finite number ≥ 0", variance);
  const deviation = Math.sqrt(variance);
  return Float32Array.from({ length: rank }, () => mean + deviation * random.normal());
}

/** The parameter whose z is 1. */
function identityParameter({ name, scale = 1, rescale = false }: Parametrisation): number {
  if (name === "direct") return 1;
  if (name !== "sigmoid") return 0;
  if (scale > 1) return -Math.log(scale - 1);
  if (rescale) return 0;
  throw invalidOption("parametrisation.scale", "above 1, since a sigmoid of that scale never reaches z = 1 without rescale", scale);
}

/** Throws `ERR_T2_INVALID_OPTION` unless it is a known parametrisation with a finite scale above 0. */
export function checkParametrisation(parametrisation: Parametrisation): Parametrisation {
  const { name, scale = 1, rescale = false } = parametrisation;
  if (!parametrisations.includes(name)) throw invalidOption("parametrisation.name", `one of ${parametrisations.join(", ")}`, name);
  if (!Number.isFinite(scale) || scale <= 0) throw invalidOption("parametrisation.scale", "a finite number above 0", scale);
  if (typeof rescale !== "boolean") throw invalidOption("parametrisation.rescale", "true or false", rescale);
  return parametrisation;
}

function needSigma(sigma: ArrayLike<number> | undefined, rank: number): ArrayLike<number> {
  if (sigma && sigma.length === rank) return sigma;
  throw invalidOption("sigma", `the ${rank} singular values, which rescale needs`, sigma ? `${sigma.length} values` : undefined);
}
