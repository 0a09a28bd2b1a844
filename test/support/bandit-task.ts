// A task for the table engine: answers that begin with the letter "c" are right.
import { defineTask } from "../../lib/tasks/task.js";
import type { Sample, Task } from "../../lib/types.js";

export function banditTask(changes: { test?: readonly Sample[]; train?: number } = {}): Task {
  const items = (split: string, count: number): Sample[] =>
    Array.from({ length: count }, (_, i) => ({ id: `${split}-${i}`, prompt: `${split} ${"x".repeat(i + 1)}`, answer: "c", solution: "c" }));
  return defineTask({
    name: "bandit",
    splits: { train: items("train", changes.train ?? 10), validation: items("validation", 6), test: changes.test ?? items("test", 8) },
    reward: (sample, completion) => (completion.startsWith(sample.answer) ? 1 : -1),
    maxTokens: 3,
    label: "letters",
  });
}
