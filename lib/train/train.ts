// train(): an expert by reinforcement learning. Checks the options, prepares the engine, and hands over to one run or to a sweep of λ.
import type { Engine } from "../engine.js";
import type { Task } from "../types.js";
import { throwIfAborted } from "../util/abort.js";
import { automaticRate, resolveSettings, type Settings, type TrainOptions } from "./options.js";
import { policyFrame } from "./policy.js";
import { type RunContext, type TrainResult, trainOnce } from "./run.js";
import { sweep } from "./sweep.js";

/**
 * Trains an expert for a task. Only its train and validation splits are looked at.
 *
 * With `run`, everything needed to go on is in that folder after every step: a run that was killed or aborted continues when it is called
 * again with the same options, and ends with the same bytes as one that was never interrupted.
 *
 * @throws `ERR_T2_INVALID_OPTION`, `ERR_T2_INVALID_TASK`, `ERR_T2_INVALID_RUN` (the folder has another run, or other options),
 * `ERR_T2_IO`, `ERR_T2_ABORTED`, and what the engine throws
 * @example
 * const { expert, curve } = await train(t2, task, { run: "runs/math", steps: 40, onStep: ({ step, sampled }) => console.log(step, sampled) });
 * await expert.save("math.safetensors");
 */
export async function train(engine: Engine, task: Task, options: TrainOptions = {}): Promise<TrainResult> {
  const open = resolveSettings(task, options);
  const { signal, onProgress } = options;
  throwIfAborted(signal, "Training");
  const matrices = engine.select(open.targets);
  await engine.decompose({ targets: matrices.map((matrix) => matrix.name), signal, onProgress });
  const frame = await policyFrame(engine, matrices, open);
  const values = matrices.reduce((sum, matrix) => sum + matrix.rank, 0);
  const rate = open.learningRate === "auto" ? automaticRate(values) : open.learningRate;
  const weights = typeof open.kl === "number" ? [open.kl] : [...open.kl];
  const context: RunContext = { engine, task, frame, values, options };
  const settings = weights.map((kl): Settings => ({ ...open, kl, learningRate: rate }));
  return settings.length === 1 ? trainOnce(context, settings[0]!, options.run) : sweep(context, settings, options.run);
}
