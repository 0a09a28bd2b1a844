// The micro tasks: the same on every machine, splits and pretraining documents disjoint, graders that cannot be talked round.
import { readFileSync } from "node:fs";
import t from "tap";
import {
  classificationPrompt,
  drawItem,
  itemKinds,
  type MicroTaskName,
  microDocuments,
  microTasks,
  skillOf,
  skills,
  splitOf,
} from "../../lib/tasks/micro/index.js";
import type { Sample, Split, Task } from "../../lib/types.js";
import { hashString, Random } from "../../lib/util/random.js";

const splits: readonly Split[] = ["train", "validation", "test"];
const tasks = Object.entries(microTasks) as [MicroTaskName, Task][];
const right = (task: Task, sample: Sample, completion: string) => task.reward(sample, completion) === 1;

t.test("names, sizes, version", async (t) => {
  t.same(Object.keys(microTasks), ["math", "code", "reasoning", "unseen-math", "unseen-code", "unseen-reasoning", "skill"]);
  for (const [name, task] of tasks) {
    t.equal(task.name, name);
    t.same(
      splits.map((split) => task.splits[split].length),
      [name.startsWith("unseen-") ? 100 : 2000, 200, 400],
      name,
    );
    t.equal(task.splits.test, task.splits.test, "drawn once");
    if (name !== "skill") {
      t.equal(task.label, skillOf[name]);
      t.ok(task.description);
    }
    for (const split of splits) {
      t.equal(new Set(task.splits[split].map((sample) => sample.id)).size, task.splits[split].length, "ids");
      t.equal(new Set(task.splits[split].map((sample) => sample.prompt)).size, task.splits[split].length, "prompts");
    }
  }
});

t.test("deterministic: recorded hashes of every split", async (t) => {
  // Change these only together with the tasks' version.
  const recorded: Record<string, string> = {
    math: "f899b653 66b7a99b 22bbc12d",
    code: "885387f3 aaf687c8 5dc050c4",
    reasoning: "80bc4c43 ce237bc3 d7aa8235",
    "unseen-math": "9d859f35 be9bada7 4136a359",
    "unseen-code": "2b005431 2e141e79 d625447a",
    "unseen-reasoning": "ad270fb7 fc8e66b 9d5766bf",
    skill: "42e7fd4a ab4c38de a07b1c6",
    documents: "274ba5f8",
  };
  for (const [name, task] of tasks) {
    const hashes = splits.map((split) => hashString(JSON.stringify(task.splits[split])).toString(16));
    t.equal(hashes.join(" "), recorded[name], name);
  }
  t.equal(hashString(JSON.stringify([...microDocuments(1, 2000)])).toString(16), recorded.documents, "pretraining documents");
  t.not(JSON.stringify([...microDocuments(2, 50)]), JSON.stringify([...microDocuments(1, 50)]));
});

t.test("splits are disjoint by content, and so are the pretraining documents", async (t) => {
  const keys = { train: new Set<unknown>(), validation: new Set<unknown>(), test: new Set<unknown>() };
  const reserved = new Set<string>();
  for (const [, task] of tasks) {
    for (const split of splits) {
      for (const sample of task.splits[split]) {
        if (splitOf(sample.key as string) !== split) t.fail(`${split} ${sample.prompt}`);
        keys[split].add(sample.key);
        if (split !== "train") reserved.add(sample.prompt as string);
      }
    }
  }
  t.ok([...keys.test].every((key) => !keys.train.has(key)));
  t.ok([...keys.validation].every((key) => !keys.train.has(key) && !keys.test.has(key)));
  t.ok(keys.test.size > 400, `${keys.test.size} different contents in the test splits`);

  let found = 0;
  for (const { prompt } of microDocuments(1, 60000)) {
    const bare = prompt.replace(/^\[[a-z ]+\] /, "");
    if (reserved.has(bare) || reserved.has(bare.replace("Which skill? ", ""))) found++;
  }
  t.equal(found, 0, "documents that hold a reserved prompt");
});

