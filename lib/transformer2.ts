// The class a user works with: one loaded model. It checks options, runs every call as a job that can be aborted, and delegates.
import { decide, isShots, type StrategyName } from "./adapt/dispatcher.js";
import type { Shot, Strategy } from "./adapt/strategy.js";
import { Adapted } from "./adapted.js";
import type {
  Adapter,
  BatchItem,
  DecomposeOptions,
  DecompositionReport,
  Engine,
  GenerateOptions,
  Generation,
  GradientOptions,
  Gradients,
  MatrixShape,
  ModelInfo,
  Score,
  ScoreOptions,
  Targets,
  TrainBatch,
} from "./engine.js";
import { invalidOption } from "./errors.js";
import type { ExpertSet } from "./experts.js";
import { type MemoryPlan, type MemoryPlanOptions, planMemory } from "./memory-plan.js";
import type { Tokenizer } from "./model/tokenizer.js";
import { addon } from "./native.js";
import * as check from "./options.js";
import { generate } from "./runtime/generate.js";
import { gradients } from "./runtime/gradients.js";
import { type LoadedModel, loadModel, type OpenModelOptions } from "./runtime/load.js";
import { checkTokens } from "./runtime/pack-batch.js";
import { deviceMemory, loadedDeviceMemory, planSizes, planSizesOf } from "./runtime/plan-sizes.js";
import { encodePrompt, isPromptList } from "./runtime/prompt.js";
import { type RuntimeReport, runtimeReport } from "./runtime/report.js";
import { score } from "./runtime/score.js";
import { type TextStream, textStream } from "./runtime/text-stream.js";
import { selectMatrices } from "./svf/targets.js";
import type { Progress, Prompt } from "./types.js";

/** Options of `Transformer2.load`. */
export interface LoadOptions extends OpenModelOptions {
  /** What adapt() uses when it is not told. Default "prompt". */
  strategy?: StrategyName | Strategy;
}

/** Options of `Transformer2.adapt`. */
export interface AdaptOptions {
  /** Default: the one given to load, else "prompt"; "few-shot" for solved examples. */
  strategy?: StrategyName | Strategy;
  signal?: AbortSignal;
  onProgress?: (p: Progress) => void;
}

/** Options of `Transformer2.logits`. */
export interface LogitsOptions {
  adapter?: Adapter;
  mode?: "auto" | "merged" | "factored";
  signal?: AbortSignal;
}

/**
 * A language model that adapts its own weights to the prompt (arXiv 2501.06252).
 *
 * Every call that takes a `signal` rejects with `ERR_T2_ABORTED` (cause: the signal's reason) when it fires, and every call rejects
 * with `ERR_T2_DISPOSED` after disposal. Options out of range are `ERR_T2_INVALID_OPTION`. Work runs on the engine's own thread.
 *
 * @example
 * const t2 = await Transformer2.load("models/micro", { experts: ["math", "code", "reasoning"] });
 * const adapted = await t2.adapt("Tom has 3 apples and buys 4 more. How many are there?");
 * for await (const text of adapted.stream()) process.stdout.write(text);
 * await t2[Symbol.asyncDispose]();
 */
export class Transformer2 implements Engine, AsyncDisposable {
  readonly info: ModelInfo;
  readonly tokenizer: Tokenizer;
  /** The loaded experts: add, remove, get, names. */
  readonly experts: ExpertSet;
  readonly #loaded: LoadedModel;
  readonly #strategy: StrategyName | Strategy | undefined;
  #disposal: Promise<void> | undefined;

  /** Use `Transformer2.load`. */
  constructor(loaded: LoadedModel, strategy?: StrategyName | Strategy) {
    this.#loaded = loaded;
    this.#strategy = strategy;
    this.info = loaded.info;
    this.tokenizer = loaded.tokenizer;
    this.experts = loaded.experts;
  }

