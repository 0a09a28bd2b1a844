// Every command on a tiny model: what it prints, and that --json prints what the library call returns.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { evaluate } from "../../lib/evaluate/evaluate.js";
import { Expert } from "../../lib/svf/expert.js";
import { loadJsonlTask } from "../../lib/tasks/jsonl-task.js";
import { Transformer2 } from "../../lib/transformer2.js";
import { letterTask, t2, t2Here } from "../support/cli.js";
import { writeTinyModel } from "../support/tiny-model.js";

const cwd = t.testdir({ "letters.jsonl": letterTask() });
process.env["T2_CACHE"] = join(cwd, "cache");
const model = writeTinyModel(join(cwd, "model"), { contextLength: 512 });
const library = await Transformer2.load(model);
t.teardown(() => library[Symbol.asyncDispose]());
const about = { base: library.info };
const z = (value: number) => Object.fromEntries(library.info.matrices.map((m) => [m.name, new Float32Array(m.rank).fill(value)]));
const experts = [Expert.from(z(1.3), { ...about, name: "math", description: "numbers" }), Expert.from(z(0.8), { ...about, name: "code" })];
for (const expert of experts) await expert.save(join(model, "experts", `${expert.name}.safetensors`));
await library.experts.add("math");
await library.experts.add("code");
process.chdir(cwd);
const run = (...args: string[]) => t2Here([...args, "-m", "model"]);
const json = async (...args: string[]) => {
  const result = await run(...args, "--json");
  if (result.status !== 0) throw new Error(result.stderr);
  return JSON.parse(result.stdout) as Record<string, unknown>;
};

t.test("doctor", async (t) => {
  const { status, stdout } = await run("doctor");
  t.equal(status, 0);
  for (const name of ["node", "addon", "processor", "blas", "cuda", "model", "generation"])
    t.match(stdout, new RegExp(`^(ok|--) ${name} `, "m"));
  t.match(stdout, /^ok experts {7}2 beside/m);
  const report = await json("doctor");
  t.equal(report["healthy"], true);
  t.match(report["runtime"], { version: library.report().version, model: { name: "model" } });
  const broken = await t2Here(["doctor", "-m", "nowhere"]);
  t.equal(broken.status, 1);
  t.match(broken.stdout, /^!! model {9}ERR_T2_MODEL_NOT_FOUND/m);
  const native = await t2(["doctor", "--json"], { cwd, environment: { T2_NATIVE: join(cwd, "none.node") } });
  t.equal(native.status, 1);
  t.match(JSON.parse(native.stdout).findings, [{}, {}, { name: "addon", status: "problem", value: /ERR_T2_NATIVE_NOT_FOUND/ }]);
});

t.test("decompose", async (t) => {
  const first = await run("decompose", "--targets", "mlp");
  t.match(first.stdout, /^6 matrices in .*: \d computed, \d found in the cache\n/);
  t.match(first.stderr, /^load /m, "plain lines where stderr is no terminal");
  t.notOk(first.stderr.includes("\u001b") || first.stderr.includes("\r"));
  const report = await json("decompose", "--targets", "mlp");
  t.match(report, { computed: 0, reused: 6, redone: [], folder: join(cwd, "cache") });
  t.equal((report["matrices"] as object[]).length, 6);
  t.match(await run("decompose", "--targets", "x"), { status: 1, stderr: /ERR_T2_INVALID_OPTION: .*"targets"/ });
});

t.test("generate", async (t) => {
  const base = await library.generate("hello", { maxTokens: 12 });
  const { cost: _, tokens, promptTokens, ...rest } = base;
  const printed = await json("generate", "--max-tokens", "12", "hello");
  t.match(printed, rest);
  t.same(printed["tokens"], [...tokens]);
  t.same(printed["promptTokens"], [...promptTokens]);
  const text = await run("generate", "--max-tokens", "12", "hello");
  t.equal(text.stdout, base.text.endsWith("\n") ? base.text : `${base.text}\n`);
  const piped = await t2(["generate", "-m", "model", "--max-tokens", "12", "--json", "-"], { cwd, input: "hello\n" });
  t.same(JSON.parse(piped.stdout).tokens, [...tokens], "the newline at the end of the input is not part of the prompt");
  const expert = await library.generate("hello", { maxTokens: 12, adapter: "math", temperature: 1, seed: 3 });
  t.same((await json("generate", "--expert", "math", "--max-tokens", "12", "--temperature", "1", "--seed", "3", "hello"))["tokens"], [
    ...expert.tokens,
  ]);
  const byPath = await json(
    "generate",
    "--expert",
    "model/experts/math.safetensors",
    "--max-tokens",
    "12",
    "--temperature",
    "1",
    "--seed",
    "3",
    "hello",
  );
  t.same(byPath["tokens"], [...expert.tokens]);
  const mixed = await library.generate({ text: "hello" }, { maxTokens: 12, adapter: { weights: { math: 0.5, code: 0.25 } } });
  t.same((await json("generate", "--mix", "math=0.5,code=0.25", "--max-tokens", "12", "--raw", "hello"))["tokens"], [...mixed.tokens]);
  const adapted = await run("generate", "--adapt", "prompt", "--margin", "1", "--max-tokens", "12", "hello");
  t.match(adapted, { status: 0, stderr: /^adapted: base$/m, stdout: base.text });
  const system = await library.generate(
    [
      { role: "system", content: "be brief" },
      { role: "user", content: "hello" },
    ],
    { maxTokens: 12 },
  );
  t.same((await json("generate", "--system", "be brief", "--max-tokens", "12", "hello"))["tokens"], [...system.tokens]);
  t.match(await run("generate", "--expert", "none", "hello"), {
    status: 1,
    stderr: /ERR_T2_EXPERT_NOT_FOUND: .*"none"[\s\S]*hint: --experts/,
  });
  t.match(await run("generate", "--max-tokens", "100000", "hello"), { status: 1, stderr: /ERR_T2_PROMPT_TOO_LONG/ });
});

