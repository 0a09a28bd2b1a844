// A run killed by SIGKILL, wherever it is, and started again ends with the same bytes as one that was left alone.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";

const loader = new URL("../../scripts/typescript-loader.mjs", import.meta.url).href;
const child = fileURLToPath(new URL("../support/train-child.ts", import.meta.url));

/** Runs the child; with `killAfter`, kills it `delay` ms after it reports that step. Resolves with its signal or exit code. */
function run(folder: string, killAfter?: number, delay = 0): Promise<string | number | null> {
  return new Promise((resolve, reject) => {
    const process_ = spawn(process.execPath, [`--import=${loader}`, child, folder], { stdio: ["ignore", "pipe", "inherit"] });
    let out = "";
    process_.stdout.on("data", (data: Buffer) => {
      out += data.toString();
      if (killAfter !== undefined && out.includes(`step ${killAfter}\n`)) {
        killAfter = undefined;
        setTimeout(() => process_.kill("SIGKILL"), delay);
      }
    });
    process_.on("error", reject);
    process_.on("exit", (code, signal) => resolve(signal ?? code));
  });
}

const deterministic = ["best.safetensors", "checkpoint.safetensors", "config.json", "latest.safetensors", "metrics.jsonl"];

t.test("three kills at random moments", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "t2-resume-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const whole = join(folder, "whole");
  const killed = join(folder, "killed");
  t.equal(await run(whole), 0);
  const moments = [1 + Math.floor(Math.random() * 3), 5 + Math.floor(Math.random() * 2), 8 + Math.floor(Math.random() * 2)];
  for (const step of moments) {
    const delay = Math.random() * 12;
    t.comment(`kill ${delay.toFixed(1)} ms after step ${step}`);
    t.equal(await run(killed, step, delay), "SIGKILL");
  }
  t.equal(await run(killed), 0);
  for (const file of deterministic) t.ok(readFileSync(join(killed, file)).equals(readFileSync(join(whole, file))), file);
  t.same(readdirSync(killed).sort(), [...deterministic, "timings.jsonl"].sort(), "and leaves no half-written file behind");
  const steps = readFileSync(join(killed, "timings.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).step);
  t.same(steps, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
});
