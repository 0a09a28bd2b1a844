// The micro tasks as the library sees them. Splits are drawn when first asked for and are the same on every machine.
import type { Sample, Split, Task } from "../../types.js";
import { Random } from "../../util/random.js";
import { classificationPrompt } from "./classification.js";
import { drawItem, itemKinds } from "./draw.js";
import { type Grader, graders } from "./graders.js";
import { type Item, type ItemKind, type Skill, skillOf } from "./item.js";

/** Raised whenever prompts, splits or grading change. */
const version = "1";
const seed = 20250101;

export type MicroTaskName = ItemKind | "skill";
type GraderName = keyof typeof graders;

interface Spec {
  readonly name: MicroTaskName;
  readonly grader: GraderName;
  readonly sizes: Readonly<Record<Split, number>>;
  readonly maxTokens: number;
  readonly label?: string;
  readonly description?: string;
  draw(random: Random, split: Split): Draw;
}

/** A sample before it has its id; `key` says which split its content belongs to. */
interface Draw {
  readonly prompt: string;
  readonly answer: string;
  readonly solution: string;
  readonly key: string;
}

const skillDescriptions: Readonly<Record<Skill, string>> = {
  math: "a story about how many things somebody has, answered with a number",
  code: "a function to be written in Python",
  reasoning: "a question about an animal with four options",
};
const skillGraders: Readonly<Record<Skill, GraderName>> = { math: "number", code: "function", reasoning: "word" };
const maxTokens: Readonly<Record<ItemKind, number>> = {
  math: 32,
  code: 40,
  reasoning: 14,
  "unseen-math": 40,
  "unseen-code": 44,
  "unseen-reasoning": 18,
};
/** The unseen tasks are never trained on; their train split is a pool to draw few-shot examples from. */
const trainSizes = { known: 2000, unseen: 100 };
const heldOutSizes = { validation: 200, test: 400 };

function itemSpec(kind: ItemKind): Spec {
  const skill = skillOf[kind];
  const train = kind.startsWith("unseen-") ? trainSizes.unseen : trainSizes.known;
  return {
    name: kind,
    grader: skillGraders[skill],
    sizes: { train, ...heldOutSizes },
    maxTokens: maxTokens[kind],
    label: skill,
    description: skillDescriptions[skill],
    draw: (random, split) => {
      const item = drawItem(random, kind, split);
      return { prompt: item.prompt, answer: item.answer, solution: item.complete(item.habits.map(() => true)), key: item.key };
    },
  };
}

const skillSpec: Spec = {
  name: "skill",
  grader: "skill",
  sizes: { train: trainSizes.known, ...heldOutSizes },
  maxTokens: 4,
  draw: (random, split) => {
    const item: Item = drawItem(random, random.choice(["math", "code", "reasoning"] as const), split);
    return { prompt: classificationPrompt(item.prompt), answer: item.skill, solution: ` Skill: ${item.skill}`, key: item.key };
  },
};

/** `count` samples of different prompts. */
function drawSplit(spec: Spec, split: Split): readonly Sample[] {
  const random = new Random(seed, `${spec.name} ${split}`);
  const samples: Sample[] = [];
  const prompts = new Set<string>();
  while (samples.length < spec.sizes[split]) {
    const draw = spec.draw(random, split);
    if (prompts.has(draw.prompt)) continue;
    prompts.add(draw.prompt);
    samples.push({ id: `${split}-${samples.length}`, ...draw });
  }
  return samples;
}

function makeTask(spec: Spec): Task {
  const drawn: Partial<Record<Split, readonly Sample[]>> = {};
  const get = (split: Split) => {
    drawn[split] ??= drawSplit(spec, split);
    return drawn[split];
  };
  const grader: Grader = graders[spec.grader];
  return {
    name: spec.name,
    version,
    grader: spec.grader,
    splits: {
      get train() {
        return get("train");
      },
      get validation() {
        return get("validation");
      },
      get test() {
        return get("test");
      },
    },
    prompt: (sample) => sample.prompt,
    reward: (sample, completion) => (grader(completion, sample.answer) ? 1 : -1),
    label: spec.label,
    description: spec.description,
    maxTokens: spec.maxTokens,
  };
}

/**
 * The tasks of the embedded model. `math`, `code` and `reasoning` have an unseen relative each (`unseen-math`, …), which needs the
 * same habit and a second one inside it; `skill` asks which of the three a prompt needs. Train 2000 items (unseen: a pool of 100
 * to draw shots from), validation 200, test 400. A right completion earns +1, a wrong one −1.
 */
export const microTasks: Readonly<Record<MicroTaskName, Task>> = Object.fromEntries(
  [...itemKinds.map(itemSpec), skillSpec].map((spec) => [spec.name, makeTask(spec)]),
) as Record<MicroTaskName, Task>;
