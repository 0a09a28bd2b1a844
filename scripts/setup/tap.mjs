// Runs tap: one line per test file, what failed in full, the reasons of what was skipped, and the count over all runs.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { at, root } from "./shell.mjs";

/** Several runs of tap, and other checks, as one: `totals` counts them. */
export class Runs {
  totals = { pass: 0, fail: 0, skip: 0 };
  #status = 0;
  #skips = new Map();

  constructor() {
    process.on("SIGINT", () => {}); // a Ctrl-C reaches tap as well, which ends its tests and then itself; wait for that
  }

  /** Runs tap with `env` on top of ours and `where` behind the names of the tests. False when it was interrupted. */
  async tap(args, env = {}, where = "") {
    const child = spawn(process.execPath, [at("node_modules", "tap", "dist", "esm", "run.mjs"), "run", "--reporter=tap", ...args], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...env },
    });
    const ended = new Promise((resolve) => child.on("close", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 1))));
    const before = this.totals.fail;
    let file = []; // the indented lines of the test file that is reported now
    for await (const line of createInterface({ input: child.stdout })) {
      const skip = /^ *ok \d+ - (.*?) # (?:time=\S+ )?SKIP ?(.*)$/.exec(line);
      if (skip !== null) this.skipped(`${skip[1]}${where}`, skip[2]);
      const result = /^(ok|not ok) \d+ - (.*?)(?: # time=([\d.]+)ms)?(?: \{)?$/.exec(line);
      // tap's own count is the last comment of its output: # { total: 9, pass: 8, fail: 1, skip: 0 }
      const counts = /^# \{ (total: .*) \}$/.exec(line)?.[1];
      if (line.startsWith(" ")) file.push(line);
      else if (result !== null) {
        process.stdout.write(`${result[1]} ${result[2]}${where} (${(Number(result[3] ?? 0) / 1000).toFixed(1)} s)\n`);
        if (result[1] === "not ok") process.stdout.write(`${failuresIn(file).join("\n")}\n`);
        file = [];
      } else if (counts !== undefined) {
        for (const [, name, count] of counts.matchAll(/(pass|fail|skip): (\d+)/g)) this.totals[name] += Number(count);
      } else if (line.startsWith("Bail out!")) process.stdout.write(`${line}\n`);
    }
    const status = await ended;
    if (status !== 0 && this.totals.fail === before) this.totals.fail++; // tap itself failed: a bad option, no tests found, a signal
    this.#status ||= status;
    return status !== 130;
  }

  /** Notes why something was left out; tap's own skips are in `totals` already. */
  skipped(name, reason) {
    this.#skips.set(reason, [...(this.#skips.get(reason) ?? []), name]);
  }

  /** Prints the reasons and, last, the count; sets the exit code. */
  finish() {
    for (const [reason, [first, ...others]] of this.#skips) {
      process.stdout.write(`skipped: ${first}${others.length > 0 ? ` and ${others.length} more` : ""}: ${reason || "no reason given"}\n`);
    }
    const { pass, fail, skip } = this.totals;
    process.stdout.write(`\n${pass} passed, ${fail} failed${skip > 0 ? `, ${skip} skipped` : ""}\n`);
    process.exitCode = this.#status !== 0 ? this.#status : fail > 0 ? 1 : 0;
  }
}

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
