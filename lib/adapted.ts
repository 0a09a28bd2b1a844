// What adapt() returns: the decision of the first pass, and a handle that answers with it.
import type { Decision } from "./adapt/strategy.js";
import type { GenerateOptions, Generation } from "./engine.js";
import { Transformer2Error } from "./errors.js";
import type { TextStream } from "./runtime/text-stream.js";
import type { Cost, Prompt } from "./types.js";

/** As `GenerateOptions`; the adapter is the one that was decided. */
export interface AdaptedOptions extends Omit<GenerateOptions, "adapter" | "n"> {
  /** Another prompt than the one adapted to; needed after adapting to solved examples. */
  prompt?: Prompt;
}

/** What generates for a handle. */
export interface Answering {
  generate(prompt: Prompt, options: GenerateOptions): Promise<Generation>;
  stream(prompt: Prompt, options: GenerateOptions): TextStream<Generation>;
}

/**
 * The first pass' decision; immutable.
 * @example
 * const adapted = await t2.adapt("What is 7 times 8?");
 * adapted.weights; // { math: 1, code: 0 }
 * (await adapted.generate()).text;
 */
export class Adapted implements Decision {
  readonly strategy: string;
  readonly weights: Record<string, number>;
  readonly scores: Record<string, number>;
  readonly abstained: boolean;
  readonly adapter: Decision["adapter"];
  readonly cost: Cost;
  readonly detail: Record<string, unknown>;
  readonly #engine: Answering;
  readonly #prompt: Prompt | undefined;

  /** Made by Transformer2.adapt. */
  constructor(decision: Decision, engine: Answering, prompt: Prompt | undefined) {
    this.strategy = decision.strategy;
    this.weights = decision.weights;
    this.scores = decision.scores;
    this.abstained = decision.abstained;
    this.adapter = decision.adapter;
    this.cost = decision.cost;
    this.detail = decision.detail;
    this.#engine = engine;
    this.#prompt = prompt;
  }

  /** The second pass: the answer to the prompt. Errors as Transformer2.generate; `ERR_T2_INVALID_PROMPT` when there is no prompt. */
  async generate(options: AdaptedOptions = {}): Promise<Generation> {
    const { prompt, ...rest } = options;
    return this.#engine.generate(this.#promptOr(prompt), { ...rest, adapter: this.adapter });
  }

  /** The second pass as it is written; see Transformer2.stream. */
  stream(options: AdaptedOptions = {}): TextStream<Generation> {
    const { prompt, ...rest } = options;
    return this.#engine.stream(this.#promptOr(prompt), { ...rest, adapter: this.adapter });
  }

  #promptOr(prompt: Prompt | undefined): Prompt {
    const chosen = prompt ?? this.#prompt;
    if (chosen !== undefined) return chosen;
    throw new Transformer2Error("ERR_T2_INVALID_PROMPT", "Adapting to solved examples leaves no prompt to answer: pass { prompt }.");
  }
}