t.test("adapt", async (t) => {
  const decision = await library.adapt("one and two");
  const { cost: _, ...rest } = JSON.parse(JSON.stringify(decision)) as Record<string, unknown>;
  const printed = await json("adapt", "one and two");
  t.match(printed, { strategy: rest["strategy"], weights: rest["weights"], abstained: rest["abstained"], adapter: rest["adapter"] });
  t.same(Object.keys(printed["scores"] as object), ["code", "math", "other"], "files in the order of their names");
  const told = await run("adapt", "one", "and", "two");
  t.match(told.stdout, /^strategy {2}prompt\ndecided {3}/);
  t.match(told.stdout, /^other +0\.\d{3}$/m);
  t.match(told.stdout, /tokens read, 0 written; first-pass /);
  const free = await json("adapt", "--way", "generate", "x");
  t.match(free["detail"], { label: "other" });
  const shots = await json(
    "adapt",
    "--shots",
    "letters.jsonl",
    "--count",
    "3",
    "--population",
    "4",
    "--generations",
    "2",
    "--max-tokens",
    "3",
  );
  t.match(shots, { strategy: "few-shot", detail: { evaluations: 8, shots: ["line-1", "line-2", "line-5"] } });
  const table = await run(
    "adapt",
    "--shots",
    "letters.jsonl",
    "--count",
    "2",
    "--population",
    "2",
    "--generations",
    "1",
    "--max-tokens",
    "2",
  );
  t.match(table.stdout, /^single:code +\d\/2 /m);
  t.match(await run("adapt", "-s", "classifier", "x"), { status: 1, stderr: /ERR_T2_EXPERT_NOT_FOUND: .*classif/ });
});

t.test("evaluate", async (t) => {
  const task = await loadJsonlTask(join(cwd, "letters.jsonl"), { grader: "regex", maxTokens: 6 });
  const { items, milliseconds: _, time: __, ...rest } = await evaluate(library, task, { adapter: "math" });
  const printed = await json(
    "evaluate",
    "-t",
    "letters.jsonl",
    "--grader",
    "regex",
    "--max-tokens",
    "6",
    "--expert",
    "math",
    "-o",
    "result.json",
  );
  t.match(printed, rest);
  t.same((printed["items"] as unknown[]).length, items.length);
  t.same(JSON.parse(readFileSync(join(cwd, "result.json"), "utf8")), printed);
  t.match(
    (await run("evaluate", "-t", "letters.jsonl", "--limit", "2", "--max-tokens", "2")).stdout,
    /^letters \(test\): \d of 2 right, .* % \[.*\]\nanswered by base; /,
  );
  const adapted = await json("evaluate", "-t", "letters.jsonl", "--adapt", "prompt", "--margin", "0", "--limit", "3", "--max-tokens", "2");
  t.ok(
    (adapted["adapters"] as string[]).every((name) => ["base", "math=1", "code=1", "math", "code"].includes(name)),
    JSON.stringify(adapted["adapters"]),
  );
});

t.test("train", async (t) => {
  const args = [
    "train",
    "-t",
    "letters.jsonl",
    "--grader",
    "regex",
    "--max-tokens",
    "4",
    "--steps",
    "2",
    "--prompts",
    "2",
    "--samples",
    "2",
    "--validation-items",
    "4",
    "--name",
    "letters",
  ];
  const told = await run(...args, "--out", "run", "--save", "letters.safetensors");
  t.equal(told.status, 0, told.stderr);
  t.match(
    told.stdout,
    /^expert "letters": \d+ numbers, 2 steps in .*\nvalidation \d\/4 -> \d\/4, step \d kept\nwritten to letters\.safetensors\nwritten to run\/best\.safetensors\n$/,
  );
  t.match(told.stderr, /^step 0\/2 {2}validation \d\/4 /m);
  t.ok(existsSync(join(cwd, "run", "best.safetensors")));
  const saved = await Expert.load(join(cwd, "letters.safetensors"));
  const again = await json(...args, "--out", "run");
  t.match(again, { steps: 2, expert: { name: "letters", hash: saved.hash } }, "the run is there already and ends the same");
  t.notOk("vectors" in (again["expert"] as object));
  const answer = await run("generate", "--expert", "letters.safetensors", "--max-tokens", "2", "say a");
  t.equal(answer.status, 0, "the expert can be used at once");
  t.match(await run(...args, "--out", "run", "--seed", "5"), { status: 1, stderr: /ERR_T2_INVALID_RUN: .*seed[\s\S]*hint: .*--out/ });
  writeFileSync(join(cwd, "reward.mjs"), "export const reward = (sample, completion) => completion.length > 2 ? 1 : -1;\n");
  const custom = await json(...args, "--reward", "reward.mjs");
  t.match(custom, { steps: 2, settings: { name: "letters" } });
  t.match((await run(...args, "--steps", "1")).stdout, /not written: give --save FILE or --out FOLDER/);
});
