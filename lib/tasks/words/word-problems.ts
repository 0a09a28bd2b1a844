// Arithmetic in words: one-step problems, and two-step problems as the unseen relative.
import type { Task } from "../../types.js";
import type { Random } from "../../util/random.js";
import { type Drawn, type WordTaskOptions, wordTask } from "./pool.js";

const names = ["Tom", "Anna", "Maria", "Ben", "Sara", "Liam", "Noah", "Emma", "Jack", "Mia"];
const things = ["apples", "books", "marbles", "stickers", "coins", "pencils", "cookies", "cards", "shells", "balloons"];
const ASK = " Answer with just the number.";

function between(random: Random, low: number, high: number): number {
  return low + random.int(high - low + 1);
}

function oneStep(random: Random): Drawn {
  const first = between(random, 3, 20);
  const second = between(random, 2, 9);
  const name = random.choice(names);
  const thing = random.choice(things);
  const build = (key: string, text: string, result: number): Drawn => ({
    key,
    prompt: text + ASK,
    answer: String(result),
    solution: String(result),
  });
  switch (random.int(3)) {
    case 0:
      return build(
        `${first}+${second}`,
        `${name} has ${first} ${thing} and buys ${second} more. How many ${thing} does ${name} have now?`,
        first + second,
      );
    case 1: {
      const from = Math.max(first, second + 1);
      return build(
        `${from}-${second}`,
        `${name} has ${from} ${thing} and gives away ${second}. How many ${thing} does ${name} have left?`,
        from - second,
      );
    }
    default:
      return build(
        `${first}*${second}`,
        `${name} has ${second} bags with ${first} ${thing} in each bag. How many ${thing} does ${name} have in total?`,
        first * second,
      );
  }
}

function twoSteps(random: Random): Drawn {
  const first = between(random, 6, 20);
  const second = between(random, 2, 9);
  const third = between(random, 2, 5);
  const name = random.choice(names);
  const thing = random.choice(things);
  const build = (key: string, text: string, result: number): Drawn => ({
    key,
    prompt: text + ASK,
    answer: String(result),
    solution: String(result),
  });
  switch (random.int(3)) {
    case 0:
      return build(
        `${first}+${second}-${third}`,
        `${name} has ${first} ${thing}, buys ${second} more and then gives away ${third}. How many ${thing} does ${name} have now?`,
        first + second - third,
      );
    case 1:
      return build(
        `${first}-${third}+${second}`,
        `${name} has ${first} ${thing}, gives away ${third} and then buys ${second} more. How many ${thing} does ${name} have now?`,
        first - third + second,
      );
    default:
      return build(
        `${third}*${second}+${first}`,
        `${name} has ${third} bags with ${second} ${thing} in each bag and ${first} more ${thing}. How many ${thing} does ${name} have in total?`,
        third * second + first,
      );
  }
}

const label = "arithmetic";
const description = "short stories about buying, giving away and counting things, answered by a number";

/** "Tom has 3 apples and buys 4 more. How many apples does Tom have now? Answer with just the number." */
export function wordProblems(options: WordTaskOptions = {}): Task {
  return wordTask({ name: "word-problems", version: "1", label, description, reward: "number", maxTokens: 16, draw: oneStep }, options);
}

/** The unseen relative: two steps. */
export function twoStepWordProblems(options: WordTaskOptions = {}): Task {
  return wordTask(
    { name: "word-problems-two-step", version: "1", label, description, reward: "number", maxTokens: 24, draw: twoSteps },
    options,
  );
}
