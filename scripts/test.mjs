// `npm test`: the set-up, then lint, then tap; the last line says "N passed, N failed, N skipped" over all of them.
//
//   npm test -- test/unit test/native/svd.test.ts     only these (and no lint); other tap options pass through

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { at, root } from "./setup/shell.mjs";

const selected = process.argv.slice(2);

function node(args) {
  const result = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  if (result.signal === "SIGINT") process.exit(130);
  return result.status ?? 1;
}

const setup = node([at("scripts", "setup.mjs")]);
if (setup !== 0) process.exit(setup);

const totals = { pass: 0, fail: 0, skip: 0 };
if (selected.length === 0) {
  const { lint } = await import("./lint.mjs");
  for (const { status } of lint()) totals[status]++;
}

mkdirSync(at(".cache"), { recursive: true });
const scratch = mkdtempSync(at(".cache", "tap-"));
const tapFile = join(scratch, "out.tap");
const reporter = process.stdout.isTTY ? "base" : "terse";
const status = node([
  at("node_modules", "tap", "dist", "esm", "run.mjs"),
  "run",
  `--reporter=${reporter}`,
  `--output-file=${tapFile}`,
  ...selected,
]);

const tap = readFileSync(tapFile, "utf8");
rmSync(scratch, { recursive: true, force: true });
const skips = [...tap.matchAll(/^ *ok \d+ - (.*?) # (?:time=\S+ )?SKIP ?(.*)$/gm)];
if (skips.length > 0) {
  const reasons = new Map();
  for (const [, name, reason] of skips) reasons.set(reason, [...(reasons.get(reason) ?? []), name]);
  process.stdout.write("\nskipped:\n");
  for (const [reason, [first, ...others]] of reasons) {
    process.stdout.write(`  ${reason || "no reason given"}: ${first}${others.length > 0 ? ` and ${others.length} more` : ""}\n`);
  }
}

// tap's own count is the last comment of its output: # { total: 9, pass: 8, fail: 1, skip: 0 }
const counts = [...tap.matchAll(/^# \{ (total: .*) \}$/gm)].at(-1)?.[1] ?? "";
for (const [, name, count] of counts.matchAll(/(pass|fail|skip): (\d+)/g)) totals[name] += Number(count);
if (status !== 0 && totals.fail === 0) totals.fail = 1; // tap itself failed: a bad option, no tests found, a signal
process.stdout.write(`\n${totals.pass} passed, ${totals.fail} failed${totals.skip > 0 ? `, ${totals.skip} skipped` : ""}\n`);
process.exitCode = status !== 0 ? status : totals.fail > 0 ? 1 : 0;
