// The strategies' options on the command line.
import { type Command, Option } from "commander";
import { classifierStrategy } from "../adapt/classifier.js";
import { type StrategyName, strategyNames } from "../adapt/dispatcher.js";
import { type FewShotOptions, fewShotStrategy } from "../adapt/few-shot.js";
import { type PromptStrategyOptions, promptStrategy } from "../adapt/prompt.js";
import type { Strategy } from "../adapt/strategy.js";
import { granularity, realNumber, wholeNumber } from "./arguments.js";

export interface StrategyOptions extends Pick<PromptStrategyOptions, "way" | "margin"> {
  /** "best" or "soft": PromptStrategyOptions.mix, whose name on the command line is taken by mixtures. */
  weights?: "best" | "soft";
  strategy?: StrategyName;
  classifier?: string;
  search?: FewShotOptions["search"];
  granularity?: FewShotOptions["granularity"];
  rule?: FewShotOptions["rule"];
  population?: number;
  generations?: number;
  seed?: number;
}

export function withDispatch(command: Command): Command {
  return command
    .addOption(
      new Option("--way <name>", "first pass: compare the labels, or let the model write (the paper's)").choices(["forced", "generate"]),
    )
    .option("--margin <share>", "least lead of the best label; below it the base answers (default: the model's, or 0.1)", realNumber)
    .addOption(new Option("--weights <name>", "the best expert alone, or all by their probabilities").choices(["best", "soft"]))
    .option("--classifier <name>", "the classification expert (default: the one named classifier)");
}

export function withFewShot(command: Command): Command {
  return command
    .addOption(new Option("--search <name>", "few-shot search (default: cem)").choices(["cem", "random", "cma-es", "gradient"]))
    .option("--granularity <what>", '"model", "matrix", or a number of layer groups (default: model)', granularity)
    .addOption(new Option("--rule <name>", "mixing rule (default: delta)").choices(["delta", "sum"]))
    .option("--population <number>", "mixtures per generation (default: 32)", wholeNumber)
    .option("--generations <number>", "generations (default: 8)", wholeNumber);
}

/** The strategy that the options describe; `fewShot` adds how shots are judged. */
export function strategyFrom(name: StrategyName, options: StrategyOptions, fewShot: FewShotOptions = {}): Strategy {
  const { way, margin, weights: mix, classifier, search, granularity: groups, rule, population, generations, seed } = options;
  const dispatch = defined({ way, margin, mix });
  if (name === "prompt") return promptStrategy(dispatch);
  if (name === "classifier") return classifierStrategy({ ...dispatch, ...defined({ classifier }) });
  return fewShotStrategy({ ...fewShot, ...defined({ search, granularity: groups, rule, population, generations, seed }) });
}

/** The fields that were given. */
export function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

export const promptStrategyNames = strategyNames.filter((name) => name !== "few-shot");
