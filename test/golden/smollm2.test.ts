// Greedy text of SmolLM2-135M-Instruct against transformers in fp32 (record-smollm2.py): chat, several turns, code, Chinese, German, emoji.
// The model is not part of the repository: T2_SMOLLM2 names its folder (shared/tools/smollm2.py of the project makes one).
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { Transformer2 } from "../../lib/transformer2.js";
import type { Message } from "../../lib/types.js";
import { testDevice } from "../native/helpers.js";

interface Row {
  messages: Message[];
  prompt: number[];
  generated: number[];
  /** How far the winner of the closest race was ahead. */
  lead: number;
}

const { maxTokens, rows } = JSON.parse(readFileSync(new URL("data/smollm2-greedy.json", import.meta.url), "utf8")) as {
  maxTokens: number;
  rows: Row[];
};
const folder = process.env.T2_SMOLLM2;
const skip = folder && existsSync(join(folder, "config.json")) ? false : "set T2_SMOLLM2 to a folder of SmolLM2-135M-Instruct";

t.test("the recorded races are not too close to call", async (t) => {
  t.ok(rows.length >= 20);
  for (const { lead, messages } of rows) t.ok(lead > 1e-3, `${lead}: ${JSON.stringify(messages.at(-1)?.content)}`);
});

t.test(`${rows.length} prompts, ${maxTokens} tokens each`, { skip }, async (t) => {
  const t2 = await Transformer2.load(folder as string, { device: testDevice });
  t.teardown(() => t2[Symbol.asyncDispose]());
  for (const { messages, prompt } of rows) {
    t.same(Array.from(t2.encodePrompt(messages)), prompt, `the template of ${JSON.stringify(messages.at(-1)?.content)}`);
  }
  const answers = await t2.generate(
    rows.map(({ messages }) => messages),
    { maxTokens },
  );
  for (const [i, { tokens, text }] of answers.entries()) t.same(Array.from(tokens), rows[i]?.generated, JSON.stringify(text));
  // One prompt alone takes the kernels of batch 1, and a long one those of prefill.
  const alone = await t2.generate(rows[0]?.messages as Message[], { maxTokens });
  t.same(Array.from(alone.tokens), rows[0]?.generated, "alone");
});
