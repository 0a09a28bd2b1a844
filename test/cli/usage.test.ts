// What is wrong on the command line itself: exit status 2, a message that names it, and nothing loaded or written.
import { readdirSync, readFileSync } from "node:fs";
import t from "tap";
import { t2, t2Here } from "../support/cli.js";

t.test("help and version", async (t) => {
  const cwd = t.testdir();
  const help = await t2(["--help"], { cwd });
  t.equal(help.status, 0);
  for (const name of ["doctor", "decompose", "train", "evaluate", "adapt", "generate", "demo"])
    t.match(help.stdout, new RegExp(`^  ${name} `, "m"));
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  t.same(await t2(["--version"], { cwd }), { status: 0, signal: null, stdout: `${version}\n`, stderr: "" });
  const train = await t2Here(["help", "train"]);
  t.match(train.stdout, /--learning-rate/);
  t.match(train.stdout, /unseen-reasoning/, "the built-in tasks are named");
});

t.test("usage errors", (t) => {
  const wrong: [string, string[], RegExp][] = [
    ["no such command", ["generat", "x"], /unknown command 'generat'[\s\S]*generate/],
    ["no such option", ["generate", "--temprature", "1", "x"], /unknown option '--temprature'[\s\S]*--temperature/],
    ["no number", ["generate", "--max-tokens", "many", "x"], /--max-tokens.*'many'.*whole number/],
    ["no whole number", ["generate", "--seed", "1.5", "x"], /whole number/],
    ["no mixture", ["generate", "--mix", "math:1", "x"], /math=0\.7,code=0\.3/],
    ["one expert twice in a mixture", ["generate", "--mix", "a=1,a=0", "x"], /"a" occurs twice/],
    ["a weight that is no number", ["generate", "--mix", "a=x", "x"], /must be a number/],
    ["an empty name in a list", ["adapt", "--experts", "a,,b", "x"], /without empty items/],
    ["not one of the choices", ["adapt", "--strategy", "guess", "x"], /Allowed choices are prompt, classifier, few-shot/],
    ["a required option left out", ["train"], /required option '-t, --task/],
    ["an option without its value", ["evaluate", "--task"], /argument missing/],
    ["an argument too many", ["doctor", "now"], /too many arguments/],
  ];
  for (const [name, args, message] of wrong) {
    t.test(name, async (t) => {
      const cwd = t.testdir();
      process.chdir(cwd);
      const result = await t2Here(args);
      t.equal(result.status, 2);
      t.match(result.stderr, message);
      t.match(result.stderr, /t2 help/);
      t.equal(result.stdout, "");
      t.same(readdirSync(cwd), []);
    });
  }
  t.end();
});

t.test("failures that the library tells: code, message and hint on stderr, exit status 1", (t) => {
  const failing: [string, string[], RegExp][] = [
    ["no model", ["generate", "-m", "nowhere", "x"], /^t2: ERR_T2_MODEL_NOT_FOUND: .*nowhere[\s\S]*\nhint: --model takes a folder/],
    ["no task", ["evaluate", "-t", "nothing"], /^t2: ERR_T2_INVALID_TASK: .*"nothing"[\s\S]*word-problems[\s\S]*\nhint: /],
    ["no task file", ["train", "-t", "nothing.jsonl"], /^t2: ERR_T2_INVALID_TASK: .*nothing\.jsonl/],
    ["a malformed task file", ["train", "-t", "bad.jsonl"], /^t2: ERR_T2_INVALID_TASK: bad\.jsonl:2: /],
    ["no reward module", ["train", "-t", "good.jsonl", "--reward", "none.js"], /^t2: ERR_T2_INVALID_TASK: .*none\.js/],
    ["a file's option for a built-in task", ["train", "-t", "math", "--grader", "exact"], /^t2: ERR_T2_INVALID_OPTION: .*"grader"/],
    ["an empty prompt", ["generate", ""], /^t2: ERR_T2_INVALID_PROMPT: .*\nhint: .*pipe/],
    ["an empty pipe", ["generate", "-"], /^t2: ERR_T2_INVALID_PROMPT: /],
    ["two ways to answer", ["generate", "--expert", "a", "--adapt", "prompt", "x"], /^t2: ERR_T2_INVALID_OPTION: .*--mix/],
    ["few-shot without shots", ["adapt", "-s", "few-shot", "x"], /^t2: ERR_T2_INVALID_OPTION: .*--shots/],
    ["shots without few-shot", ["adapt", "-s", "prompt", "--shots", "math", "x"], /^t2: ERR_T2_INVALID_OPTION: .*"prompt"/],
  ];
  for (const [name, args, message] of failing) {
    t.test(name, async (t) => {
      const files = { "bad.jsonl": '{"prompt":"a","answer":"b"}\n{"prompt":"a"}\n', "good.jsonl": '{"prompt":"a","answer":"b"}\n' };
      const cwd = t.testdir(files);
      process.chdir(cwd);
      const result = await (args.includes("-") ? t2(args, { cwd }) : t2Here(args));
      t.equal(result.status, 1);
      t.match(result.stderr, message);
      t.notMatch(result.stderr, /\n {4}at /, "no stack");
      t.equal(result.stdout, "");
      t.same(readdirSync(cwd).sort(), Object.keys(files), "nothing was written");
    });
  }
  t.test("as JSON", async (t) => {
    const result = await t2(["generate", "--json", "-m", "nowhere", "x"], { cwd: t.testdir() });
    t.equal(result.status, 1);
    t.match(JSON.parse(result.stderr), { error: { code: "ERR_T2_MODEL_NOT_FOUND", message: /nowhere/, hint: /--model/ } });
  });
  t.end();
});
