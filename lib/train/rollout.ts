// One step's data: which prompts, the completions sampled for them, their rewards and advantages, as a batch for the gradient.
import type { Engine, TrainSequence } from "../engine.js";
import type { Expert } from "../svf/expert.js";
import { rewardOf } from "../tasks/task.js";
import type { Sample, Task } from "../types.js";
import { Random } from "../util/random.js";
import { untilAborted } from "../util/until-aborted.js";
import { advantages } from "./estimators.js";
import type { Settings } from "./options.js";

/**
 * The training items of a step, counted from 1. The order is a new permutation per epoch; it follows from seed and step alone, so a
 * resumed run goes on with the very items that were next.
 */
export function itemsOfStep(train: readonly Sample[], settings: Pick<Settings, "seed" | "prompts">, step: number): Sample[] {
  const items: Sample[] = [];
  let epoch = -1;
  let order: readonly Sample[] = [];
  for (let i = 0; i < settings.prompts; i++) {
    const position = (step - 1) * settings.prompts + i;
    const wanted = Math.floor(position / train.length);
    if (wanted !== epoch) {
      epoch = wanted;
      order = new Random(settings.seed, `train/order/${epoch}`).shuffle(train);
    }
    items.push(order[position % train.length]!);
  }
  return items;
}

/** The sampling seed of one prompt of one step: a function of the three counters. */
function rolloutSeed(seed: number, step: number, index: number): number {
  return new Random(seed, `train/rollout/${step}/${index}`).nextUint32();
}

export interface StepBatch {
  /** Sequences that carry a gradient, their advantages scaled as if the skipped ones were in the batch. */
  readonly sequences: TrainSequence[];
  /** Groups with and without a gradient. */
  readonly groups: number;
  readonly skipped: number;
  readonly completionTokens: number;
  /** Mean reward and how many completions were right; absent for next-token. */
  readonly reward?: number;
  readonly sampled?: { readonly right: number; readonly total: number };
}

function sequence(prompt: Int32Array, completion: Int32Array, advantage: number): TrainSequence {
  const tokens = new Int32Array(prompt.length + completion.length);
  tokens.set(prompt);
  tokens.set(completion, prompt.length);
  return { tokens, promptLength: prompt.length, advantage };
}

/**
 * Samples completions under the current policy and grades them. The loss sees the very tokens of the rollout, the end-of-sequence token
 * included: prompt and completion are never rendered or tokenised a second time (defects D6 and D9 of the published code).
 * Groups whose advantages are all 0 have no gradient and are left out; the others are scaled so that the loss is still the mean over
 * the whole batch. A KL term is then the mean over the sequences that are left.
 */
export async function rollOut(
  engine: Engine,
  task: Task,
  settings: Settings,
  step: number,
  adapter: Expert,
  signal?: AbortSignal,
): Promise<StepBatch> {
  const items = itemsOfStep(task.splits.train, settings, step);
  const generations = await engine.generateBatch(
    items.map((sample, index) => ({ prompt: task.prompt(sample), seed: rolloutSeed(settings.seed, step, index) })),
    { n: settings.samples, temperature: settings.temperature, maxTokens: settings.maxTokens, stop: settings.stop, adapter, signal },
  );
  const rewards = await untilAborted(
    Promise.all(items.map((sample, i) => Promise.all(generations[i]!.map(({ text }) => rewardOf(task, sample, text))))),
    signal,
    "Training",
  );
  const sequences: TrainSequence[] = [];
  let skipped = 0;
  let completionTokens = 0;
  generations.forEach((group, i) => {
    const values = advantages(rewards[i]!, settings.estimator);
    for (const generation of group) completionTokens += generation.tokens.length;
    if (values.every((value) => value === 0)) skipped++;
    else sequences.push(...group.map(({ promptTokens, tokens }, j) => sequence(promptTokens, tokens, values[j]!)));
  });
  const all = rewards.flat();
  scale(sequences, settings.reduction, all.length, completionTokens);
  return {
    sequences,
    groups: items.length,
    skipped,
    completionTokens,
    reward: all.reduce((a, b) => a + b, 0) / all.length,
    sampled: { right: all.filter((reward) => reward > 0).length, total: all.length },
  };
}

/** The engine divides by what it is given; this makes up for what was left out. */
function scale(sequences: TrainSequence[], reduction: Settings["reduction"], allSequences: number, allTokens: number): void {
  const keptTokens = sequences.reduce((sum, { tokens, promptLength }) => sum + tokens.length - promptLength, 0);
  const factor = reduction === "sequence-mean" ? sequences.length / allSequences : keptTokens / allTokens;
  if (factor !== 1) for (const each of sequences) each.advantage *= factor;
}

/** The items of a step with their worked solutions, ended by the end-of-sequence token, for the next-token objective. */
export function imitate(engine: Engine, task: Task, settings: Settings, step: number): StepBatch {
  const sequences = itemsOfStep(task.splits.train, settings, step).map((sample) => {
    const solution = engine.tokenizer.encode(sample.solution!, { continuation: true });
    const end = engine.tokenizer.eosId;
    return sequence(engine.encodePrompt(task.prompt(sample)), Int32Array.from(end === undefined ? solution : [...solution, end]), 1);
  });
  const completionTokens = sequences.reduce((sum, { tokens, promptLength }) => sum + tokens.length - promptLength, 0);
  return { sequences, groups: sequences.length, skipped: 0, completionTokens };
}
