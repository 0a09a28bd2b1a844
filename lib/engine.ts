// The interface that training, adaptation and evaluation work on: a loaded model that generates, scores and gives gradients.
// Transformer2 implements it over the addon; tests implement it over a table; a remote engine would implement the same.

import type { MatrixShape, ModelInfo, Targets } from "./model/info.js";
import type { Tokenizer } from "./model/tokenizer.js";
import type { Expert } from "./svf/expert.js";
import type { Mixture } from "./svf/mixture.js";
import type { Cost, Progress, Prompt } from "./types.js";

export type { MatrixShape, ModelInfo, Targets } from "./model/info.js";

/** "base", the name of a loaded expert, an expert, or a mixture of loaded experts. */
export type Adapter = "base" | (string & {}) | Expert | Mixture;

export interface GenerateOptions {
  /** Tokens to write at most. Default 256. */
  maxTokens?: number;
  /** 0 (default): greedy. */
  temperature?: number;
  /** Keep the smallest set of tokens whose probability reaches topP. Default 1: all. */
  topP?: number;
  /** Keep the k most probable tokens. Default 0: all. */
  topK?: number;
  /** Keep tokens at least minP times as probable as the best. Default 0: all. */
  minP?: number;
  /** Divides the logits of tokens already seen (multiplies negative ones). Default 1: off. */
  repetitionPenalty?: number;
  /** Default 0. The same seed, prompt and position give the same draw, however requests are batched. */
  seed?: number;
  /** Texts that end the answer; they are not part of it. */
  stop?: readonly string[];
  /** Go on past the end-of-sequence token. Default false. */
  ignoreEos?: boolean;
  /** Return the log-prob of every token. Default false. */
  logprobs?: boolean;
  /** Samples per prompt; the prompt is run once. Default 1. */
  n?: number;
  /** Text put behind the chat template's generation prompt, as the beginning of the answer. Not part of the result. */
  prefill?: string;
  adapter?: Adapter;
  mode?: "auto" | "merged" | "factored";
  signal?: AbortSignal;
}

export interface Generation {
  text: string;
  /** Tokens written, the end-of-sequence token included when it was written. */
  tokens: Int32Array;
  /** Tokens of the prompt as the model saw them. */
  promptTokens: Int32Array;
  logprobs?: Float32Array;
  finishReason: "stop" | "length" | "aborted";
  usage: { promptTokens: number; completionTokens: number };
  adapter: string;
  cost: Cost;
}

export interface Score {
  /** Log-prob of each token of the continuation. */
  logprobs: Float32Array;
  sum: number;
  mean: number;
}

export interface ScoreOptions {
  adapter?: Adapter;
  mode?: "auto" | "merged" | "factored";
  prefill?: string;
  signal?: AbortSignal;
}

export interface TrainSequence {
  /** Prompt and completion; the completion starts at promptLength. */
  tokens: Int32Array;
  promptLength: number;
  advantage: number;
}

export interface TrainBatch {
  sequences: TrainSequence[];
}

export interface GradientOptions {
  adapter?: Adapter;
  /** Default "policy-gradient"; "next-token" takes every advantage as 1. */
  loss?: "policy-gradient" | "next-token";
  /** "sequence-mean" (default): mean over sequences of the sum over tokens; "token-mean": mean over all completion tokens. */
  reduction?: "sequence-mean" | "token-mean";
  kl?: { weight: number; direction: "policy-reference" | "reference-policy" };
  /** Matrices to differentiate; default: all that have factors. */
  targets?: readonly string[];
  mode?: "auto" | "merged" | "factored";
  signal?: AbortSignal;
  onProgress?: (p: Progress) => void;
}

export interface Gradients {
  /** The reduced loss without its KL term. */
  loss: number;
  /** Mean KL per completion token over the full vocabulary, in nats. 0 when kl is not asked for. */
  kl: number;
  /** dL/dz per matrix, KL term included, for z as used: W' = U diag(sigma z) Vᵀ. */
  z: Record<string, Float32Array>;
  /** Log-probs of the completion tokens, per sequence. */
  logprobs: Float32Array[];
  cost: Cost;
}

export interface DecomposeOptions {
  /** Which matrices: roles, names or a filter; default all seven roles of all layers. */
  targets?: Targets;
  /** Precision of U and V on disk and in memory. Default "F32" for F32 models, else "F16". */
  dtype?: "F16" | "F32";
  /** Cache folder. Default <user cache>/transformer2/factors, or T2_CACHE. */
  factors?: string;
  /** Default "auto". "gesdd" is the CPU's; "gesvdj" and "gesvdp" are a GPU's. */
  driver?: "auto" | "gram" | "gesdd" | "gesvd" | "gesvdj" | "gesvdp";
  signal?: AbortSignal;
  onProgress?: (p: Progress) => void;
}

export interface DecompositionReport {
  folder: string;
  fingerprint: string;
  computed: number;
  reused: number;
  redone: string[];
  milliseconds: number;
  matrices: {
    name: string;
    rows: number;
    columns: number;
    residual: number;
    orthogonalityU: number;
    orthogonalityV: number;
    driver: string;
    milliseconds: number;
  }[];
}

/** One request of a batch in which every row may carry its own adapter. */
export interface BatchItem {
  prompt: Prompt;
  adapter?: Adapter;
  /** Overrides the call's option for this row. */
  seed?: number;
  prefill?: string;
}

export interface Engine {
  readonly info: ModelInfo;
  readonly tokenizer: Tokenizer;
  generate(prompt: { text: string } | { tokens: Int32Array } | string, options?: GenerateOptions): Promise<Generation>;
  /** A whole batch at once, each row with its own adapter; result [item][sample]. */
  generateBatch(items: readonly BatchItem[], options?: GenerateOptions): Promise<Generation[][]>;
  score(prompt: Prompt, continuations: readonly string[], options?: ScoreOptions): Promise<Score[]>;
  /** Scores many prompts at once, each with its own adapter; result [item][continuation]. */
  scoreBatch(items: readonly (BatchItem & { continuations: readonly string[] })[], options?: ScoreOptions): Promise<Score[][]>;
  gradients(batch: TrainBatch, options?: GradientOptions): Promise<Gradients>;
  decompose(options?: DecomposeOptions): Promise<DecompositionReport>;
  /** Names of the matrices selected by `targets`, in layer order. */
  select(targets: Targets): MatrixShape[];
  /** SHA-256 over name, shape, dtype and bytes of the given matrices (all when left out), hexadecimal. */
  fingerprint(names?: readonly string[]): Promise<string>;
  /** sigma of one decomposed matrix, length rank. */
  sigma(name: string): Promise<Float32Array>;
  /** The prompt's tokens as the model sees them: chat template applied, no second BOS. */
  encodePrompt(prompt: Prompt, prefill?: string): Int32Array;
}
