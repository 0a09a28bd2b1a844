// Trains an expert for a task of your own: some prompts, a way to tell right from wrong, and no other code.
//   node --import ./scripts/typescript-loader.mjs examples/own-task.ts     (in a checkout; in your project the import is "transformer2")
import { defineTask, evaluate, Transformer2, train } from "../lib/index.js";

// Anything that can be checked will do. Here: always answer in the model's habit of "Answer: <word>".
const animals = ["fox", "cat", "dog", "owl", "hen", "bee", "ant", "cow", "pig", "bat", "elk", "rat"];
const items = animals.map((animal, i) => ({
  id: `item-${i}`,
  prompt: `Which animal is named here: ${animal}?`,
  answer: animal,
}));

const task = defineTask({
  name: "name-the-animal",
  label: "animals",
  description: "Naming the animal in a question.",
  splits: { train: items.slice(0, 6), validation: items.slice(6, 9), test: items.slice(9) },
  reward: (sample, completion) => (completion.includes(`Answer: ${sample.answer}`) ? 1 : completion.includes("Answer:") ? 0 : -1),
  maxTokens: 12,
});

const t2 = await Transformer2.load("models/micro");
const before = await evaluate(t2, task);
const { expert, curve } = await train(t2, task, {
  steps: Number(process.env.STEPS ?? 12),
  onStep: ({ step, reward }) => reward !== undefined && console.log(`step ${step}: mean reward ${reward.toFixed(2)}`),
});
await t2.experts.add(expert);
const after = await evaluate(t2, task, { adapter: expert });
console.log(`right before ${before.right}/${before.total}, after ${after.right}/${after.total}; ${curve.length - 1} steps`);
const { text } = await t2.generate(items[10]!.prompt, { adapter: expert, maxTokens: 12 });
console.log(text);
await t2[Symbol.asyncDispose]();
