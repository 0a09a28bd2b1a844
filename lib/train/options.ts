// What train() accepts, and how it becomes the settings of one run: preset, then the caller's overrides, checked by name and range.
import { z } from "zod";
import { invalidOption, Transformer2Error } from "../errors.js";
import { callback, checkOptions, flag, oneOf, real, signal, targets, text, whole } from "../options.js";
import { parametrisations } from "../svf/parametrisation.js";
import type { Progress, Task } from "../types.js";
import { estimators } from "./estimators.js";
import { type PresetName, presetNames, presets, type Recipe } from "./presets.js";
import type { StepRecord } from "./run-directory.js";

export interface TrainOptions extends Partial<Recipe> {
  /** Default "recommended". */
  preset?: PresetName;
  /** Folder of the run: config, metrics, checkpoint, experts. A run that is there already is continued. Default: nothing is written. */
  run?: string;
  /** Name of the expert. Default: the task's label, or its name. */
  name?: string;
  /** Default 0. */
  seed?: number;
  /** Tokens per completion. Default: the task's, or 256. */
  maxTokens?: number;
  signal?: AbortSignal;
  onProgress?: (p: Progress) => void;
  /** Called after every step with what was logged for it, step 0 being the validation before training. */
  onStep?: (record: StepRecord, settings: Settings) => void;
}

/** The settings of one run: plain data, everything decided. */
export interface Settings extends Recipe {
  readonly preset: PresetName;
  readonly name: string;
  readonly seed: number;
  readonly maxTokens: number;
  readonly stop: readonly string[];
  readonly learningRate: number;
  readonly kl: number;
}

/** Settings whose λ is still to be chosen, and whose learning rate may depend on the number of trained values. */
export type OpenSettings = Omit<Settings, "kl" | "learningRate"> & Pick<Recipe, "kl" | "learningRate">;

const positive = real("a number > 0", (value) => value > 0);
const notNegative = real("a number ≥ 0", (value) => value >= 0);
const share = real("a number in [0, 1)", (value) => value >= 0 && value < 1);

const schema = z.strictObject({
  preset: oneOf(presetNames),
  run: text,
  name: text.refine((name) => name !== "base", { error: 'another name than "base", which means the base weights' }),
  seed: whole(0),
  maxTokens: whole(1),
  objective: oneOf(["policy-gradient", "next-token"]),
  estimator: oneOf(estimators),
  steps: whole(1),
  prompts: whole(1),
  samples: whole(1),
  temperature: notNegative,
  reduction: oneOf(["sequence-mean", "token-mean"]),
  optimiser: oneOf(["adam", "adamw"]),
  learningRate: z.union([z.literal("auto"), positive], { error: 'a number > 0 or "auto"' }),
  betas: z.tuple([share, share], { error: "two numbers in [0, 1)" }),
  epsilon: positive,
  weightDecay: notNegative,
  schedule: oneOf(["constant", "cosine"]),
  warmup: whole(0),
  finalRate: real("a number in [0, 1]", (value) => value >= 0 && value <= 1),
  clip: positive,
  kl: z.union([notNegative, z.array(notNegative).min(1)], { error: "a number ≥ 0, or a list of them" }),
  klDirection: oneOf(["policy-reference", "reference-policy"]),
  parametrisation: oneOf(parametrisations),
  scale: positive,
  rescale: flag,
  init: z.union([z.literal("identity"), z.strictObject({ mean: z.number(), variance: notNegative })], {
    error: '"identity" or { mean, variance }',
  }),
  targets,
  validateEvery: whole(0),
  validationItems: whole(1),
  patience: whole(0),
  signal,
  onProgress: callback,
  onStep: callback,
});

/**
 * Preset and overrides as settings.
 *
 * Throws `ERR_T2_INVALID_OPTION` for a value outside its range or an option that does not exist, `ERR_T2_INVALID_TASK` when the task lacks
 * the items that the options need.
 */
export function resolveSettings(task: Task, options: TrainOptions): OpenSettings {
  checkOptions(schema.partial(), options);
  const preset = options.preset ?? "recommended";
  const { run: _run, signal: _signal, onProgress: _onProgress, onStep: _onStep, ...overrides } = options;
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
  const settings: OpenSettings = {
    ...presets[preset],
    name: task.label ?? task.name,
    seed: 0,
    maxTokens: task.maxTokens ?? 256,
    ...given,
    preset,
    stop: task.stop ?? [],
  };
  const { train, validation } = task.splits;
  const lacks = (what: string) =>
    new Transformer2Error("ERR_T2_INVALID_TASK", `Task "${task.name}" cannot be trained with these options: ${what}.`, {
      detail: { task: task.name },
    });
  if (train.length === 0) throw lacks("its train split is empty");
  const prompts = Math.min(settings.prompts, train.length);
  if (settings.objective === "next-token") {
    const item = train.find((sample) => sample.solution === undefined);
    if (item) throw lacks(`item "${item.id}" has no "solution", which the next-token objective imitates`);
  } else if (settings.estimator === "rloo" && settings.samples < 2) {
    throw invalidOption("samples", "at least 2 for the rloo estimator, which compares the samples of a prompt", settings.samples);
  }
  const sweeps = Array.isArray(settings.kl) && settings.kl.length > 1;
  if (settings.validateEvery > 0 && validation.length === 0)
    throw lacks("its validation split is empty; give it one or set validateEvery to 0");
  if (settings.validateEvery === 0 && sweeps)
    throw invalidOption("validateEvery", "above 0 when kl is a list, as validation chooses among them", 0);
  return { ...settings, prompts };
}

/** The rate that "auto" stands for: Adam moves every value by about the rate, so more values move the weights further. */
export function automaticRate(values: number): number {
  return Math.min(1e-2, Math.max(1e-3, 1e-2 * Math.sqrt(4352 / values)));
}
