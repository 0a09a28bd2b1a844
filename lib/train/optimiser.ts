// Adam and AdamW over named Float32Arrays, and clipping by the global norm. Parameters and moments are fp32 (in bf16 small steps vanish
// and the second moment never decays: defect D8 of the published code); each update is computed in doubles and rounded once, so a run is
// reproducible bit for bit on every machine.

/** Named vectors, one per matrix. The order of the keys is the order of every sum over them. */
export type Vectors = Record<string, Float32Array>;

export interface AdamSettings {
  /** `adam` adds weightDecay·p to the gradient, `adamw` shrinks p itself (Loshchilov and Hutter 2019). */
  readonly kind: "adam" | "adamw";
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;
}

export interface AdamState {
  /** Updates made so far: the t of the bias correction. */
  updates: number;
  readonly first: Vectors;
  readonly second: Vectors;
}

/** Moments of zero, shaped like the parameters. */
export function adamState(parameters: Vectors): AdamState {
  const zeros = () => Object.fromEntries(Object.entries(parameters).map(([name, vector]) => [name, new Float32Array(vector.length)]));
  return { updates: 0, first: zeros(), second: zeros() };
}

/** One update in place of `parameters` and `state`. Equal to torch.optim.Adam and AdamW with amsgrad off. */
export function adamUpdate(parameters: Vectors, gradient: Vectors, state: AdamState, rate: number, settings: AdamSettings): void {
  const [beta1, beta2] = settings.betas;
  const { epsilon, weightDecay } = settings;
  const decoupled = settings.kind === "adamw";
  state.updates++;
  const correction1 = 1 - beta1 ** state.updates;
  const correction2 = Math.sqrt(1 - beta2 ** state.updates);
  for (const [name, p] of Object.entries(parameters)) {
    const g = gradient[name]!;
    const m = state.first[name]!;
    const v = state.second[name]!;
    for (let i = 0; i < p.length; i++) {
      const value = decoupled ? p[i]! * (1 - rate * weightDecay) : p[i]!;
      const slope = decoupled ? g[i]! : g[i]! + weightDecay * p[i]!;
      const mean = beta1 * m[i]! + (1 - beta1) * slope;
      const square = beta2 * v[i]! + (1 - beta2) * slope * slope;
      m[i] = mean;
      v[i] = square;
      p[i] = value - ((rate / correction1) * mean) / (Math.sqrt(square) / correction2 + epsilon);
    }
  }
}

/** Euclidean norm over all vectors together, summed in doubles. */
export function globalNorm(vectors: Vectors): number {
  let sum = 0;
  for (const vector of Object.values(vectors)) for (let i = 0; i < vector.length; i++) sum += vector[i]! * vector[i]!;
  return Math.sqrt(sum);
}

/** Scales the vectors in place so that their global norm is at most `limit`; returns the norm before. */
export function clipGlobalNorm(vectors: Vectors, limit: number): number {
  const norm = globalNorm(vectors);
  if (norm > limit) {
    const scale = limit / norm;
    for (const vector of Object.values(vectors)) for (let i = 0; i < vector.length; i++) vector[i] = vector[i]! * scale;
  }
  return norm;
}
