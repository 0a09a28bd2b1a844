// A training batch as the native core wants it, and its result as the caller does: sequences with the same prompt become one group,
// so that the prompt is run once, and the reduction becomes one coefficient per completion.
import type { GradientGroup, GradientResult } from "../../typings/addon.js";
import type { GradientOptions, TrainBatch } from "../engine.js";
import { invalidOption } from "../errors.js";

export interface PackedBatch {
  readonly groups: GradientGroup[];
  /** Group and completion of every sequence, in the order of the batch. */
  readonly places: readonly (readonly [group: number, completion: number])[];
  /** Coefficient of KL at every completion token. */
  readonly klWeight: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/**
 * loss = Σ weight · Σ_t −log p(y_t): "sequence-mean" has weight A / sequences, "token-mean" A / all completion tokens; KL is averaged
 * in the same way. Throws `ERR_T2_INVALID_OPTION` for a batch that is empty or malformed, or longer than the context.
 */
export function packBatch(batch: TrainBatch, options: GradientOptions, contextLength: number, vocabularySize: number): PackedBatch {
  const { loss = "policy-gradient", reduction = "sequence-mean", kl } = options;
  const sequences = batch?.sequences;
  if (!Array.isArray(sequences) || sequences.length === 0)
    throw invalidOption("batch.sequences", "a list of at least one sequence", sequences);
  let completionTokens = 0;
  for (const [index, sequence] of sequences.entries()) {
    const name = `batch.sequences[${index}]`;
    checkTokens(`${name}.tokens`, sequence?.tokens, vocabularySize);
    const { tokens, promptLength, advantage } = sequence;
    if (!Number.isInteger(promptLength) || promptLength < 1 || promptLength >= tokens.length) {
      throw invalidOption(`${name}.promptLength`, `a whole number from 1 to ${tokens.length - 1}, one less than its tokens`, promptLength);
    }
    if (tokens.length > contextLength) throw invalidOption(`${name}.tokens`, `at most ${contextLength} tokens, the context`, tokens.length);
    if (typeof advantage !== "number" || !Number.isFinite(advantage))
      throw invalidOption(`${name}.advantage`, "a finite number", advantage);
    completionTokens += tokens.length - promptLength;
  }

  const scale = 1 / (reduction === "token-mean" ? completionTokens : sequences.length);
  const groups: { tokens: Int32Array; completions: Int32Array[]; weights: number[] }[] = [];
  const byPrompt = new Map<string, number>();
  const places = sequences.map(({ tokens, promptLength, advantage }) => {
    const prompt = tokens.subarray(0, promptLength);
    const key = prompt.join();
    let index = byPrompt.get(key);
    if (index === undefined) {
      index = groups.push({ tokens: prompt, completions: [], weights: [] }) - 1;
      byPrompt.set(key, index);
    }
    const group = groups[index] as (typeof groups)[number];
    group.weights.push((loss === "next-token" ? 1 : advantage) * scale);
    return [index, group.completions.push(tokens.subarray(promptLength)) - 1] as const;
  });
  return {
    groups: groups.map((group) => ({ ...group, weights: Float32Array.from(group.weights) })),
    places,
    klWeight: (kl?.weight ?? 0) * scale,
    promptTokens: groups.reduce((sum, group) => sum + group.tokens.length, 0),
    completionTokens,
  };
}

/** Log-probs in the order of the batch. */
export function unpackLogprobs(packed: PackedBatch, result: GradientResult): Float32Array[] {
  return packed.places.map(([group, completion]) => result.logprobs[group]?.[completion] ?? new Float32Array(0));
}

/** Throws `ERR_T2_INVALID_OPTION` unless `tokens` is an Int32Array of at least one id of the vocabulary. */
export function checkTokens(name: string, tokens: unknown, vocabularySize: number): asserts tokens is Int32Array {
  if (!(tokens instanceof Int32Array) || tokens.length === 0)
    throw invalidOption(name, "an Int32Array of at least one token", describe(tokens));
  for (let i = 0; i < tokens.length; i++) {
    const id = tokens[i] as number;
    if (id < 0 || id >= vocabularySize) throw invalidOption(`${name}[${i}]`, `a token id from 0 to ${vocabularySize - 1}`, id);
  }
}

/** Short words for a value that is too long to print. */
function describe(value: unknown): unknown {
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return ArrayBuffer.isView(value) ? `${value.constructor.name} of ${value.byteLength} bytes` : value;
}
