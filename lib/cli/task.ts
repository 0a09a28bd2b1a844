// A task as the command line names it: one of the built-in ones, or a file of JSON lines with the user's own prompts and answers.
import { stat } from "node:fs/promises";
import { type Command, Option } from "commander";
import { invalidOption, Transformer2Error } from "../errors.js";
import { type GraderName, graderNames } from "../tasks/grading.js";
import { builtInTask, builtInTaskNames } from "../tasks/index.js";
import { type JsonlTaskOptions, loadJsonlTask, loadReward } from "../tasks/jsonl-task.js";
import type { Sample, Task } from "../types.js";
import { realNumber, wholeNumber } from "./arguments.js";

export interface TaskOptions {
  task: string;
  grader?: GraderName;
  reward?: string;
  label?: string;
  description?: string;
  maxTokens?: number;
  validation?: number;
  test?: number;
}

/** Adds the options that choose a task and say how it is graded. */
export function withTask(command: Command): Command {
  return command
    .requiredOption("-t, --task <name or file>", `a file of JSON lines {"prompt", "answer"}, or one of: ${builtInTaskNames.join(", ")}`)
    .addOption(new Option("--grader <name>", "how answers of a file are compared (default: exact)").choices(graderNames))
    .option("--reward <module>", "JavaScript module with a function reward(sample, completion) for the items of a file")
    .option("--label <name>", "what the dispatcher calls this skill")
    .option("--description <text>", "one sentence about it, for the dispatcher")
    .option("--max-tokens <number>", "tokens an answer may take (default: the task's, or 256)", wholeNumber)
    .option("--validation <share>", "of a file's lines without a split, for validation: a share or a count (default: 0.15)", realNumber)
    .option("--test <share>", "and for test (default: 0.15)", realNumber);
}

/** Throws `ERR_T2_INVALID_TASK`; `ERR_T2_INVALID_OPTION` where an option is for files only. */
export async function taskFrom(options: TaskOptions): Promise<Task> {
  const { task, grader, reward, label, description, maxTokens, validation, test } = options;
  if (builtInTaskNames.includes(task)) {
    for (const [name, value] of Object.entries({ grader, reward, validation, test })) {
      if (value !== undefined) throw invalidOption(name, `left out, as "${task}" is a built-in task`, value);
    }
    return retitled(builtInTask(task), options);
  }
  const isFile = (await stat(task).catch(() => undefined))?.isFile() ?? false;
  if (!isFile && !/[\\/.]/.test(task)) {
    throw new Transformer2Error(
      "ERR_T2_INVALID_TASK",
      `There is no task "${task}": neither a file nor one of ${builtInTaskNames.join(", ")}.`,
      {
        detail: { task, known: builtInTaskNames },
      },
    );
  }
  const given: JsonlTaskOptions = {
    ...(grader === undefined ? {} : { grader }),
    ...(reward === undefined ? {} : { reward: await loadReward(reward) }),
    ...(label === undefined ? {} : { label }),
    ...(description === undefined ? {} : { description }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(validation === undefined ? {} : { validation }),
    ...(test === undefined ? {} : { test }),
  };
  return loadJsonlTask(task, given);
}

/** The task under other words. Its splits may be made on first use, so they are handed on and not read. */
function retitled(task: Task, { label = task.label, description = task.description, maxTokens = task.maxTokens }: TaskOptions): Task {
  if (label === task.label && description === task.description && maxTokens === task.maxTokens) return task;
  return {
    name: task.name,
    version: task.version,
    grader: task.grader,
    splits: task.splits,
    prompt: (sample: Sample) => task.prompt(sample),
    reward: (sample: Sample, completion: string) => task.reward(sample, completion),
    ...(label === undefined ? {} : { label }),
    ...(description === undefined ? {} : { description }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(task.stop === undefined ? {} : { stop: task.stop }),
  };
}
