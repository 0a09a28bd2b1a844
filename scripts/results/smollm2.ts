// `npm run results:smollm2 -- --model DIR [--data DIR] [--save]`: experts for SmolLM2-135M-Instruct on tasks of everyday language, and adaptation among them.
// Writes docs/results/smollm2.md and .json; --data adds GSM8K and ARC-Easy; --save puts the experts into experts/smollm2-135m-instruct.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { Expert } from "../../lib/index.js";
import { builtInTask } from "../../lib/tasks/index.js";
import { publishedTables } from "./published.js";
import { studyTables } from "./report.js";
import { type SeedResult, Study, type StudyPlan } from "./study.js";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    data: { type: "string" },
    save: { type: "boolean", default: false },
    limit: { type: "string", default: "200" },
    work: { type: "string", default: ".cache/results/smollm2" },
    "train-only": { type: "string" },
  },
});
if (!values.model) throw new Error("--model DIR is missing: the folder that tools/smollm2.py made");
const plan: StudyPlan = {
  model: values.model,
  work: values.work,
  tasks: {
    "word-problems": { seen: builtInTask("word-problems"), unseen: builtInTask("word-problems-two-step") },
    comparison: { seen: builtInTask("comparison"), unseen: builtInTask("comparison-of-three") },
    "past-tense": { seen: builtInTask("past-tense"), unseen: builtInTask("ing-form") },
  },
  seeds: [1],
  options: { preset: "recommended", learningRate: 3e-3, steps: 14, validateEvery: 2, validationItems: 48, patience: 4 },
  // comparison and past tense have climbed by then; word problems take longer. The classifier imitates: of 64 sampled answers of the base to
  // "which skill?" none was a label, so reinforcement learning has nothing to reward
  optionsOf: {
    comparison: { steps: 10 },
    "past-tense": { steps: 8 },
    classifier: { objective: "next-token", prompts: 16, steps: 10, patience: 0 },
  },
  limit: Number(values.limit),
  dispatchItems: 40,
  fewShot: { shots: 10, population: 32, generations: 5 },
  presets: [],
  presetSeeds: [],
};

const begin = performance.now();
const study = await Study.open(plan);
if (values["train-only"]) {
  for (const name of values["train-only"].split(",")) {
    const task = name === "classifier" ? study.classifierTask() : plan.tasks[name]!.seen;
    await study.expert(name, task, 1, { ...plan.options, ...plan.optionsOf?.[name] });
  }
  await study.close();
  process.exit(0);
}
const results: SeedResult[] = [await study.seed(1)];
const published = values.data ? await publishedTables(study, values.data) : "";
if (values.save) {
  mkdirSync("experts/smollm2-135m-instruct", { recursive: true });
  for (const name of [...Object.keys(plan.tasks), "classifier"]) {
    const expert = await Expert.load(`${plan.work}/expert-${name}-1.safetensors`);
    await expert.save(`experts/smollm2-135m-instruct/${name}.safetensors`);
  }
}
const { info } = study.t2;
await study.close();
mkdirSync("docs/results", { recursive: true });
writeFileSync(
  "docs/results/smollm2.md",
  `# Results on SmolLM2-135M-Instruct

Made by \`npm run results:smollm2 -- --model DIR --data DIR\` (${new Date().toISOString().slice(0, 10)}, ${cpus().length} CPU threads, BF16 weights, peak memory of the process
${(process.resourceUsage().maxRSS / 1e6).toFixed(2)} GB); one seed. ${info.parameters.toLocaleString("en")} parameters, ${info.matrices.length} adapted matrices,
${info.matrices.reduce((s, m) => s + m.rank, 0).toLocaleString("en")} trained values per expert. The task experts are trained by policy gradient (RLOO), the classification expert
by next-token prediction of the labels: of 64 sampled answers of the base none was a label, so there was nothing to reward. Seconds were taken
on a machine that did other work as well, but for those of word-problems. The checkpoint is the one that a 4-bit file of the model was turned back into, so its base scores are
a little below the original's. Tasks are generated (\`lib/tasks/words\`), their train, validation and test items disjoint. Greedy, right/total with Wilson's 95 % interval.

${studyTables(plan, results)}
${published && `\n${published}`}`,
);
writeFileSync("docs/results/smollm2.json", JSON.stringify({ results }, null, 1));
console.log(`docs/results/smollm2.md written after ${((performance.now() - begin) / 1e3).toFixed(0)} s`);
