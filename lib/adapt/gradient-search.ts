// Gradient descent on α: next-token loss of the shots' solutions, one backward pass per step. dL/dα_k = ⟨dL/dz′, dz′/dα_k⟩.
import type { Engine, TrainSequence } from "../engine.js";
import { invalidOption } from "../errors.js";
import type { Expert } from "../svf/expert.js";
import { throwIfAborted } from "../util/abort.js";
import type { AlphaLayout } from "./alpha.js";
import { clamp, type GenerationRecord, type SearchOptions, type SearchResult, searchSetup } from "./search.js";
import type { Shot } from "./strategy.js";

export interface GradientSearch {
  readonly engine: Engine;
  readonly experts: readonly Expert[];
  readonly layout: AlphaLayout;
  readonly shots: readonly Shot[];
  readonly rule: "delta" | "sum";
  readonly used: { promptTokens: number; completionTokens: number };
}

const RATE = 0.1;

/**
 * Adam on α from `mean` (default 0.4), `generations` steps of rate 0.1 falling to 0. A step's fitness is minus the loss at its start.
 * Throws `ERR_T2_INVALID_OPTION` when no shot has a solution, `ERR_T2_ABORTED`.
 */
export async function gradientSearch(search: GradientSearch, options: SearchOptions): Promise<SearchResult> {
  const { generations, mean, bounds } = searchSetup(options);
  const sequences = sequencesOf(search);
  const targets = search.engine.info.matrices
    .map((matrix) => matrix.name)
    .filter((name) => search.experts.some((expert) => expert.vectors.has(name)));
  const alpha = mean.map((x) => clamp(x, bounds));
  const first = new Float64Array(alpha.length);
  const second = new Float64Array(alpha.length);
  const best = { point: [...alpha], fitness: Number.NEGATIVE_INFINITY };
  const history: GenerationRecord[] = [];
  for (let step = 0; step < generations; step++) {
    throwIfAborted(options.signal, "The few-shot search");
    const adapter = search.layout.mixture(alpha);
    const { loss, z } = await search.engine.gradients(
      { sequences },
      { adapter, loss: "next-token", reduction: "token-mean", targets, signal: options.signal },
    );
    for (const { tokens } of sequences) search.used.promptTokens += tokens.length;
    if (-loss > best.fitness) Object.assign(best, { point: [...alpha], fitness: -loss });
    const slope = alphaGradient(search, z);
    const rate = 0.5 * RATE * (1 + Math.cos((Math.PI * step) / generations));
    for (let i = 0; i < alpha.length; i++) {
      first[i] = 0.9 * first[i]! + 0.1 * slope[i]!;
      second[i] = 0.99 * second[i]! + 0.01 * slope[i]! ** 2;
      const m = first[i]! / (1 - 0.9 ** (step + 1));
      const v = second[i]! / (1 - 0.99 ** (step + 1));
      alpha[i] = clamp(alpha[i]! - (rate * m) / (Math.sqrt(v) + 1e-12), bounds);
    }
    const record = { generation: step, best: best.fitness, mean: -loss, solution: [...alpha], deviation: [...alpha].map(() => 0) };
    history.push(record);
    options.onGeneration?.(record);
  }
  return { solution: [...alpha], best, history, evaluations: generations, stopped: "generations" };
}

function sequencesOf({ engine, shots }: GradientSearch): TrainSequence[] {
  const sequences = shots.flatMap((shot) => {
    if (shot.solution === undefined || shot.solution === "") return [];
    const prompt = engine.encodePrompt(shot.prompt);
    const solution = engine.tokenizer.encode(shot.solution, { continuation: true });
    const tokens = new Int32Array(prompt.length + solution.length);
    tokens.set(prompt);
    tokens.set(solution, prompt.length);
    return [{ tokens, promptLength: prompt.length, advantage: 1 }];
  });
  if (sequences.length === 0) throw invalidOption("search", '"cem", "random" or "cma-es" where no shot has a solution', "gradient");
  return sequences;
}

/** dL/dα from dL/dz′: the derivative of z′ by α_k is z_k − 1 under "delta" and z_k under "sum"; a matrix an expert lacks has z = 1. */
export function alphaGradient(
  { engine, experts, layout, rule }: Pick<GradientSearch, "engine" | "experts" | "layout" | "rule">,
  gradient: Readonly<Record<string, Float32Array>>,
): Float64Array {
  const result = new Float64Array(layout.dimension);
  const origin = rule === "delta" ? 1 : 0;
  for (const [index, matrix] of engine.info.matrices.entries()) {
    const slope = gradient[matrix.name];
    if (slope === undefined) continue;
    for (const [k, expert] of experts.entries()) {
      const z = expert.vectors.get(matrix.name);
      let sum = 0;
      for (let i = 0; i < slope.length; i++) sum += slope[i]! * ((z === undefined ? 1 : z[i]!) - origin);
      result[k * layout.groups + layout.groupOf(index)]! += sum;
    }
  }
  return result;
}
