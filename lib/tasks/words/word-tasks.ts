// The generated tasks of real language, each with the relative that its expert never saw. Made for a chat model of some hundred million
// parameters that knows how but rarely does it: SmolLM2-135M-Instruct has 3 to 40 % of them right greedily.
import type { Task } from "../../types.js";
import { alphabet, alphabetOfThree } from "./alphabet.js";
import { comparison, comparisonOfThree } from "./comparison.js";
import type { WordTaskOptions } from "./pool.js";
import { otherUnits, units } from "./units.js";
import { ingForm, pastTense } from "./verb-forms.js";
import { twoStepWordProblems, wordProblems } from "./word-problems.js";

export interface TaskPair {
  readonly task: Task;
  /** Another task of the same kind: what an expert for `task` is tried on without having been trained for it. */
  readonly unseen: Task;
}

const pairs: readonly (readonly [task: (options: WordTaskOptions) => Task, unseen: (options: WordTaskOptions) => Task])[] = [
  [wordProblems, twoStepWordProblems],
  [comparison, comparisonOfThree],
  [alphabet, alphabetOfThree],
  [pastTense, ingForm],
  [units, otherUnits],
];

/** All pairs: word problems, comparison, alphabet, verb forms, units. Counts that are not given are each task's own. */
export function wordTaskPairs(options: WordTaskOptions = {}): TaskPair[] {
  return pairs.map(([task, unseen]) => ({ task: task(options), unseen: unseen(options) }));
}
