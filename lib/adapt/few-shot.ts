// Strategy C, `few-shot`: searches the weights of the experts that solve a handful of examples best (paper, section 3.2).
import { invalidOption } from "../errors.js";
import type { Mixture } from "../svf/mixture.js";
import type { Cost, Prompt } from "../types.js";
import { type AlphaLayout, alphaLayout, type Granularity } from "./alpha.js";
import { candidates } from "./candidates.js";
import { type CemOptions, cem } from "./cem.js";
import { cmaEs } from "./cma-es.js";
import { gradientSearch } from "./gradient-search.js";
import { randomSearch } from "./random-search.js";
import type { SearchResult } from "./search.js";
import { checkShots, type Judging, judgeOf, type ShotEvaluation, type ShotScore, scoreOnShots } from "./shots.js";
import { baseDecision, type Decision, type Shot, type Strategy, type StrategyContext } from "./strategy.js";

export interface FewShotOptions extends Judging {
  /** Default "cem". "gradient" needs shots with solutions and the model's factors. */
  search?: "cem" | "random" | "cma-es" | "gradient";
  /** One α per expert for the whole model (default), per group of layers (their number), or per matrix. */
  granularity?: Granularity;
  /** "delta" (default): z′ = 1 + Σ α_k (z_k − 1). "sum", the paper's: z′ = Σ α_k z_k. */
  rule?: "delta" | "sum";
  /** Weight of the mean log-prob per token of the shots' solutions in the fitness. Default 0.1. */
  logprobWeight?: number;
  /** Tokens an answer may take. Default: the task's, else 256. */
  maxTokens?: number;
  stop?: readonly string[];
  /** Default 0: greedy. Above 0 every member draws with the same random numbers. */
  temperature?: number;
  /** Default 0: of the search and of sampling. */
  seed?: number;
  /** Settings of the search; see `CemOptions`. Defaults: population 32, elites 6, 8 generations, start 0.4 ± 0.4, bounds [−0.5, 2]. */
  population?: number;
  elites?: number;
  generations?: number;
  mean?: number;
  deviation?: number;
  bounds?: readonly [number, number];
  smoothing?: number;
  floor?: number;
  patience?: number;
  tolerance?: number;
  /**
   * Where the base, one expert alone or the uniform mix has a better fitness on the shots than what the search found, take that. Default
   * true: a search that ended worse than its yardsticks has failed. `detail.chosen` says what was taken.
   */
  fallback?: boolean;
}

/** What `detail` of a few-shot decision holds. */
export interface FewShotDetail extends Record<string, unknown> {
  readonly chosen: string;
  /** On the shots, by name: the search, "base", "uniform", and every expert alone. */
  readonly scores: Record<string, ShotScore>;
  readonly history: SearchResult["history"];
  readonly stopped: SearchResult["stopped"];
  readonly evaluations: number;
  readonly granularity: Granularity;
  readonly dimension: number;
  readonly rule: "delta" | "sum";
  readonly search: string;
  /** Ids of the shots, which must not be scored as test items. */
  readonly shots: readonly string[];
}

/**
 * The whole population answers all shots in one batch per generation. What is returned is the mean of the final distribution, not the
 * best sample, which with ten examples is an overfit.
 *
 * Throws `ERR_T2_INVALID_OPTION` for a wrong option; `choose` also for an empty list of shots or duplicate experts.
 */
