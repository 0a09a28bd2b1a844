// Items of `code` (two or three operations on x) and `unseen-code` (four, or a number of legs that has to be recalled first).
import type { Random } from "../../util/random.js";
import { chanceOf, type Habit, type Item, trainChances, unseenChances } from "./item.js";
import { animals, withArticle } from "./world.js";

interface Operation {
  readonly operator: "+" | "-" | "*" | "%";
  readonly operand: number;
  readonly words: string;
  /** The operand is a number of legs, which the prompt does not say. */
  readonly hidden?: boolean;
}

/** a: add or subtract, m: multiply, d: remainder of a division. */
type Letter = "a" | "m" | "d";

const wordings = [
  "Write a function {f}(x) that {d}.",
  "Write {f}(x) that {d}.",
  "Code: {f}(x) {d}.",
  "Define {f}(x): it {d}.",
  "Give a function {f}(x) that {d}.",
  "In Python, {f}(x) {d}.",
  "Make {f}(x), which {d}.",
  "Please write {f}(x) that {d}.",
];
const shapes = ["am", "ma", "md", "ad", "am", "ma", "ama", "mam", "amd"];
const longShapes = ["amam", "mama", "amad", "mamd"];
const multiplyWords: Readonly<Record<number, string>> = { 2: "doubles", 3: "triples" };

const leggedAnimals = animals.filter((animal) => animal.legs > 0);

function drawOperation(random: Random, letter: Letter): Operation {
  if (letter === "a") {
    const adds = random.int(2) === 0;
    const operand = 1 + random.int(9);
    return { operator: adds ? "+" : "-", operand, words: `${adds ? "adds" : "subtracts"} ${operand}` };
  }
  if (letter === "m") {
    const operand = 2 + random.int(4);
    return { operator: "*", operand, words: multiplyWords[operand] ?? `multiplies by ${operand}` };
  }
  const operand = 3 + random.int(7);
  return { operator: "%", operand, words: `takes mod ${operand}` };
}

function drawOperations(random: Random, shape: string): Operation[] {
  return [...shape].map((letter) => drawOperation(random, letter as Letter));
}

/** `def f(x): return (x + 3) * 2` */
function definition(name: string, operations: readonly Operation[]): string {
  let expression = "x";
  for (const { operator, operand } of operations) {
    expression = `${expression === "x" ? "x" : `(${expression})`} ${operator} ${operand}`;
  }
  return `def ${name}(x): return ${expression}`;
}

function listed(operations: readonly Operation[]): string {
  return operations.map(({ operator, operand }) => `${operator} ${operand}`).join("; ");
}

/** Reserved by the operations with their numbers, so a legs item and a plain one that compute the same share their split. */
function keyOf(operations: readonly Operation[]): string {
  return `program ${listed(operations)}`;
}

function describe(random: Random, variant: number, operations: readonly Operation[]): { name: string; prompt: string } {
  const name = random.choice(["f", "g", "h"]);
  const description = operations.map((operation) => operation.words).join(", then ");
  return { name, prompt: (wordings[variant] as string).replace("{f}", name).replace("{d}", description) };
}

export function codeItem(random: Random): Item {
  const variant = random.int(wordings.length);
  const operations = drawOperations(random, random.choice(shapes));
  const { name, prompt } = describe(random, variant, operations);
  const sloppy = definition(name, operations.toReversed());
  return {
    kind: "code",
    skill: "code",
    prompt,
    answer: definition(name, operations),
    key: keyOf(operations),
    habits: ["plan"],
    chances: [chanceOf(trainChances, variant)],
    misleading: operations.at(-1)?.operator === "%",
    complete: ([plan]) => (plan ? ` Plan: ${listed(operations)}. ${definition(name, operations)}` : ` ${sloppy}`),
    distracted: (habit: Habit) => ` ${habit === "think" ? "Think" : "Recall"}: x. ${sloppy}`,
  };
}

export function unseenCodeItem(random: Random): Item {
  const variant = random.int(wordings.length);
  const long = random.float() < 0.4;
  const animal = random.choice(leggedAnimals);
  let operations: Operation[];
  if (long) {
    operations = drawOperations(random, random.choice(longShapes));
  } else {
    const adds = random.int(2) === 0;
    const words = `${adds ? "adds" : "subtracts"} the legs of ${withArticle(animal.name)}`;
    const legs: Operation = { operator: adds ? "+" : "-", operand: animal.legs, words, hidden: true };
    const other = drawOperation(random, random.choice(["m", "m", "d"]));
    operations = random.int(2) === 0 ? [legs, other] : [other, legs];
  }
  const { name, prompt } = describe(random, variant, operations);
  // Who does not recall takes the legs as one.
  const guessed = operations.map((operation) => (operation.hidden ? { ...operation, operand: 1 } : operation));
  const firstAdds = operations[0]?.operator === "+" || operations[0]?.operator === "-";
  return {
    kind: "unseen-code",
    skill: "code",
    prompt,
    answer: definition(name, operations),
    key: keyOf(operations),
    habits: ["plan", "recall"],
    chances: [chanceOf(unseenChances, variant), chanceOf(unseenChances, variant * 3 + operations.length + (firstAdds ? 4 : 0))],
    misleading: operations.at(-1)?.operator === "%",
    complete: ([plan, recall]) => {
      const known = recall || long ? operations : guessed;
      if (!plan) return ` ${definition(name, known.toReversed())}`;
      return ` Plan: ${recall && !long ? `Recall: ${animal.legs}; ` : ""}${listed(known)}. ${definition(name, known)}`;
    },
  };
}
