// t2 adapt: the first pass alone, with what it saw and what it cost.
import { type Command, Option } from "commander";
import { type StrategyName, strategyNames } from "../adapt/dispatcher.js";
import type { FewShotDetail } from "../adapt/few-shot.js";
import { shotsFrom } from "../adapt/shots.js";
import type { Decision } from "../adapt/strategy.js";
import { Transformer2Error } from "../errors.js";
import { type GraderName, graderNames } from "../tasks/grading.js";
import { builtInTaskNames } from "../tasks/index.js";
import { wholeNumber } from "./arguments.js";
import { columns, duration, type Io, toJson } from "./io.js";
import { type ModelOptions, quiet, useModel, withModel } from "./model.js";
import { promptFrom } from "./prompt-text.js";
import { defined, type StrategyOptions, strategyFrom, withDispatch, withFewShot } from "./strategy.js";
import { type TaskOptions, taskFrom } from "./task.js";

interface Options extends ModelOptions, StrategyOptions {
  shots?: string;
  count?: number;
  grader?: GraderName;
  reward?: string;
  maxTokens?: number;
}

export function adaptCommand(program: Command, io: Io): void {
  const command = program
    .command("adapt")
    .description("find out which experts a prompt, or a handful of solved examples, needs")
    .argument("[prompt...]", 'the prompt; "-" or a pipe reads standard input')
    .addOption(new Option("-s, --strategy <name>", "how to choose (default: prompt; few-shot with --shots)").choices(strategyNames))
    .option("--shots <name or file>", "solved examples for few-shot: a task, or a file of JSON lines")
    .option("--count <number>", "shots to take (default: 10)", wholeNumber)
    .addOption(new Option("--grader <name>", "how answers to the shots are compared (default: exact)").choices(graderNames))
    .option("--reward <module>", "JavaScript module with a function reward(sample, completion) for the shots")
    .option("--max-tokens <number>", "tokens an answer to a shot may take", wholeNumber)
    .option("--seed <number>", "of the few-shot search (default: 0)", wholeNumber);
  withFewShot(withDispatch(withModel(command)));
  command.action(async (words: string[], options: Options) => {
    const name: StrategyName = options.strategy ?? (options.shots === undefined ? "prompt" : "few-shot");
    if ((name === "few-shot") !== (options.shots !== undefined)) {
      const message =
        name === "few-shot" ? "Strategy few-shot needs --shots." : `Option --shots is for the strategy few-shot, not for "${name}".`;
      throw new Transformer2Error("ERR_T2_INVALID_OPTION", message, { detail: { option: "shots", actual: options.shots } });
    }
    // Few-shot examples are drawn from what may be trained on, never from test items.
    const task = options.shots === undefined ? undefined : await taskFrom(shotOptions(options.shots, options));
    const input = task === undefined ? await promptFrom(words) : shotsFrom(task, task.splits.train.slice(0, options.count ?? 10));
    await useModel(io, options, "all", async (t2, progress) => {
      const strategy = strategyFrom(name, options, { ...(task === undefined ? {} : { task }) });
      const watched = { signal: io.signal, strategy, ...(quiet(io, options.json) ? {} : { onProgress: progress.update }) };
      const decision: Decision = await (typeof input === "string" ? t2.adapt(input, watched) : t2.adapt(input, watched));
      progress.clear();
      io.out(options.json ? `${toJson(decision)}\n` : describe(decision));
    });
  });
}

/** A file of shots is taken whole: it holds nothing else. */
function shotOptions(task: string, { grader, reward, maxTokens }: Options): TaskOptions {
  const whole = builtInTaskNames.includes(task) ? {} : { validation: 0, test: 0 };
  return { task, ...whole, ...defined({ grader, reward, maxTokens }) };
}

function describe(decision: Decision): string {
  const { strategy, weights, scores, abstained, cost, detail } = decision;
  const chosen = abstained
    ? "base (no expert)"
    : Object.entries(weights)
        .filter(([, w]) => w !== 0)
        .map(([name, w]) => `${name} ${Number(w.toFixed(3))}`)
        .join(", ");
  const lines = [`strategy  ${strategy}\n`, `decided   ${chosen}\n`];
  if (strategy === "few-shot") {
    const { scores: onShots, dimension, evaluations } = detail as FewShotDetail;
    lines.push(`searched  ${dimension} weights, ${evaluations} mixtures\n\n`);
    lines.push(
      columns([
        ["on the shots", "right", "log-prob", "fitness"],
        ...Object.entries(onShots).map(([name, s]) => [name, `${s.right}/${s.total}`, s.logprob?.toFixed(2) ?? "–", s.fitness.toFixed(3)]),
      ]),
    );
  } else {
    lines.push(`\n${columns([["label", "probability"], ...Object.entries(scores).map(([label, p]) => [label, p.toFixed(3)])])}`);
  }
  const times = Object.entries(cost.milliseconds).map(([phase, ms]) => `${phase} ${duration(ms)}`);
  lines.push(`\n${cost.promptTokens} tokens read, ${cost.completionTokens} written${times.length > 0 ? `; ${times.join(", ")}` : ""}\n`);
  return lines.join("");
}
