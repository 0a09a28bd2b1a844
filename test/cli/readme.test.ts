// What the README promises a newcomer: its first example, its commands, an expert for a task of one's own by file and by code.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { Transformer2 } from "../../lib/index.js";

const readme = readFileSync("README.md", "utf8");
const cache = t.testdir({});
const env = { ...process.env, T2_CACHE: join(cache, "cache"), STEPS: "2" };

function run(...args: string[]) {
  const done = spawnSync(process.execPath, ["--import", "./scripts/typescript-loader.mjs", ...args], { env, encoding: "utf8" });
  return { status: done.status, out: done.stdout, err: done.stderr };
}
const t2cli = (...args: string[]) => run("lib/cli/index.ts", ...args);

t.test("the first example decides what its comment says, and the answer differs from the base's", async (t) => {
  const [, prompt] = /t2\.adapt\("([^"]+)"\)/.exec(readme) ?? [];
  const experts = /experts: \[([^\]]+)\] \}\);\nconst adapted/.exec(readme)?.[1]?.match(/\w+/g) ?? [];
  t.same(experts, ["math", "code", "reasoning"]);
  const t2 = await Transformer2.load("models/micro", { experts, factors: join(cache, "factors") });
  try {
    const adapted = await t2.adapt(prompt as string);
    t.same(adapted.weights, { math: 1, code: 0, reasoning: 0 });
    let text = "";
    for await (const piece of adapted.stream()) text += piece;
    t.match(text, /Think: 9 - 4 = 5 #### 5/);
    t.not(text, (await t2.generate(prompt as string)).text);
  } finally {
    await t2[Symbol.asyncDispose]();
  }
});

t.test("every command it lists exists", async (t) => {
  const { out } = t2cli("help");
  const listed = [...readme.matchAll(/^\| `t2 (\w+)` \|/gm)].map(([, name]) => name as string);
  t.ok(listed.length >= 7);
  for (const name of listed) t.match(out, new RegExp(`^  ${name}\\b`, "m"), name);
});

t.test("an own task from a file: train, evaluate, generate", async (t) => {
  const animals = ["fox", "cat", "dog", "owl", "hen", "bee", "ant", "cow", "pig", "bat", "elk", "rat"];
  const [, example] = /^(\{"prompt".*\})$/m.exec(readme) ?? [];
  t.same(JSON.parse(example as string), { prompt: "Which animal is named here: fox?", answer: "fox" });
  const file = join(cache, "animals.jsonl");
  writeFileSync(file, animals.map((a) => `${(example as string).replaceAll("fox", a)}\n`).join(""));
  const folder = join(cache, "run");
  const model = ["--model", "models/micro"];
  const task = [...model, "--task", file, "--grader", "regex", "--max-tokens", "8"];
  const trained = t2cli("train", ...task, "--steps", "2", "--validate-every", "1", "--out", folder, "--json");
  t.equal(trained.status, 0, trained.err);
  const expert = join(folder, "best.safetensors");
  const evaluated = t2cli("evaluate", ...task, "--expert", expert, "--json");
  t.equal(evaluated.status, 0, evaluated.err);
  t.match(JSON.parse(evaluated.out), { task: { name: "animals" }, split: "test", total: Number });
  const written = t2cli("generate", ...model, "--expert", expert, "--max-tokens", "8", "Which animal is named here: owl?");
  t.equal(written.status, 0, written.err);
  t.ok(written.out.trim().length > 0);
});

t.test("an own task in code: examples/own-task.ts", async (t) => {
  const { status, out, err } = run("examples/own-task.ts");
  t.equal(status, 0, err);
  t.match(out, /step 2: mean reward/);
  t.match(out, /right before \d\/3, after \d\/3; 2 steps/);
});
