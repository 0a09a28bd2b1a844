// The first pass over a batch of prompts: one prefill that compares the labels' log-probs, or free text that names a label.
import type { Engine } from "../engine.js";
import { invalidOption, Transformer2Error } from "../errors.js";
import type { Expert } from "../svf/expert.js";
import { throwIfAborted } from "../util/abort.js";
import { OTHER } from "./candidates.js";
import { fill, readLabel, type Wording } from "./wording.js";

/** What the first pass found out about one prompt. */
export interface Classified {
  readonly label: string;
  /** Per label, summing to 1; for free text 1 for the label that was named. */
  readonly probabilities: Record<string, number>;
  /** Best minus second probability. */
  readonly margin: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly milliseconds: number;
  /** Forced choice: log-prob per label before calibration. Free text: what the model wrote. */
  readonly seen: { logprobs: Record<string, number> } | { text: string };
}

export interface FirstPass {
  readonly engine: Engine;
  readonly wording: Wording;
  /** The expert that classifies; undefined: the base does. */
  readonly classifier?: Expert | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Prompts per call of the engine: enough to fill its batch, few enough to stop soon. */
const CHUNK = 64;

/**
 * The classification prompt as tokens. Of a prompt too long for the context the middle is left out, since what is asked stands at its
 * beginning or end. `reserve` tokens stay free behind it.
 */
function encode({ engine, wording }: FirstPass, text: string, reserve: number): Int32Array {
  const limit = engine.info.contextLength - reserve;
  let kept = text.length;
  for (;;) {
    const half = Math.ceil(kept / 2);
    const shown = kept >= text.length ? text : `${text.slice(0, half)} … ${text.slice(text.length - (kept - half))}`;
    const tokens = engine.encodePrompt(fill(wording.prompt, shown), wording.prefix === "" ? undefined : wording.prefix);
    if (tokens.length <= limit) return tokens;
    if (kept === 0) {
      throw new Transformer2Error(
        "ERR_T2_PROMPT_TOO_LONG",
        `The classification prompt alone needs ${tokens.length + reserve} tokens, but the context has ${engine.info.contextLength}. Load fewer experts, or shorten their descriptions.`,
        { detail: { tokens: tokens.length + reserve, contextLength: engine.info.contextLength } },
      );
    }
    kept = Math.floor(Math.min(kept * 0.9, (kept * limit) / tokens.length));
  }
}

/** Sum of log-probs per label, for every prompt. */
async function labelLogprobs(pass: FirstPass, prompts: readonly Int32Array[]): Promise<number[][]> {
  const continuations = [...pass.wording.labels.values()];
  const adapter = pass.classifier ?? "base";
  const items = prompts.map((tokens) => ({ prompt: { tokens }, adapter, continuations }));
  const scores = await pass.engine.scoreBatch(items, { signal: pass.signal });
  return scores.map((row) => row.map((score) => score.sum));
}

/** Content-free log-probs by what they depend on besides the engine: wording and classifier. */
const priors = new WeakMap<Engine, Map<string | Expert, Map<string, number[]>>>();

async function prior(pass: FirstPass): Promise<number[]> {
  const { engine, wording } = pass;
  const adapter = pass.classifier ?? "base";
  const key = JSON.stringify([wording.prompt, wording.prefix, [...wording.labels], wording.contentFree]);
  const byAdapter = priors.get(engine) ?? new Map<string | Expert, Map<string, number[]>>();
  const byWording = byAdapter.get(adapter) ?? new Map<string, number[]>();
  let found = byWording.get(key);
  if (found === undefined) {
    const [row] = await labelLogprobs(pass, [encode(pass, wording.contentFree ?? "", reserveFor(wording))]);
    found = row!;
    byWording.set(key, found);
    byAdapter.set(adapter, byWording);
    priors.set(engine, byAdapter);
  }
  return found;
}

/** Room for the longest label: a token never has less than one character, but byte-level tokens may need four per character. */
function reserveFor(wording: Wording): number {
  return Math.max(...[...wording.labels.values()].map((text) => 4 * text.length));
}

function softmax(values: readonly number[]): number[] {
  const top = Math.max(...values);
  const weights = values.map((value) => Math.exp(value - top));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/**
 * Forced choice: one prefill per prompt, no decoding. The labels' log-probs, less what the content-free prompt gives them, go through a
 * softmax (Zhao et al. 2021, "Calibrate Before Use"), together with the gain that `other` stands for.
 */
export async function classifyForced(pass: FirstPass, texts: readonly string[]): Promise<Classified[]> {
  const { contentFree, otherGain } = pass.wording;
  const scored = [...pass.wording.labels.keys()];
  // Without calibration there is no gain, so `other` then has no place of its own.
  const hasGain = contentFree !== null && otherGain !== null && !pass.wording.labels.has(OTHER);
  const labels = hasGain ? [...scored, OTHER] : scored;
  const reserve = reserveFor(pass.wording);
  const result: Classified[] = [];
  let calibration: number[] | undefined;
  for (let start = 0; start < texts.length; start += CHUNK) {
    throwIfAborted(pass.signal, "The first pass");
    const began = performance.now();
    calibration ??= contentFree === null ? scored.map(() => 0) : await prior(pass);
    const prompts = texts.slice(start, start + CHUNK).map((text) => encode(pass, text, reserve));
    const rows = await labelLogprobs(pass, prompts);
    const milliseconds = (performance.now() - began) / prompts.length;
    for (const [i, row] of rows.entries()) {
      const gains = row.map((value, k) => value - calibration![k]!);
      const probabilities = softmax(hasGain ? [...gains, otherGain] : gains);
      const order = probabilities.map((p, k) => ({ p, k })).sort((a, b) => b.p - a.p || a.k - b.k);
      result.push({
        label: labels[order[0]!.k]!,
        probabilities: Object.fromEntries(labels.map((label, k) => [label, probabilities[k]!])),
        margin: order[0]!.p - (order[1]?.p ?? 0),
        promptTokens: prompts[i]!.length,
        completionTokens: 0,
        milliseconds,
        seen: { logprobs: Object.fromEntries(scored.map((label, k) => [label, row[k]!])) },
      });
    }
  }
  return result;
}

/** Free text, greedy: the label the model names, or `other`. */
export async function classifyGenerated(pass: FirstPass, texts: readonly string[], maxTokens: number): Promise<Classified[]> {
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) throw invalidOption("maxTokens", "a whole number ≥ 1", maxTokens);
  const labels = [...new Set([...pass.wording.labels.keys(), OTHER])];
  const adapter = pass.classifier ?? "base";
  const result: Classified[] = [];
  for (let start = 0; start < texts.length; start += CHUNK) {
    throwIfAborted(pass.signal, "The first pass");
    const began = performance.now();
    const prompts = texts.slice(start, start + CHUNK).map((text) => encode(pass, text, maxTokens));
    const items = prompts.map((tokens) => ({ prompt: { tokens }, adapter }));
    const answers = await pass.engine.generateBatch(items, { maxTokens, signal: pass.signal });
    const milliseconds = (performance.now() - began) / prompts.length;
    for (const [i, [answer]] of answers.entries()) {
      const label = readLabel(answer!.text, pass.wording.labels, pass.wording.prefix !== "");
      result.push({
        label,
        probabilities: Object.fromEntries(labels.map((name) => [name, name === label ? 1 : 0])),
        margin: 1,
        promptTokens: prompts[i]!.length,
        completionTokens: answer!.tokens.length,
        milliseconds,
        seen: { text: answer!.text },
      });
    }
  }
  return result;
}
