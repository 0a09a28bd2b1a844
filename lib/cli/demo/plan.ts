// What the demo does on which model: tasks, the one trained live, the unseen one, and how many items each step takes.
import { resolve } from "node:path";
import type { Task } from "../../types.js";
import { embeddedModel } from "../model.js";
import { taskFrom } from "../task.js";

export interface DemoOptions {
  model: string;
  tasks?: string[];
  train?: string;
  unseen?: string;
  steps?: number;
  maxTokens?: number;
  quick?: boolean;
  seed?: number;
}

export interface DemoPlan {
  /** One per kind of prompt, each with its own label. */
  readonly tasks: readonly Task[];
  readonly trained: Task;
  readonly unseen: Task;
  readonly steps: number;
  readonly validationItems: number;
  /** Test items per task and system. */
  readonly items: number;
  readonly shots: number;
  /** Of the few-shot search. */
  readonly population: number;
  readonly generations: number;
  readonly seed: number;
}

const embedded = { tasks: ["math", "code", "reasoning"], train: "code", unseen: "unseen-code", steps: 32 };
/** For other checkpoints: short tasks of everyday language. */
const words = { tasks: ["word-problems", "comparison", "past-tense"], train: "word-problems", unseen: "word-problems-two-step", steps: 12 };

/** Throws `ERR_T2_INVALID_TASK` for a task that does not exist. */
export async function demoPlan(options: DemoOptions): Promise<DemoPlan> {
  const isEmbedded = resolve(options.model) === resolve(embeddedModel);
  const usual = isEmbedded ? embedded : words;
  const names = options.tasks ?? usual.tasks;
  const trainName = options.train ?? (options.tasks === undefined ? usual.train : names[0]!);
  const unseenName = options.unseen ?? (options.tasks === undefined ? usual.unseen : names.at(-1)!);
  const tasks: Task[] = [];
  const given = options.maxTokens === undefined ? {} : { maxTokens: options.maxTokens };
  for (const name of names) tasks.push(await taskFrom({ task: name, ...given }));
  const named = async (name: string) => tasks[names.indexOf(name)] ?? (await taskFrom({ task: name, ...given }));
  const quick = options.quick === true;
  return {
    tasks,
    trained: await named(trainName),
    unseen: await named(unseenName),
    steps: options.steps ?? (quick ? Math.ceil(usual.steps / 2) : usual.steps),
    validationItems: quick ? 32 : 64,
    items: (isEmbedded ? 200 : 60) / (quick ? 4 : 1),
    shots: 10,
    // On a larger model every answer costs seconds, and few experts need few mixtures.
    population: isEmbedded ? 32 : 8,
    generations: (isEmbedded ? 8 : 4) / (quick ? 2 : 1),
    seed: options.seed ?? 0,
  };
}

/** How a task's prompts are called in tables: by its label, or by its name. */
export function kindOf(task: Task): string {
  return task.label ?? task.name;
}
