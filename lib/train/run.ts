// One training run with one λ, step by step. What each part does stands in its own file; here is their order.
import type { Engine } from "../engine.js";
import { Transformer2Error } from "../errors.js";
import { answerItems, greedy } from "../evaluate/answer-items.js";
import type { Expert } from "../svf/expert.js";
import type { Task } from "../types.js";
import { throwIfAborted } from "../util/abort.js";
import { libraryVersion } from "../util/version.js";
import { adamState, adamUpdate, clipGlobalNorm } from "./optimiser.js";
import type { Settings, TrainOptions } from "./options.js";
import { type PolicyFrame, policyExpert, policyGradient, startParameters } from "./policy.js";
import { imitate, rollOut, type StepBatch } from "./rollout.js";
import { runConfig } from "./run-config.js";
import { type Count, RunDirectory, type RunState, type StepRecord, type StepTiming } from "./run-directory.js";
import { learningRate } from "./schedule.js";

export interface TrainResult {
  /** The best step on validation; without validation the last one. */
  readonly expert: Expert;
  /** Which step that was; 0 means that no step beat the start. */
  readonly bestStep: number;
  /** Greedy on the validation items: before training and at the best step. Absent without validation. */
  readonly validation?: { readonly start: Count; readonly best: Count };
  /** Steps made, and whether patience ended them. */
  readonly steps: number;
  readonly stoppedEarly: boolean;
  /** Every step's record, step 0 first where there is validation. */
  readonly curve: readonly StepRecord[];
  /** Of all steps, those before a resume and those of every λ included. */
  readonly seconds: { readonly rollout: number; readonly gradient: number; readonly validation: number };
  /** Numbers that were trained. */
  readonly values: number;
  readonly completionTokens: number;
  readonly settings: Settings;
  /** One entry per λ when `kl` was a list: its score on validation. */
  readonly sweep?: readonly { readonly kl: number; readonly best: Count; readonly bestStep: number }[];
}

/** What one run needs besides its settings. */
export interface RunContext {
  readonly engine: Engine;
  readonly task: Task;
  readonly frame: PolicyFrame;
  readonly values: number;
  readonly options: TrainOptions;
}

/** One run with one λ. */
export async function trainOnce(context: RunContext, settings: Settings, folder: string | undefined): Promise<TrainResult> {
  const { engine, task, frame, options } = context;
  const { onStep, onProgress, signal } = options;
  const config = runConfig(engine, task, frame, settings);
  const run = folder === undefined ? undefined : await RunDirectory.open(folder, config);
  const restored = await run?.restore(Object.fromEntries(frame.matrices.map(({ name, rank }) => [name, rank])));
  const state = restored?.state ?? fresh(frame, settings);
  const records = restored?.records ?? [];
  const timings = restored?.timings ?? [];
  const progress = () => onProgress?.({ phase: "train", done: state.step, total: settings.steps, detail: `KL weight ${settings.kl}` });

  const keep = async (record: StepRecord, timing: StepTiming) => {
    if (record.validation) judge(state, record.validation);
    state.done = state.step >= settings.steps || (settings.patience > 0 && state.stale >= settings.patience);
    records.push(record);
    timings.push(timing);
    if (run) {
      await run.log(record, timing);
      await saveExperts(context, settings, state, records, run);
      await run.save(state);
    }
    onStep?.(record, settings);
    progress();
  };

  progress();
  if (!restored) {
    const started = performance.now();
    const validation = await validate(context, settings, state);
    await keep(
      { step: 0, ...(validation && { validation }) },
      { step: 0, rollout: 0, gradient: 0, validation: performance.now() - started },
    );
  } else if (run) {
    // A kill may have left experts that are ahead of the checkpoint.
    await saveExperts(context, settings, state, records, run, true);
  }
  while (!state.done) {
    throwIfAborted(signal, "Training");
    const { record, timing } = await makeStep(context, settings, state);
    await keep(record, timing);
  }
  return result(context, settings, state, records, timings);
}

function fresh(frame: PolicyFrame, settings: Settings): RunState {
  const parameters = startParameters(frame, settings);
  return { step: 0, parameters, adam: adamState(parameters), best: undefined, stale: 0, done: false };
}

/** Rollout, gradient, update, and validation where it is due. Changes `state`. */
async function makeStep(context: RunContext, settings: Settings, state: RunState): Promise<{ record: StepRecord; timing: StepTiming }> {
  const { engine, task, frame, options } = context;
  const step = state.step + 1;
  const adapter = policyExpert(engine, frame, state.parameters, { name: settings.name });
  const started = performance.now();
  const batch =
    settings.objective === "next-token"
      ? imitate(engine, task, settings, step)
      : await rollOut(engine, task, settings, step, adapter, options.signal);
  const rolled = performance.now();
  const update = batch.sequences.length === 0 ? undefined : await improve(context, settings, state, step, adapter, batch);
  const improved = performance.now();
  state.step = step;
  const due = settings.validateEvery > 0 && (step % settings.validateEvery === 0 || step === settings.steps);
  const validation = due ? await validate(context, settings, state) : undefined;
  const { sequences: _, ...counts } = batch;
  return {
    record: { step, ...update, ...counts, ...(validation && { validation }) },
    timing: { step, rollout: rolled - started, gradient: improved - rolled, validation: performance.now() - improved },
  };
}

