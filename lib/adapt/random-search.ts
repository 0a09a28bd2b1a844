// Random search: independent draws around the start, the best one wins. The yardstick for the other searches on the same budget.
import { Random } from "../util/random.js";
import {
  clamp,
  type Objective,
  runSearch,
  type Searcher,
  type SearchOptions,
  type SearchResult,
  type SearchSetup,
  searchSetup,
  worth,
} from "./search.js";

/** The method as a state machine; `randomSearch` runs it. Its solution is the best sample so far. */
export class RandomSearcher implements Searcher {
  solution: Float64Array;
  readonly deviation: Float64Array;
  readonly #setup: SearchSetup;
  readonly #random: Random;
  #best = Number.NEGATIVE_INFINITY;
  #points: Float64Array[] = [];

  constructor(options: SearchOptions) {
    this.#setup = searchSetup(options);
    this.solution = this.#setup.mean.map((x) => clamp(x, this.#setup.bounds));
    this.deviation = this.#setup.deviation;
    this.#random = new Random(this.#setup.seed, "random-search");
  }

  ask(): Float64Array[] {
    const { population, mean, deviation, bounds } = this.#setup;
    this.#points = Array.from({ length: population }, () => mean.map((m, d) => clamp(m + deviation[d]! * this.#random.normal(), bounds)));
    return this.#points;
  }

  tell(fitness: readonly number[]): void {
    for (const [i, point] of this.#points.entries()) {
      const value = worth(fitness[i]!);
      if (value > this.#best) {
        this.#best = value;
        this.solution = point;
      }
    }
  }
}

/** Searches the maximum of `objective` by independent draws from N(mean, deviation²). Throws `ERR_T2_INVALID_OPTION`, `ERR_T2_ABORTED`. */
export async function randomSearch(objective: Objective, options: SearchOptions): Promise<SearchResult> {
  return runSearch(new RandomSearcher(options), objective, options);
}
