// t2 evaluate: right answers on a task, with Wilson's interval; with the base, an expert, a mixture, or a first pass per item.
import { type Command, Option } from "commander";
import type { Adapter } from "../engine.js";
import { invalidOption } from "../errors.js";
import { type Evaluation, evaluate, saveEvaluation } from "../evaluate/evaluate.js";
import type { Mixture } from "../svf/mixture.js";
import type { Split } from "../types.js";
import { mixture, realNumber, wholeNumber } from "./arguments.js";
import { decisionsFor } from "./decisions.js";
import { duration, type Io, toJson } from "./io.js";
import { type ModelOptions, quiet, useModel, withModel } from "./model.js";
import { defined, promptStrategyNames, strategyFrom, withDispatch } from "./strategy.js";
import { type TaskOptions, taskFrom, withTask } from "./task.js";

interface Options extends ModelOptions, TaskOptions {
  expert?: string;
  mix?: Mixture;
  adapt?: "prompt" | "classifier";
  split?: Split;
  limit?: number;
  seed?: number;
  temperature?: number;
  out?: string;
}

export function evaluateCommand(program: Command, io: Io): void {
  const command = program
    .command("evaluate")
    .description("count right answers on a task, with their 95 % interval")
    .option("--expert <name>", "answer with this expert")
    .option("--mix <weights>", "answer with a mixture, e.g. math=0.7,code=0.3", mixture)
    .addOption(new Option("--adapt <strategy>", "choose the expert of every item by a first pass").choices(promptStrategyNames))
    .addOption(new Option("--split <name>", "which items (default: test)").choices(["train", "validation", "test"]))
    .option("--limit <number>", "the first items only", wholeNumber)
    .option("--temperature <number>", "0 is greedy (default: 0)", realNumber)
    .option("--seed <number>", "of the sampling (default: 0)", wholeNumber)
    .option("-o, --out <file>", "write the result, every answer included, as JSON");
  withDispatch(withTask(withModel(command)));
  command.action(async (options: Options) => {
    const ways = [options.expert, options.mix, options.adapt].filter((way) => way !== undefined);
    if (ways.length > 1)
      throw invalidOption("expert", "the only one of --expert, --mix and --adapt", options.expert ?? "given with another");
    const task = await taskFrom(options);
    const needed =
      options.expert !== undefined
        ? [options.expert]
        : options.mix !== undefined
          ? Object.keys(options.mix.weights)
          : options.adapt
            ? "all"
            : [];
    await useModel(io, options, needed, async (t2, progress) => {
      const { split = "test", limit, seed, temperature, maxTokens } = options;
      const onProgress = quiet(io, options.json) ? undefined : progress.update;
      let adapter: Adapter | ((sample: unknown, index: number) => Adapter) = options.mix ?? "base";
      if (options.expert !== undefined)
        adapter = t2.experts.has(options.expert) ? options.expert : (t2.experts.names.at(-1) ?? options.expert);
      if (options.adapt !== undefined) {
        const strategy = strategyFrom(options.adapt, options);
        const decisions = await decisionsFor(t2, strategy, task, task.splits[split].slice(0, limit), { signal: io.signal, onProgress });
        adapter = (_, index) => decisions[index]!.adapter;
      }
      const result = await evaluate(t2, task, {
        split,
        adapter,
        ...defined({ limit, seed, temperature, maxTokens, onProgress }),
        signal: io.signal,
      });
      if (options.out !== undefined) await saveEvaluation(result, options.out);
      progress.clear();
      io.out(options.json ? `${toJson(result)}\n` : describeEvaluation(result));
    });
  });
}

export function describeEvaluation(result: Evaluation): string {
  const { right, total, accuracy, interval, task, split, adapters, completionTokens, milliseconds } = result;
  const percent = (share: number) => (100 * share).toFixed(1);
  return `${task.name} (${split}): ${right} of ${total} right, ${percent(accuracy)} % [${percent(interval[0])}, ${percent(interval[1])}]
answered by ${adapters.join(", ")}; ${completionTokens} tokens in ${duration(milliseconds)}
`;
}
