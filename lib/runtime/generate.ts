// A batch of prompts from the caller's form to native rows, and what was written back to the caller's form.
import type { GenerateRow } from "../../typings/addon.js";
import type { BatchItem, GenerateOptions, Generation } from "../engine.js";
import { startGeneration } from "./generation.js";
import type { Job } from "./lifetime.js";
import type { LoadedModel } from "./load.js";
import { Pace } from "./pace.js";
import { encodePrompt, roomFor } from "./prompt.js";

const DEFAULT_MAX_TOKENS = 256;

export interface GenerateHooks {
  /** Text of the first sample of the first prompt, as it becomes certain. */
  onText?: (text: string) => void;
  /** Called once with what ends the call early. */
  onStarted?: (cancel: () => void) => void;
}

/** All items in one native call, each with its own adapter. Options are checked by the caller. Result [item][sample]. */
export async function generate(
  loaded: LoadedModel,
  items: readonly BatchItem[],
  options: GenerateOptions,
  job: Job,
  hooks: GenerateHooks = {},
): Promise<Generation[][]> {
  if (items.length === 0) return [];
  const began = performance.now();
  const { addon, model, config, info, tokenizer } = loaded;
  const pace = new Pace();
  const stop = options.stop ?? [];
  const eosIds = config.eosTokenIds.length > 0 || tokenizer.eosId === undefined ? config.eosTokenIds : [tokenizer.eosId];
  const stopIds = Int32Array.from(options.ignoreEos ? [] : eosIds);
  const rows: Omit<GenerateRow, "adapter">[] = [];
  for (const item of items) {
    const tokens = encodePrompt(tokenizer, info.vocabularySize, item.prompt, item.prefill ?? options.prefill);
    rows.push({
      tokens,
      n: options.n ?? 1,
      maxTokens: roomFor(tokens.length, options.maxTokens, DEFAULT_MAX_TOKENS, info.contextLength),
      temperature: options.temperature ?? 0,
      topK: options.topK ?? 0,
      topP: options.topP ?? 1,
      minP: options.minP ?? 0,
      repetitionPenalty: options.repetitionPenalty ?? 1,
      seed: item.seed ?? options.seed ?? 0,
      sequence: hashTokens(tokens),
      stopIds,
      logprobs: options.logprobs ?? false,
      // Stop texts are found while the sample runs; without them one event at its end is enough.
      stream: hooks.onText !== undefined || stop.length > 0,
    });
    await pace.tick();
    job.check();
  }
  const adapters = await loaded.adapters.useAll(
    items.map((item) => item.adapter ?? options.adapter),
    job,
  );
  job.check();

  const { onText } = hooks;
  const running = startGeneration(
    addon,
    model,
    {
      rows: rows.map((row, index) => ({ ...row, adapter: adapters[index]?.handle ?? null })),
      mode: options.mode ?? loaded.options.mode ?? "auto",
      stops: stop,
      decoder: () => tokenizer.decodeStream(),
      ...(onText && { onText: (_row, _sample, text) => onText(text) }),
    },
    job,
  );
  hooks.onStarted?.(running.cancel);
  const prepared = performance.now() - began;
  const { samples, stats } = await running.result;
  const milliseconds = { prepare: prepared, prefill: stats.prefillMilliseconds, decode: stats.decodeMilliseconds };
  return samples.map((written, index) => {
    const promptTokens = (rows[index] as (typeof rows)[number]).tokens;
    return written.map(({ text, tokens, logprobs, finishReason }): Generation => {
      const usage = { promptTokens: promptTokens.length, completionTokens: tokens.length };
      return {
        text,
        tokens,
        promptTokens,
        ...(options.logprobs ? { logprobs: logprobs ?? new Float32Array(0) } : {}),
        finishReason,
        usage,
        adapter: adapters[index]?.name ?? "base",
        cost: { ...usage, milliseconds: { ...milliseconds } },
      };
    });
  });
}

/**
 * The random stream of a prompt: the same wherever in whatever batch it stands, another for another prompt (FNV-1a over the ids, 32 bits).
 * Sample j of a prompt draws from the stream j further on.
 */
function hashTokens(tokens: Int32Array): number {
  let hash = 0x811c9dc5;
  for (const token of tokens) {
    hash = Math.imul(hash ^ (token & 0xffff), 0x01000193);
    hash = Math.imul(hash ^ (token >>> 16), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
