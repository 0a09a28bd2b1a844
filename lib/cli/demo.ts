// t2 demo: the whole method on one model, told as it happens, with a report at the end. Nothing but the factor cache and the report is written.
import type { Command } from "commander";
import { isClassifier } from "../adapt/candidates.js";
import type { Evaluation } from "../evaluate/evaluate.js";
import { proportion } from "../evaluate/statistics.js";
import { writeReport } from "../report/index.js";
import type { Count } from "../train/run-directory.js";
import type { Transformer2 } from "../transformer2.js";
import type { Task } from "../types.js";
import { list, wholeNumber } from "./arguments.js";
import { TrainingCurve } from "./curve.js";
import { describeDecomposition } from "./decompose.js";
import { type DemoOptions, type DemoPlan, demoPlan } from "./demo/plan.js";
import { type DemoResult, demoReport } from "./demo/report.js";
import {
  type Adaptation,
  chosenName,
  type DemoRun,
  type Dispatch,
  dispatch,
  type FewShotResult,
  fewShot,
  firstChange,
  type Score,
  score,
  strategies,
  trainLive,
} from "./demo/steps.js";
import { describeDoctor, doctor } from "./doctor.js";
import { columns, duration, type Io, printable, toJson } from "./io.js";
import { type ModelOptions, quiet, useModel, withModel } from "./model.js";
import type { ProgressLine } from "./progress.js";

type Options = ModelOptions & DemoOptions & { report: string };

export function demoCommand(program: Command, io: Io): void {
  const command = program
    .command("demo")
    .description("see a model adapt its own weights: decompose, train an expert, adapt to prompts, search by examples")
    .option("--tasks <list>", "tasks, one per kind of prompt: built-in names or files of JSON lines", list)
    .option("--train <task>", "the one whose expert is trained live (default: the first)")
    .option("--unseen <task>", "the one for the few-shot search (default: the last)")
    .option("--steps <number>", "training steps", wholeNumber)
    .option("--max-tokens <number>", "tokens an answer may take (default: the tasks')", wholeNumber)
    .option("--seed <number>", "of training and search (default: 0)", wholeNumber)
    .option("--quick", "half the training and a quarter of the test items, in about a minute")
    .option("-r, --report <file>", "where the report goes", "demo-report.html");
  withModel(command);
  command.action(async (options: Options) => {
    const began = performance.now();
    const tell = options.json === true ? () => undefined : (text: string) => io.out(text);
    const plan = await demoPlan(options);
    tell("1. This machine\n");
    const health = await doctor(options.model, io.signal, options.device);
    tell(describeDoctor(health));
    const result = await useModel(io, options, "all", (t2, progress) => story({ t2, plan, io, options, tell, progress, began, health }));
    const tasks = allTasks(plan);
    await writeReport(options.report, demoReport(result, plan, tasks, new Date().toISOString()));
    tell(`\nDone in ${duration(result.milliseconds)}. Report: ${options.report}\n`);
    if (options.json) io.out(`${toJson({ ...withoutAnswers(result), report: options.report })}\n`);
  });
}

/** The kinds and the unseen task, each once. */
function allTasks(plan: DemoPlan): Task[] {
  return [...new Set([...plan.tasks, plan.unseen])];
}

interface Story {
  readonly t2: Transformer2;
  readonly plan: DemoPlan;
  readonly io: Io;
  readonly options: Options;
  readonly tell: (text: string) => void;
  readonly progress: ProgressLine;
  readonly began: number;
  readonly health: DemoResult["doctor"];
}

