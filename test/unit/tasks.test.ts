import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import type { Transformer2Error } from "../../lib/errors.js";
import { loadArc } from "../../lib/tasks/arc.js";
import { loadGsm8k } from "../../lib/tasks/gsm8k.js";
import { loadJsonlTask, loadReward, parseJsonlTask } from "../../lib/tasks/jsonl-task.js";
import { defineTask, splitNames, type TaskSpec } from "../../lib/tasks/task.js";
import { wordTaskPairs } from "../../lib/tasks/words/word-tasks.js";
import type { Task } from "../../lib/types.js";

const folder = mkdtempSync(join(tmpdir(), "t2-tasks-"));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, lines: readonly unknown[]): string {
  const path = join(folder, name);
  writeFileSync(path, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
  return path;
}

const item = (id: string, answer = "4") => ({ id, prompt: `2 + 2 (${id})`, answer });

t.test("defineTask", async (t) => {
  const task = defineTask({
    name: "sums",
    splits: { train: [item("a")], test: [item("b")] },
    reward: "number",
    label: "math",
    maxTokens: 8,
  });
  t.match(task, { name: "sums", version: "1", grader: "number", label: "math", maxTokens: 8 });
  t.same(task.splits.validation, []);
  t.equal(task.prompt(task.splits.train[0]!), "2 + 2 (a)");
  t.equal(await task.reward(task.splits.train[0]!, "It is 4."), 1);
  t.equal(await task.reward(task.splits.train[0]!, "It is 5."), -1);
  t.equal(defineTask({ name: "own", splits: { test: [item("a")] }, reward: () => 0.5 }).grader, "custom");

  const bad: [changes: Partial<TaskSpec> | Record<string, unknown>, message: RegExp][] = [
    [{ name: "" }, /name/],
    [{ reward: "numbers" }, /exact, number, choice, regex/],
    [{ splits: {} }, /no items/],
    [{ splits: { train: [item("a")], test: [item("a")] } }, /"a" occurs twice \(in train and test\)/],
    [{ splits: { train: [{ prompt: "x", answer: "1" }] } }, /item 0 of train needs an "id"/],
    [{ splits: { train: [{ id: "x", prompt: " ", answer: "1" }] } }, /prompt/],
    [{ splits: { train: [{ id: "x", prompt: "x", answer: 1 }] } }, /answer/],
    [{ splits: { train: [item("a", "four")] } }, /grader "number"/],
    [{ maxTokens: 0 }, /maxTokens/],
  ];
  for (const [changes, message] of bad)
    t.throws(() => defineTask({ name: "sums", splits: { train: [item("a")] }, reward: "number", ...changes } as TaskSpec), {
      code: "ERR_T2_INVALID_TASK",
      message,
    });
});

t.test("a task of JSON lines", async (t) => {
  const path = file("capitals.jsonl", [
    "\uFEFF",
    { prompt: "Capital of France?", answer: "Paris", split: "train", solution: "Paris", region: "EU" },
    { prompt: [{ role: "user", content: "Capital of Peru?" }], answer: "Lima", split: "validation", id: 7 },
    "",
    { prompt: "6 times 7?", answer: 42, split: "test" },
  ]);
  const task = await loadJsonlTask(path, { maxTokens: 8, label: "geography" });
  t.match(task, { name: "capitals", grader: "exact", maxTokens: 8, label: "geography" });
  t.match(task.splits.train, [{ id: "line-2", solution: "Paris", region: "EU" }]);
  t.match(task.splits.validation, [{ id: "7", prompt: [{ role: "user" }] }]);
  t.match(task.splits.test, [{ id: "line-5", answer: "42" }]);
  t.equal(await task.reward(task.splits.test[0]!, " 42\n"), 1);
});

t.test("a malformed line is named", async (t) => {
  const good = { prompt: "a?", answer: "1" };
  const cases: [lines: unknown[], line: number, message: RegExp, grader?: "number"][] = [
    [[good, "{"], 2, /not JSON/],
    [[good, "", "[1]"], 3, /must be an object/],
    [[good, { answer: "1" }], 2, /"prompt"/],
    [[{ prompt: "", answer: "1" }], 1, /"prompt"/],
    [[{ prompt: [{ content: "a" }], answer: "1" }], 1, /"prompt"/],
    [[{ prompt: "a?" }], 1, /"answer"/],
    [[good, { prompt: "b?", answer: "two" }], 2, /must contain a number/, "number"],
    [[good, { prompt: "b?", answer: "1", split: "dev" }], 2, /train, validation, test/],
    [[good, { prompt: "b?", answer: "1", split: "test" }], 2, /unlike line 1/],
    [
      [
        { ...good, id: "x" },
        { prompt: "b?", answer: "1", id: "x" },
      ],
      2,
      /already used in line 1/,
    ],
    [
      [
        { ...good, split: "train" },
        { ...good, split: "test" },
      ],
      2,
      /same prompt stands in line 1/,
    ],
    [[{ ...good, solution: 3 }], 1, /"solution"/],
    [[""], 1, /no lines/],
  ];
  for (const [lines, line, message, grader] of cases) {
    const path = file("bad.jsonl", lines);
    const error = (await loadJsonlTask(path, grader ? { grader } : {}).catch((e: unknown) => e)) as Transformer2Error;
    t.equal(error.code, "ERR_T2_INVALID_TASK");
    t.match(error.message, message);
    t.equal(error.detail?.line, line, error.message);
  }
  await t.rejects(loadJsonlTask(join(folder, "none.jsonl")), { code: "ERR_T2_INVALID_TASK", message: /none\.jsonl/ });
});

t.test("splits made by hash", async (t) => {
  const lines = Array.from({ length: 200 }, (_, i) => ({ prompt: `question ${i % 190}?`, answer: "1" }));
  const text = (list: unknown[]) => list.map((line) => JSON.stringify(line)).join("\n");
  const prompts = (task: Task, split: "train" | "validation" | "test") => new Set(task.splits[split].map(({ prompt }) => prompt));
  const task = parseJsonlTask(text(lines), "x.jsonl");
  t.ok(Math.abs(task.splits.test.length - 30) <= 2 && Math.abs(task.splits.validation.length - 30) <= 2, "70 / 15 / 15");
  t.equal(task.splits.train.length + task.splits.validation.length + task.splits.test.length, 200);
  for (const prompt of prompts(task, "test")) t.notOk(prompts(task, "train").has(prompt) || prompts(task, "validation").has(prompt));
  const reversed = parseJsonlTask(text([...lines].reverse()), "x.jsonl");
  t.same([...prompts(reversed, "test")].sort(), [...prompts(task, "test")].sort(), "the order of the lines does not matter");
  const counted = parseJsonlTask(text(lines.slice(0, 100)), "x.jsonl", { validation: 10, test: 20 });
  t.same(
    splitNames.map((split) => counted.splits[split].length),
    [70, 10, 20],
  );
  t.throws(() => parseJsonlTask(text(lines), "x.jsonl", { test: 1.5 }), { code: "ERR_T2_INVALID_OPTION", message: /"test"/ });
});

t.test("a reward of one's own", async (t) => {
  const path = file("reward.mjs", ["export const reward = (sample, completion) => completion.length / sample.answer.length;"]);
  const reward = await loadReward(path);
  const task = parseJsonlTask('{"prompt": "a?", "answer": "xy"}', "x.jsonl", { reward, test: 0, validation: 0 });
  t.equal(await task.reward(task.splits.train[0]!, "abc"), 1.5);
  t.equal(task.grader, "custom");
  await t.rejects(loadReward(file("none.mjs", ["export const x = 1;"])), {
    code: "ERR_T2_INVALID_TASK",
    message: /reward\(sample, completion\)/,
  });
  await t.rejects(loadReward(join(folder, "missing.mjs")), { code: "ERR_T2_INVALID_TASK" });
});

t.test("GSM8K", async (t) => {
  const row = (question: string, answer: string) => ({ question, answer });
  const train = file("gsm-train.jsonl", [
    row("How many?", "3 * 4 = <<3*4=12>>12\n#### 12"),
    row("How much?", "It costs 1,000 more.\n#### 2,125"),
    row("How cold?", "Colder.\n#### -3"),
  ]);
  const test = file("gsm-test.jsonl", [row("How many?", "#### 5")]);
  const task = await loadGsm8k({ train, test, validation: 1 });
  t.same([task.splits.train.length, task.splits.validation.length, task.splits.test.length], [2, 1, 1]);
  const all = [...task.splits.train, ...task.splits.validation];
  t.same(all.map(({ answer }) => answer).sort(), ["-3", "12", "2125"], "commas and signs are kept");
  t.notMatch(all.map(({ solution }) => solution).join(), /<</);
  const comma = all.find(({ answer }) => answer === "2125")!;
  t.equal(await task.reward(comma, "That makes 2125."), 1);
  t.equal(await task.reward(comma, "#### 2,125"), 1);
  t.equal(await task.reward(comma, "125"), -1);
  await t.rejects(loadGsm8k({ train: file("gsm-bad.jsonl", [row("a", "#### 1"), { question: "b" }]), test }), {
    code: "ERR_T2_INVALID_TASK",
    detail: { line: 2 },
  });
});

t.test("ARC with numeric keys can be right", async (t) => {
  const row = (id: string, labels: string[], answerKey: string) => ({
    id,
    question: `Which (${id})?`,
    choices: { text: ["iron", "wood", "salt", "ice"], label: labels },
    answerKey,
  });
  const split = (name: string) =>
    file(`arc-${name}.jsonl`, [row(`${name}1`, ["A", "B", "C", "D"], "C"), row(`${name}2`, ["1", "2", "3", "4"], "2")]);
  const task = await loadArc({ train: split("train"), validation: split("validation"), test: split("test") });
  t.same(
    task.splits.test.map(({ answer }) => answer),
    ["C", "B"],
  );
  t.match(task.splits.test[1]!.prompt, /A\. iron\nB\. wood/);
  t.equal(await task.reward(task.splits.test[1]!, "B. wood"), 1);
  t.equal(await task.reward(task.splits.test[1]!, "A"), -1);
  const bad = file("arc-bad.jsonl", [row("x", ["A", "B", "C", "D"], "5")]);
  await t.rejects(loadArc({ train: bad, validation: bad, test: bad }), { code: "ERR_T2_INVALID_TASK", detail: { line: 1 } });
});

t.test("generated tasks: right, disjoint and the same everywhere", async (t) => {
  for (const { task, unseen } of wordTaskPairs()) {
    for (const each of [task, unseen]) {
      const { train, validation, test } = each.splits;
      t.ok(test.length >= 300 && validation.length >= 64, `${each.name}: ${train.length}, ${validation.length}, ${test.length} items`);
      const seen = new Set([...train, ...validation].map(({ prompt }) => prompt));
      t.notOk(test.some(({ prompt }) => seen.has(prompt)));
      t.equal(new Set(test.map(({ prompt }) => prompt)).size, test.length);
      for (const sample of [...train, ...test])
        if ((await each.reward(sample, sample.solution!)) <= 0) t.fail(`${each.name}: ${sample.prompt} → ${sample.solution}`);
      t.ok((await each.reward(test[0]!, "I do not know.")) < 0);
      t.ok(each.label && each.description);
    }
    t.equal(task.label, unseen.label, "the relative belongs to the same expert");
    t.not(task.name, unseen.name);
  }
  const once = JSON.stringify(wordTaskPairs().map(({ task }) => task.splits.test.slice(0, 3)));
  t.equal(JSON.stringify(wordTaskPairs().map(({ task }) => task.splits.test.slice(0, 3))), once);
});

const data = process.env.T2_DATA;
t.test("the real files", { skip: data ? false : "T2_DATA does not name a folder with gsm8k-*.jsonl and arc-easy-*.jsonl" }, async (t) => {
  const gsm8k = await loadGsm8k({ train: join(data!, "gsm8k-train.jsonl"), test: join(data!, "gsm8k-test.jsonl") });
  t.same(
    splitNames.map((split) => gsm8k.splits[split].length),
    [6973, 500, 1319],
  );
  for (const split of splitNames)
    for (const sample of gsm8k.splits[split]) if ((await gsm8k.reward(sample, sample.solution!)) !== 1) t.fail(sample.id);
  const arc = (split: string) => join(data!, `arc-easy-${split}.jsonl`);
  const easy = await loadArc({ train: arc("train"), validation: arc("validation"), test: arc("test") });
  t.same(
    splitNames.map((split) => easy.splits[split].length),
    [2251, 570, 2376],
  );
  const rows = readFileSync(arc("test"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { answerKey: string });
  t.ok(rows.filter(({ answerKey }) => /\d/.test(answerKey)).length >= 97, "these were never right in the published code");
  t.ok(easy.splits.test.every(({ answer }) => /^[A-E]$/.test(answer)));
});
