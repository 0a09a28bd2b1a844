// The files of models/micro fit the tasks: every prompt and every gold solution has room, and the tokenizer gives its text back.
import { readFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";
import t from "tap";
import { microTasks } from "../../lib/tasks/micro/index.js";

const read = (name: string) => JSON.parse(readFileSync(new URL(`../../models/micro/${name}`, import.meta.url), "utf8"));
const config = read("config.json");
const tokenizer = new Tokenizer(read("tokenizer.json"), read("tokenizer_config.json"));
const encode = (text: string) => tokenizer.encode(text).ids as number[];

t.test("special tokens are where config.json says", async (t) => {
  t.equal(encode("<|end|>").join(), String(config.eos_token_id));
  t.equal(encode("<|pad|>").join(), String(config.pad_token_id));
  t.equal(encode("<|user|>Hi<|assistant|>").length, 2 + encode("Hi").length);
  t.equal(read("generation_config.json").eos_token_id, config.eos_token_id);
});

t.test("every item looked at has room, and comes back from the tokenizer unchanged", async (t) => {
  for (const task of Object.values(microTasks)) {
    let longest = 0;
    let context = 0;
    for (const sample of [...task.splits.train.slice(0, 300), ...task.splits.test]) {
      const solution = encode(`${sample.solution}<|end|>`);
      const text = `<|user|>${sample.prompt}<|assistant|>`;
      const prompt = encode(text);
      if (tokenizer.decode(prompt) !== text) t.fail(text);
      if (Math.max(...prompt, ...solution) >= config.vocab_size) t.fail(`outside the vocabulary: ${text}`);
      longest = Math.max(longest, solution.length);
      context = Math.max(context, prompt.length + solution.length);
    }
    t.ok(longest <= task.maxTokens!, `${task.name}: ${longest} of ${task.maxTokens} tokens`);
    t.ok(longest > task.maxTokens! / 2, `${task.name}: maxTokens is not wasteful`);
    t.ok(context <= config.max_position_embeddings);
  }
});

t.test("the dispatcher's labels are one token each, different ones", async (t) => {
  const dispatch = read("dispatch.json");
  const labels = Object.values(dispatch.labels as Record<string, string>).map((label) => encode(dispatch.prefix + label));
  const prefix = encode(dispatch.prefix);
  for (const label of labels) t.same(label.slice(0, -1), prefix);
  t.equal(new Set(labels.map((label) => label.at(-1))).size, labels.length);
});
