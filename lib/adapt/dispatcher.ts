// Strategies by name, and the one way every first pass is run: with a checked input and a decision that holds no state.
import { invalidOption } from "../errors.js";
import type { Prompt } from "../types.js";
import { classifierStrategy } from "./classifier.js";
import { fewShotStrategy } from "./few-shot.js";
import { promptStrategy } from "./prompt.js";
import type { Decision, Shot, Strategy, StrategyContext } from "./strategy.js";

export const strategyNames = ["prompt", "classifier", "few-shot"] as const;
export type StrategyName = (typeof strategyNames)[number];

const makers: Readonly<Record<StrategyName, () => Strategy>> = {
  prompt: () => promptStrategy(),
  classifier: () => classifierStrategy(),
  "few-shot": () => fewShotStrategy(),
};

/** A strategy of that name with its defaults, or the one given. Throws `ERR_T2_INVALID_OPTION` for anything else. */
export function strategyOf(strategy: StrategyName | Strategy): Strategy {
  if (typeof strategy === "string" && Object.hasOwn(makers, strategy)) return makers[strategy]();
  if (typeof strategy === "object" && strategy !== null && typeof strategy.choose === "function") return strategy;
  throw invalidOption(
    "strategy",
    `one of ${strategyNames.map((name) => `"${name}"`).join(", ")}, or an object with a choose method`,
    strategy,
  );
}

/** Whether an input is a list of solved examples rather than a prompt: a conversation's items have a `role`. */
export function isShots(input: Prompt | readonly Shot[]): input is readonly Shot[] {
  return Array.isArray(input) && (input.length === 0 || !("role" in Object(input[0])));
}

/**
 * Runs a first pass. Throws `ERR_T2_INVALID_OPTION` when the input does not suit the strategy (shots for "few-shot", otherwise a prompt),
 * and what the strategy throws.
 *
 * @example await decide("prompt", "What is 7 times 8?", { engine, experts })
 */
export async function decide(
  strategy: StrategyName | Strategy,
  input: Prompt | readonly Shot[],
  context: StrategyContext,
): Promise<Decision> {
  const chosen = strategyOf(strategy);
  if (isShots(input) !== (chosen.input === "shots")) {
    const expected = chosen.input === "shots" ? '"prompt" or "classifier" for a prompt' : '"few-shot" for a list of solved examples';
    throw invalidOption("strategy", expected, chosen.name);
  }
  return chosen.choose(input, context);
}
