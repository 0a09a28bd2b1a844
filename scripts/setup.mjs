// Makes a fresh clone ready to run: system tools, node_modules, the native addon, dist/. `npm run demo`, `npm test` and `npm run bench` call it first.
//
//   node scripts/setup.mjs [--openblas system|wheel]
//
// Plain Node without dependencies, since it runs before there are any. Each step compares what is there with what should be and does only what
// is missing; a mark is written after a step has succeeded, so an interrupted run continues where it stopped. Nothing to do takes a quarter of
// a second.

import { performance } from "node:perf_hooks";
import { buildNative, buildTypeScript, installModules } from "./setup/build.mjs";
import { withLock } from "./setup/lock.mjs";
import { openblasSource } from "./setup/openblas.mjs";
import { SetupError, say } from "./setup/shell.mjs";
import { checkNode, ensureTools } from "./setup/tools.mjs";

function chosenOpenblas() {
  const flag = process.argv.indexOf("--openblas");
  const choice = flag > 0 ? process.argv[flag + 1] : (process.env.T2_OPENBLAS ?? "auto");
  if (!["auto", "system", "wheel"].includes(choice)) {
    throw new SetupError(`--openblas (or T2_OPENBLAS) must be system or wheel, but is ${JSON.stringify(choice)}.`);
  }
  return choice;
}

const start = performance.now();
try {
  checkNode();
  const wish = chosenOpenblas();
  await withLock(() => {
    const tools = ensureTools({ openblas: wish });
    const openblas = openblasSource(wish);
    const done = [installModules(), buildNative(openblas), buildTypeScript()];
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    say(done.includes(true) ? `ready after ${seconds} s` : `nothing to do (${tools}, OpenBLAS: ${openblas}; ${seconds} s)`);
  });
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`\nset-up stopped: ${error.message}\n`);
  process.exitCode = 1;
}
