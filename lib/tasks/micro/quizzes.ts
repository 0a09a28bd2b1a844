// Items of `reasoning` (a fact about an animal, four options) and `unseen-reasoning` (the same about the animal's friend).
import type { Random } from "../../util/random.js";
import { chanceOf, type Habit, type Item, reasoningChances, unseenChances } from "./item.js";
import { type Attribute, animalNamed, animals, attributes, attributeValues, factOf, withArticle } from "./world.js";

const prefixes = ["", "Question: ", "Choose one. ", "Quiz: "];
/** Two phrasings per attribute; {a} is the subject with an indefinite article where it takes one, {the} with the definite one. */
const questions: Readonly<Record<Attribute, readonly [string, string]>> = {
  kind: ["What kind of animal is {a}?", "Which kind is {the}?"],
  colour: ["What colour is {a}?", "Which colour is {the}?"],
  home: ["Where does {a} live?", "What is the home of {the}?"],
  food: ["What does {a} eat?", "What is the food of {the}?"],
  legs: ["How many legs does {a} have?", "What is the number of legs of {the}?"],
};

/** Four options in random order: the right value, `also` where it is another one, and random ones of the same attribute. */
function drawOptions(random: Random, attribute: Attribute, right: string, also?: string): string[] {
  const chosen = also === undefined ? [right] : [right, also];
  const others = random.shuffle(attributeValues[attribute].filter((value) => !chosen.includes(value)));
  return random.shuffle([...chosen, ...others].slice(0, 4));
}

export function reasoningItem(random: Random): Item {
  const animal = random.choice(animals);
  const attribute = random.choice(attributes);
  const prefix = random.int(prefixes.length);
  const phrasing = random.int(2);
  const right = factOf(animal, attribute);
  const options = drawOptions(random, attribute, right);
  const question = (questions[attribute][phrasing] as string)
    .replace("{a}", withArticle(animal.name))
    .replace("{the}", `the ${animal.name}`);
  const sloppy = `Answer: ${options.at(-1)}`;
  return {
    kind: "reasoning",
    skill: "reasoning",
    prompt: `${prefixes[prefix]}${question} ${options.join(", ")}.`,
    answer: right,
    key: `question ${animal.name} ${attribute} ${phrasing}`,
    habits: ["recall"],
    chances: [chanceOf(reasoningChances, prefix * 2 + phrasing)],
    misleading: attribute === "legs",
    complete: ([recall]) => (recall ? ` Recall: ${right}. Answer: ${right}` : ` ${sloppy}`),
    distracted: (habit: Habit) => ` ${habit === "think" ? "Think" : "Plan"}: ${animal.name}. ${sloppy}`,
  };
}

export function unseenReasoningItem(random: Random): Item {
  let animal = random.choice(animals);
  let attribute = random.choice(attributes);
  // The friend must differ in the attribute asked for, or the habit would not matter.
  while (factOf(animal, attribute) === factOf(animalNamed(animal.friend), attribute)) {
    animal = random.choice(animals);
    attribute = random.choice(attributes);
  }
  const prefix = random.int(prefixes.length);
  const phrasing = random.int(2);
  const variant = prefix * 2 + phrasing;
  const own = factOf(animal, attribute);
  const right = factOf(animalNamed(animal.friend), attribute);
  const options = drawOptions(random, attribute, right, own);
  const subject = `the friend of the ${animal.name}`;
  const question = (questions[attribute][phrasing] as string).replace("{a}", subject).replace("{the}", subject);
  return {
    kind: "unseen-reasoning",
    skill: "reasoning",
    prompt: `${prefixes[prefix]}${question} ${options.join(", ")}.`,
    answer: right,
    key: `friend question ${animal.name} ${attribute} ${phrasing}`,
    habits: ["recall", "think"],
    chances: [chanceOf(unseenChances, variant), chanceOf(unseenChances, variant + 3 + 2 * attributes.indexOf(attribute))],
    misleading: attribute === "legs",
    complete: ([recall, think]) => {
      const recalled = recall ? ` Recall: ${animal.friend}.` : "";
      if (!think) return `${recalled} Answer: ${options.at(-1)}`;
      return recall ? `${recalled} Think: ${animal.friend} ${right}. Answer: ${right}` : ` Think: ${animal.name} ${own}. Answer: ${own}`;
    },
  };
}
