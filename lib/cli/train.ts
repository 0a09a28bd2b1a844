// t2 train: an expert by reinforcement learning, for a built-in task or for the user's own prompts and answers.
import { type Command, Option } from "commander";
import type { Expert } from "../svf/expert.js";
import { parametrisations } from "../svf/parametrisation.js";
import { estimators } from "../train/estimators.js";
import type { TrainOptions } from "../train/options.js";
import { presetNames } from "../train/presets.js";
import type { TrainResult } from "../train/run.js";
import { train } from "../train/train.js";
import { numberOrList, realNumber, targets, wholeNumber } from "./arguments.js";
import { TrainingCurve } from "./curve.js";
import { duration, type Io, toJson } from "./io.js";
import { type ModelOptions, quiet, useModel, withModel } from "./model.js";
import { defined } from "./strategy.js";
import { type TaskOptions, taskFrom, withTask } from "./task.js";

/** Options handed on to train() under their own names. */
const handedOn = [
  "preset",
  "name",
  "seed",
  "objective",
  "estimator",
  "steps",
  "prompts",
  "samples",
  "temperature",
  "learningRate",
  "kl",
  "clip",
  "warmup",
  "parametrisation",
  "targets",
  "validateEvery",
  "validationItems",
  "patience",
] as const satisfies readonly (keyof TrainOptions)[];

type Options = ModelOptions & TaskOptions & Pick<TrainOptions, (typeof handedOn)[number]> & { out?: string; save?: string };

export function trainCommand(program: Command, io: Io): void {
  const command = program
    .command("train")
    .description("train an expert for a task by reinforcement learning")
    .addOption(new Option("--preset <name>", "settings to start from (default: recommended)").choices(presetNames))
    .option("-o, --out <folder>", "run directory; a run that is there already is continued")
    .option("--save <file>", "write the expert to this file too")
    .option("--name <name>", "name of the expert (default: the task's label or name)")
    .option("--seed <number>", "default: 0", wholeNumber)
    .option("--steps <number>", "updates at most", wholeNumber)
    .option("--prompts <number>", "prompts per step", wholeNumber)
    .option("--samples <number>", "completions per prompt", wholeNumber)
    .option("--temperature <number>", "of the rollouts", realNumber)
    .option("--learning-rate <number>", "of the optimiser", realNumber)
    .option("--kl <number or list>", "weight of the KL to the base; of a list the best on validation is kept", numberOrList)
    .option("--clip <number>", "largest norm of the gradient", realNumber)
    .option("--warmup <number>", "steps of linear warm-up", wholeNumber)
    .addOption(new Option("--objective <name>", "what is optimised").choices(["policy-gradient", "next-token"]))
    .addOption(new Option("--estimator <name>", "how rewards become advantages").choices(estimators))
    .addOption(new Option("--parametrisation <name>", "how z follows from what is trained").choices(parametrisations))
    .option("--targets <what>", '"all", "mlp", "attention", or a list of roles or matrix names', targets)
    .option("--validate-every <number>", "steps between two validations; 0: never", wholeNumber)
    .option("--validation-items <number>", "items of a validation", wholeNumber)
    .option("--patience <number>", "validations without a new best after which the run stops; 0: never", wholeNumber);
  withTask(withModel(command, { experts: false }));
  command.action(async (options: Options) => {
    const task = await taskFrom(options);
    await useModel(io, options, [], async (t2, progress) => {
      const curve = new TrainingCurve(io);
      const watch = !quiet(io, options.json);
      const result = await train(t2, task, {
        ...defined(Object.fromEntries(handedOn.map((key) => [key, options[key]])) as Partial<TrainOptions>),
        ...defined({ maxTokens: options.maxTokens, run: options.out }),
        signal: io.signal,
        ...(watch
          ? {
              onStep: (record, settings) => {
                progress.clear();
                curve.onStep(record, settings);
              },
              // The curve says how training goes; the line is for what comes before it.
              onProgress: (p) => {
                if (p.phase === "decompose" || p.phase === "fingerprint") progress.update(p);
              },
            }
          : {}),
      } satisfies TrainOptions);
      progress.clear();
      if (options.save !== undefined) await result.expert.save(options.save);
      io.out(options.json ? `${toJson({ ...result, expert: summary(result.expert) })}\n` : describeTraining(result, options));
    });
  });
}

/** An expert without its vectors, which are in the file. */
function summary({
  name,
  label,
  description,
  base,
  fingerprint,
  kind,
  parametrisation,
  rescale,
  hash,
  card,
}: Expert): Record<string, unknown> {
  return { name, label, description, base, fingerprint, kind, parametrisation, rescale, hash, card };
}

function describeTraining(result: TrainResult, { out, save }: Options): string {
  const { expert, bestStep, validation, steps, stoppedEarly, values, seconds } = result;
  const total = 1000 * (seconds.rollout + seconds.gradient + seconds.validation);
  const gain =
    validation &&
    `validation ${validation.start.right}/${validation.start.total} -> ${validation.best.right}/${validation.best.total}, step ${bestStep} kept\n`;
  const files = [save, out === undefined ? undefined : `${out}/best.safetensors`].filter((file) => file !== undefined);
  return `expert "${expert.name}": ${values} numbers, ${steps} steps${stoppedEarly ? " (stopped early)" : ""} in ${duration(total)}
${gain ?? ""}${files.map((file) => `written to ${file}\n`).join("")}${files.length === 0 ? "not written: give --save FILE or --out FOLDER to keep it\n" : ""}`;
}
