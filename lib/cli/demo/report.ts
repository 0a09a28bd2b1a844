// The demo's results as a report: the same numbers that the terminal showed, with their pictures.
import type { FewShotDetail } from "../../adapt/few-shot.js";
import type { DecompositionReport } from "../../engine.js";
import type { Report, Section } from "../../report/index.js";
import type { TrainResult } from "../../train/run.js";
import type { Count } from "../../train/run-directory.js";
import type { Task } from "../../types.js";
import type { DoctorReport } from "../doctor.js";
import { amount, duration } from "../io.js";
import { type DemoPlan, kindOf } from "./plan.js";
import { type Adaptation, chosenName, type Dispatch, type FewShotResult, type Score } from "./steps.js";

/** Everything the demo found out. */
export interface DemoResult {
  readonly doctor: DoctorReport;
  readonly model: { readonly name: string; readonly architecture: string; readonly parameters: number; readonly dtype: string };
  readonly decomposition: DecompositionReport;
  /** Base, in the order of the tasks. */
  readonly base: readonly Score[];
  readonly training: Omit<TrainResult, "expert"> & {
    readonly task: string;
    readonly expert: string;
    readonly before: Score;
    readonly after: Score;
  };
  readonly dispatches: readonly Dispatch[];
  readonly adaptations: readonly Adaptation[];
  readonly fewShot: FewShotResult | undefined;
  /** Every loaded expert on every task; empty with --quick. */
  readonly experts: readonly { readonly name: string; readonly scores: readonly Score[] }[];
  readonly milliseconds: number;
}

export function demoReport(result: DemoResult, plan: DemoPlan, tasks: readonly Task[], time: string): Report {
  const { model, decomposition, training } = result;
  const share = ({ right, total }: Count) => right / total;
  const names = tasks.map((task) => task.name);
  const sections: Section[] = [
    {
      kind: "line",
      title: `Training the ${kindOf(plan.trained)} expert live`,
      note: `${training.values} numbers trained by reinforcement learning, ${training.steps} steps, ${duration(1000 * (training.seconds.rollout + training.seconds.gradient + training.seconds.validation))}. Validation is greedy; rollouts are sampled at temperature ${training.settings.temperature}.`,
      chart: {
        xLabel: "step",
        yLabel: "right answers",
        yRange: [0, 1],
        format: (value) => `${Math.round(100 * value)} %`,
        series: [
          { name: "sampled", points: training.curve.flatMap(({ step, sampled }) => (sampled ? [[step, share(sampled)] as const] : [])) },
          {
            name: "validation",
            points: training.curve.flatMap(({ step, validation }) => (validation ? [[step, share(validation)] as const] : [])),
          },
        ],
        ...(training.bestStep > 0 ? { mark: { x: training.bestStep, name: "kept" } } : {}),
      },
    },
    {
      kind: "intervals",
      title: "Before and after training",
      note: `Test items of ${training.task}; none of them was trained on.`,
      chart: { systems: ["base", training.expert], groups: [{ name: training.task, counts: [training.before, training.after] }] },
    },
    {
      kind: "intervals",
      title: "Accuracy before and after adapting",
      note: "Each test item is answered once by the base, and once with the expert that the first pass chose for it.",
      chart: {
        systems: ["base", ...result.dispatches.map(({ strategy }) => `adapted by ${strategy}`)],
        groups: names.map((name, t) => ({ name, counts: [result.base[t], ...result.dispatches.map(({ evaluations }) => evaluations[t])] })),
      },
    },
    ...result.dispatches.map((one) => confusion(one, tasks)),
    ...weightSections(result),
    ...fewShotSections(result.fewShot, plan.unseen),
  ];
  if (result.experts.length > 0) {
    sections.push({
      kind: "scores",
      title: "Experts by task",
      note: "Right answers on test items, greedy. The best of each column is bold; the small numbers are the 95 % interval.",
      rows: ["base", ...result.experts.map(({ name }) => name)],
      columns: names,
      counts: [result.base, ...result.experts.map(({ scores }) => scores)],
    });
  }
  sections.push(
    {
      kind: "answers",
      title: "One prompt of each kind",
      note: "For each kind the first test item whose answer changes by adapting.",
      answers: result.adaptations.map(({ kind, prompt, decision, before, after }) => ({
        kind,
        prompt,
        decided: `${chosenName(decision)} (${decision.strategy})`,
        scores: decision.scores,
        weights: decision.weights,
        before,
        after,
      })),
    },
    {
      kind: "table",
      title: "Machine and decomposition",
      columns: ["", "value"],
      rows: [
        ...result.doctor.findings.map(({ name, value }) => [name, value]),
        ["matrices", decomposition.matrices.length],
        ["largest residual", Math.max(0, ...decomposition.matrices.map(({ residual }) => residual)).toExponential(1)],
        [
          "decomposition",
          `${duration(decomposition.milliseconds)}, ${decomposition.computed} computed, ${decomposition.reused} from the cache`,
        ],
      ],
    },
  );
  return {
    title: "A model that adapts its own weights",
    summary: `transformer2 on ${model.name}: its matrices were decomposed, one expert was trained by reinforcement learning, and each prompt chose the weights that answer it.`,
    facts: [
      ["Model", model.name],
      ["Parameters", amount(model.parameters)],
      ["Trained numbers", training.values],
      [`${training.task}, base`, `${(100 * training.before.accuracy).toFixed(1)} %`],
      [`${training.task}, trained`, `${(100 * training.after.accuracy).toFixed(1)} %`],
      ["Whole demo", duration(result.milliseconds)],
    ],
    sections,
    time,
  };
}

