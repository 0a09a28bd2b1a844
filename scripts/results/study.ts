// The study behind docs/results: trains experts, scores them everywhere, adapts to unseen tasks by the three strategies. Every part is kept in a
// work folder as JSON when it is done, so that an interrupted study goes on where it was.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Adapter,
  classificationTask,
  classifierStrategy,
  compare,
  type Evaluation,
  Expert,
  evaluate,
  type FewShotOptions,
  fewShotStrategy,
  promptStrategy,
  type Strategy,
  shotsFrom,
  type Task,
  type TrainOptions,
  Transformer2,
  train,
} from "../../lib/index.js";
import { writeJsonAtomic } from "../../lib/util/atomic-file.js";
import { Random } from "../../lib/util/random.js";
import type { Count } from "./cells.js";

export interface StudyPlan {
  model: string;
  /** Kept results; ignored by git. */
  work: string;
  /** Task and its unseen relative, by the name of the expert. */
  tasks: Record<string, { seen: Task; unseen: Task }>;
  /** What the classification expert is trained on; default: prompts of the seen tasks. */
  classifier?: Task;
  seeds: readonly number[];
  options: TrainOptions;
  optionsOf?: Record<string, TrainOptions>;
  /** Test items scored of a task by the base and by its own expert; everything else is scored on `dispatchItems`. */
  limit: number;
  /** Items of each task, from the first, that get a first pass of their own; comparisons with the strategies are made on these. */
  dispatchItems: number;
  /** Shots and settings of the few-shot search. Default: 10 shots, the strategy's own settings. */
  fewShot?: FewShotOptions & { shots?: number };
  /** Presets compared with `options`, on the same number of completions. */
  presets: readonly { name: string; options: TrainOptions }[];
  /** Seeds and tasks of that comparison. */
  presetSeeds: readonly number[];
}

export interface TrainedRecord {
  seconds: { rollout: number; gradient: number; validation: number };
  steps: number;
  bestStep: number;
  values: number;
  completionTokens: number;
  curve: { step: number; sampled?: Count; validation?: Count; kl?: number }[];
}

/** A count with every item's outcome in order, "1" right and "0" wrong. */
export interface Outcome extends Count {
  items: string;
}

export interface SeedResult {
  seed: number;
  trained: Record<string, TrainedRecord>;
  /** [adapter][task] */
  scores: Record<string, Record<string, Outcome>>;
  /** McNemar of an expert against the base on its own task. */
  against: Record<string, number>;
  /** [strategy][task]; A and B on the first `dispatchItems` items, few-shot on all (its shots are no test items). */
  strategies: Record<string, Record<string, Outcome>>;
  alphas: Record<string, Record<string, number>>;
  /** [strategy][task][label] */
  dispatch: Record<string, Record<string, Record<string, number>>>;
  /** Mean milliseconds of the first pass and of an answer, per strategy. */
  cost: Record<string, { firstPass: number; answer: number }>;
  presets: Record<string, Record<string, Count>>;
}

function outcome(e: Pick<Evaluation, "right" | "total" | "items">): Outcome {
  return { right: e.right, total: e.total, items: e.items.map((i) => (i.right ? "1" : "0")).join("") };
}

export class Study {
  readonly plan: StudyPlan;
  readonly t2: Transformer2;
  readonly #base = new Map<string, Evaluation>();

  private constructor(plan: StudyPlan, t2: Transformer2) {
    this.plan = plan;
    this.t2 = t2;
  }

  static async open(plan: StudyPlan): Promise<Study> {
    mkdirSync(plan.work, { recursive: true });
    return new Study(plan, await Transformer2.load(plan.model));
  }

  /** The value of a part that was done before, or the work of doing it now. */
  async part<T>(name: string, work: () => Promise<T>): Promise<T> {
    const path = join(this.plan.work, `${name.replace(/[^\w.-]+/g, "_")}.json`);
    if (existsSync(path)) return JSON.parse(readFileSync(path, "utf8")) as T;
    const begin = performance.now();
    const value = await work();
    await writeJsonAtomic(path, value);
    console.log(`${name}: ${((performance.now() - begin) / 1e3).toFixed(1)} s`);
    return value;
  }

