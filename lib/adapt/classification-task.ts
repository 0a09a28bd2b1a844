// The task that a classification expert is trained on: the prompts of other tasks, asked as the dispatcher asks, answered by their labels.
import { invalidOption, Transformer2Error } from "../errors.js";
import { defineTask } from "../tasks/task.js";
import type { Sample, Split, Task } from "../types.js";
import { Random } from "../util/random.js";
import { OTHER } from "./candidates.js";
import type { DispatchFile } from "./dispatch-file.js";
import { classifierWording, fill, promptText, readLabel } from "./wording.js";

export interface ClassificationTaskOptions {
  /** Default "classifier": an expert of this name is found by the strategy `classifier`. */
  name?: string;
  /** The model's own wording; see `readDispatch`. Default: the general one. */
  dispatch?: DispatchFile | null;
  /** Items taken of each task, per split. Default 200, 50 and 100, or as many as it has. */
  train?: number;
  validation?: number;
  test?: number;
  /** Order of the items. Default 0. */
  seed?: number;
}

/**
 * A task whose answers are the labels of `tasks`. Splits stay apart: its train items are train items of the tasks, and so on.
 * Throws `ERR_T2_INVALID_TASK` for a task without a label or two with the same, `ERR_T2_INVALID_OPTION`.
 */
export function classificationTask(tasks: readonly Task[], options: ClassificationTaskOptions = {}): Task {
  const { name = "classifier", seed = 0 } = options;
  if (tasks.length < 2) throw invalidOption("tasks", "a list of at least two tasks", tasks.length);
  const described = new Map<string, { description: string }>();
  for (const task of tasks) {
    if (task.label === undefined || task.label === OTHER || described.has(task.label)) {
      const what =
        task.label === undefined ? "has no label" : task.label === OTHER ? `is labelled "${OTHER}"` : `shares the label "${task.label}"`;
      throw new Transformer2Error("ERR_T2_INVALID_TASK", `Task "${task.name}" ${what}; give every task a label of its own.`, {
        detail: { task: task.name },
      });
    }
    described.set(task.label, { description: task.description ?? "" });
  }
  const wording = classifierWording(described, options.dispatch ?? undefined);
  const wanted: Record<Split, number> = { train: options.train ?? 200, validation: options.validation ?? 50, test: options.test ?? 100 };
  const splits = Object.fromEntries(
    (["train", "validation", "test"] as const).map((split) => {
      const items = tasks.flatMap((task) =>
        new Random(seed, `classification/${task.name}/${split}`)
          .shuffle(task.splits[split])
          .slice(0, wanted[split])
          .map((sample): Sample => {
            const text = promptText(task.prompt(sample), () => "");
            const label = task.label as string;
            const solution = `${wording.prefix}${wording.labels.get(label)}`;
            return { id: `${task.name}/${split}/${sample.id}`, prompt: fill(wording.prompt, text), answer: label, solution };
          }),
      );
      return [split, new Random(seed, `classification/${split}`).shuffle(items)];
    }),
  ) as Record<Split, Sample[]>;
  return defineTask({
    name,
    grader: "label",
    splits,
    label: name,
    maxTokens: 12,
    reward: (sample, completion) => (readLabel(withoutPrefix(completion, wording.prefix), wording.labels, true) === sample.answer ? 1 : -1),
  });
}

/** What the model wrote behind the prefix, which it may repeat in any case and with any white space. */
function withoutPrefix(completion: string, prefix: string): string {
  const text = completion.trimStart();
  const start = prefix.trim();
  return start !== "" && text.toLowerCase().startsWith(start.toLowerCase()) ? text.slice(start.length) : text;
}
