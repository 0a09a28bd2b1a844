// `npm test`: the set-up, then lint, then tap; one line per test file, and what failed in full. The last line says
// "N passed, N failed, N skipped" over all of them.
//
//   npm test -- test/unit test/native/svd.test.ts     only these, and no lint; tap's other options pass through

import { spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { at, root } from "./setup/shell.mjs";
import { testArguments } from "./setup/test-files.mjs";

const selected = testArguments(process.argv.slice(2));
const totals = { pass: 0, fail: 0, skip: 0 };

const setup = spawnSync(process.execPath, [at("scripts", "setup.mjs")], { cwd: root, stdio: "inherit" });
if (setup.status !== 0) process.exit(setup.status ?? 1);

if (selected.length === 0) {
  const { lint } = await import("./lint.mjs");
  for (const { status } of lint()) totals[status]++;
}

// A Ctrl-C reaches tap as well, which ends its tests and then itself; wait for that.
process.on("SIGINT", () => {});
const tap = spawn(process.execPath, [at("node_modules", "tap", "dist", "esm", "run.mjs"), "run", "--reporter=tap", ...selected], {
  cwd: root,
  stdio: ["ignore", "pipe", "inherit"],
});
const ended = new Promise((resolve) => tap.on("close", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 1))));
const skips = new Map();
let file = []; // the indented lines of the test file that is reported now
for await (const line of createInterface({ input: tap.stdout })) {
  const skip = /^ *ok \d+ - (.*?) # (?:time=\S+ )?SKIP ?(.*)$/.exec(line);
  if (skip !== null) skips.set(skip[2], [...(skips.get(skip[2]) ?? []), skip[1]]);
  const result = /^(ok|not ok) \d+ - (.*?)(?: # time=([\d.]+)ms)?(?: \{)?$/.exec(line);
  // tap's own count is the last comment of its output: # { total: 9, pass: 8, fail: 1, skip: 0 }
  const counts = /^# \{ (total: .*) \}$/.exec(line)?.[1];
  if (line.startsWith(" ")) file.push(line);
  else if (result !== null) {
    process.stdout.write(`${result[1]} ${result[2]} (${(Number(result[3] ?? 0) / 1000).toFixed(1)} s)\n`);
    if (result[1] === "not ok") process.stdout.write(`${failuresIn(file).join("\n")}\n`);
    file = [];
  } else if (counts !== undefined) {
    for (const [, name, count] of counts.matchAll(/(pass|fail|skip): (\d+)/g)) totals[name] += Number(count);
  } else if (line.startsWith("Bail out!")) process.stdout.write(`${line}\n`);
}
const status = await ended;

for (const [reason, [first, ...others]] of skips) {
  process.stdout.write(`skipped: ${first}${others.length > 0 ? ` and ${others.length} more` : ""}: ${reason || "no reason given"}\n`);
}
if (status !== 0 && totals.fail === 0) totals.fail = 1; // tap itself failed: a bad option, no tests found, a signal
process.stdout.write(`\n${totals.pass} passed, ${totals.fail} failed${totals.skip > 0 ? `, ${totals.skip} skipped` : ""}\n`);
process.exitCode = status !== 0 ? status : totals.fail > 0 ? 1 : 0;

/** The failed assertions of one file with their diagnostics, under the names of their tests; what passed is left out. */
function failuresIn(lines) {
  const kept = [];
  let keeping = false;
  for (const line of lines) {
    if (/^ *(ok \d+|not ok \d+|# |\d+\.\.\d+)/.test(line)) keeping = /^ *not ok/.test(line);
    if (!keeping) continue;
    kept.push(line);
    if (/ # time=[\d.]+ms$/.test(line)) keeping = false; // a test that holds the failed ones: its own diagnostic says nothing new
  }
  return kept;
}
