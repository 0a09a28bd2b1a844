// The searches on functions whose maximum is known: CEM, random search and separable CMA-ES.
import t from "tap";
import { type CemOptions, CrossEntropy, cem, eliteWeights } from "../../lib/adapt/cem.js";
import { cmaEs } from "../../lib/adapt/cma-es.js";
import { randomSearch } from "../../lib/adapt/random-search.js";
import type { Objective } from "../../lib/adapt/search.js";
import { Random } from "../../lib/util/random.js";

const target = [1.2, -0.3, 0.7, 0];
const distance = (x: ArrayLike<number>) => Math.sqrt(target.reduce((sum, goal, d) => sum + (x[d]! - goal) ** 2, 0));
const sphere: Objective = (population) => population.map((x) => -(distance(x) ** 2));

t.test("the sphere, shifted away from the start", async (t) => {
  const result = await cem(sphere, { dimension: 4, generations: 25 });
  t.ok(distance(result.solution) < 0.05, `distance ${distance(result.solution)}`);
  t.equal(result.evaluations, 25 * 32);
  t.equal(result.stopped, "generations");
  t.ok(result.best.fitness <= 0 && result.best.fitness > -0.05);
  t.ok(result.history[24]!.mean > result.history[0]!.mean);
  const better = await cmaEs(sphere, { dimension: 4, generations: 60 });
  t.ok(distance(better.solution) < 0.01, `sep-CMA distance ${distance(better.solution)}`);
  const random = await randomSearch(sphere, { dimension: 4, generations: 25 });
  t.ok(distance(random.solution) > distance(result.solution), "random search is the yardstick, not the winner");
  t.same(random.solution, random.best.point);
});

t.test("sep-CMA learns the scale of each axis", async (t) => {
  const scales = [1, 100, 1e4];
  const ellipsoid: Objective = (population) => population.map((x) => -scales.reduce((sum, s, d) => sum + s * (x[d]! - 0.8) ** 2, 0));
  const { solution, history } = await cmaEs(ellipsoid, { dimension: 3, generations: 90, population: 16, bounds: [-10, 10] });
  for (const x of solution) t.ok(Math.abs(x - 0.8) < 0.02, `${x}`);
  const last = history.at(-1)!.deviation;
  t.ok(last[2]! < last[0]! / 10, "the steep axis has the small deviation");
});

t.test("noise: the mean is nearer than the best sample", async (t) => {
  let meanDistance = 0;
  let bestDistance = 0;
  for (let seed = 0; seed < 8; seed++) {
    const noise = new Random(seed, "noise");
    const noisy: Objective = (population) => population.map((x) => -(distance(x) ** 2) + 0.2 * noise.normal());
    const result = await cem(noisy, { dimension: 4, generations: 15, seed });
    meanDistance += distance(result.solution) / 8;
    bestDistance += distance(result.best.point) / 8;
  }
  t.ok(meanDistance < 0.35, `mean ${meanDistance}`);
  t.ok(meanDistance < bestDistance, `mean ${meanDistance}, best sample ${bestDistance}`);
});

t.test("ties: members at the border share the places that are left", (t) => {
  t.same(eliteWeights([3, 1, 1, 1, 0], 2), [1, 1 / 3, 1 / 3, 1 / 3, 0]);
  t.same(eliteWeights([5, 5, 5, 5], 2), [0.5, 0.5, 0.5, 0.5]);
  t.same(eliteWeights([Number.NaN, 2, Number.POSITIVE_INFINITY], 2), [0, 1, 0], "only finite values count");
  t.end();
});

t.test("a flat objective keeps the distribution about where it was", async (t) => {
  const { solution, history } = await cem((xs) => xs.map(() => 1), { dimension: 2, generations: 5, population: 200, bounds: [-9, 9] });
  for (const x of solution) t.ok(Math.abs(x - 0.4) < 0.15, `${x}`);
  t.ok(history.at(-1)!.deviation.every((d) => d > 0.25));
});

