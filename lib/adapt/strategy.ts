// What an adaptation strategy is: the first pass, which decides how much of each expert a prompt needs. Data types and one interface.
import type { Engine } from "../engine.js";
import type { Expert } from "../svf/expert.js";
import type { Mixture } from "../svf/mixture.js";
import type { Cost, Progress, Prompt } from "../types.js";

/** A solved example for the few-shot strategy. Shots are never scored as test items: keep them out with `withoutShots`. */
export interface Shot {
  readonly id?: string;
  readonly prompt: Prompt;
  /** The reference answer, as the grader understands it. */
  readonly answer: string;
  /** What the model should write, exactly. Where shots have it, its log-likelihood refines the fitness. */
  readonly solution?: string;
}

/** What a strategy may use while it chooses. Nothing in here is changed by it, and nothing is kept for the next call. */
export interface StrategyContext {
  readonly engine: Engine;
  /** The loaded experts, in order. The engine knows them by these names. */
  readonly experts: readonly Expert[];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((p: Progress) => void) | undefined;
}

/** What the first pass decided. */
export interface Decision {
  /** Name of the strategy. */
  readonly strategy: string;
  /** Weight of every candidate expert; all 0 when the base answers. Mean over groups where there are several per expert. */
  readonly weights: Record<string, number>;
  /** What the weights follow from: probability per label, or fitness per mixture. */
  readonly scores: Record<string, number>;
  /** True when no expert was chosen: the margin was too small, or the answer was `other`. The adapter is then "base". */
  readonly abstained: boolean;
  readonly adapter: Mixture | "base";
  readonly cost: Cost;
  /** What the strategy saw, as plain data; its fields depend on the strategy. */
  readonly detail: Record<string, unknown>;
}

/**
 * One way of choosing an adapter. A decision depends on the input, the experts and the options alone, never on an earlier decision:
 * `other`, an abstention or an empty set of experts mean base weights, always.
 */
export interface Strategy {
  readonly name: string;
  /** Whether `choose` wants one prompt or a list of solved examples. */
  readonly input: "prompt" | "shots";
  choose(input: Prompt | readonly Shot[], context: StrategyContext): Promise<Decision>;
  /** Many prompts at once, where that is cheaper than one by one. */
  chooseAll?(prompts: readonly Prompt[], context: StrategyContext): Promise<Decision[]>;
}

/** The decision for the base model: what an empty set of experts, `other` and an abstention lead to. */
export function baseDecision(strategy: string, experts: readonly Expert[], about: Partial<Decision> = {}): Decision {
  return {
    strategy,
    weights: Object.fromEntries(experts.map((expert) => [expert.name, 0])),
    scores: {},
    abstained: true,
    cost: { promptTokens: 0, completionTokens: 0, milliseconds: {} },
    detail: {},
    ...about,
    adapter: "base",
  };
}
