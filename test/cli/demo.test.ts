// The demo's steps on a tiny model with tasks from files: everything is told, the report is written; Ctrl-C leaves nothing broken.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { Expert } from "../../lib/svf/expert.js";
import { Transformer2 } from "../../lib/transformer2.js";
import { letterTask, t2 } from "../support/cli.js";
import { writeTinyModel } from "../support/tiny-model.js";

const files = {
  "small.jsonl": letterTask("abcdefghijklmnop"),
  "large.jsonl": letterTask("ABCDEFGHIJKLMNOP"),
  "digits.jsonl": letterTask("0123456789"),
};
const cwd = t.testdir(files);
process.env["T2_CACHE"] = join(cwd, "cache");
const model = writeTinyModel(join(cwd, "model"), { contextLength: 512 });
const base = await Transformer2.load(model);
const z = (value: number) => Object.fromEntries(base.info.matrices.map((m) => [m.name, new Float32Array(m.rank).fill(value)]));
for (const [name, value] of [
  ["large", 1.2],
  ["classifier", 0.9],
] as const)
  await Expert.from(z(value), { name, base: base.info }).save(join(model, "experts", `${name}.safetensors`));
await base[Symbol.asyncDispose]();
const args = ["demo", "-m", "model", "--tasks", "small.jsonl,large.jsonl", "--unseen", "digits.jsonl", "--quick", "--max-tokens", "6"];

t.test("from the first line to the report", async (t) => {
  const { status, stdout, stderr } = await t2([...args, "--steps", "2", "--report", "out/report.html"], { cwd });
  t.equal(status, 0, stderr);
  for (const part of [
    /^1\. This machine\nok node /,
    /^2\. Every weight matrix is decomposed.*\n14 matrices in/m,
    /^3\. The base model.*\n {3}small +\d\/4 right/m,
    /^4\. An expert for small is trained: 2 steps/m,
    /^\d+ numbers learnt; step \d kept\. On test items: \d\/4 right/m,
    /^5\. Each prompt chooses its weights \(experts: classifier, .*large/m,
    /first pass \(classifier\): .* -> /,
    /^ {3}right answers +base +prompt +classifier$/m,
    /^6\. 10 solved examples of digits/m,
    /^ {3}16 mixtures in /m,
    /^ {3}few-shot +\d\/2 right/m,
    /^Done in .*\. Report: out\/report\.html\n$/m,
  ])
    t.match(stdout, part);
  const html = readFileSync(join(cwd, "out", "report.html"), "utf8");
  t.match(html, /<\/html>\n$/);
  for (const title of [
    "Training the small expert live",
    "Before and after training",
    "What the first pass decided: classifier",
    "Weights of the experts",
    "Few-shot search on digits",
    "One prompt of each kind",
  ])
    t.match(html, title);
  t.equal(html.match(/<svg/g)!.length, 8);
  t.same(readdirSync(cwd).sort(), ["cache", "digits.jsonl", "large.jsonl", "model", "out", "small.jsonl"], "nothing else was written");
});

t.test("--json prints everything and tells nothing else", async (t) => {
  const { status, stdout, stderr } = await t2([...args, "--steps", "2", "--json"], { cwd });
  t.equal(status, 0, stderr);
  t.equal(stderr, "");
  t.match(JSON.parse(stdout), {
    report: "demo-report.html",
    model: { name: "model" },
    training: { task: "small", steps: 2, before: { total: 4 }, after: { total: 4 } },
    dispatches: [{ strategy: "prompt" }, { strategy: "classifier" }],
    fewShot: { test: [{ name: "base" }, { name: "uniform mix" }, {}, { name: "few-shot" }] },
  });
});

t.test("Ctrl-C at any point: status 130, no report, and what follows works", async (t) => {
  const moments = [
    ["decomposing", /^2\. /m, "2"],
    ["training", /^step 0/m, "2000"],
    ["adapting", /^5\. /m, "2"],
    ["searching", /^few-shot 1/m, "2"],
  ] as const;
  for (const [name, moment, steps] of moments) {
    let sent = false;
    const result = await t2([...args, "--report", "never.html", "--steps", steps], {
      cwd,
      environment: { T2_CACHE: join(cwd, `cache-${name}`) },
      watch: (soFar, child) => {
        if (!sent && moment.test(soFar)) sent = child.kill("SIGINT");
      },
    });
    t.equal(result.status, 130, `${name}: ${result.stderr}`);
    t.match(result.stderr, /Stopped\.\n$/);
    t.notOk(existsSync(join(cwd, "never.html")), name);
  }
  const after = await t2(["decompose", "-m", "model", "--json"], { cwd, environment: { T2_CACHE: join(cwd, "cache-decomposing") } });
  t.same(JSON.parse(after.stdout).redone, [], "an interrupted cache is sound");
});
