// defineTask: turns what a user writes into a Task, and refuses what could not be trained or scored honestly.
import { Transformer2Error } from "../errors.js";
import type { Prompt, Sample, Split, Task } from "../types.js";
import { checkAnswer, type GraderName, grade, graderNames } from "./grading.js";

/** Gives a completion its reward: > 0 is right. May be async (a sandbox, a judge). */
export type Reward = (sample: Sample, completion: string) => number | Promise<number>;

export interface TaskSpec {
  name: string;
  /** Raise it whenever prompts, splits or grading change. Default "1". */
  version?: string;
  /** Items whose `id` is unique within the task. A split left out is empty. */
  splits: Partial<Record<Split, readonly Sample[]>>;
  /** What the model is asked. Default: `sample.prompt`. */
  prompt?: (sample: Sample) => Prompt;
  /** A reward of your own, or the name of a grader: +1 when it finds `sample.answer` in the completion, otherwise −1. */
  reward: Reward | GraderName;
  /** Name of the grading in results. Default: the grader's name, or "custom". */
  grader?: string;
  /** How an expert for this task is named to the dispatcher. */
  label?: string;
  description?: string;
  /** Tokens a completion may take, at least 1. Default 256. */
  maxTokens?: number;
  stop?: readonly string[];
}

export const splitNames = ["train", "validation", "test"] as const satisfies readonly Split[];

/** ERR_T2_INVALID_TASK in one form. */
export function invalidTask(task: string, message: string, detail: Record<string, unknown> = {}, cause?: unknown): Transformer2Error {
  return new Transformer2Error("ERR_T2_INVALID_TASK", `Task "${task}": ${message}`, { detail: { task, ...detail }, cause });
}

function checkSample(task: string, split: Split, index: number, sample: Sample): void {
  const where = `item ${index} of ${split}`;
  const at = { split, index };
  if (typeof sample !== "object" || sample === null) throw invalidTask(task, `${where} is not an object.`, at);
  if (typeof sample.id !== "string" || sample.id === "") throw invalidTask(task, `${where} needs an "id", a text that is not empty.`, at);
  const { prompt } = sample;
  if (!(typeof prompt === "string" ? prompt.trim() !== "" : Array.isArray(prompt) && prompt.length > 0))
    throw invalidTask(task, `${where} ("${sample.id}") needs a "prompt": a text that is not empty, or a list of messages.`, at);
  if (typeof sample.answer !== "string") throw invalidTask(task, `${where} ("${sample.id}") needs an "answer" that is a text.`, at);
  if (sample.solution !== undefined && typeof sample.solution !== "string")
    throw invalidTask(task, `${where} ("${sample.id}") has a "solution" that is not a text.`, at);
}

/**
 * Makes a task.
 *
 * @throws `ERR_T2_INVALID_TASK` when a name is missing, an item lacks its id, prompt or answer, an id occurs twice (an item in two splits
 * would be trained on and tested), an answer does not suit the grader, or there is no item at all.
 * @example
 * const parity = defineTask({
 *   name: "parity",
 *   splits: { train, validation, test },
 *   reward: (sample, completion) => (completion.trim().toLowerCase() === sample.answer ? 1 : -1),
 * });
 */
export function defineTask(spec: TaskSpec): Task {
  const { name, reward } = spec;
  if (typeof name !== "string" || name === "") throw invalidTask(String(name), 'it needs a "name", a text that is not empty.');
  if (typeof reward !== "function" && !graderNames.includes(reward))
    throw invalidTask(name, `"reward" must be a function or one of ${graderNames.join(", ")}, but is ${JSON.stringify(reward)}.`, {
      reward,
    });
  if (spec.maxTokens !== undefined && !(Number.isSafeInteger(spec.maxTokens) && spec.maxTokens >= 1))
    throw invalidTask(name, `"maxTokens" must be a whole number ≥ 1, but is ${spec.maxTokens}.`, { maxTokens: spec.maxTokens });
  const seen = new Map<string, Split>();
  const splits: Record<Split, readonly Sample[]> = { train: [], validation: [], test: [] };
  for (const split of splitNames) {
    const samples = spec.splits?.[split] ?? [];
    samples.forEach((sample, index) => {
      checkSample(name, split, index, sample);
      const before = seen.get(sample.id);
      if (before)
        throw invalidTask(name, `id "${sample.id}" occurs twice (in ${before} and ${split}); ids must be unique.`, { id: sample.id });
      seen.set(sample.id, split);
      if (typeof reward === "string") checkAnswer(reward, sample.answer);
    });
    splits[split] = Object.freeze([...samples]);
  }
  if (seen.size === 0) throw invalidTask(name, "it has no items.");
  const task: Task = {
    name,
    version: spec.version ?? "1",
    grader: spec.grader ?? (typeof reward === "string" ? reward : "custom"),
    splits: Object.freeze(splits),
    prompt: spec.prompt ?? ((sample) => sample.prompt as Prompt),
    reward: typeof reward === "string" ? (sample, completion) => (grade(reward, sample.answer, completion) ? 1 : -1) : reward,
    ...(spec.label === undefined ? {} : { label: spec.label }),
    ...(spec.description === undefined ? {} : { description: spec.description }),
    ...(spec.maxTokens === undefined ? {} : { maxTokens: spec.maxTokens }),
    ...(spec.stop === undefined ? {} : { stop: spec.stop }),
  };
  return Object.freeze(task);
}

/** The reward of a completion, checked: a task that returns NaN or no number is `ERR_T2_INVALID_TASK`, not a silent poison of the run. */
export async function rewardOf(task: Task, sample: Sample, completion: string): Promise<number> {
  const reward = await task.reward(sample, completion);
  if (typeof reward !== "number" || !Number.isFinite(reward))
    throw invalidTask(task.name, `the reward of item "${sample.id}" is ${String(reward)}; it must be a finite number.`, {
      id: sample.id,
      completion,
    });
  return reward;
}