t.test("points respect the bounds, the deviation its floor", async (t) => {
  let outside = 0;
  const { history } = await cem(
    (xs) => {
      for (const x of xs) for (const v of x) if (v < 0 || v > 1) outside++;
      return xs.map((x) => x[0]!);
    },
    { dimension: 2, bounds: [0, 1], deviation: 3, floor: 0.1, generations: 20 },
  );
  t.equal(outside, 0);
  t.ok(history.at(-1)!.solution[0]! > 0.85);
  t.ok(history.at(-1)!.deviation.every((d) => d >= 0.1));
});

t.test("a seed decides everything", async (t) => {
  const options: CemOptions = { dimension: 4, seed: 7 };
  t.same(await cem(sphere, options), await cem(sphere, options));
  t.notSame((await cem(sphere, options)).solution, (await cem(sphere, { ...options, seed: 8 })).solution);
  t.same(await cmaEs(sphere, options), await cmaEs(sphere, options));
  t.same(await randomSearch(sphere, options), await randomSearch(sphere, options));
});

t.test("members that could not be evaluated do not steer the search", async (t) => {
  const half: Objective = (population) => population.map((x, i) => (i % 2 === 0 ? Number.NaN : -(distance(x) ** 2)));
  const result = await cem(half, { dimension: 4, generations: 30 });
  t.ok(distance(result.solution) < 0.1, `${distance(result.solution)}`);
  const none = await cem((xs) => xs.map(() => Number.NaN), { dimension: 2, generations: 3 });
  t.same(none.solution, [0.4, 0.4], "nothing learnt, nothing broken");
  const cma = await cmaEs((xs) => xs.map(() => Number.NaN), { dimension: 2, generations: 3 });
  t.same(cma.solution, [0.4, 0.4]);
});

t.test("early stops", async (t) => {
  const converged = await cem(sphere, { dimension: 4, generations: 200, tolerance: 0.01 });
  t.equal(converged.stopped, "converged");
  t.ok(converged.history.length < 100);
  const patient = await cem((xs) => xs.map(() => 1), { dimension: 1, generations: 50, patience: 3 });
  t.equal(patient.stopped, "patience");
  t.equal(patient.history.length, 4);
});

t.test("ask and tell without the loop", (t) => {
  const search = new CrossEntropy({ dimension: 1, mean: 0, deviation: 1, smoothing: 0, elites: 1, population: 4, floor: 0 });
  const points = search.ask();
  search.tell(points.map((_, i) => (i === 2 ? 1 : 0)));
  t.equal(search.solution[0], points[2]![0]);
  t.equal(search.deviation[0], 0);
  t.end();
});

t.test("aborts between generations", async (t) => {
  const controller = new AbortController();
  let calls = 0;
  const objective: Objective = (xs) => {
    if (++calls === 2) controller.abort(new Error("enough"));
    return xs.map(() => 0);
  };
  await t.rejects(cem(objective, { dimension: 1, generations: 10, signal: controller.signal }), {
    code: "ERR_T2_ABORTED",
    cause: { message: "enough" },
  });
  t.equal(calls, 2);
});

t.test("wrong options are named", async (t) => {
  const wrong: Record<string, Partial<CemOptions>> = {
    dimension: { dimension: 0 },
    population: { population: 1.5 },
    generations: { generations: 0 },
    mean: { mean: [1, 2, 3] },
    deviation: { deviation: 0 },
    bounds: { bounds: [1, 1] },
    elites: { elites: 33 },
    smoothing: { smoothing: 1 },
    floor: { floor: -1 },
    patience: { patience: -1 },
    tolerance: { tolerance: Number.NaN },
    seed: { seed: 0.5 },
  };
  for (const [option, value] of Object.entries(wrong)) {
    await t.rejects(cem(sphere, { dimension: 4, ...value }), { code: "ERR_T2_INVALID_OPTION", detail: { option } }, option);
  }
  await t.rejects(
    cem(() => [1], { dimension: 1 }),
    { code: "ERR_T2_INVALID_OPTION", detail: { option: "objective" } },
  );
});
