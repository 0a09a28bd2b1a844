// The public API, and nothing else: what is exported here is promised, what is not may change.

export {
  type CemOptions,
  type ClassificationTaskOptions,
  type ClassifierStrategyOptions,
  cem,
  classificationTask,
  classifierStrategy,
  cmaEs,
  type Decision,
  type FewShotDetail,
  type FewShotOptions,
  fewShotStrategy,
  type GenerationRecord,
  type Granularity,
  type Objective,
  type PromptStrategyOptions,
  promptStrategy,
  randomSearch,
  type SearchOptions,
  type SearchResult,
  type Shot,
  type Strategy,
  type StrategyContext,
  type StrategyName,
  shotsFrom,
  withoutShots,
} from "./adapt/index.js";
export { Adapted, type AdaptedOptions } from "./adapted.js";
export type {
  Adapter,
  BatchItem,
  DecomposeOptions,
  DecompositionReport,
  Engine,
  GenerateOptions,
  Generation,
  GradientOptions,
  Gradients,
  MatrixShape,
  ModelInfo,
  Score,
  ScoreOptions,
  Targets,
  TrainBatch,
  TrainSequence,
} from "./engine.js";
export { type ErrorCode, errorCodes, Transformer2Error } from "./errors.js";
export {
  type Comparison,
  compare,
  type EvaluateOptions,
  type Evaluation,
  evaluate,
  loadEvaluation,
  saveEvaluation,
} from "./evaluate/evaluate.js";
export { mcnemar, type Proportion, wilson } from "./evaluate/statistics.js";
export { ExpertSet } from "./experts.js";
export type { DeviceMemory, DevicePlan, MemoryPlan, MemoryPlanOptions } from "./memory-plan.js";
export { type DecodeOptions, DecodeStream, type EncodeOptions, Tokenizer } from "./model/tokenizer.js";
export type { DeviceAttempt, DeviceChoice, DeviceName } from "./runtime/device.js";
export type { RuntimeReport } from "./runtime/report.js";
export type { TextStream } from "./runtime/text-stream.js";
export { Expert, type ExpertAbout, type ExpertCard } from "./svf/expert.js";
export type { Mixture } from "./svf/mixture.js";
export { type TransferOptions, transferExpert } from "./svf/transfer.js";
export { type ArcOptions, loadArc } from "./tasks/arc.js";
export { extractChoice, extractNumber, type GraderName, grade, graderNames } from "./tasks/grading.js";
export { type Gsm8kOptions, loadGsm8k } from "./tasks/gsm8k.js";
export { type JsonlTaskOptions, loadJsonlTask } from "./tasks/jsonl-task.js";
export { defineTask, type TaskSpec } from "./tasks/task.js";
export type { TrainOptions } from "./train/options.js";
export { type PresetName, presets, type Recipe } from "./train/presets.js";
export type { TrainResult } from "./train/run.js";
export { train } from "./train/train.js";
export { type AdaptOptions, type LoadOptions, type LogitsOptions, Transformer2 } from "./transformer2.js";
export type { Cost, Message, Progress, Prompt, Sample, Split, Task } from "./types.js";