async function story({ t2, plan, io, options, tell, progress, began, health }: Story): Promise<DemoResult> {
  const silent = quiet(io, options.json);
  const run: DemoRun = { t2, plan, signal: io.signal, onProgress: silent ? () => undefined : progress.update };
  const say = (text: string) => {
    progress.clear();
    tell(text);
  };
  const tasks = allTasks(plan);

  say("\n2. Every weight matrix is decomposed, W = U diag(s) V'\n");
  const decomposition = await t2.decompose({ signal: io.signal, onProgress: run.onProgress });
  say(describeDecomposition(decomposition));

  say(`\n3. The base model, ${plan.items} test items each\n`);
  const answered: Evaluation[] = [];
  for (const task of tasks) answered.push(await score(run, task, "base"));
  say(
    columns(
      answered.map((one) => [one.task.name, rate(one)]),
      "   ",
    ),
  );

  const { trained } = plan;
  say(`\n4. An expert for ${trained.name} is trained: ${plan.steps} steps of reinforcement learning, right or wrong is all it is told\n`);
  const curve = new TrainingCurve(io);
  const { expert, ...training } = await trainLive(run, (record, settings) => {
    if (silent) return;
    progress.clear();
    curve.onStep(record, settings);
  });
  const before = answered.find(({ task }) => task.name === trained.name) ?? (await score(run, trained, "base"));
  const after = await score(run, trained, expert);
  say(`${training.values} numbers learnt; step ${training.bestStep} kept. On test items: ${rate(before)} before, ${rate(after)} after\n`);

  say(`\n5. Each prompt chooses its weights (experts: ${t2.experts.names.join(", ") || "none, so the base answers"})\n`);
  const { dispatches, adaptations } = await chooseAndAnswer(run, tasks, answered, say);

  let found: FewShotResult | undefined;
  if (t2.experts.size > 0) {
    say(`\n6. ${plan.shots} solved examples of ${plan.unseen.name}, which no expert was trained on: the mixture that solves them best\n`);
    found = await fewShot(run);
    say(describeFewShot(found));
  }

  const experts: { name: string; scores: Score[] }[] = [];
  if (options.quick !== true) {
    for (const { name } of [...t2.experts].filter((one) => !isClassifier(one))) {
      const scores: Score[] = [];
      for (const task of tasks) scores.push(withoutItems(await score(run, task, name)));
      experts.push({ name, scores });
    }
    if (experts.length > 0) {
      const rows = experts.map(({ name, scores }) => [name, ...scores.map(share)]);
      say(
        `\n7. Every expert on every task\n${columns([["", ...tasks.map(({ name }) => name)], ["base", ...answered.map(share)], ...rows], "   ")}`,
      );
    }
  }
  const { name, architecture, parameters, dtype } = t2.info;
  return {
    doctor: health,
    model: { name, architecture, parameters, dtype },
    decomposition,
    base: answered.map(withoutItems),
    training: { ...training, task: trained.name, expert: expert.name, before: withoutItems(before), after: withoutItems(after) },
    dispatches,
    adaptations,
    fewShot: found,
    experts,
    milliseconds: performance.now() - began,
  };
}

/** Every strategy over the test items, and one prompt of each kind shown; nothing where there is nothing to choose from. */
async function chooseAndAnswer(
  run: DemoRun,
  tasks: readonly Task[],
  base: readonly Evaluation[],
  say: (text: string) => void,
): Promise<Pick<DemoResult, "dispatches" | "adaptations">> {
  if (run.t2.experts.size === 0) return { dispatches: [], adaptations: [] };
  const dispatches: Dispatch[] = [];
  for (const strategy of strategies(run.t2)) dispatches.push(await dispatch(run, strategy, tasks));
  const best = dispatches.at(-1)!;
  const adaptations = tasks.map((task, t) => firstChange(task, base[t]!, best.evaluations[t]!, best.decisions[t]!));
  for (const one of adaptations) say(describeAdaptation(one));
  const head = ["right answers", "base", ...dispatches.map(({ strategy }) => strategy)];
  const rows = tasks.map((task, t) => [task.name, share(base[t]!), ...dispatches.map(({ evaluations }) => share(evaluations[t]!))]);
  say(`\n${columns([head, ...rows], "   ")}`);
  const times = dispatches.map(({ strategy, firstPass }) => `${firstPass.toFixed(1)} ms (${strategy})`);
  say(`   the first pass took ${times.join(", ")} per prompt\n`);
  return { dispatches, adaptations };
}

/** For --json: counts and decisions, not every answer. */
function withoutAnswers(result: DemoResult): object {
  return {
    ...result,
    dispatches: result.dispatches.map(({ evaluations, ...rest }) => ({ ...rest, scores: evaluations.map(withoutItems) })),
  };
}

function withoutItems<T extends Score & { items?: unknown }>({ items: _, ...score }: T): Omit<T, "items"> {
  return score;
}

const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
const share = ({ right, total }: Count) => percent(right / total);

function rate({ right, total }: Count): string {
  const { accuracy, interval } = proportion(right, total);
  return `${right}/${total} right, ${percent(accuracy)} [${(100 * interval[0]).toFixed(0)}-${(100 * interval[1]).toFixed(0)}]`;
}

function describeAdaptation({ kind, prompt, decision, before, after }: Adaptation): string {
  const scores = Object.entries(decision.scores).map(([label, p]) => `${label} ${p.toFixed(2)}`);
  const weights = Object.entries(decision.weights).map(([name, w]) => `${name} ${Number(w.toFixed(2))}`);
  const answer = (text: string, right: boolean) =>
    `${printable(text).trim().replaceAll("\n", "\n           ")}  (${right ? "right" : "wrong"})`;
  return `
   ${kind}: ${printable(prompt).replaceAll("\n", "\n   ")}
   first pass (${decision.strategy}): ${scores.join(", ")} -> ${chosenName(decision)}; weights ${weights.join(", ")}
   before: ${answer(before.text, before.right)}
   after:  ${answer(after.text, after.right)}
`;
}

function describeFewShot({ decision, detail, test }: FewShotResult): string {
  const weights = Object.entries(decision.weights).map(([name, w]) => `${name} ${w.toFixed(2)}`);
  const rows = test.map(({ name, score: one }) => [name, rate(one)]);
  return `   ${detail.evaluations} mixtures in ${duration(decision.cost.milliseconds["search"] ?? 0)}; weights ${weights.join(", ")}\n${columns(rows, "   ")}`;
}
