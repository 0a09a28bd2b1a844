// Runs in a worker thread: opens the model, answers what it is asked, and says how far it is.
import { parentPort, workerData } from "node:worker_threads";
import { Transformer2 } from "../../lib/transformer2.js";

const { folder, factors, prompts, maxTokens, endless } = workerData as {
  folder: string;
  factors: string;
  prompts: string[];
  maxTokens: number;
  /** Generates until it is terminated. */
  endless: boolean;
};

const t2 = await Transformer2.load(folder, { factors, maxThreads: 1 });
if (endless) {
  for (;;) {
    for await (const _ of t2.stream({ text: prompts[0] as string }, { maxTokens, ignoreEos: true })) parentPort?.postMessage("token");
  }
}
await t2.decompose({ targets: "mlp" });
const answers = await t2.generate(
  prompts.map((text) => ({ text })),
  { maxTokens, ignoreEos: true, temperature: 1, seed: 3 },
);
parentPort?.postMessage(answers.map((answer) => [...answer.tokens]));
await t2[Symbol.asyncDispose]();
