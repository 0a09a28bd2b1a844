// The shots of the few-shot strategy: how they are checked, kept out of tests, and what a set of mixtures is worth on them.
import type { Adapter, Engine } from "../engine.js";
import { invalidOption, Transformer2Error } from "../errors.js";
import { type GraderName, grade, graderNames } from "../tasks/grading.js";
import { rewardOf } from "../tasks/task.js";
import type { Sample, Task } from "../types.js";
import { throwIfAborted } from "../util/abort.js";
import type { Shot } from "./strategy.js";

/** How completions of shots are judged: by the task they come from, a function, or a grader. */
export interface Judging {
  /** Takes its reward, maxTokens and stop. Shots are then samples of it. */
  task?: Task;
  /** > 0 is right. */
  reward?: (shot: Shot, completion: string) => number | Promise<number>;
  /** Where neither task nor reward is given. Default "exact". */
  grader?: GraderName;
}

export type Judge = (shot: Shot, completion: string) => Promise<boolean>;

export function judgeOf({ task, reward, grader = "exact" }: Judging): Judge {
  if (reward !== undefined && typeof reward !== "function") throw invalidOption("reward", "a function of a shot and a completion", reward);
  if (!graderNames.includes(grader)) throw invalidOption("grader", `one of ${graderNames.join(", ")}`, grader);
  if (reward !== undefined) {
    return async (shot, completion) => {
      const value = await reward(shot, completion);
      if (typeof value !== "number" || !Number.isFinite(value))
        throw invalidOption("reward", "a function that returns a finite number", value);
      return value > 0;
    };
  }
  if (task !== undefined) return async (shot, completion) => (await rewardOf(task, shot as Sample, completion)) > 0;
  return async (shot, completion) => grade(grader, shot.answer, completion);
}

/** Shots from samples of a task: their prompts as the task puts them, with answer and solution. */
export function shotsFrom(task: Task, samples: readonly Sample[]): Shot[] {
  return samples.map((sample) => ({ ...sample, prompt: task.prompt(sample) }));
}

function promptKey(prompt: unknown): string {
  return typeof prompt === "string"
    ? prompt.trim()
    : JSON.stringify(prompt, (_, value) => (ArrayBuffer.isView(value) ? [...(value as Int32Array)] : value));
}

/**
 * The samples that may be scored after adapting on `shots`: neither a shot's prompt nor, within a split, its id. A score that includes
 * the shots is a score on what was fitted (a defect of the published code).
 */
export function withoutShots<S extends { readonly id?: string; readonly prompt: unknown }>(
  samples: readonly S[],
  shots: readonly Shot[],
): S[] {
  const ids = new Set(shots.map((shot) => shot.id).filter((id) => id !== undefined));
  const prompts = new Set(shots.map((shot) => promptKey(shot.prompt)));
  return samples.filter((sample) => !(sample.id !== undefined && ids.has(sample.id)) && !prompts.has(promptKey(sample.prompt)));
}

/** Throws `ERR_T2_INVALID_OPTION` for an empty list, `ERR_T2_INVALID_PROMPT` for a shot without prompt or answer. */
export function checkShots(shots: unknown): readonly Shot[] {
  if (!Array.isArray(shots) || shots.length === 0)
    throw invalidOption("shots", "a list of at least one solved example { prompt, answer }", shots);
  for (const [i, shot] of (shots as Partial<Shot>[]).entries()) {
    const good = typeof shot === "object" && shot !== null && shot.prompt !== undefined && typeof shot.answer === "string";
    if (!good || (shot.solution !== undefined && typeof shot.solution !== "string")) {
      throw new Transformer2Error("ERR_T2_INVALID_PROMPT", `Shot ${i} must be { prompt, answer, solution? } with a text as answer.`, {
        detail: { shot: i },
      });
    }
  }
  return shots as Shot[];
}

/** What one adapter is worth on the shots. */
export interface ShotScore {
  readonly right: number;
  readonly total: number;
  /** Mean log-prob per token of the solutions; null where no shot has one. */
  readonly logprob: number | null;
  /** right / total + weight · logprob. */
  readonly fitness: number;
}

export interface ShotEvaluation {
  readonly engine: Engine;
  readonly shots: readonly Shot[];
  readonly judge: Judge;
  /** Weight of the mean log-prob in the fitness. */
  readonly logprobWeight: number;
  readonly maxTokens: number;
  readonly stop?: readonly string[] | undefined;
  readonly temperature: number;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
  /** Counts tokens as they are used. */
  readonly used: { promptTokens: number; completionTokens: number };
}

/**
 * Scores every adapter on every shot: one batch of all answers, and one of all solutions, each row with its own adapter. The seed of a
 * row depends on its shot alone (common random numbers), so that adapters differ by their weights and not by luck.
 */
export async function scoreOnShots(run: ShotEvaluation, adapters: readonly Adapter[]): Promise<ShotScore[]> {
  const { engine, shots, signal, used } = run;
  throwIfAborted(signal, "The few-shot search");
  const prompts = shots.map((shot) => engine.encodePrompt(shot.prompt));
  const items = adapters.flatMap((adapter) => prompts.map((tokens, s) => ({ prompt: { tokens }, adapter, seed: run.seed + s })));
  const { maxTokens, stop, temperature } = run;
  const answers = await engine.generateBatch(items, { maxTokens, temperature, signal, ...(stop === undefined ? {} : { stop }) });
  const verdicts = await Promise.all(answers.map(([answer], i) => run.judge(shots[i % shots.length]!, answer!.text)));
  for (const [answer] of answers) {
    used.promptTokens += answer!.usage.promptTokens;
    used.completionTokens += answer!.usage.completionTokens;
  }
  const solved = shots.flatMap(({ solution }, s) => (solution === undefined || solution === "" ? [] : [{ tokens: prompts[s]!, solution }]));
  const logprobs = await solutionLogprobs(run, adapters, solved);
  return adapters.map((_, a) => {
    const right = verdicts.slice(a * shots.length, (a + 1) * shots.length).filter(Boolean).length;
    const logprob = logprobs === null ? null : logprobs[a]!;
    return { right, total: shots.length, logprob, fitness: right / shots.length + (logprob === null ? 0 : run.logprobWeight * logprob) };
  });
}

/** Mean over solutions of the mean log-prob per token, for every adapter. */
async function solutionLogprobs(
  run: ShotEvaluation,
  adapters: readonly Adapter[],
  solved: readonly { tokens: Int32Array; solution: string }[],
): Promise<number[] | null> {
  if (solved.length === 0 || run.logprobWeight === 0) return null;
  const items = adapters.flatMap((adapter) =>
    solved.map(({ tokens, solution }) => ({ prompt: { tokens }, adapter, continuations: [solution] })),
  );
  const scores = await run.engine.scoreBatch(items, { signal: run.signal });
  for (const [i, [score]] of scores.entries()) run.used.promptTokens += solved[i % solved.length]!.tokens.length + score!.logprobs.length;
  return adapters.map((_, a) => {
    const own = scores.slice(a * solved.length, (a + 1) * solved.length);
    return own.reduce((sum, [score]) => sum + score!.mean, 0) / solved.length;
  });
}
