// Strategy A, `prompt`: the base model classifies the prompt, and the expert of that label answers it (paper, section 3.2).
import { invalidOption } from "../errors.js";
import type { Expert } from "../svf/expert.js";
import type { Prompt } from "../types.js";
import { throwIfAborted } from "../util/abort.js";
import { labelledCandidates } from "./candidates.js";
import { type DispatchFile, readDispatch } from "./dispatch-file.js";
import { type Classified, classifyForced, classifyGenerated } from "./first-pass.js";
import { baseDecision, type Decision, type Shot, type Strategy, type StrategyContext } from "./strategy.js";
import { classifierWording, forcedWording, generateWording, promptText } from "./wording.js";

export interface PromptStrategyOptions {
  /**
   * "forced" (default): one prefill compares the labels. "generate", the paper's way: the model writes, `\boxed{label}` decides,
   * anything else is `other`.
   */
  way?: "forced" | "generate";
  /** Least lead of the best label's probability over the second's, 0 to 1; below it the base answers. Default 0.1. */
  margin?: number;
  /** "best" (default): the chosen expert alone. "soft": every expert by its label's probability; what `other` has goes to the base. */
  mix?: "best" | "soft";
  /** Take the content-free prompt's log-probs off the labels'. Default: as the model's dispatch.json says, else true. */
  calibrate?: boolean;
  /** Tokens the first pass may write with way "generate". Default 64. */
  maxTokens?: number;
  /** The model's own wording. Default: its dispatch.json, where it has one; null: the general wording. */
  dispatch?: DispatchFile | null;
}

export const DEFAULT_MARGIN = 0.1;

/** Throws `ERR_T2_INVALID_OPTION` for a wrong option. */
export function promptStrategy(options: PromptStrategyOptions = {}): Strategy {
  return dispatching("prompt", options, () => undefined);
}

/** What `prompt` and `classifier` share: they differ in who does the first pass. */
export function dispatching(
  name: string,
  options: PromptStrategyOptions,
  classifierOf: (experts: readonly Expert[]) => Expert | undefined,
): Strategy {
  const { way = "forced", margin, mix = "best", maxTokens = 64 } = options;
  if (way !== "forced" && way !== "generate") throw invalidOption("way", '"forced" or "generate"', way);
  if (mix !== "best" && mix !== "soft") throw invalidOption("mix", '"best" or "soft"', mix);
  if (margin !== undefined && !(margin >= 0 && margin <= 1)) throw invalidOption("margin", "a number from 0 to 1", margin);
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) throw invalidOption("maxTokens", "a whole number ≥ 1", maxTokens);

  async function chooseAll(prompts: readonly Prompt[], context: StrategyContext): Promise<Decision[]> {
    const { engine, signal } = context;
    throwIfAborted(signal, "The first pass");
    const texts = prompts.map((prompt) => promptText(prompt, (tokens) => engine.tokenizer.decode(tokens)));
    const classifier = classifierOf(context.experts);
    const byLabel = labelledCandidates(context.experts, classifier);
    const experts = [...byLabel.values()];
    if (experts.length === 0) return prompts.map(() => baseDecision(name, experts, { detail: { reason: "no experts" } }));
    const file = options.dispatch === undefined ? await readDispatch(engine.info.path) : (options.dispatch ?? undefined);
    const forced = classifier === undefined ? forcedWording : classifierWording;
    const wording = way === "forced" ? forced(byLabel, file) : generateWording(byLabel, file);
    const calibrated =
      options.calibrate === undefined ? wording : { ...wording, contentFree: options.calibrate ? (wording.contentFree ?? "N/A") : null };
    const pass = { engine, wording: calibrated, classifier, signal };
    const found = way === "forced" ? await classifyForced(pass, texts) : await classifyGenerated(pass, texts, maxTokens);
    const least = margin ?? file?.margin ?? DEFAULT_MARGIN;
    return found.map((classified) => decide(name, classified, { byLabel, least, mix, classifier: classifier?.name }));
  }

  return {
    name,
    input: "prompt",
    chooseAll,
    async choose(input: Prompt | readonly Shot[], context: StrategyContext) {
      const [decision] = await chooseAll([onePrompt(input, name)], context);
      return decision!;
    },
  };
}

function onePrompt(input: Prompt | readonly Shot[], strategy: string): Prompt {
  const isShots = Array.isArray(input) && input.length > 0 && !("role" in input[0]!);
  if (isShots) throw invalidOption("strategy", '"few-shot" where solved examples are given', strategy);
  return input as Prompt;
}

interface Rule {
  byLabel: ReadonlyMap<string, Expert>;
  least: number;
  mix: "best" | "soft";
  classifier: string | undefined;
}

function decide(strategy: string, classified: Classified, { byLabel, least, mix, classifier }: Rule): Decision {
  const { label, probabilities, margin, promptTokens, completionTokens, milliseconds, seen } = classified;
  const experts = [...byLabel.values()];
  const about = {
    scores: probabilities,
    cost: { promptTokens, completionTokens, milliseconds: { "first-pass": milliseconds } },
    detail: { label, margin, least, classifier: classifier ?? null, ...seen },
  };
  const expert = byLabel.get(label);
  if (mix === "best" && (expert === undefined || margin < least)) return baseDecision(strategy, experts, about);
  const weights = Object.fromEntries(
    [...byLabel].map(([name, one]) => [one.name, mix === "soft" ? (probabilities[name] ?? 0) : one === expert ? 1 : 0]),
  );
  const used = Object.fromEntries(Object.entries(weights).filter(([, weight]) => weight > 0));
  if (Object.keys(used).length === 0) return baseDecision(strategy, experts, about);
  return { strategy, weights, abstained: false, adapter: { weights: used, rule: "delta" }, ...about };
}