function confusion(one: Dispatch, tasks: readonly Task[]): Section {
  const columns = [...new Set(one.decisions.flat().flatMap((decision) => Object.keys(decision.weights))), "base"];
  return {
    kind: "confusion",
    title: `What the first pass decided: ${one.strategy}`,
    note: `${one.firstPass.toFixed(1)} ms per prompt.`,
    chart: {
      rows: tasks.map(({ name }) => name),
      columns,
      counts: one.decisions.map((row) => columns.map((column) => row.filter((decision) => chosenName(decision) === column).length)),
    },
  };
}

function weightSections({ adaptations, fewShot }: DemoResult): Section[] {
  const names = [
    ...new Set(
      [...adaptations.map(({ decision }) => decision), ...(fewShot ? [fewShot.decision] : [])].flatMap(({ weights }) =>
        Object.keys(weights),
      ),
    ),
  ];
  const values = (weights: Readonly<Record<string, number>>) => names.map((name) => weights[name] ?? 0);
  const groups = adaptations.map(({ kind, decision }) => ({ name: `a ${kind} prompt`, values: values(decision.weights) }));
  if (fewShot) groups.push({ name: "few-shot search", values: values(fewShot.decision.weights) });
  return names.length === 0
    ? []
    : [
        {
          kind: "bars",
          title: "Weights of the experts",
          note: "z' = 1 + sum of weight times (z - 1); all 0 is the base.",
          chart: { names, groups },
        },
      ];
}

function fewShotSections(fewShot: FewShotResult | undefined, task: Task): Section[] {
  if (fewShot === undefined) return [];
  const { detail, test } = fewShot;
  return [
    {
      kind: "line",
      title: `Few-shot search on ${task.name}`,
      note: `${detail.shots.length} solved examples, ${detail.evaluations} mixtures tried. Fitness is the share of solved examples plus ${detail.scores["base"]?.logprob === null ? "nothing" : "a tenth of the solutions' mean log-prob per token"}.`,
      chart: { xLabel: "generation", yLabel: "fitness", series: history(detail) },
    },
    {
      kind: "intervals",
      title: `${task.name}: on test items`,
      note: "None of them is one of the solved examples.",
      chart: { systems: test.map(({ name }) => name), groups: [{ name: task.name, counts: test.map(({ score }) => score) }] },
    },
  ];
}

function history({ history: records }: FewShotDetail): { name: string; points: (readonly [number, number])[] }[] {
  return [
    { name: "best", points: records.map(({ generation, best }) => [generation + 1, best] as const) },
    { name: "mean", points: records.map(({ generation, mean }) => [generation + 1, mean] as const) },
  ];
}