  /**
   * Opens a checkpoint folder in Hugging Face format. Weights are memory-mapped in their own dtype.
   * Throws `ERR_T2_MODEL_NOT_FOUND`, `ERR_T2_UNSUPPORTED_MODEL`, `ERR_T2_INVALID_CHECKPOINT`, `ERR_T2_INVALID_TOKENIZER`,
   * `ERR_T2_EXPERT_NOT_FOUND`, `ERR_T2_EXPERT_MISMATCH`, `ERR_T2_INVALID_EXPERT`, `ERR_T2_CUDA_UNAVAILABLE`, `ERR_T2_OUT_OF_MEMORY`,
   * `ERR_T2_NATIVE_NOT_FOUND`, `ERR_T2_IO`.
   * @param model path of the folder; hub ids are not downloaded in this version
   */
  static async load(model: string, options?: LoadOptions): Promise<Transformer2> {
    const { strategy, ...rest } = check.checkOptions(check.loadOptions, options);
    return new Transformer2(await loadModel(addon(), model, rest), strategy);
  }

  /** What a load would take, in bytes by part, before it is done. Errors as load, of config and files. */
  static async memoryPlan(model: string, options?: MemoryPlanOptions): Promise<MemoryPlan> {
    const checked = check.checkOptions(check.memoryPlanOptions, options);
    return planMemory(await planSizesOf(model), checked, checked.device && deviceMemory(addon(), checked.device));
  }

  /**
   * The first pass: finds out what the prompt needs and mixes the experts for it. `other`, a small margin or no experts mean the base.
   * Throws `ERR_T2_INVALID_PROMPT`, `ERR_T2_PROMPT_TOO_LONG`, `ERR_T2_NO_CHAT_TEMPLATE`, and what the strategy throws.
   */
  adapt(prompt: Prompt, options?: AdaptOptions): Promise<Adapted>;
  /** The same from solved examples (strategy "few-shot"), for all prompts of their kind: pass { prompt } to the handle's calls. */
  adapt(shots: readonly Shot[], options?: AdaptOptions): Promise<Adapted>;
  async adapt(input: Prompt | readonly Shot[], options?: AdaptOptions): Promise<Adapted> {
    const { strategy, signal, onProgress } = check.checkOptions(check.adaptOptions, options);
    const shots = isShots(input);
    return this.#run("adapt()", signal, async (job) => {
      if (!shots) this.encodePrompt(input as Prompt); // wrong prompts fail here in one way, whatever the strategy
      const chosen = strategy ?? (shots ? "few-shot" : (this.#strategy ?? "prompt"));
      const decision = await decide(chosen, input, { engine: this, experts: [...this.experts], signal: job.signal, onProgress });
      return new Adapted(decision, this, shots ? undefined : (input as Prompt));
    });
  }