  get allTasks(): [string, Task][] {
    return [
      ...Object.entries(this.plan.tasks).map(([name, { seen }]): [string, Task] => [name, seen]),
      ...Object.entries(this.plan.tasks).map(([name, { unseen }]): [string, Task] => [`unseen ${name}`, unseen]),
    ];
  }

  classifierTask(): Task {
    const seen = Object.values(this.plan.tasks).map(({ seen }) => seen);
    return this.plan.classifier ?? classificationTask(seen, { train: 300, validation: 40, test: 100 });
  }

  /** Trains one expert, or reads it when it is there. */
  async expert(name: string, task: Task, seed: number, options: TrainOptions, tag = ""): Promise<[Expert, TrainedRecord]> {
    const key = `expert-${name}${tag}-${seed}`;
    const path = join(this.plan.work, `${key}.safetensors`);
    const record = await this.part(key, async () => {
      const result = await train(this.t2, task, {
        ...options,
        name,
        seed,
        run: join(this.plan.work, `run-${key}`),
        onStep: (r) => {
          const v = r.validation ? ` validation ${r.validation.right}/${r.validation.total}` : "";
          console.log(
            `  ${key} step ${r.step}: sampled ${r.sampled?.right ?? "-"}/${r.sampled?.total ?? "-"} kl ${r.kl?.toFixed(4) ?? "-"}${v}`,
          );
        },
      });
      await result.expert.save(path);
      const { seconds, steps, bestStep, values, completionTokens } = result;
      const curve = result.curve.map(({ step, sampled, validation, kl }) => ({ step, sampled, validation, kl }));
      return { seconds, steps, bestStep, values, completionTokens, curve } as TrainedRecord;
    });
    return [await Expert.load(path), record];
  }

  async base(name: string, task: Task): Promise<Evaluation> {
    let known = this.#base.get(name);
    if (!known) {
      known = await this.part(`base-${name}`, () =>
        evaluate(this.t2, task, { limit: name in this.plan.tasks ? this.plan.limit : this.plan.dispatchItems }),
      );
      this.#base.set(name, known);
    }
    return known;
  }

  async score(key: string, task: Task, adapter: Adapter, limit = this.plan.dispatchItems): Promise<Evaluation> {
    return this.part(`score-${key}`, () => evaluate(this.t2, task, { adapter, limit }));
  }

  async seed(seed: number): Promise<SeedResult> {
    const { plan, t2 } = this;
    const result: SeedResult = {
      seed,
      trained: {},
      scores: { base: {} },
      against: {},
      strategies: {},
      alphas: {},
      dispatch: {},
      cost: {},
      presets: {},
    };
    for (const name of t2.experts.names) t2.experts.remove(name);
    const names = Object.keys(plan.tasks);
    for (const [name, task] of this.allTasks) {
      result.scores.base![name] = outcome(await this.base(name, task));
    }
    for (const name of names) {
      const [expert, record] = await this.expert(name, plan.tasks[name]!.seen, seed, { ...plan.options, ...plan.optionsOf?.[name] });
      result.trained[name] = record;
      await t2.experts.add(expert);
      result.scores[name] = {};
      for (const [taskName, task] of this.allTasks) {
        const e = await this.score(`${name}-${taskName}-${seed}`, task, name, taskName === name ? plan.limit : plan.dispatchItems);
        result.scores[name]![taskName] = outcome(e);
        if (taskName === name) result.against[name] = compare(await this.base(name, task), e).pValue;
      }
    }
    const uniform: Adapter = { weights: Object.fromEntries(names.map((n) => [n, 1 / names.length])) };
    result.scores["uniform mix"] = {};
    for (const [taskName, task] of this.allTasks) {
      const e = await this.score(`uniform-${taskName}-${seed}`, task, uniform);
      result.scores["uniform mix"]![taskName] = outcome(e);
    }
    const [classifier, record] = await this.expert("classifier", this.classifierTask(), seed, {
      ...plan.options,
      ...plan.optionsOf?.classifier,
    });
    result.trained.classifier = record;
    await t2.experts.add(classifier);
    await this.#dispatching(seed, result, names);
    await this.#fewShot(seed, result, names);
    await this.#presets(seed, result);
    return result;
  }

