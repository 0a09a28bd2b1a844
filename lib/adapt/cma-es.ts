// Separable CMA-ES (Ros and Hansen 2008, "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity"): a diagonal
// covariance whose learning rates are (n + 2) / 3 times the full method's, so hundreds of dimensions stay cheap.
import { Random } from "../util/random.js";
import { clamp, type Objective, runSearch, type Searcher, type SearchOptions, type SearchResult, searchSetup, worth } from "./search.js";

/** The method as a state machine; `cmaEs` runs it. Its solution is the mean. Start deviations enter as scales of the axes. */
export class SeparableCma implements Searcher {
  readonly solution: Float64Array;
  readonly deviation: Float64Array;
  readonly #random: Random;
  readonly #population: number;
  readonly #bounds: readonly [number, number];
  /** Recombination weights of the best half, summing to 1. */
  readonly #weights: number[];
  readonly #effective: number;
  /** Diagonal of the covariance in units of the start deviations; step is the global scale. */
  readonly #covariance: Float64Array;
  readonly #scale: Float64Array;
  readonly #stepPath: Float64Array;
  readonly #rankPath: Float64Array;
  #step = 1;
  #generation = 0;
  #points: Float64Array[] = [];

  constructor(options: SearchOptions) {
    const setup = searchSetup(options);
    const half = Math.floor(setup.population / 2);
    const raw = Array.from({ length: half }, (_, i) => Math.log((setup.population + 1) / 2) - Math.log(i + 1));
    const sum = raw.reduce((a, b) => a + b, 0);
    this.solution = setup.mean.map((x) => clamp(x, setup.bounds));
    this.deviation = Float64Array.from(setup.deviation);
    this.#random = new Random(setup.seed, "cma-es");
    this.#population = setup.population;
    this.#bounds = setup.bounds;
    this.#weights = raw.map((w) => w / sum);
    this.#effective = 1 / this.#weights.reduce((a, w) => a + w * w, 0);
    this.#covariance = new Float64Array(setup.dimension).fill(1);
    this.#scale = Float64Array.from(setup.deviation);
    this.#stepPath = new Float64Array(setup.dimension);
    this.#rankPath = new Float64Array(setup.dimension);
  }

  ask(): Float64Array[] {
    this.#points = Array.from({ length: this.#population }, () =>
      this.solution.map((mean, d) => clamp(mean + this.deviation[d]! * this.#random.normal(), this.#bounds)),
    );
    return this.#points;
  }

  tell(fitness: readonly number[]): void {
    const order = fitness.map((value, i) => ({ value: worth(value), i })).filter(({ value }) => value > Number.NEGATIVE_INFINITY);
    order.sort((a, b) => b.value - a.value || a.i - b.i);
    if (order.length < this.#weights.length) return; // too few could be evaluated to recombine
    const n = this.solution.length;
    const mu = this.#effective;
    const stepRate = (mu + 2) / (n + mu + 5);
    const stepDamping = 1 + 2 * Math.max(0, Math.sqrt((mu - 1) / (n + 1)) - 1) + stepRate;
    const rankRate = (4 + mu / n) / (n + 4 + (2 * mu) / n);
    const faster = (n + 2) / 3;
    const rankOne = Math.min(0.5, (faster * 2) / ((n + 1.3) ** 2 + mu));
    const rankMu = Math.min(1 - rankOne, (faster * 2 * (mu - 2 + 1 / mu)) / ((n + 2) ** 2 + mu));
    const expected = Math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n)); // E‖N(0, I)‖
    this.#generation++;

    // Points relative to the old mean, in units of step · scale: these have covariance C.
    const relative = order
      .slice(0, this.#weights.length)
      .map(({ i }) => this.#points[i]!.map((x, d) => (x - this.solution[d]!) / (this.#step * this.#scale[d]!)));
    let norm = 0;
    const shift = new Float64Array(n);
    for (let d = 0; d < n; d++) {
      for (const [k, y] of relative.entries()) shift[d]! += this.#weights[k]! * y[d]!;
      this.#stepPath[d] =
        (1 - stepRate) * this.#stepPath[d]! + Math.sqrt(stepRate * (2 - stepRate) * mu) * (shift[d]! / Math.sqrt(this.#covariance[d]!));
      norm += this.#stepPath[d]! ** 2;
    }
    norm = Math.sqrt(norm);
    const moving = norm / Math.sqrt(1 - (1 - stepRate) ** (2 * this.#generation)) < (1.4 + 2 / (n + 1)) * expected ? 1 : 0;
    for (let d = 0; d < n; d++) {
      this.solution[d] = clamp(this.solution[d]! + this.#step * this.#scale[d]! * shift[d]!, this.#bounds);
      this.#rankPath[d] = (1 - rankRate) * this.#rankPath[d]! + moving * Math.sqrt(rankRate * (2 - rankRate) * mu) * shift[d]!;
      let spread = 0;
      for (const [k, y] of relative.entries()) spread += this.#weights[k]! * y[d]! ** 2;
      const old = this.#covariance[d]!;
      const lost = (1 - moving) * rankRate * (2 - rankRate) * old;
      this.#covariance[d] = Math.max(1e-12, (1 - rankOne - rankMu) * old + rankOne * (this.#rankPath[d]! ** 2 + lost) + rankMu * spread);
    }
    this.#step = Math.min(1e3, Math.max(1e-8, this.#step * Math.exp(Math.min(1, (stepRate / stepDamping) * (norm / expected - 1)))));
    for (let d = 0; d < n; d++) this.deviation[d] = this.#step * this.#scale[d]! * Math.sqrt(this.#covariance[d]!);
  }
}

/** Searches the maximum of `objective` with separable CMA-ES and returns the mean as `solution`. Throws `ERR_T2_INVALID_OPTION`, `ERR_T2_ABORTED`. */
export async function cmaEs(objective: Objective, options: SearchOptions): Promise<SearchResult> {
  return runSearch(new SeparableCma(options), objective, options);
}
