// Scores an adapter on a task, with everything that is needed to judge the number: counts, interval, every answer, and how it was made.
import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { Adapter, Engine } from "../engine.js";
import { invalidOption, Transformer2Error } from "../errors.js";
import { callback, checkOptions, oneOf, real, signal, text, whole } from "../options.js";
import { invalidTask, splitNames } from "../tasks/task.js";
import type { Progress, Sample, Split, Task } from "../types.js";
import { ioError, writeJsonAtomic } from "../util/atomic-file.js";
import { libraryVersion } from "../util/version.js";
import { answerItems, type Decoding, type ItemRecord } from "./answer-items.js";
import { mcnemar, type Proportion, proportion } from "./statistics.js";

export interface EvaluateOptions {
  /** Default "test". */
  split?: Split;
  /** Default "base". A function chooses per item, e.g. from a first pass. */
  adapter?: Adapter | ((sample: Sample, index: number) => Adapter | Promise<Adapter>);
  /** The first items of the split. Default: all. */
  limit?: number;
  /** Items that must not be scored, by id: the shots of a few-shot search. */
  exclude?: readonly string[];
  /** Of the sampling, where temperature > 0. Default 0. */
  seed?: number;
  /** Default 0: greedy. */
  temperature?: number;
  topP?: number;
  topK?: number;
  minP?: number;
  /** Default: the task's, or 256. */
  maxTokens?: number;
  /** Items given to the engine at once. Default 64. */
  batch?: number;
  signal?: AbortSignal;
  onProgress?: (p: Progress) => void;
}

/** A result as it is stored: plain data. */
export interface Evaluation extends Proportion {
  readonly format: "transformer2.evaluation/1";
  readonly task: { readonly name: string; readonly version: string; readonly grader: string };
  readonly split: Split;
  readonly model: { readonly name: string; readonly fingerprint: string; readonly dtype: string; readonly device: string };
  /** Names of the adapters that answered, each once. */
  readonly adapters: readonly string[];
  readonly decoding: Decoding;
  readonly items: readonly ItemRecord[];
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly milliseconds: number;
  /** When it was finished, ISO 8601. */
  readonly time: string;
  /** Version of this library. */
  readonly library: string;
}

const notNegative = real("a number ≥ 0", (value) => value >= 0);

const schema = z
  .strictObject({
    split: oneOf(splitNames),
    adapter: z.custom((value) => (typeof value === "string" && value !== "") || typeof value === "object" || typeof value === "function", {
      error: '"base", the name of a loaded expert, an Expert, a Mixture, or a function that gives one of these',
    }),
    limit: whole(1),
    exclude: z.array(text, { error: "a list of ids" }),
    seed: whole(0),
    temperature: notNegative,
    topP: real("a number in (0, 1]", (value) => value > 0 && value <= 1),
    topK: whole(0),
    minP: real("a number in [0, 1)", (value) => value >= 0 && value < 1),
    maxTokens: whole(1),
    batch: whole(1),
    signal,
    onProgress: callback,
  })
  .partial();

/**
 * Answers the items of a split and counts the right ones.
 *
 * @returns counts with Wilson's 95 % interval, every item's completion and reward, and what made them
 * @throws `ERR_T2_INVALID_OPTION`, `ERR_T2_INVALID_TASK` when there is nothing to score or a reward is no finite number, `ERR_T2_ABORTED`,
 * and what the engine throws
 * @example
 * const { right, total, interval } = await evaluate(t2, task, { adapter: "math", limit: 200 });
 */
