// `npm run results:micro [-- --seeds 1,2,3] [--save]`: trains and scores everything on the embedded model and writes docs/results/micro.md and .json.
// --save also puts the first seed's experts into models/micro/experts.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { Expert, type TrainOptions } from "../../lib/index.js";
import { microTasks } from "../../lib/tasks/micro/index.js";
import { studyTables } from "./report.js";
import { type SeedResult, Study, type StudyPlan } from "./study.js";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1,2,3" },
    save: { type: "boolean", default: false },
    work: { type: "string", default: ".cache/results/micro" },
  },
});
const seeds = values.seeds.split(",").map(Number);
const recommended: TrainOptions = { preset: "recommended", learningRate: 0.02, kl: 0, finalRate: 0.3 };
const plan: StudyPlan = {
  model: "models/micro",
  work: values.work,
  tasks: {
    math: { seen: microTasks.math, unseen: microTasks["unseen-math"] },
    code: { seen: microTasks.code, unseen: microTasks["unseen-code"] },
    reasoning: { seen: microTasks.reasoning, unseen: microTasks["unseen-reasoning"] },
  },
  classifier: microTasks.skill,
  seeds,
  options: recommended,
  limit: 400,
  dispatchItems: 400,
  // 60 steps of 8 × 8 completions are 3,840: 15 steps of 256
  presets: [
    { name: "paper", options: { preset: "paper", steps: 15, kl: 0, validateEvery: 5 } },
    { name: "sakana", options: { preset: "sakana", steps: 15, validateEvery: 5 } },
  ],
  presetSeeds: seeds.slice(0, 1),
};

const begin = performance.now();
const study = await Study.open(plan);
const results: SeedResult[] = [];
for (const seed of seeds) results.push(await study.seed(seed));
if (values.save) {
  mkdirSync("models/micro/experts", { recursive: true });
  for (const name of [...Object.keys(plan.tasks), "classifier"]) {
    const expert = await Expert.load(`${plan.work}/expert-${name}-${seeds[0]}.safetensors`);
    await expert.save(`models/micro/experts/${name}.safetensors`);
  }
}
const { info } = study.t2;
await study.close();
mkdirSync("docs/results", { recursive: true });
const text = `# Results on the embedded model

Made by \`npm run results:micro\` (${new Date().toISOString().slice(0, 10)}, ${cpus().length} CPU threads), seeds ${seeds.join(", ")} of expert training,
few-shot search and shot draw; the base model is one pretraining run. ${info.parameters.toLocaleString("en")} parameters, ${info.matrices.length} adapted matrices,
${info.matrices.reduce((s, m) => s + m.rank, 0).toLocaleString("en")} trained values per expert. Test items share no numbers, operations or facts with anything trained on
(models/micro/README.md). Every score is right/total, greedy, with Wilson's 95 % interval.

${studyTables(plan, results)}
`;
writeFileSync("docs/results/micro.md", text);
writeFileSync("docs/results/micro.json", JSON.stringify({ seeds, results }, null, 1));
console.log(`docs/results/micro.md written after ${((performance.now() - begin) / 1e3).toFixed(0)} s`);
