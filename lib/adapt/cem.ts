// The cross-entropy method with a diagonal Gaussian: sample, keep the elites, fit, repeat. What the few-shot strategy searches α with.
import { invalidOption } from "../errors.js";
import { Random } from "../util/random.js";
import { clamp, type Objective, runSearch, type Searcher, type SearchOptions, type SearchResult, searchSetup, worth } from "./search.js";

export interface CemOptions extends SearchOptions {
  /** Members a generation is fitted to, 1 to population. Default 6, or a fifth of a smaller population. */
  elites?: number;
  /** Share of the old mean and deviation that is kept, 0 to below 1. Default 0.3. */
  smoothing?: number;
  /** The deviation never falls below this, so the search cannot freeze at an accident. Default 0.02. */
  floor?: number;
}

/** The method as a state machine; `cem` runs it. Its solution is the mean. */
export class CrossEntropy implements Searcher {
  readonly solution: Float64Array;
  readonly deviation: Float64Array;
  readonly #random: Random;
  readonly #population: number;
  readonly #elites: number;
  readonly #smoothing: number;
  readonly #floor: number;
  readonly #bounds: readonly [number, number];
  #points: Float64Array[] = [];

  constructor(options: CemOptions) {
    const setup = searchSetup(options);
    const elites = options.elites ?? Math.min(6, Math.max(2, Math.floor(setup.population / 5)));
    const { smoothing = 0.3, floor = 0.02 } = options;
    if (!Number.isSafeInteger(elites) || elites < 1 || elites > setup.population) {
      throw invalidOption("elites", `a whole number from 1 to the population, ${setup.population}`, elites);
    }
    if (!(smoothing >= 0 && smoothing < 1)) throw invalidOption("smoothing", "a number from 0 to below 1", smoothing);
    if (!(floor >= 0 && Number.isFinite(floor))) throw invalidOption("floor", "a number ≥ 0", floor);
    this.solution = setup.mean.map((x) => clamp(x, setup.bounds));
    this.deviation = setup.deviation.map((x) => Math.max(x, floor));
    this.#random = new Random(setup.seed, "cem");
    this.#population = setup.population;
    this.#elites = elites;
    this.#smoothing = smoothing;
    this.#floor = floor;
    this.#bounds = setup.bounds;
  }

  ask(): Float64Array[] {
    this.#points = Array.from({ length: this.#population }, () =>
      this.solution.map((mean, d) => clamp(mean + this.deviation[d]! * this.#random.normal(), this.#bounds)),
    );
    return this.#points;
  }

  tell(fitness: readonly number[]): void {
    const weights = eliteWeights(fitness, this.#elites);
    const total = weights.reduce((sum, w) => sum + w, 0);
    if (total === 0) return; // nobody could be evaluated: draw again from the same distribution
    for (let d = 0; d < this.solution.length; d++) {
      let mean = 0;
      for (const [i, point] of this.#points.entries()) mean += (weights[i]! / total) * point[d]!;
      let variance = 0;
      for (const [i, point] of this.#points.entries()) variance += (weights[i]! / total) * (point[d]! - mean) ** 2;
      const keep = this.#smoothing;
      this.solution[d] = keep * this.solution[d]! + (1 - keep) * mean;
      this.deviation[d] = Math.max(this.#floor, keep * this.deviation[d]! + (1 - keep) * Math.sqrt(variance));
    }
  }
}

/**
 * Weight of each member in the fit: 1 for the elites. Members that tie at the border share what is left of the places, because with ten
 * right-or-wrong examples most members tie and an arbitrary pick among them would be noise.
 */
export function eliteWeights(fitness: readonly number[], elites: number): number[] {
  const values = fitness.map(worth);
  const border = [...values].sort((a, b) => b - a)[Math.min(elites, values.length) - 1] ?? Number.NEGATIVE_INFINITY;
  const above = values.filter((value) => value > border).length;
  const tied = values.filter((value) => value === border).length;
  const share = border === Number.NEGATIVE_INFINITY ? 0 : (elites - above) / tied;
  return values.map((value) => (value > border ? 1 : value === border ? share : 0));
}

/**
 * Searches the maximum of `objective` with the cross-entropy method and returns the mean of the final distribution as `solution`.
 *
 * @example
 * const { solution } = await cem((xs) => xs.map((x) => -((x[0]! - 1) ** 2)), { dimension: 1 });
 *
 * Throws `ERR_T2_INVALID_OPTION`, `ERR_T2_ABORTED`.
 */
export async function cem(objective: Objective, options: CemOptions): Promise<SearchResult> {
  return runSearch(new CrossEntropy(options), objective, options);
}
