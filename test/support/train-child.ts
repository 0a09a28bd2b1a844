// A process to be killed: trains on the table engine in the folder argv[2] and prints a line per step.
import { train } from "../../lib/train/train.js";
import { banditTask } from "./bandit-task.js";
import { TableEngine } from "./table-engine.js";

await train(new TableEngine({ delay: 3, layers: 3 }).asEngine(), banditTask(), {
  run: process.argv[2]!,
  steps: 12,
  prompts: 4,
  samples: 4,
  validateEvery: 3,
  kl: 0.01,
  seed: 5,
  onStep: ({ step }) => process.stdout.write(`step ${step}\n`),
});
