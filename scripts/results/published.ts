// Published data sets on the real model: what it can do as it is, and what a short training by policy gradient makes of it. They are not among
// the tasks that experts are kept for.
import { join } from "node:path";
import { compare, type Evaluation, evaluate, type Task, type TrainOptions } from "../../lib/index.js";
import { loadArc } from "../../lib/tasks/arc.js";
import { loadGsm8k } from "../../lib/tasks/gsm8k.js";
import { cell, pValue, sparkline, table } from "./cells.js";
import type { Study } from "./study.js";

interface Attempt {
  task: Task;
  /** Test items, from the first. */
  limit: number;
  options: TrainOptions;
}

/** `data`: a folder with gsm8k-{train,test}.jsonl and arc-easy-{train,validation,test}.jsonl. Returns a section of the document. */
export async function publishedTables(study: Study, data: string): Promise<string> {
  const file = (name: string) => join(data, `${name}.jsonl`);
  const attempts: Attempt[] = [
    {
      task: await loadGsm8k({ train: file("gsm8k-train"), test: file("gsm8k-test") }),
      limit: 200,
      // few samples are right: many prompts a step, so that some have one
      options: { steps: 4, prompts: 32, maxTokens: 200, validateEvery: 4, validationItems: 48, patience: 0 },
    },
    {
      task: await loadArc({ train: file("arc-easy-train"), validation: file("arc-easy-validation"), test: file("arc-easy-test") }),
      limit: 400,
      options: { steps: 14, prompts: 16, validateEvery: 2, validationItems: 96, patience: 4 },
    },
  ];
  const rows: string[][] = [];
  for (const { task, limit, options } of attempts) {
    const name = task.name;
    const base = await study.part<Evaluation>(`published-base-${name}`, () => evaluate(study.t2, task, { limit }));
    const [expert, record] = await study.expert(name, task, 1, { ...study.plan.options, ...options });
    const after = await study.part<Evaluation>(`published-score-${name}`, () => evaluate(study.t2, task, { adapter: expert, limit }));
    const seconds = record.seconds.rollout + record.seconds.gradient + record.seconds.validation;
    const sampled = record.curve.flatMap((c) => (c.sampled ? [c.sampled] : []));
    const validation = record.curve.flatMap((c) => (c.validation ? [c.validation] : []));
    rows.push([
      name,
      cell(base),
      sampled[0] ? cell(sampled[0]) : "–",
      cell(after),
      pValue(compare(base, after).pValue),
      `${record.steps} (${record.bestStep})`,
      `${sampled.map((s) => s.right).join(" ")} of ${sampled[0]?.total} ${sparkline(sampled.map((s) => s.right / s.total))}`,
      `${validation[0]?.right}/${validation[0]?.total} → ${Math.max(...validation.map((v) => v.right))}/${validation[0]?.total}`,
      seconds.toFixed(0),
    ]);
  }
  return `## Published data sets: tried

GSM8K (256 new tokens at most, graded by the last number) and ARC-Easy (by letter), test items from the first. "Sampled" is the success of the
first step's completions on training items, at temperature 1 and before anything was learnt; the bars are every step's. Where the best step is 0 no
step was better on the validation items, and the trainer gives back the base's weights. No experts are kept of these, and seconds were taken
on a machine that did other work as well. MBPP was not tried: its answers are programs that have to be run, and there is no sandbox yet.

${table(["task", "base, greedy", "sampled", "after training, greedy", "McNemar", "steps (best)", "sampled success per step", "validation", "seconds"], rows)}
`;
}
