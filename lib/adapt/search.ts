// What the black-box searches share: the ask/tell interface, the loop around it, and the record it leaves. Fitness is maximised.
import { invalidOption } from "../errors.js";
import { throwIfAborted } from "../util/abort.js";

/**
 * Gives the fitness of every member of a population, higher is better, in the same order. It gets the whole generation at once, so
 * that it can be evaluated in one batch. A fitness that is not finite counts as worst.
 */
export type Objective = (population: readonly Float64Array[], generation: number) => readonly number[] | Promise<readonly number[]>;

/** A search as a state machine: `ask` for points, `tell` what they are worth, read `solution`. */
export interface Searcher {
  readonly solution: Float64Array;
  /** Deviation per dimension of what would be asked next. */
  readonly deviation: Float64Array;
  ask(): Float64Array[];
  tell(fitness: readonly number[]): void;
}

export interface GenerationRecord {
  generation: number;
  best: number;
  mean: number;
  /** The searcher's solution and deviation after this generation. */
  solution: number[];
  deviation: number[];
}

export interface SearchResult {
  /** What the search recommends: the distribution's mean (cem, cmaEs), or the best sample (randomSearch). */
  solution: number[];
  /** The best single sample. With few noisy examples it is an overfit; prefer `solution`. */
  best: { point: number[]; fitness: number };
  history: GenerationRecord[];
  evaluations: number;
  stopped: "generations" | "converged" | "patience";
}

/** Options that every search has. */
export interface SearchOptions {
  /** Number of unknowns. */
  dimension: number;
  /** Members per generation. Default 32. */
  population?: number;
  /** Generations at most. Default 8. */
  generations?: number;
  /** Start of the mean, for all dimensions or each. Default 0.4. */
  mean?: number | readonly number[];
  /** Start of the deviation, for all dimensions or each. Default 0.4. */
  deviation?: number | readonly number[];
  /** Every point is clamped to these. Default [−0.5, 2]. */
  bounds?: readonly [number, number];
  /** Default 0. The same seed gives the same points. */
  seed?: number;
  /** Stop after so many generations without a better generation mean. Default 0: never. */
  patience?: number;
  /** Stop when no dimension of the solution moved further than this in a generation. Default 0: never. */
  tolerance?: number;
  signal?: AbortSignal | undefined;
  onGeneration?: ((record: GenerationRecord) => void) | undefined;
}

/** The options with their defaults filled in and checked. */
export interface SearchSetup {
  dimension: number;
  population: number;
  generations: number;
  mean: Float64Array;
  deviation: Float64Array;
  bounds: readonly [number, number];
  seed: number;
}

/** Checks the shared options; throws `ERR_T2_INVALID_OPTION` naming the wrong one. */
export function searchSetup(options: SearchOptions): SearchSetup {
  const { dimension, population = 32, generations = 8, bounds = [-0.5, 2], seed = 0 } = options;
  wholeNumber("dimension", dimension, 1);
  wholeNumber("population", population, 2);
  wholeNumber("generations", generations, 1);
  if (!(Number.isFinite(bounds[0]) && Number.isFinite(bounds[1]) && bounds[0] < bounds[1])) {
    throw invalidOption("bounds", "two finite numbers, the lower one first", bounds);
  }
  if (options.patience !== undefined) wholeNumber("patience", options.patience, 0);
  if (options.tolerance !== undefined && !(options.tolerance >= 0)) throw invalidOption("tolerance", "a number ≥ 0", options.tolerance);
  const mean = spread("mean", options.mean ?? 0.4, dimension);
  const deviation = spread("deviation", options.deviation ?? 0.4, dimension);
  if (deviation.some((d) => d <= 0)) throw invalidOption("deviation", "greater than 0", options.deviation);
  return { dimension, population, generations, mean, deviation, bounds, seed };
}

/** Throws `ERR_T2_INVALID_OPTION` unless the value is a whole number ≥ least. */
export function wholeNumber(option: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) throw invalidOption(option, `a whole number ≥ ${least}`, value);
}

function spread(option: string, value: number | readonly number[], dimension: number): Float64Array {
  const result = typeof value === "number" ? new Float64Array(dimension).fill(value) : Float64Array.from(value);
  if (result.length !== dimension || result.some((x) => !Number.isFinite(x))) {
    throw invalidOption(option, `a finite number, or ${dimension} of them (one per dimension)`, value);
  }
  return result;
}

export function clamp(x: number, bounds: readonly [number, number]): number {
  return Math.min(bounds[1], Math.max(bounds[0], x));
}

/** Not-a-number and the like are worth less than everything else, so that one failed member cannot steer the search. */
export function worth(fitness: number): number {
  return Number.isFinite(fitness) ? fitness : Number.NEGATIVE_INFINITY;
}

/** Runs a searcher to its end. Throws `ERR_T2_ABORTED` between generations once the signal has fired. */
export async function runSearch(searcher: Searcher, objective: Objective, options: SearchOptions): Promise<SearchResult> {
  const { generations } = searchSetup(options);
  const { patience = 0, tolerance = 0 } = options;
  const history: GenerationRecord[] = [];
  const best = { point: [...searcher.solution], fitness: Number.NEGATIVE_INFINITY };
  let evaluations = 0;
  let bestMean = Number.NEGATIVE_INFINITY;
  let waited = 0;
  for (let generation = 0; generation < generations; generation++) {
    throwIfAborted(options.signal, "The search");
    const population = searcher.ask();
    const fitness = await objective(population, generation);
    if (fitness.length !== population.length) {
      throw invalidOption(
        "objective",
        `a function that returns ${population.length} numbers, one per member`,
        `a list of ${fitness.length}`,
      );
    }
    evaluations += population.length;
    const before = Float64Array.from(searcher.solution);
    searcher.tell(fitness);
    let bestNow = Number.NEGATIVE_INFINITY;
    let sum = 0;
    let count = 0;
    for (const [i, point] of population.entries()) {
      const value = worth(fitness[i]!);
      if (value > bestNow) bestNow = value;
      if (value > best.fitness) Object.assign(best, { point: [...point], fitness: value });
      if (value > Number.NEGATIVE_INFINITY) {
        sum += value;
        count++;
      }
    }
    const record: GenerationRecord = {
      generation,
      best: bestNow,
      mean: count > 0 ? sum / count : Number.NEGATIVE_INFINITY,
      solution: [...searcher.solution],
      deviation: [...searcher.deviation],
    };
    history.push(record);
    options.onGeneration?.(record);
    if (tolerance > 0 && searcher.solution.every((x, d) => Math.abs(x - before[d]!) <= tolerance)) {
      return { solution: record.solution, best, history, evaluations, stopped: "converged" };
    }
    waited = record.mean > bestMean ? 0 : waited + 1;
    bestMean = Math.max(bestMean, record.mean);
    if (patience > 0 && waited >= patience) return { solution: record.solution, best, history, evaluations, stopped: "patience" };
  }
  return { solution: [...searcher.solution], best, history, evaluations, stopped: "generations" };
}