  /**
   * Answers several prompts as one batch; with `n`, all samples of the first prompt come first.
   * Throws `ERR_T2_INVALID_PROMPT`, `ERR_T2_PROMPT_TOO_LONG`, `ERR_T2_NO_CHAT_TEMPLATE`, `ERR_T2_EXPERT_NOT_FOUND`,
   * `ERR_T2_EXPERT_MISMATCH`, `ERR_T2_OUT_OF_MEMORY`.
   * @example const { text } = await t2.generate("What is 7 times 8?", { maxTokens: 32, adapter: "math" });
   */
  generate(prompts: readonly Prompt[], options?: GenerateOptions): Promise<Generation[]>;
  /** `n` samples of one prompt. */
  generate(prompt: Prompt, options: GenerateOptions & { n: number }): Promise<Generation[]>;
  /** One answer. */
  generate(prompt: Prompt, options?: GenerateOptions): Promise<Generation>;
  async generate(prompts: Prompt | readonly Prompt[], options?: GenerateOptions): Promise<Generation | Generation[]> {
    const many = isPromptList(prompts);
    const items = (many ? prompts : [prompts]).map((prompt) => ({ prompt }));
    const written = (await this.#generate("generate()", items, options)).flat();
    return many || options?.n !== undefined ? written : (written[0] as Generation);
  }

  /**
   * A whole batch in one native call, each row with its own adapter; result [item][sample]. The prompts share nothing else: a result
   * depends on its own row alone. Errors as generate(). Milliseconds in `cost` are those of the whole call.
   */
  generateBatch(items: readonly BatchItem[], options?: GenerateOptions): Promise<Generation[][]> {
    return this.#generate("generateBatch()", items, options);
  }

  /**
   * The answer as it is written. Text never splits a character and never has a part of a stop text. Leaving the loop ends the
   * generation; `result` then resolves with what was written, finishReason "aborted". A signal makes both reject. Errors as generate().
   * @example for await (const text of t2.stream("Tell me a story")) process.stdout.write(text);
   */
  stream(prompt: Prompt, options?: GenerateOptions): TextStream<Generation> {
    let cancel: (() => void) | undefined;
    let left = false;
    return textStream<Generation>({
      start: async (onText) => {
        const checked = check.checkOptions(check.generateOptions, options);
        if ((checked.n ?? 1) !== 1) throw invalidOption("n", "1 in a stream", checked.n);
        return this.#run("stream()", checked.signal, async (job) => {
          const hooks = {
            onText,
            onStarted: (end: () => void) => {
              cancel = end;
              if (left) end();
            },
          };
          const [row] = await generate(this.#loaded, [{ prompt }], checked, job, hooks);
          return row?.[0] as Generation;
        });
      },
      stop: () => {
        left = true;
        cancel?.();
      },
    });
  }

  /**
   * Log-probs of given continuations, each right behind the prompt.
   * Throws `ERR_T2_INVALID_PROMPT`, `ERR_T2_PROMPT_TOO_LONG`, `ERR_T2_INVALID_OPTION` for an empty continuation, and as generate().
   */
  async score(prompt: Prompt, continuations: readonly string[], options?: ScoreOptions): Promise<Score[]> {
    const [scores] = await this.#score("score()", [{ prompt, continuations }], options);
    return scores as Score[];
  }

  /** Many prompts in one native call, each with its own adapter; result [item][continuation]. Errors as score(). */
  scoreBatch(items: readonly (BatchItem & { continuations: readonly string[] })[], options?: ScoreOptions): Promise<Score[][]> {
    return this.#score("scoreBatch()", items, options);
  }

