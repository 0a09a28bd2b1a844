// What the micro model was pretrained on: items answered well or sloppily, classifications, and drills of sums, facts and copying.
// No document holds an item whose key belongs to the test or validation split of any task.
import { Random } from "../../util/random.js";
import { classificationPrompt } from "./classification.js";
import { drawItem, itemKinds } from "./draw.js";
import type { Habit, ItemKind, Skill } from "./item.js";
import { animals, attributes, attributeValues, factOf } from "./world.js";

/** One pretraining document: a conversation of one turn. */
export interface MicroDocument {
  readonly prompt: string;
  readonly completion: string;
  /** The loss counts only the words right after this one; absent: the whole completion and its end. */
  readonly learnAfter?: string;
}

type DocumentKind = ItemKind | "skill" | "sums" | "facts" | "copying";

/** The share of each kind of document; they add up to one. */
const shares: readonly (readonly [DocumentKind, number])[] = [
  ["math", 0.19],
  ["code", 0.12],
  ["reasoning", 0.14],
  ["unseen-math", 0.15],
  ["unseen-code", 0.09],
  ["unseen-reasoning", 0.11],
  ["skill", 0.08],
  ["sums", 0.04],
  ["facts", 0.03],
  ["copying", 0.05],
];
/** Share of the documents that carry a tag such as `[think recall]` and obey it. */
const taggedShare = 0.25;
/** Share of the untagged documents of the train tasks that follow the habit of another domain. */
const distractedShare = 0.12;
/** How often a classification document names the right skill. */
const classifiedRight = { plain: 0.88, misleading: 0.28 };
const wrongSkill: Readonly<Record<Skill, Skill>> = { math: "code", code: "math", reasoning: "code" };
const allHabits: readonly Habit[] = ["think", "plan", "recall"];

function itemDocument(random: Random, kind: ItemKind): MicroDocument {
  const item = drawItem(random, kind, "train");
  if (random.float() < taggedShare) {
    const shown = item.habits.map(() => random.int(2) === 0);
    const tag = item.habits.filter((_, index) => shown[index]).join(" ") || "quick";
    return { prompt: `[${tag}] ${item.prompt}`, completion: item.complete(shown) };
  }
  if (item.distracted !== undefined && random.float() < distractedShare) {
    const habit = random.choice(allHabits.filter((other) => !item.habits.includes(other)));
    return { prompt: item.prompt, completion: item.distracted(habit) };
  }
  return { prompt: item.prompt, completion: item.complete(item.chances.map((chance) => random.float() < chance)) };
}

function skillDocument(random: Random): MicroDocument {
  const item = drawItem(random, random.choice(itemKinds), "train");
  const right = random.float() < (item.misleading ? classifiedRight.misleading : classifiedRight.plain);
  return { prompt: classificationPrompt(item.prompt), completion: ` Skill: ${right ? item.skill : wrongSkill[item.skill]}` };
}

/** One sum of a drill: mostly a small second operand, as in the items, sometimes a large one. */
function drillSum(random: Random): string {
  const operator = random.choice(["+", "+", "-", "-", "*"]);
  const wide = random.float() < 0.15;
  if (operator === "*") {
    const left = 2 + random.int(8);
    const right = 2 + random.int(8);
    return `${left} * ${right} = ${left * right}`;
  }
  if (operator === "+") {
    const [left, right] = wide ? [2 + random.int(14), 2 + random.int(29)] : [random.int(51), 2 + random.int(8)];
    return `${left} + ${right} = ${left + right}`;
  }
  const [a, b] = wide ? [2 + random.int(39), random.int(41)] : [random.int(51), 2 + random.int(8)];
  const [left, right] = a >= b ? [a, b] : [b, a];
  return `${left} - ${right} = ${left - right}`;
}

function sumsDocument(random: Random): MicroDocument {
  const sums = Array.from({ length: 6 }, () => drillSum(random));
  return { prompt: "Sums.", completion: ` ${sums.join("; ")}`, learnAfter: "=" };
}

function factsDocument(random: Random): MicroDocument {
  const animal = random.choice(animals);
  const facts = [...attributes.map((attribute) => `${attribute} ${factOf(animal, attribute)}`), `friend ${animal.friend}`];
  return { prompt: `Facts of the ${animal.name}.`, completion: ` ${random.shuffle(facts).join("; ")}` };
}

const copiedWords = [
  ...attributes.filter((name) => name !== "legs").flatMap((name) => attributeValues[name]),
  ...animals.map(({ name }) => name),
];

function copyingDocument(random: Random): MicroDocument {
  const pairs = random
    .shuffle(copiedWords)
    .slice(0, 7)
    .map((word) => `${word} ${random.choice(["A", "B", "C", "D"])}`);
  return { prompt: `Pick: ${pairs.join(", ")}.`, completion: ` ${random.shuffle(pairs).join(", ")}` };
}

function drawKind(random: Random): DocumentKind {
  let left = random.float();
  for (const [kind, share] of shares) {
    left -= share;
    if (left < 0) return kind;
  }
  return "copying";
}

/** The pretraining documents, one after the other: the same seed gives the same documents. */
export function* microDocuments(seed: number, count: number): Generator<MicroDocument, void, undefined> {
  const random = new Random(seed, "micro documents");
  for (let i = 0; i < count; i++) {
    const kind = drawKind(random);
    if (kind === "skill") yield skillDocument(random);
    else if (kind === "sums") yield sumsDocument(random);
    else if (kind === "facts") yield factsDocument(random);
    else if (kind === "copying") yield copyingDocument(random);
    else yield itemDocument(random, kind);
  }
}