t.test("reserved contents are recomputed from the documents' own text", async (t) => {
  // Independent of the keys: the sums and programs written in documents against those of the gold test solutions.
  const program = (text: string) => /return (.+)$/.exec(text)?.[1] ?? "";
  const sums = (text: string) => /Think: (?:Recall: \d+; )?(.+ ####)/.exec(text)?.[1] ?? "";
  const programs = new Set<string>();
  const chains = new Set<string>();
  for (const name of ["code", "unseen-code"] as const)
    for (const s of microTasks[name].splits.test) programs.add(program(s.solution as string));
  for (const name of ["math", "unseen-math"] as const) for (const s of microTasks[name].splits.test) chains.add(sums(s.solution as string));
  t.notOk(programs.has("") || chains.has(""));
  let planned = 0;
  let thought = 0;
  for (const { prompt, completion } of microDocuments(3, 40000)) {
    // Guessed legs are wrong on purpose and may hit anything.
    if (prompt.includes("legs") || !/ (Plan|Think): [^x]/.test(completion)) continue;
    if (completion.includes("def ") && completion.includes("Plan: ")) {
      planned++;
      if (programs.has(program(completion))) t.fail(completion);
    } else if (completion.includes("####") && completion.includes("Think: ")) {
      thought++;
      if (chains.has(sums(completion))) t.fail(completion);
    }
  }
  t.ok(planned > 2000 && thought > 3000, `${planned} programs and ${thought} chains looked at`);
});

t.test("gold solutions are right, sloppy and distracted ones mostly wrong", async (t) => {
  for (const [name, task] of tasks) {
    for (const split of splits) {
      const wrong = task.splits[split].filter((sample) => !right(task, sample, sample.solution as string));
      t.same(wrong, [], `${name} ${split}`);
      t.ok(task.splits[split].every((sample) => sample.solution?.startsWith(" ")));
    }
  }
  const random = new Random(9, "sloppy");
  for (const kind of itemKinds) {
    const task = microTasks[kind];
    const rate = (habit: (length: number) => boolean[], distracted = false) => {
      let count = 0;
      for (let i = 0; i < 500; i++) {
        const item = drawItem(random, kind, "train");
        const other = (["think", "plan", "recall"] as const).find((h) => !item.habits.includes(h))!;
        const completion = distracted ? item.distracted!(other) : item.complete(habit(item.habits.length));
        if (right(task, { id: "", prompt: item.prompt, answer: item.answer }, completion)) count++;
      }
      return count / 500;
    };
    const limit = skillOf[kind] === "reasoning" ? 0.35 : 0.12;
    t.ok(rate((n) => new Array<boolean>(n).fill(false)) < limit, `${kind} sloppy`);
    if (!kind.startsWith("unseen-")) t.ok(rate(() => [], true) < limit, `${kind} distracted`);
    else t.ok(rate(() => [true, false]) < 0.6, `${kind} with the first habit only`);
    t.equal(
      rate((n) => new Array<boolean>(n).fill(true)),
      1,
      `${kind} good`,
    );
  }
});

t.test("the answer must stand at the end and in its form", async (t) => {
  const sample = (answer: string): Sample => ({ id: "", prompt: "", answer });
  const check = (name: MicroTaskName, answer: string, good: string[], bad: string[]) => {
    for (const text of good) t.ok(right(microTasks[name], sample(answer), text), `${name} right: ${JSON.stringify(text)}`);
    for (const text of bad) t.notOk(right(microTasks[name], sample(answer), text), `${name} wrong: ${JSON.stringify(text)}`);
  };
  check(
    "math",
    "9",
    [" #### 9", "#### 9 \n", " #### 8 #### 9"],
    ["", " 9", " ####9", " #### 9 #### 8", " #### 9.", " #### 9 or 10", " #### 09", " #### 19", " #### 9e0", " #### -9", " x#### 9"],
  );
  check("math", "0", [" #### 0"], [" #### -0", " #### 00"]);
  check(
    "reasoning",
    "red",
    [" Answer: red", "Recall: red. Answer: red"],
    [
      "",
      " red",
      " Answer: Red",
      " Answer: red.",
      " Answer: red, blue",
      " Answer: red Answer: blue",
      " Answer: reds",
      " Answer:red",
      " NoAnswer: red",
    ],
  );
  check(
    "code",
    "def f(x): return x + 1",
    [" def f(x): return 1 + x"],
    [
      "",
      "x + 1",
      " def f(x): return x + 1; x",
      " def g(x): return x + 1",
      " def f(x): return eval('x + 1')",
      " def f(x): return x + 1 # ok",
    ],
  );
  check(
    "skill",
    "math",
    [" Skill: math", "Skill: math\n"],
    ["", "math", " Skill: code", " Skill: math code", " Skill: math|code|reasoning", " Skill: code Skill: math", " The Skill: math"],
  );
  for (const [, task] of tasks) {
    const item = task.splits.test[0]!;
    for (const text of ["#### ".repeat(1e5), "Answer: ".repeat(1e5), `${" ".repeat(1e5)}x`, "\u0000\ufffd", "-".repeat(1e6)])
      t.notOk(right(task, item, text));
  }
});

t.test("pretraining documents have the shape the script expects", async (t) => {
  const kinds = { tagged: 0, skill: 0, drill: 0 };
  for (const document of microDocuments(5, 3000)) {
    if (!document.completion.startsWith(" ") || document.prompt === "") t.fail(JSON.stringify(document));
    if (document.prompt.startsWith("[")) kinds.tagged++;
    if (document.completion.startsWith(" Skill: ")) kinds.skill++;
    if (document.learnAfter !== undefined) {
      kinds.drill++;
      for (const sum of document.completion.trim().split("; ")) {
        const [, a, operator, b, result] = /^(\d+) ([+*-]) (\d+) = (-?\d+)$/.exec(sum)!;
        const expected = operator === "+" ? Number(a) + Number(b) : operator === "-" ? Number(a) - Number(b) : Number(a) * Number(b);
        if (Number(result) !== expected) t.fail(sum);
      }
    }
  }
  t.ok(kinds.tagged > 450 && kinds.tagged < 750, "a quarter of the items is tagged");
  t.ok(kinds.skill > 160 && kinds.skill < 330);
  t.ok(kinds.drill > 60);
});

t.test("models/micro/dispatch.json says what the classification task asks", async (t) => {
  const dispatch = JSON.parse(readFileSync(new URL("../../models/micro/dispatch.json", import.meta.url), "utf8"));
  t.equal(dispatch.prompt.replace("{prompt}", "Why?"), classificationPrompt("Why?"));
  t.same(Object.keys(dispatch.labels), skills);
  const sample = microTasks.skill.splits.test[0]!;
  t.equal(`${dispatch.prefix}${dispatch.labels[sample.answer]}`, sample.solution);
});