export async function evaluate(engine: Engine, task: Task, options: EvaluateOptions = {}): Promise<Evaluation> {
  checkOptions(schema, options);
  const { split = "test", adapter = "base", limit, exclude = [], signal, onProgress } = options;
  const excluded = new Set(exclude);
  const samples = task.splits[split].filter((sample) => !excluded.has(sample.id)).slice(0, limit);
  if (samples.length === 0) throw invalidTask(task.name, `its ${split} split has no items to score.`, { split });
  const decoding: Decoding = {
    temperature: options.temperature ?? 0,
    topP: options.topP ?? 1,
    topK: options.topK ?? 0,
    minP: options.minP ?? 0,
    maxTokens: options.maxTokens ?? task.maxTokens ?? 256,
    stop: task.stop ?? [],
    seed: options.seed ?? 0,
  };
  const started = performance.now();
  const fingerprint = await engine.fingerprint();
  const chosen = typeof adapter === "function" ? await chooseAll(samples, adapter) : adapter;
  onProgress?.({ phase: "evaluate", done: 0, total: samples.length });
  const items = await answerItems(engine, task, samples, {
    adapter: chosen,
    decoding,
    batch: options.batch ?? 64,
    signal,
    onItems: (done) => onProgress?.({ phase: "evaluate", done, total: samples.length }),
  });
  const { name, dtype, device } = engine.info;
  return {
    format: "transformer2.evaluation/1",
    task: { name: task.name, version: task.version, grader: task.grader },
    split,
    ...proportion(items.filter((item) => item.right).length, items.length),
    model: { name, fingerprint, dtype, device },
    adapters: [...new Set(items.map((item) => item.adapter))],
    decoding,
    promptTokens: items.reduce((sum, item) => sum + item.promptTokens, 0),
    completionTokens: items.reduce((sum, item) => sum + item.tokens, 0),
    milliseconds: performance.now() - started,
    time: new Date().toISOString(),
    library: libraryVersion(),
    items,
  };
}

async function chooseAll(
  samples: readonly Sample[],
  choose: (sample: Sample, index: number) => Adapter | Promise<Adapter>,
): Promise<Adapter[]> {
  const adapters: Adapter[] = [];
  for (const [index, sample] of samples.entries()) adapters.push(await choose(sample, index));
  return adapters;
}

/** Two systems on the same items. */
export interface Comparison {
  readonly total: number;
  readonly both: number;
  readonly onlyFirst: number;
  readonly onlySecond: number;
  readonly neither: number;
  /** McNemar's exact test, two-sided. */
  readonly pValue: number;
}

/**
 * Compares two evaluations of the same items of the same task.
 *
 * Throws `ERR_T2_INVALID_OPTION` when task, version, grader, split or items differ: unpaired numbers cannot be compared by this test.
 */
export function compare(first: Evaluation, second: Evaluation): Comparison {
  const key = ({ task, split }: Evaluation) => [task.name, task.version, task.grader, split].join(" / ");
  if (key(first) !== key(second)) throw invalidOption("second", `an evaluation of ${key(first)}`, key(second));
  const others = new Map(second.items.map((item) => [item.id, item.right]));
  const missing = first.items.find((item) => !others.has(item.id));
  if (missing || first.items.length !== second.items.length)
    throw invalidOption(
      "second",
      `an evaluation of the same ${first.items.length} items`,
      missing ? `one without "${missing.id}"` : `${second.items.length} items`,
    );
  const count = (a: boolean, b: boolean) => first.items.filter((item) => item.right === a && others.get(item.id) === b).length;
  const onlyFirst = count(true, false);
  const onlySecond = count(false, true);
  return {
    total: first.items.length,
    both: count(true, true),
    onlyFirst,
    onlySecond,
    neither: count(false, false),
    pValue: mcnemar(onlyFirst, onlySecond),
  };
}

/** Writes a result file (JSON), whole or not at all. Throws `ERR_T2_IO`. */
export function saveEvaluation(evaluation: Evaluation, path: string): Promise<void> {
  return writeJsonAtomic(path, evaluation);
}

/** Reads what `saveEvaluation` wrote. Throws `ERR_T2_IO`; `ERR_T2_INVALID_OPTION` when the file is something else. */
export async function loadEvaluation(path: string): Promise<Evaluation> {
  let content: string;
  try {
    content = await readFile(path, "utf8");
  } catch (error) {
    throw ioError("read", path, error);
  }
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (cause) {
    throw new Transformer2Error("ERR_T2_INVALID_OPTION", `"${path}" is no result file: it is not JSON.`, { detail: { path }, cause });
  }
  if ((value as Partial<Evaluation> | null)?.format !== "transformer2.evaluation/1")
    throw new Transformer2Error("ERR_T2_INVALID_OPTION", `"${path}" is no result file of format transformer2.evaluation/1.`, {
      detail: { path },
    });
  return value as Evaluation;
}
