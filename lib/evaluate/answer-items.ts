// Items of a task answered and graded: what evaluation and the trainer's validation have in common.
import type { Adapter, Engine } from "../engine.js";
import { rewardOf } from "../tasks/task.js";
import type { Sample, Task } from "../types.js";
import { throwIfAborted } from "../util/abort.js";
import { Random } from "../util/random.js";
import { untilAborted } from "../util/until-aborted.js";

/** How answers are written. Stored with every result. */
export interface Decoding {
  /** 0 is greedy. */
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly maxTokens: number;
  readonly stop: readonly string[];
  readonly seed: number;
}

/** One answered item. */
export interface ItemRecord {
  readonly id: string;
  readonly completion: string;
  readonly reward: number;
  /** reward > 0. */
  readonly right: boolean;
  readonly promptTokens: number;
  /** Tokens of the completion, the end-of-sequence token included. */
  readonly tokens: number;
  readonly finishReason: "stop" | "length" | "aborted";
  /** What the engine says it answered with. */
  readonly adapter: string;
}

export interface AnswerOptions {
  /** One for all items, or one per item. */
  readonly adapter: Adapter | readonly Adapter[];
  readonly decoding: Decoding;
  /** Items given to the engine at once. */
  readonly batch: number;
  readonly signal?: AbortSignal | undefined;
  /** Called after every batch with the number of items done. */
  readonly onItems?: ((done: number) => void) | undefined;
}

/** Greedy, as validation and evaluation do it unless told otherwise. */
export function greedy(task: Task, maxTokens: number = task.maxTokens ?? 256): Decoding {
  return { temperature: 0, topP: 1, topK: 0, minP: 0, maxTokens, stop: task.stop ?? [], seed: 0 };
}

/** Answers and grades items, in their order. An item's seed follows from its place alone, not from how items were batched. */
export async function answerItems(engine: Engine, task: Task, samples: readonly Sample[], options: AnswerOptions): Promise<ItemRecord[]> {
  const { adapter, decoding, batch, signal, onItems } = options;
  const { seed, ...settings } = decoding;
  const records: ItemRecord[] = [];
  for (let start = 0; start < samples.length; start += batch) {
    throwIfAborted(signal, "Evaluation");
    const part = samples.slice(start, start + batch);
    const generations = await engine.generateBatch(
      part.map((sample, i) => ({
        prompt: task.prompt(sample),
        seed: new Random(seed, `evaluate/${start + i}`).nextUint32(),
        adapter: isList(adapter) ? adapter[start + i]! : adapter,
      })),
      { ...settings, signal },
    );
    const graded = Promise.all(
      part.map(async (sample, i): Promise<ItemRecord> => {
        const { text, usage, finishReason, adapter: used } = generations[i]![0]!;
        const reward = await rewardOf(task, sample, text);
        return {
          id: sample.id,
          completion: text,
          reward,
          right: reward > 0,
          promptTokens: usage.promptTokens,
          tokens: usage.completionTokens,
          finishReason,
          adapter: used,
        };
      }),
    );
    records.push(...(await untilAborted(graded, signal, "Evaluation")));
    onItems?.(records.length);
  }
  return records;
}

function isList(adapter: Adapter | readonly Adapter[]): adapter is readonly Adapter[] {
  return Array.isArray(adapter);
}
