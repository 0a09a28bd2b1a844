// How a generated task is made: a drawing function, and splits that share nothing with each other.
import { invalidOption } from "../../errors.js";
import type { Sample, Split, Task } from "../../types.js";
import { hashString, Random } from "../../util/random.js";
import type { GraderName } from "../grading.js";
import { defineTask, type Reward, splitNames } from "../task.js";

/** One generated question. */
export interface Drawn {
  readonly prompt: string;
  readonly answer: string;
  /** What the model should write, for the next-token objective. */
  readonly solution: string;
  /**
   * What the question is about, apart from its wording, e.g. "3+4" or the word to spell. Equal keys always land in the same split, so a
   * test item's numbers or words were never seen in training, in whatever wording.
   */
  readonly key: string;
  /** Further fields of the sample that the reward reads. */
  readonly more?: Readonly<Record<string, unknown>>;
}

export interface WordTaskOptions {
  /** Another seed gives other items; the keys stay in their splits, so test items of one seed are never train items of another. Default 1. */
  seed?: number;
  /** Items per split. Default 800, 100 and 400. */
  train?: number;
  validation?: number;
  test?: number;
}

export interface WordTaskSpec {
  readonly name: string;
  readonly version: string;
  readonly label: string;
  readonly description: string;
  readonly reward: GraderName | Reward;
  readonly grader?: string;
  readonly maxTokens: number;
  readonly draw: (random: Random) => Drawn;
}

/** The split of a key: 3 of 10 test, 1 of 10 validation, the rest train. */
function splitOf(key: string): Split {
  const bucket = hashString(key) % 10;
  return bucket < 3 ? "test" : bucket < 4 ? "validation" : "train";
}

/**
 * Draws items until every split has its number; the same options give the same items on every machine.
 *
 * Throws `ERR_T2_INVALID_OPTION` when a count is no whole number or more than the questions there are.
 */
export function wordTask(spec: WordTaskSpec, options: WordTaskOptions = {}): Task {
  const counts: Record<Split, number> = { train: options.train ?? 800, validation: options.validation ?? 100, test: options.test ?? 400 };
  for (const split of splitNames)
    if (!Number.isSafeInteger(counts[split]) || counts[split] < 0) throw invalidOption(split, "a whole number ≥ 0", counts[split]);
  const random = new Random(options.seed ?? 1, `words/${spec.name}`);
  const splits: Record<Split, Sample[]> = { train: [], validation: [], test: [] };
  const prompts = new Set<string>();
  let vain = 0; // draws in a row that gave nothing new: a pool is empty when there are very many
  while (splitNames.some((split) => splits[split].length < counts[split])) {
    const { key, prompt, answer, solution, more } = spec.draw(random);
    const split = splitOf(key);
    const place = splits[split];
    if (place.length < counts[split] && !prompts.has(prompt)) {
      prompts.add(prompt);
      place.push({ ...more, id: `${split}-${place.length}`, prompt, answer, solution });
      vain = 0;
    } else if (++vain > 20_000) {
      const short = splitNames.find((name) => splits[name].length < counts[name])!;
      throw invalidOption(short, `at most ${splits[short].length}, the questions that "${spec.name}" has for it`, counts[short]);
    }
  }
  return defineTask({
    name: spec.name,
    version: spec.version,
    splits,
    reward: spec.reward,
    label: spec.label,
    description: spec.description,
    maxTokens: spec.maxTokens,
    ...(spec.grader === undefined ? {} : { grader: spec.grader }),
  });
}
