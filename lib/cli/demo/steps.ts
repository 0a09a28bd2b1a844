// The steps of the demo as functions that return plain data; demo.ts tells the story, report.ts draws it.
import { isClassifier } from "../../adapt/candidates.js";
import { classifierStrategy } from "../../adapt/classifier.js";
import { type FewShotDetail, fewShotStrategy } from "../../adapt/few-shot.js";
import { promptStrategy } from "../../adapt/prompt.js";
import { shotsFrom, withoutShots } from "../../adapt/shots.js";
import type { Decision, Strategy } from "../../adapt/strategy.js";
import type { Adapter } from "../../engine.js";
import { type Evaluation, evaluate } from "../../evaluate/evaluate.js";
import type { TrainOptions } from "../../train/options.js";
import type { TrainResult } from "../../train/run.js";
import { train } from "../../train/train.js";
import type { Transformer2 } from "../../transformer2.js";
import type { Progress, Sample, Task } from "../../types.js";
import { decisionsFor } from "../decisions.js";
import { type DemoPlan, kindOf } from "./plan.js";

/** What every step works with. */
export interface DemoRun {
  readonly t2: Transformer2;
  readonly plan: DemoPlan;
  readonly signal: AbortSignal;
  readonly onProgress: (p: Progress) => void;
}

/** An evaluation without its answers. */
export type Score = Omit<Evaluation, "items">;

/** Scores one adapter, or one per item, on the test items of a task. */
export async function score(
  run: DemoRun,
  task: Task,
  adapter: Adapter | readonly Adapter[],
  exclude: readonly string[] = [],
): Promise<Evaluation> {
  const { t2, plan, signal, onProgress } = run;
  const chosen = isList(adapter) ? (_: Sample, index: number) => adapter[index]! : adapter;
  return evaluate(t2, task, {
    adapter: chosen,
    limit: plan.items,
    exclude,
    signal,
    onProgress: (p) => onProgress({ ...p, phase: "answering", detail: task.name }),
  });
}

function isList(adapter: Adapter | readonly Adapter[]): adapter is readonly Adapter[] {
  return Array.isArray(adapter);
}

/** Trains an expert live and puts it in the place of the loaded one of the same label. Nothing is written. */
export async function trainLive(run: DemoRun, onStep: NonNullable<TrainOptions["onStep"]>): Promise<TrainResult> {
  const { t2, plan, signal } = run;
  const task = plan.trained;
  const result = await train(t2, task, {
    name: `${kindOf(task)}-live`,
    steps: plan.steps,
    validationItems: Math.min(plan.validationItems, task.splits.validation.length),
    validateEvery: Math.max(1, Math.round(plan.steps / 8)),
    patience: 0,
    schedule: "constant", // a run this short has no use for a decay
    seed: plan.seed,
    signal,
    onStep,
  });
  if (result.bestStep === 0) return result; // nothing was gained: what is loaded stays
  for (const expert of [...t2.experts]) if (!isClassifier(expert) && expert.label === kindOf(task)) t2.experts.remove(expert.name);
  await t2.experts.add(result.expert.with({ label: kindOf(task), description: task.description ?? "" }), { signal });
  return result;
}

/** The strategies that the loaded experts allow. */
export function strategies(t2: Transformer2): Strategy[] {
  const hasClassifier = [...t2.experts].some(isClassifier);
  return hasClassifier ? [promptStrategy(), classifierStrategy()] : [promptStrategy()];
}

/** One strategy over all kinds of prompts. */
export interface Dispatch {
  readonly strategy: string;
  /** [task][item] */
  readonly decisions: readonly (readonly Decision[])[];
  readonly evaluations: readonly Evaluation[];
  /** Milliseconds of the first pass per prompt. */
  readonly firstPass: number;
}

