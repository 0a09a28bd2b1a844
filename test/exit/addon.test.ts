// How a process ends while native work runs: its own exit code, no signal, no hang, and nothing printed by a dying library.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { writeTinyModel } from "../support/tiny-model.js";

t.setTimeout(120_000);
const folder = writeTinyModel(join(t.testdir(), "tiny"), {
  hiddenSize: 128,
  intermediateSize: 256,
  layers: 4,
  heads: 4,
  contextLength: 4096,
});
const child = fileURLToPath(new URL("../support/addon-exit-child.ts", import.meta.url));

function run(scenario: string) {
  const began = performance.now();
  const args = [...process.execArgv, "--expose-gc", child, folder, scenario];
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 60_000 });
  return { status, signal, stdout: stdout.trim(), stderr, took: performance.now() - began };
}

t.test("process.exit() in a listener, and from a timer with load, decomposition and generation running", async (t) => {
  for (const scenario of ["exit", "exit-with-everything"])
    for (let i = 0; i < 3; i++) t.match(run(scenario), { status: 7, signal: null, stdout: "", stderr: "" }, `${scenario}, ${i}`);
});

t.test("an exception thrown by a listener is the process' uncaught exception", async (t) => {
  const thrown = run("throw");
  t.match(thrown, { status: 1, signal: null });
  t.match(thrown.stderr, /Error: thrown by a listener\n\s+at .*addon-exit-child\.ts/);
  t.match(run("catch"), { status: 0, signal: null, stdout: "caught: thrown by a listener\ndone" });
});

t.test("work in flight keeps the process alive, an open model does not", async (t) => {
  t.match(run("wait"), { status: 0, signal: null, stdout: "28" });
  t.match(run("idle"), { status: 0, signal: null, stdout: "" });
});

t.test("models that are garbage collected close themselves", async (t) => {
  t.match(run("collect"), { status: 0, signal: null, stdout: "collected" });
});
