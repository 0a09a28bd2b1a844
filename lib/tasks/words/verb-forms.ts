// Forms of verbs: the past tense, and the form with -ing as the unseen relative.
import type { Sample, Task } from "../../types.js";
import type { Random } from "../../util/random.js";
import { type Drawn, type WordTaskOptions, wordTask } from "./pool.js";

/** Irregular ones as "base past"; where a verb has two past forms (learned, learnt) it is left out. */
const irregular = (
  "become became, begin began, bend bent, bite bit, bleed bled, blow blew, break broke, breed bred, bring brought, build built, buy bought, " +
  "catch caught, choose chose, come came, creep crept, deal dealt, dig dug, do did, draw drew, drink drank, drive drove, eat ate, fall fell, " +
  "feed fed, feel felt, fight fought, find found, flee fled, fly flew, forbid forbade, forget forgot, forgive forgave, freeze froze, give gave, " +
  "go went, grind ground, grow grew, have had, hear heard, hide hid, hold held, keep kept, know knew, lay laid, lead led, leave left, lend lent, " +
  "lose lost, make made, mean meant, meet met, pay paid, ride rode, ring rang, rise rose, run ran, say said, see saw, seek sought, sell sold, " +
  "send sent, shake shook, shoot shot, sing sang, sink sank, sit sat, sleep slept, slide slid, speak spoke, spend spent, spin spun, stand stood, " +
  "steal stole, stick stuck, sting stung, strike struck, swear swore, sweep swept, swim swam, swing swung, take took, teach taught, tear tore, " +
  "tell told, think thought, throw threw, understand understood, wear wore, weep wept, win won, wind wound, write wrote"
)
  .split(", ")
  .map((pair) => pair.split(" ") as [string, string]);

/** Regular ones whose past is made by -ed, -d (after e) or -ied (for y after a consonant). */
const regular = (
  "accept add admire agree allow answer appear arrive ask attack bake balance bathe believe boil borrow bounce breathe brush call camp care carry " +
  "cause change chase check cheer chew claim clean climb close collect comb compare complain copy cough count cover crack crash crawl create cross cry " +
  "dance decide deliver deny describe destroy develop disagree discover divide dress dry earn empty enjoy enter escape examine explain explore " +
  "fail fasten fetch fill finish fix float follow force frighten gather glue greet guess hammer happen hate help hope hunt hurry imagine improve " +
  "include invite jump kick kiss knock land laugh lift like listen live look love manage march marry measure melt mix move need notice obey offer " +
  "open order pack paint park pass phone pick place play point pour practice prepare press promise protect pull push rain reach receive remember " +
  "repair reply rescue rest return rush sail save scream search serve shout sign smile sneeze start stay study talk taste thank touch try turn use " +
  "visit wait walk want warn wash waste watch wave whisper wipe wish wonder work worry yawn"
).split(" ");

const consonantY = /[^aeiou]y$/;

function regularPast(verb: string): string {
  if (verb.endsWith("e")) return `${verb}d`;
  return consonantY.test(verb) ? `${verb.slice(0, -1)}ied` : `${verb}ed`;
}

/** Verbs that double their last letter before -ing. */
const doubling = new Set("begin dig forbid forget run sit spin swim win".split(" "));

function withIng(verb: string): string {
  if (doubling.has(verb)) return `${verb}${verb.at(-1)}ing`;
  if (verb.endsWith("e") && !/(ee|ye|oe)$/.test(verb)) return `${verb.slice(0, -1)}ing`;
  return `${verb}ing`;
}

const past: readonly (readonly [verb: string, form: string])[] = [
  ...irregular,
  ...regular.map((verb) => [verb, regularPast(verb)] as const),
];
const progressive = past.map(([verb]) => [verb, withIng(verb)] as const);

const ASK = " Answer with just the word.";

/** Right when the last word of the first line is the form: "went", or 'The past tense of "go" is "went".' */
function reward(sample: Sample, completion: string): number {
  const [line = ""] = completion.trim().split("\n");
  return line
    .toLowerCase()
    .match(/[a-z]+/g)
    ?.at(-1) === sample.answer
    ? 1
    : -1;
}

const draw =
  (forms: readonly (readonly [string, string])[], wordings: readonly ((verb: string) => string)[]) =>
  (random: Random): Drawn => {
    const [verb, form] = random.choice(forms);
    return { key: verb, prompt: random.choice(wordings)(verb) + ASK, answer: form, solution: form };
  };

const pastWordings = [
  (verb: string) => `What is the past tense of "${verb}"?`,
  (verb: string) => `What is the past tense of the verb "${verb}"?`,
  (verb: string) => `Give the past tense of "${verb}".`,
  (verb: string) => `Today I ${verb}. Yesterday I did the same. Which past tense of "${verb}" do I use?`,
  (verb: string) => `Put the verb "${verb}" into the simple past.`,
];

const progressiveWordings = [
  (verb: string) => `What is the -ing form of "${verb}"?`,
  (verb: string) => `What is the -ing form of the verb "${verb}"?`,
  (verb: string) => `Give the -ing form of "${verb}".`,
  (verb: string) => `Today I ${verb}. What am I doing now? I am …`,
  (verb: string) => `Put the verb "${verb}" into the form that ends in -ing.`,
];

/** There are about 270 verbs, each in five wordings. */
const sizes = { train: 600, validation: 100, test: 300 };

const label = "grammar";
const description = "questions about the forms of English verbs";

/** 'What is the past tense of "go"? Answer with just the word.' Verbs of test items are in no training item. */
export function pastTense(options: WordTaskOptions = {}): Task {
  const spec = { name: "past-tense", version: "1", label, description, reward, grader: "last-word", maxTokens: 16 };
  return wordTask({ ...spec, draw: draw(past, pastWordings) }, { ...sizes, ...options });
}

/** The unseen relative: the form with -ing. */
export function ingForm(options: WordTaskOptions = {}): Task {
  const spec = { name: "ing-form", version: "1", label, description, reward, grader: "last-word", maxTokens: 16 };
  return wordTask({ ...spec, draw: draw(progressive, progressiveWordings) }, { ...sizes, ...options });
}