export function fewShotStrategy(options: FewShotOptions = {}): Strategy {
  const {
    search = "cem",
    rule = "delta",
    logprobWeight = 0.1,
    temperature = 0,
    seed = 0,
    fallback = true,
    granularity = "model",
  } = options;
  const maxTokens = options.maxTokens ?? options.task?.maxTokens ?? 256;
  if (!["cem", "random", "cma-es", "gradient"].includes(search))
    throw invalidOption("search", '"cem", "random", "cma-es" or "gradient"', search);
  if (rule !== "delta" && rule !== "sum") throw invalidOption("rule", '"delta" or "sum"', rule);
  if (!(logprobWeight >= 0 && Number.isFinite(logprobWeight))) throw invalidOption("logprobWeight", "a number ≥ 0", logprobWeight);
  if (!(temperature >= 0 && Number.isFinite(temperature))) throw invalidOption("temperature", "a number ≥ 0", temperature);
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) throw invalidOption("maxTokens", "a whole number ≥ 1", maxTokens);
  if (!Number.isSafeInteger(seed) || seed < 0) throw invalidOption("seed", "a whole number ≥ 0", seed);
  const judge = judgeOf(options);

  async function choose(input: Prompt | readonly Shot[], context: StrategyContext): Promise<Decision> {
    const { engine, signal, onProgress } = context;
    const shots = checkShots(input);
    const experts = candidates(context.experts);
    if (experts.length === 0) return baseDecision("few-shot", experts, { detail: { reason: "no experts" } });
    const names = experts.map((expert) => expert.name);
    const layout = alphaLayout(engine.info, names, granularity, rule);
    const used = { promptTokens: 0, completionTokens: 0 };
    const stop = options.stop ?? options.task?.stop;
    const run: ShotEvaluation = { engine, shots, judge, logprobWeight, maxTokens, stop, temperature, seed, signal, used };
    const milliseconds: Record<string, number> = {};
    const timed = async <T>(phase: string, work: () => Promise<T>): Promise<T> => {
      const began = performance.now();
      const result = await work();
      milliseconds[phase] = (milliseconds[phase] ?? 0) + performance.now() - began;
      return result;
    };

    const generations = options.generations ?? (search === "gradient" ? 30 : 8);
    const searchOptions: CemOptions = {
      ...picked(options),
      dimension: layout.dimension,
      generations,
      seed,
      signal,
      onGeneration: ({ generation, best }) =>
        onProgress?.({ phase: "few-shot", done: generation + 1, total: generations, detail: `best fitness ${best.toFixed(3)}` }),
    };
    const yardsticks = yardstickMixtures(names, rule);
    const scores: Record<string, ShotScore> = {};
    const found = await timed("search", async () => {
      if (search === "gradient") return gradientSearch({ engine, experts, layout, shots, rule, used }, searchOptions);
      // The yardsticks ride along in the first generation's batch.
      const objective = async (population: readonly Float64Array[], generation: number) => {
        const extra = generation === 0 ? [...yardsticks.values()] : [];
        const all = await scoreOnShots(run, [...extra, ...population.map((point) => layout.mixture(point))]);
        if (generation === 0) for (const [i, name] of [...yardsticks.keys()].entries()) scores[name] = all[i]!;
        return all.slice(extra.length).map((score) => score.fitness);
      };
      const run1 = search === "cem" ? cem : search === "random" ? randomSearch : cmaEs;
      return run1(objective, searchOptions);
    });
    const mixture = layout.mixture(found.solution);
    await timed("verify", async () => {
      const missing = [...yardsticks].filter(([name]) => scores[name] === undefined);
      const [own, ...rest] = await scoreOnShots(run, [mixture, ...missing.map(([, adapter]) => adapter)]);
      scores[search] = own!;
      for (const [i, [name]] of missing.entries()) scores[name] = rest[i]!;
    });

    const chosen = fallback ? bestOf(scores, search) : search;
    const detail: FewShotDetail = {
      chosen,
      scores,
      history: found.history,
      stopped: found.stopped,
      evaluations: found.evaluations,
      granularity,
      dimension: layout.dimension,
      rule,
      search,
      shots: shots.map((shot, i) => shot.id ?? `shot-${i}`),
    };
    const cost: Cost = { ...used, milliseconds };
    const fitness = Object.fromEntries(Object.entries(scores).map(([name, score]) => [name, score.fitness]));
    return decision(
      chosen === search ? mixture : yardsticks.get(chosen)!,
      { layout, solution: found.solution, isSearch: chosen === search },
      { scores: fitness, cost, detail },
    );
  }

  return { name: "few-shot", input: "shots", choose };
}

const searchKeys = ["population", "elites", "mean", "deviation", "bounds", "smoothing", "floor", "patience", "tolerance"] as const;

function picked(options: FewShotOptions): Partial<CemOptions> {
  return Object.fromEntries(searchKeys.filter((key) => options[key] !== undefined).map((key) => [key, options[key]]));
}

/** The adapters that every search is compared with. */
function yardstickMixtures(names: readonly string[], rule: "delta" | "sum"): Map<string, Mixture | "base"> {
  const result = new Map<string, Mixture | "base">([["base", "base"]]);
  if (names.length > 1) result.set("uniform", { weights: Object.fromEntries(names.map((name) => [name, 1 / names.length])), rule });
  for (const name of names) result.set(`single:${name}`, { weights: { [name]: 1 }, rule });
  return result;
}

/** The search, unless a yardstick is strictly better on the shots. */
function bestOf(scores: Readonly<Record<string, ShotScore>>, search: string): string {
  let best = search;
  for (const [name, { fitness }] of Object.entries(scores)) if (fitness > scores[best]!.fitness) best = name;
  return best;
}

function decision(
  adapter: Mixture | "base",
  from: { layout: AlphaLayout; solution: readonly number[]; isSearch: boolean },
  about: Pick<Decision, "scores" | "cost" | "detail">,
): Decision {
  const none = Object.fromEntries(from.layout.experts.map((name) => [name, 0]));
  if (adapter === "base") return { strategy: "few-shot", weights: none, abstained: true, adapter, ...about };
  const weights = from.isSearch ? from.layout.weights(from.solution) : { ...none, ...(adapter.weights as Record<string, number>) };
  return { strategy: "few-shot", weights, abstained: false, adapter, ...about };
}
