// The adaptation layer: what the rest of the library and the public API may use of this folder.
export type { Granularity } from "./alpha.js";
export { candidates, isClassifier, labelOf } from "./candidates.js";
export { type CemOptions, CrossEntropy, cem } from "./cem.js";
export { type ClassificationTaskOptions, classificationTask } from "./classification-task.js";
export { type ClassifierStrategyOptions, classifierStrategy } from "./classifier.js";
export { cmaEs, SeparableCma } from "./cma-es.js";
export { type DispatchFile, readDispatch } from "./dispatch-file.js";
export { decide, isShots, type StrategyName, strategyNames, strategyOf } from "./dispatcher.js";
export { type FewShotDetail, type FewShotOptions, fewShotStrategy } from "./few-shot.js";
export { type PromptStrategyOptions, promptStrategy } from "./prompt.js";
export { RandomSearcher, randomSearch } from "./random-search.js";
export type { GenerationRecord, Objective, Searcher, SearchOptions, SearchResult } from "./search.js";
export { type ShotScore, shotsFrom, withoutShots } from "./shots.js";
export type { Decision, Shot, Strategy, StrategyContext } from "./strategy.js";
