// Comparing numbers: which of two is larger, and the largest of three as the unseen relative.
import type { Task } from "../../types.js";
import type { Random } from "../../util/random.js";
import { type Drawn, type WordTaskOptions, wordTask } from "./pool.js";

const ASK = " Answer with just the number.";

/** Different numbers from 10 to 99. */
function distinct(random: Random, count: number): number[] {
  const numbers = new Set<number>();
  while (numbers.size < count) numbers.add(10 + random.int(90));
  return [...numbers];
}

function build(numbers: readonly number[], question: string): Drawn {
  const answer = String(Math.max(...numbers));
  // The key does not know the order: "47 or 82" and "82 or 47" are one question.
  return { key: [...numbers].sort((a, b) => a - b).join(","), prompt: question + ASK, answer, solution: answer };
}

function two(random: Random): Drawn {
  const [a, b] = distinct(random, 2) as [number, number];
  return build([a, b], `Which number is larger, ${a} or ${b}?`);
}

function three(random: Random): Drawn {
  const [a, b, c] = distinct(random, 3) as [number, number, number];
  return build([a, b, c], `Which number is the largest: ${a}, ${b} or ${c}?`);
}

const label = "comparison";
const description = "questions about which of several numbers is the larger one";

/** "Which number is larger, 47 or 82? Answer with just the number." */
export function comparison(options: WordTaskOptions = {}): Task {
  return wordTask({ name: "comparison", version: "1", label, description, reward: "number", maxTokens: 16, draw: two }, options);
}

/** The unseen relative: three numbers. */
export function comparisonOfThree(options: WordTaskOptions = {}): Task {
  return wordTask({ name: "comparison-of-three", version: "1", label, description, reward: "number", maxTokens: 16, draw: three }, options);
}