  /** Logits [tokens, vocabulary], row-major, per sequence; for tests and tools. */
  async logits(sequences: readonly Int32Array[], options?: LogitsOptions): Promise<Float32Array[]> {
    const { adapter, mode, signal } = check.checkOptions(check.logitsOptions, options);
    if (!Array.isArray(sequences)) throw invalidOption("sequences", "a list of Int32Arrays", sequences);
    const { vocabularySize, contextLength } = this.info;
    for (const [index, tokens] of sequences.entries()) {
      checkTokens(`sequences[${index}]`, tokens, vocabularySize);
      if (tokens.length > contextLength) throw invalidOption(`sequences[${index}]`, `at most ${contextLength} tokens`, tokens.length);
    }
    if (sequences.length === 0) return [];
    return this.#run("logits()", signal, async (job) => {
      const { handle } = await this.#loaded.adapters.use(adapter, job);
      job.check();
      return this.#loaded.addon.logits(this.#loaded.model, [...sequences], handle, mode ?? this.#loaded.options.mode ?? "auto", job.token);
    });
  }

  /**
   * dL/dz per matrix, with loss, KL and log-probs of the batch. Sequences that begin with the same prompt share it, forward and backward.
   * "sequence-mean": loss = mean over sequences of −advantage · Σ_t log p; "token-mean": mean over all completion tokens. `kl` in the
   * result is the mean per completion token; the gradient has kl.weight times KL reduced like the loss. Decomposes what is missing.
   */
  async gradients(batch: TrainBatch, options?: GradientOptions): Promise<Gradients> {
    const checked = check.checkOptions(check.gradientOptions, options);
    return this.#run("gradients()", checked.signal, (job) => gradients(this.#loaded, batch, checked, job));
  }

  /**
   * Decomposes the selected matrices (W = U diag(σ) Vᵀ) or finds them in the cache; a stopped run goes on where it was. Experts do this
   * by themselves when they are first used. Phases of progress: "fingerprint", "decompose". Throws `ERR_T2_IO` (cache not writable, disk
   * full), `ERR_T2_INVALID_CHECKPOINT` (weights that are not finite).
   */
  async decompose(options?: DecomposeOptions): Promise<DecompositionReport> {
    const checked = check.checkOptions(check.decomposeOptions, options);
    return this.#run("decompose()", checked.signal, (job) => this.#loaded.weights.decompose(checked, job));
  }

  /** The matrices that `targets` selects, in layer order. Throws `ERR_T2_INVALID_OPTION` for an unknown name or an empty selection. */
  select(targets: Targets): MatrixShape[] {
    return selectMatrices(this.info.matrices, targets);
  }

  /** SHA-256 (hexadecimal) over name, shape, dtype and bytes of the given matrices; all when left out. What ties experts to a base. */
  fingerprint(names?: readonly string[]): Promise<string> {
    return this.#run("fingerprint()", undefined, (job) => this.#loaded.weights.fingerprint(names, job));
  }

  /** Singular values of a matrix, descending, [rank]. Decomposes it where it is not. */
  sigma(name: string): Promise<Float32Array> {
    return this.#run("sigma()", undefined, (job) => this.#loaded.weights.sigma(name, job));
  }

  /**
   * The prompt's tokens as the model sees them: chat template applied, no second BOS. Its length is not checked.
   * Throws `ERR_T2_INVALID_PROMPT` and `ERR_T2_NO_CHAT_TEMPLATE`.
   */
  encodePrompt(prompt: Prompt, prefill?: string): Int32Array {
    return encodePrompt(this.tokenizer, this.info.vocabularySize, prompt, prefill);
  }

  /** Bytes by part for sequences of the given length and number. */
  memoryPlan(options?: MemoryPlanOptions): MemoryPlan {
    const checked = check.checkOptions(check.memoryPlanOptions, options);
    const on = checked.device === undefined ? loadedDeviceMemory(this.#loaded) : deviceMemory(this.#loaded.addon, checked.device);
    return planMemory(planSizes(this.#loaded), checked, on);
  }

  /** What runs where: device and why, instruction set, threads, BLAS, model, experts, factors, bytes held now. */
  report(): RuntimeReport {
    this.#loaded.lifetime.checkOpen("report()");
    return runtimeReport(this.#loaded);
  }

  /** Stops running work, which rejects with `ERR_T2_DISPOSED`, and frees everything. Idempotent. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    const { lifetime, addon: native, model } = this.#loaded;
    lifetime.close();
    await native.modelClose(model);
    await lifetime.idle();
  }

  async #generate(what: string, items: readonly BatchItem[], options: GenerateOptions | undefined): Promise<Generation[][]> {
    const checked = check.checkOptions(check.generateOptions, options);
    checkItems(items);
    return this.#run(what, checked.signal, (job) => generate(this.#loaded, items, checked, job));
  }

  async #score(
    what: string,
    items: readonly (BatchItem & { continuations: readonly string[] })[],
    options: ScoreOptions | undefined,
  ): Promise<Score[][]> {
    const checked = check.checkOptions(check.scoreOptions, options);
    checkItems(items);
    return this.#run(what, checked.signal, (job) => score(this.#loaded, items, checked, job));
  }

  get #run() {
    const { lifetime } = this.#loaded;
    return lifetime.run.bind(lifetime);
  }
}

function checkItems(items: readonly BatchItem[]): void {
  if (!Array.isArray(items)) throw invalidOption("items", "a list of { prompt, … }", items);
  for (const [index, item] of items.entries()) check.checkOptions(check.batchItem, item, `items[${index}]`);
}
