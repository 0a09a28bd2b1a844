// The trained parameters p of every matrix and the way from them to z and back. The only file of the trainer that knows SVF.
import type { Engine, MatrixShape } from "../engine.js";
import { Expert } from "../svf/expert.js";
import { initialParameters, type Parametrisation, toGradient, toVector } from "../svf/parametrisation.js";
import { Random } from "../util/random.js";
import type { Vectors } from "./optimiser.js";
import type { Settings } from "./options.js";

/** What stays fixed while p moves. */
export interface PolicyFrame {
  readonly matrices: readonly MatrixShape[];
  readonly parametrisation: Parametrisation;
  /** σ per matrix; empty unless rescale needs it. */
  readonly sigma: Readonly<Record<string, Float32Array>>;
  /** Of the adapted base matrices. */
  readonly fingerprint: string;
}

/** Loads what the policy needs of the engine; decomposes the matrices that have no factors yet. */
export async function policyFrame(
  engine: Engine,
  matrices: readonly MatrixShape[],
  settings: Pick<Settings, "parametrisation" | "scale" | "rescale">,
): Promise<PolicyFrame> {
  const names = matrices.map((matrix) => matrix.name);
  const { parametrisation: name, scale, rescale } = settings;
  const sigma: Record<string, Float32Array> = {};
  if (rescale) for (const matrix of names) sigma[matrix] = await engine.sigma(matrix);
  return { matrices, parametrisation: { name, scale, rescale }, sigma, fingerprint: await engine.fingerprint(names) };
}

/** Parameters before the first step. Every matrix has its own stream, so the choice of targets does not change anybody's draw. */
export function startParameters(frame: PolicyFrame, settings: Pick<Settings, "init" | "seed">): Vectors {
  const start = ({ name, rank }: MatrixShape) =>
    [name, initialParameters(frame.parametrisation, settings.init, rank, new Random(settings.seed, `train/init/${name}`))] as const;
  return Object.fromEntries(frame.matrices.map(start));
}

/** z as the weights use it, per matrix. */
export function policyVectors(frame: PolicyFrame, parameters: Vectors): Vectors {
  const toZ = (name: string, p: Float32Array) => Float32Array.from(toVector(frame.parametrisation, p, frame.sigma[name]));
  return Object.fromEntries(Object.entries(parameters).map(([name, p]) => [name, toZ(name, p)]));
}

/** dL/dp from the engine's dL/dz, in fp32. */
export function policyGradient(frame: PolicyFrame, parameters: Vectors, z: Readonly<Record<string, Float32Array>>): Vectors {
  const toP = (name: string, p: Float32Array) => Float32Array.from(toGradient(frame.parametrisation, p, z[name]!, frame.sigma[name]));
  return Object.fromEntries(Object.entries(parameters).map(([name, p]) => [name, toP(name, p)]));
}

/** The parameters as an expert with its card. */
export function policyExpert(
  engine: Engine,
  frame: PolicyFrame,
  parameters: Vectors,
  about: { name: string; label?: string; description?: string; card?: Record<string, unknown> },
): Expert {
  return Expert.from(policyVectors(frame, parameters), {
    ...about,
    base: engine.info,
    fingerprint: frame.fingerprint,
    parametrisation: frame.parametrisation.name,
    rescale: frame.parametrisation.rescale ?? false,
  });
}
