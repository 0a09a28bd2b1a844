// The three presets as data: the paper's settings, the published code's, and ours. Everything in them can be overridden one by one.
import type { Targets } from "../engine.js";
import { type Initialisation, type ParametrisationName, presetParameters } from "../svf/parametrisation.js";
import type { Estimator } from "./estimators.js";

/** What decides the outcome of a run, apart from model, task and seed. Plain data: it is written to the run's config.json. */
export interface Recipe {
  /** `policy-gradient` learns from rewards of sampled answers; `next-token` imitates the items' `solution` (the paper's ablation). */
  objective: "policy-gradient" | "next-token";
  estimator: Estimator;
  /** Updates at most. */
  steps: number;
  /** Prompts per step; never more than the training split has. */
  prompts: number;
  /** Completions sampled per prompt. */
  samples: number;
  /** Of the rollouts; 0 is greedy. */
  temperature: number;
  /** `sequence-mean`: mean over completions of the sum over tokens; `token-mean`: mean over all completion tokens. */
  reduction: "sequence-mean" | "token-mean";
  optimiser: "adam" | "adamw";
  /** "auto": 0.01·√(4352 / number of trained values), within [0.001, 0.01]: 0.01 on the micro model, 0.002 on one of 135 M parameters. */
  learningRate: number | "auto";
  betas: readonly [number, number];
  epsilon: number;
  weightDecay: number;
  schedule: "constant" | "cosine";
  /** Steps of linear warm-up. */
  warmup: number;
  /** Where the cosine ends, as a share of the learning rate. */
  finalRate: number;
  /** Global norm of the gradient at most. */
  clip: number;
  /** Weight λ of the KL to the base model, nats per token or per sequence as `reduction` says. A list is tried one after another and
   *  the best on validation is kept. */
  kl: number | readonly number[];
  /** `policy-reference` is KL(policy ‖ base), as in the paper; `reference-policy` is KL(base ‖ policy), as in the published code. */
  klDirection: "policy-reference" | "reference-policy";
  /** How z follows from what the optimiser moves, and the range of "sigmoid" and "tanh". */
  parametrisation: ParametrisationName;
  scale: number;
  /** Divide by Σσz/Σσ, so that every matrix keeps its nuclear norm. */
  rescale: boolean;
  init: Initialisation;
  targets: Targets;
  /** Steps between two validations; 0: never, and the last step is kept instead of the best. */
  validateEvery: number;
  /** Validation items, the first of the split. Answered greedily. */
  validationItems: number;
  /** Validations without a new best after which the run stops. 0: never. */
  patience: number;
}

export const presetNames = ["paper", "sakana", "recommended"] as const;
export type PresetName = (typeof presetNames)[number];

function parameters(preset: PresetName): Pick<Recipe, "parametrisation" | "scale" | "rescale" | "init"> {
  const { parametrisation, initialisation } = presetParameters[preset];
  return {
    parametrisation: parametrisation.name,
    scale: parametrisation.scale ?? 1,
    rescale: parametrisation.rescale ?? false,
    init: initialisation,
  };
}

const paper: Recipe = {
  objective: "policy-gradient",
  estimator: "reinforce",
  steps: 200,
  prompts: 256,
  samples: 1,
  temperature: 1,
  reduction: "sequence-mean",
  optimiser: "adamw",
  learningRate: 2e-3,
  betas: [0.9, 0.999],
  epsilon: 1e-8,
  weightDecay: 0.01, // the paper does not say; torch's default
  schedule: "cosine",
  warmup: 0,
  finalRate: 0,
  clip: 1e-3,
  kl: [0, 0.1, 0.2, 0.3],
  klDirection: "policy-reference",
  ...parameters("paper"),
  targets: "all",
  validateEvery: 10,
  validationItems: 256,
  patience: 5,
};

const sakana: Recipe = {
  ...paper,
  temperature: 0, // greedy rollouts, which are no samples of the policy: one of the differences from the paper
  optimiser: "adam",
  weightDecay: 0,
  schedule: "constant",
  kl: 0,
  klDirection: "reference-policy",
  ...parameters("sakana"),
  targets: "mlp",
  patience: 0,
};

// Batch: 64 completions suit a CPU; on a GPU take 32–64 prompts with 4–8 samples each.
const recommended: Recipe = {
  ...paper,
  estimator: "rloo",
  steps: 60,
  prompts: 8,
  samples: 8,
  reduction: "token-mean",
  learningRate: "auto",
  betas: [0.9, 0.99],
  weightDecay: 0,
  warmup: 4,
  finalRate: 0.1,
  clip: 1,
  kl: 0.01,
  ...parameters("recommended"),
  validateEvery: 5,
  validationItems: 64,
  patience: 6,
};

export const presets: Readonly<Record<PresetName, Recipe>> = { paper, sakana, recommended };