export async function dispatch(run: DemoRun, strategy: Strategy, tasks: readonly Task[]): Promise<Dispatch> {
  const { t2, plan, signal, onProgress } = run;
  const decisions: Decision[][] = [];
  const evaluations: Evaluation[] = [];
  for (const task of tasks) {
    const decided = await decisionsFor(t2, strategy, task, task.splits.test.slice(0, plan.items), { signal, onProgress });
    decisions.push(decided);
    evaluations.push(
      await score(
        run,
        task,
        decided.map((decision) => decision.adapter),
      ),
    );
  }
  const all = decisions.flat();
  const total = all.reduce((sum, { cost }) => sum + Object.values(cost.milliseconds).reduce((a, b) => a + b, 0), 0);
  return { strategy: strategy.name, decisions, evaluations, firstPass: total / Math.max(1, all.length) };
}

/** The expert that a decision chose, or "base". */
export function chosenName({ abstained, weights }: Decision): string {
  if (abstained) return "base";
  return Object.entries(weights).reduce((best, one) => (one[1] > best[1] ? one : best))[0];
}

/** One prompt answered twice. */
export interface Adaptation {
  readonly kind: string;
  readonly prompt: string;
  readonly decision: Decision;
  readonly before: { readonly text: string; readonly right: boolean };
  readonly after: { readonly text: string; readonly right: boolean };
}

/** The first test item whose answer changes by adapting, or the first one where none does. */
export function firstChange(task: Task, base: Evaluation, adapted: Evaluation, decisions: readonly Decision[]): Adaptation {
  const at = Math.max(
    0,
    base.items.findIndex((item, i) => item.completion !== adapted.items[i]!.completion),
  );
  const [before, after] = [base.items[at]!, adapted.items[at]!];
  const { prompt } = task.splits.test.find(({ id }) => id === before.id)!;
  return {
    kind: task.name,
    prompt: typeof prompt === "string" ? prompt : (prompt.at(-1)?.content ?? ""),
    decision: decisions[at]!,
    before: { text: before.completion, right: before.right },
    after: { text: after.completion, right: after.right },
  };
}

export interface FewShotResult {
  readonly decision: Decision;
  readonly detail: FewShotDetail;
  /** On the test items: base, uniform mix, the expert that is best on the shots, and the search. */
  readonly test: readonly { readonly name: string; readonly score: Score }[];
}

/** CEM on shots of the unseen task, then the test items, which hold no shot. */
export async function fewShot(run: DemoRun): Promise<FewShotResult> {
  const { t2, plan, signal, onProgress } = run;
  const task = plan.unseen;
  const samples = task.splits.train.slice(0, plan.shots);
  const shots = shotsFrom(task, samples);
  const strategy = fewShotStrategy({ task, population: plan.population, generations: plan.generations, seed: plan.seed });
  const adapted = await t2.adapt(shots, { strategy, signal, onProgress });
  const decision: Decision = { ...adapted, adapter: adapted.adapter };
  const detail = decision.detail as FewShotDetail;
  const kept = new Set(withoutShots(task.splits.test, shots).map(({ id }) => id));
  const exclude = task.splits.test.filter(({ id }) => !kept.has(id)).map(({ id }) => id);
  const names = Object.keys(decision.weights);
  const single = names.reduce((a, b) => (detail.scores[`single:${b}`]!.fitness > detail.scores[`single:${a}`]!.fitness ? b : a));
  const rows: { name: string; adapter: Adapter }[] = [
    { name: "base", adapter: "base" },
    { name: "uniform mix", adapter: { weights: Object.fromEntries(names.map((name) => [name, 1 / names.length])) } },
    { name: `best single: ${single}`, adapter: single },
    { name: "few-shot", adapter: decision.adapter },
  ];
  const test: { name: string; score: Score }[] = [];
  for (const { name, adapter } of rows) {
    const { items: _, ...rest } = await score(run, task, adapter, exclude);
    test.push({ name, score: rest });
  }
  return { decision, detail, test };
}
