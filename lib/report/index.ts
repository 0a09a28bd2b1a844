// The report layer: what the rest of the library may use of this folder.
export type { Counted } from "./charts/interval.js";
export type { Series } from "./charts/line.js";
export { type AnswerPair, type Report, reportHtml, type Section, writeReport } from "./report.js";
