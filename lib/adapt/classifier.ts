// Strategy B, `classifier`: as `prompt`, with an SVF expert trained for the classification switched on in the first pass only.
import { invalidOption, Transformer2Error } from "../errors.js";
import type { Expert } from "../svf/expert.js";
import { CLASSIFIER, isClassifier } from "./candidates.js";
import { dispatching, type PromptStrategyOptions } from "./prompt.js";
import type { Strategy } from "./strategy.js";

export interface ClassifierStrategyOptions extends PromptStrategyOptions {
  /** Name of the expert that classifies. Default: the loaded expert whose name or label is "classifier". */
  classifier?: string;
  /** Default false here. */
  calibrate?: boolean;
}

/**
 * The classification expert never answers: the second pass runs with the chosen expert, or with the base.
 * Throws `ERR_T2_INVALID_OPTION` here; `choose` throws `ERR_T2_EXPERT_NOT_FOUND` when no loaded expert classifies.
 */
export function classifierStrategy(options: ClassifierStrategyOptions = {}): Strategy {
  // Training has calibrated the classifier; taking a content-free prompt's log-probs off again would undo it (measured on the embedded model:
  // 120 of 400 code prompts went to math).
  const { classifier, calibrate = false, ...rest } = options;
  const shared = { ...rest, calibrate };
  if (classifier !== undefined && (typeof classifier !== "string" || classifier === "")) {
    throw invalidOption("classifier", "the name of a loaded expert", classifier);
  }
  return dispatching("classifier", shared, (experts) => findClassifier(experts, classifier));
}

function findClassifier(experts: readonly Expert[], name: string | undefined): Expert {
  const found = experts.find((expert) => (name === undefined ? isClassifier(expert) : expert.name === name));
  if (found !== undefined) return found;
  const loaded = experts.map((expert) => expert.name);
  throw new Transformer2Error(
    "ERR_T2_EXPERT_NOT_FOUND",
    `Strategy "classifier" needs a classification expert: ${name === undefined ? `none of the loaded experts is named or labelled "${CLASSIFIER}"` : `no loaded expert is named ${JSON.stringify(name)}`} (loaded: ${loaded.join(", ") || "none"}). Load one, name it with the option "classifier", or use strategy "prompt".`,
    { detail: { classifier: name ?? CLASSIFIER, loaded } },
  );
}
