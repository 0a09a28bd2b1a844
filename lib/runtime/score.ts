// Log-probs of given continuations, for a batch of prompts in one native call.
import type { BatchItem, Score, ScoreOptions } from "../engine.js";
import { invalidOption } from "../errors.js";
import type { Job } from "./lifetime.js";
import type { LoadedModel } from "./load.js";
import { Pace } from "./pace.js";
import { encodePrompt, roomFor } from "./prompt.js";

/** Result [item][continuation]. Options are checked by the caller. */
export async function score(
  loaded: LoadedModel,
  items: readonly (BatchItem & { continuations: readonly string[] })[],
  options: ScoreOptions,
  job: Job,
): Promise<Score[][]> {
  if (items.length === 0) return [];
  const { addon, model, info, tokenizer } = loaded;
  const pace = new Pace();
  const encoded: { tokens: Int32Array; continuations: Int32Array[] }[] = [];
  // The same few texts, usually: labels or options.
  const known = new Map<string, Int32Array>();
  for (const item of items) {
    const tokens = encodePrompt(tokenizer, info.vocabularySize, item.prompt, item.prefill ?? options.prefill);
    if (!Array.isArray(item.continuations) || item.continuations.length === 0) {
      throw invalidOption("continuations", "a list of at least one text", item.continuations);
    }
    const continuations = item.continuations.map((text: unknown, index: number) => {
      if (typeof text !== "string" || text === "") throw invalidOption(`continuations[${index}]`, "a text that is not empty", text);
      const ids = known.get(text) ?? tokenizer.encode(text, { continuation: true });
      known.set(text, ids);
      return ids;
    });
    const longest = Math.max(...continuations.map((ids) => ids.length));
    roomFor(tokens.length, longest, longest, info.contextLength);
    encoded.push({ tokens, continuations });
    await pace.tick();
    job.check();
  }
  const adapters = await loaded.adapters.useAll(
    items.map((item) => item.adapter ?? options.adapter),
    job,
  );
  job.check();
  const rows = encoded.map((item, index) => ({ ...item, adapter: adapters[index]?.handle ?? null }));
  const result = await addon.score(model, rows, options.mode ?? loaded.options.mode ?? "auto", job.token);
  return result.map((row) => row.map(scoreOf));
}

function scoreOf(logprobs: Float32Array): Score {
  const sum = logprobs.reduce((total, value) => total + value, 0);
  return { logprobs, sum, mean: sum / logprobs.length };
}
