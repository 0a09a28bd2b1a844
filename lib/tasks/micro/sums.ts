// Items of `math` (one to three steps) and `unseen-math` (four steps, or a number of legs that has to be recalled first).
import type { Random } from "../../util/random.js";
import { chanceOf, type Habit, type Item, trainChances, unseenChances } from "./item.js";
import { animals, people, things, withArticle } from "./world.js";

/** One step of a calculation: `left operator right`. */
interface Step {
  readonly left: number;
  readonly operator: "+" | "-" | "*";
  readonly right: number;
}

const gains = ["{N} buys {b} more.", "{N} finds {b}.", "{M} gives {N} {b}."];
const losses = ["{N} loses {b}.", "{N} sells {b}.", "{N} gives {b} to {M}."];
const questions = [
  "How many {i} does {N} have now?",
  "How many {i} now?",
  "Count the {i}.",
  "What is the total of {i}?",
  "How many {i} are left?",
  "Find how many {i} {N} has.",
  "How many {i} in the end?",
  "Tell how many {i} {N} has.",
];

const leggedAnimals = animals.filter((animal) => animal.legs > 0);

function resultOf(step: Step): number {
  if (step.operator === "+") return step.left + step.right;
  return step.operator === "-" ? step.left - step.right : step.left * step.right;
}

function lastResult(steps: readonly Step[]): number {
  return resultOf(steps[steps.length - 1] as Step);
}

/** `7 + 5 = 12; 12 - 3 = 9`, and the answer. */
function worked(steps: readonly Step[]): string {
  const chain = steps.map((step) => `${step.left} ${step.operator} ${step.right} = ${resultOf(step)}`).join("; ");
  return `${chain} #### ${lastResult(steps)}`;
}

/** The same operations from another first number. */
function restarted(steps: readonly Step[], start: number): Step[] {
  const result: Step[] = [];
  let left = start;
  for (const step of steps) {
    const next = { ...step, left };
    result.push(next);
    left = resultOf(next);
  }
  return result;
}

/** Reserved by first number and operations, so a legs item and a plain one with the same sums share their split. */
function keyOf(start: string, steps: readonly Step[]): string {
  return `sum ${start} ${steps.map((step) => `${step.operator}${step.right}`).join(" ")}`;
}

interface Story {
  readonly variant: number;
  readonly thing: string;
  readonly steps: Step[];
  /** The last number in the text: what a sloppy completion answers. */
  last: number;
  say(template: string, b?: number): void;
  ask(): string;
}

function newStory(random: Random): Story {
  const [hero, friend] = random.shuffle(people) as [string, string];
  const thing = random.choice(things);
  const variant = random.int(questions.length);
  const sentences: string[] = [];
  const fill = (template: string, b = 0) =>
    template.replaceAll("{N}", hero).replaceAll("{M}", friend).replaceAll("{i}", thing).replaceAll("{b}", String(b));
  return {
    variant,
    thing,
    steps: [],
    last: 0,
    say: (template, b) => void sentences.push(fill(template, b)),
    ask: () => [...sentences, fill(questions[variant] as string)].join(" "),
  };
}

/** Adds gains and losses of 2–9 until there are `count` steps; what one has never falls below zero. */
function goOn(random: Random, story: Story, start: number, count: number): void {
  let current = story.steps.length > 0 ? lastResult(story.steps) : start;
  while (story.steps.length < count) {
    const right = 2 + random.int(8);
    const operator = random.int(2) === 1 && right <= current ? "-" : "+";
    story.say(random.choice(operator === "+" ? gains : losses), right);
    const step: Step = { left: current, operator, right };
    story.steps.push(step);
    current = resultOf(step);
    story.last = right;
  }
}

export function mathItem(random: Random): Item {
  const story = newStory(random);
  const { steps, variant } = story;
  const count = random.choice([1, 2, 2, 3]);
  const bags = random.float() < 0.4;
  let start: string;
  if (bags) {
    const bagCount = 2 + random.int(4);
    const each = 2 + random.int(8);
    story.say(`{N} has ${bagCount} bags with {b} {i} each.`, each);
    steps.push({ left: bagCount, operator: "*", right: each });
    story.last = each;
    start = `${bagCount}`;
    goOn(random, story, 0, count);
  } else {
    const first = 3 + random.int(18);
    story.say("{N} has {b} {i}.", first);
    start = `${first}`;
    goOn(random, story, first, count);
  }
  const sloppy = `#### ${story.last}`;
  return {
    kind: "math",
    skill: "math",
    prompt: story.ask(),
    answer: String(lastResult(steps)),
    key: keyOf(start, steps),
    habits: ["think"],
    chances: [chanceOf(trainChances, variant)],
    misleading: bags,
    complete: ([think]) => (think ? ` Think: ${worked(steps)}` : ` ${sloppy}`),
    distracted: (habit: Habit) =>
      habit === "plan" ? ` Plan: ${steps.map((step) => step.operator).join("; ")}. ${sloppy}` : ` Recall: ${story.thing}. ${sloppy}`,
  };
}

export function unseenMathItem(random: Random): Item {
  const story = newStory(random);
  const { steps, variant } = story;
  const long = random.float() < 0.4;
  const animal = random.choice(leggedAnimals);
  const start = long ? 3 + random.int(18) : animal.legs;
  story.say(long ? `{N} has ${start} {i}.` : `{N} has as many {i} as ${withArticle(animal.name)} has legs.`);
  goOn(random, story, start, long ? 4 : random.choice([1, 2, 2, 3]));
  // Who does not recall takes the legs as one.
  const guessed = long ? steps : restarted(steps, 1);
  return {
    kind: "unseen-math",
    skill: "math",
    prompt: story.ask(),
    answer: String(lastResult(steps)),
    key: keyOf(String(start), steps),
    habits: ["think", "recall"],
    chances: [chanceOf(unseenChances, variant), chanceOf(unseenChances, variant * 3 + steps.length + (long ? 5 : 0))],
    misleading: false,
    complete: ([think, recall]) => {
      if (!think) return ` #### ${story.last}`;
      if (long) return ` Think: ${worked(steps)}`;
      return recall ? ` Think: Recall: ${animal.legs}; ${worked(steps)}` : ` Think: ${worked(guessed)}`;
    },
  };
}