/** One gradient and one update of the parameters. */
async function improve(context: RunContext, settings: Settings, state: RunState, step: number, adapter: Expert, batch: StepBatch) {
  const { engine, frame, options } = context;
  const gradients = await engine.gradients(
    { sequences: batch.sequences },
    {
      adapter,
      loss: settings.objective,
      reduction: settings.reduction,
      ...(settings.kl > 0 && { kl: { weight: settings.kl, direction: settings.klDirection } }),
      targets: frame.matrices.map((matrix) => matrix.name),
      signal: options.signal,
    },
  );
  const gradient = policyGradient(frame, state.parameters, gradients.z);
  const gradientNorm = clipGlobalNorm(gradient, settings.clip);
  if (!Number.isFinite(gradientNorm))
    throw new Transformer2Error("ERR_T2_NATIVE", `The gradient of step ${step} is not finite (norm ${gradientNorm}).`, {
      detail: { step, loss: gradients.loss, kl: gradients.kl },
    });
  const { schedule: kind, learningRate: highest, warmup, steps, finalRate: final } = settings;
  const rate = learningRate({ kind, rate: highest, warmup, steps, final }, step);
  const { optimiser, betas, epsilon, weightDecay } = settings;
  adamUpdate(state.parameters, gradient, state.adam, rate, { kind: optimiser, betas, epsilon, weightDecay });
  return { loss: gradients.loss, kl: gradients.kl, gradientNorm, learningRate: rate };
}

/** Greedy score on the first validation items; undefined where validation is off. */
async function validate(context: RunContext, settings: Settings, state: RunState): Promise<Count | undefined> {
  if (settings.validateEvery === 0) return undefined;
  const { engine, task, frame, options } = context;
  const adapter = policyExpert(engine, frame, state.parameters, { name: settings.name });
  const samples = task.splits.validation.slice(0, settings.validationItems);
  const decoding = greedy(task, settings.maxTokens);
  const items = await answerItems(engine, task, samples, { adapter, decoding, batch: samples.length, signal: options.signal });
  return { right: items.filter((item) => item.right).length, total: items.length };
}

/** Keeps the step when it is the best so far; among equals the earlier one, which has moved less. */
function judge(state: RunState, score: Count): void {
  if (state.best?.score && score.right <= state.best.score.right) {
    state.stale++;
    return;
  }
  const parameters = Object.fromEntries(Object.entries(state.parameters).map(([name, p]) => [name, p.slice()]));
  state.best = { step: state.step, score, parameters };
  state.stale = 0;
}

/** The expert of some parameters with the card that says where it comes from; the same bytes for the same run. */
function expertOf(
  context: RunContext,
  settings: Settings,
  kept: { step: number; score?: Count; parameters: RunState["parameters"] },
  start?: Count,
): Expert {
  const { engine, task, frame } = context;
  const { label = task.name, description = "" } = task;
  const { preset, seed, objective, estimator, kl, learningRate: rate, prompts, samples } = settings;
  const card = {
    task: { name: task.name, version: task.version, grader: task.grader },
    preset,
    seed,
    step: kept.step,
    settings: { objective, estimator, prompts, samples, learningRate: rate, kl },
    ...(start && { start }),
    ...(kept.score && { validation: kept.score }),
    library: libraryVersion(),
  };
  return policyExpert(engine, frame, kept.parameters, { name: settings.name, label, description, card });
}

/** What is kept: the best on validation, or else the present step. */
function kept(state: RunState): { step: number; score?: Count; parameters: RunState["parameters"] } {
  return state.best ?? { step: state.step, parameters: state.parameters };
}

async function saveExperts(
  context: RunContext,
  settings: Settings,
  state: RunState,
  records: readonly StepRecord[],
  run: RunDirectory,
  again = false,
): Promise<void> {
  const start = records[0]?.validation;
  const latest = { step: state.step, parameters: state.parameters };
  await expertOf(context, settings, latest, start).save(run.expertPath("latest"));
  const best = kept(state);
  // The file of an earlier best is still right.
  if (best.step === state.step || again) await expertOf(context, settings, best, start).save(run.expertPath("best"));
}

function result(context: RunContext, settings: Settings, state: RunState, records: StepRecord[], timings: StepTiming[]): TrainResult {
  const best = kept(state);
  const start = records[0]?.validation;
  const seconds = (phase: "rollout" | "gradient" | "validation") => timings.reduce((sum, timing) => sum + timing[phase], 0) / 1000;
  return {
    expert: expertOf(context, settings, best, start),
    bestStep: best.step,
    ...(start && best.score && { validation: { start, best: best.score } }),
    steps: state.step,
    stoppedEarly: state.step < settings.steps,
    curve: start ? records : records.slice(1),
    seconds: { rollout: seconds("rollout"), gradient: seconds("gradient"), validation: seconds("validation") },
    values: context.values,
    completionTokens: records.reduce((sum, record) => sum + (record.completionTokens ?? 0), 0),
    settings,
  };
}
