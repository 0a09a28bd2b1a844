// What the README does with a real folder: the expert of word problems that lies in the repository, found by a first pass, solves what the
// base cannot. The model is not part of the repository: T2_SMOLLM2 names its folder.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { evaluate } from "../../lib/evaluate/evaluate.js";
import { builtInTask } from "../../lib/tasks/index.js";
import { Transformer2 } from "../../lib/transformer2.js";

const folder = process.env.T2_SMOLLM2;
const skip = folder && existsSync(join(folder, "config.json")) ? false : "set T2_SMOLLM2 to a folder of SmolLM2-135M-Instruct";
const experts = "experts/smollm2-135m-instruct";

t.test("the experts fit the model and do what they were trained for", { skip, timeout: 240_000 }, async (t) => {
  const files = readdirSync(experts).filter((name) => name.endsWith(".safetensors") && name !== "classifier.safetensors");
  t.ok(files.length >= 3);
  const t2 = await Transformer2.load(folder as string, { experts: files.map((name) => join(experts, name)), factors: t.testdir({}) });
  t.teardown(() => t2[Symbol.asyncDispose]());
  const adapted = await t2.adapt("Tom has 3 apples and buys 4 more. How many apples does Tom have now? Answer with just the number.");
  t.same(
    Object.entries(adapted.weights).filter(([, weight]) => weight !== 0),
    [["word-problems", 1]],
  );
  t.match((await adapted.generate({ maxTokens: 16 })).text, /\b7\b/);
  const task = builtInTask("word-problems");
  const base = await evaluate(t2, task, { limit: 24 });
  const expert = await evaluate(t2, task, { limit: 24, adapter: "word-problems" });
  t.ok(expert.right >= base.right + 8, `base ${base.right}, expert ${expert.right} of 24`);
});
