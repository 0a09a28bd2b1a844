// What the generators of the micro tasks make: one item with its good and its sloppy completions, and which split it belongs to.
import type { Split } from "../../types.js";
import { hashString } from "../../util/random.js";

/** The kinds of item: three train tasks and the unseen relative of each. */
export type ItemKind = "math" | "code" | "reasoning" | "unseen-math" | "unseen-code" | "unseen-reasoning";

/** The skill an item needs: what the dispatcher has to name. */
export type Skill = "math" | "code" | "reasoning";

/** What a good completion does before it answers: work out the sums, list the operations, recall the fact. */
export type Habit = "think" | "plan" | "recall";

export interface Item {
  readonly kind: ItemKind;
  readonly skill: Skill;
  readonly prompt: string;
  readonly answer: string;
  /** The item's defining content (numbers and operations, or animal and question): decides its split, whatever the wording. */
  readonly key: string;
  /** The habits that solve it, in the order of `complete`'s flags. */
  readonly habits: readonly Habit[];
  /** For each habit, how often a pretraining document of this wording shows it. */
  readonly chances: readonly number[];
  /** Has the surface feature that pretraining mostly classifies wrong. */
  readonly misleading: boolean;
  /** The completion that shows the habits whose flag is set; all set gives the gold solution. Begins with a space. */
  complete(shown: readonly boolean[]): string;
  /** The habit of another domain followed by the sloppy answer; train tasks only. */
  distracted?(habit: Habit): string;
}

export const skillOf: Readonly<Record<ItemKind, Skill>> = {
  math: "math",
  code: "code",
  reasoning: "reasoning",
  "unseen-math": "math",
  "unseen-code": "code",
  "unseen-reasoning": "reasoning",
};

/**
 * The split that an item's key belongs to: 2 of 16 hash classes are test, 1 is validation, the rest is for pretraining and experts.
 * Nothing with a test or validation key is ever trained on.
 */
export function splitOf(key: string): Split {
  const hashClass = hashString(key) % 16;
  if (hashClass < 2) return "test";
  return hashClass === 2 ? "validation" : "train";
}

/** How often the documents of surface variant 0–7 show the good habit: below one half greedy decoding is sloppy, above it is good. */
export const trainChances: readonly number[] = [0.15, 0.2, 0.25, 0.3, 0.74, 0.78, 0.82, 0.88];
export const reasoningChances: readonly number[] = [0.15, 0.18, 0.22, 0.26, 0.3, 0.78, 0.82, 0.88];
export const unseenChances: readonly number[] = [0.2, 0.25, 0.3, 0.35, 0.68, 0.72, 0.76, 0.8];

/** The chance of a variant; any whole number is taken modulo the number of variants. */
export function chanceOf(chances: readonly number[], variant: number): number {
  return chances[variant % chances.length] as number;
}