  // A decision is one expert or the base, and what each of them answers to an item was scored above: greedy, so the answer would be the same.
  async #dispatching(seed: number, result: SeedResult, names: string[]): Promise<void> {
    const { t2, plan } = this;
    for (const [label, strategy] of [
      ["A prompt", promptStrategy()],
      ["B classifier", classifierStrategy()],
    ] as [string, Strategy][]) {
      const kept = await this.part(`dispatch-${label}-${seed}`, async () => {
        const chosen: Record<string, string[]> = {};
        let [first, asked, answers, answered] = [0, 0, 0, 0];
        for (const [taskName, task] of this.allTasks) {
          chosen[taskName] = [];
          for (const sample of task.splits.test.slice(0, plan.dispatchItems)) {
            const begin = performance.now();
            const decision = await t2.adapt(task.prompt(sample), { strategy });
            first += performance.now() - begin;
            asked++;
            const used = Object.entries(decision.weights).filter(([, weight]) => weight !== 0);
            if (used.length > 1 || (used[0] && used[0][1] !== 1))
              throw new Error(`${label}: a decision that is not one expert: ${JSON.stringify(decision.weights)}`);
            chosen[taskName]!.push(decision.abstained || !used[0] ? "base" : used[0][0]);
          }
          // what an answer takes alone, for comparison with the first pass
          for (const sample of task.splits.test.slice(0, 8)) {
            const begin = performance.now();
            await t2.generate(task.prompt(sample), { maxTokens: task.maxTokens ?? 256, adapter: names[0]! });
            answers += performance.now() - begin;
            answered++;
          }
        }
        return { chosen, cost: { firstPass: first / asked, answer: answers / answered } };
      });
      result.dispatch[label] = {};
      result.strategies[label] = {};
      result.cost[label] = kept.cost;
      for (const [taskName, list] of Object.entries(kept.chosen)) {
        const counts = Object.fromEntries([...names, "base"].map((n) => [n, list.filter((c) => c === n).length]));
        const items = list.map((adapter, i) => result.scores[adapter]![taskName]!.items[i]).join("");
        result.dispatch[label]![taskName] = counts;
        result.strategies[label]![taskName] = { right: [...items].filter((x) => x === "1").length, total: items.length, items };
      }
    }
  }

  async #fewShot(seed: number, result: SeedResult, names: string[]): Promise<void> {
    const { t2, plan } = this;
    result.strategies["C few-shot"] = {};
    for (const name of names) {
      const task = plan.tasks[name]!.unseen;
      const { shots: count = 10, ...settings } = plan.fewShot ?? {};
      const kept = await this.part(`few-shot-${name}-${seed}`, async () => {
        const shots = shotsFrom(task, new Random(seed, `shots ${name}`).shuffle([...task.splits.train]).slice(0, count));
        const begin = performance.now();
        const decision = await t2.adapt(shots, { strategy: fewShotStrategy({ ...settings, task, seed }) });
        const seconds = (performance.now() - begin) / 1e3;
        const e = await evaluate(t2, task, { adapter: decision.adapter, limit: plan.dispatchItems });
        return { ...outcome(e), weights: decision.weights, seconds };
      });
      result.strategies["C few-shot"]![`unseen ${name}`] = { right: kept.right, total: kept.total, items: kept.items };
      result.alphas[name] = { ...kept.weights, seconds: kept.seconds };
    }
  }

  async #presets(seed: number, result: SeedResult): Promise<void> {
    if (!this.plan.presetSeeds.includes(seed)) return;
    for (const { name: preset, options } of this.plan.presets) {
      result.presets[preset] = {};
      for (const [name, { seen }] of Object.entries(this.plan.tasks)) {
        const [expert, record] = await this.expert(name, seen, seed, options, `-${preset}`);
        const e = await this.score(`${preset}-${name}-${seed}`, seen, expert);
        result.presets[preset]![name] = { right: e.right, total: e.total };
        result.trained[`${preset} ${name}`] = record;
      }
    }
  }

  async close(): Promise<void> {
    await this.t2[Symbol.asyncDispose]();
  }
}
