// The built-in tasks by name: those of the embedded model, and short ones of everyday language for any chat model.
import { Transformer2Error } from "../errors.js";
import type { Task } from "../types.js";
import { microTasks } from "./micro/index.js";
import { alphabet, alphabetOfThree } from "./words/alphabet.js";
import { comparison, comparisonOfThree } from "./words/comparison.js";
import { otherUnits, units } from "./words/units.js";
import { ingForm, pastTense } from "./words/verb-forms.js";
import { twoStepWordProblems, wordProblems } from "./words/word-problems.js";

/** Made when asked for: a words task draws all its items. */
const words: Readonly<Record<string, () => Task>> = {
  "word-problems": wordProblems,
  "word-problems-two-step": twoStepWordProblems,
  comparison,
  "comparison-of-three": comparisonOfThree,
  alphabet,
  "alphabet-of-three": alphabetOfThree,
  "past-tense": pastTense,
  "ing-form": ingForm,
  units,
  "units-other": otherUnits,
};

export const builtInTaskNames: readonly string[] = [...Object.keys(microTasks), ...Object.keys(words)];

/** The task of that name; the same items on every machine. Throws `ERR_T2_INVALID_TASK` for an unknown name. */
export function builtInTask(name: string): Task {
  if (Object.hasOwn(microTasks, name)) return microTasks[name as keyof typeof microTasks];
  if (Object.hasOwn(words, name)) return words[name]!();
  throw new Transformer2Error(
    "ERR_T2_INVALID_TASK",
    `There is no built-in task ${JSON.stringify(name)}; there are ${builtInTaskNames.join(", ")}.`,
    {
      detail: { task: name, known: builtInTaskNames },
    },
  );
}
