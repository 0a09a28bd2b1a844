// However a process ends while a model is loaded: the right exit code, and not a word on stderr.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { temporaryFolder } from "../support/open-fake.js";
import { writeTinyModel } from "../support/tiny-model.js";

const child = fileURLToPath(new URL("../support/exit-child.ts", import.meta.url));
const loader = new URL("../../scripts/typescript-loader.mjs", import.meta.url).href;

const root = temporaryFolder(t);
const folder = writeTinyModel(join(root, "m"), {
  hiddenSize: 256,
  intermediateSize: 512,
  layers: 3,
  heads: 4,
  kvHeads: 2,
  contextLength: 4096,
});

interface Ended {
  code: number | null;
  signal: string | null;
  out: string;
  err: string;
}

/** Runs a scenario; `onOutput` is called with the child when it has written something. */
function run(scenario: string, onOutput?: (kill: (signal: NodeJS.Signals) => void) => void): Promise<Ended> {
  const process_ = spawn(process.execPath, [`--import=${loader}`, child, scenario, folder, join(root, scenario)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  let out = "";
  let err = "";
  process_.stdout.on("data", (data: Buffer) => {
    if (out === "") onOutput?.((signal) => process_.kill(signal));
    out += data.toString();
  });
  process_.stderr.on("data", (data: Buffer) => {
    err += data.toString();
  });
  return new Promise((resolve) => process_.on("close", (code, signal) => resolve({ code, signal, out, err })));
}

for (const scenario of [
  "undisposed",
  "disposed",
  "exit-during-load",
  "exit-during-generate",
  "exit-in-stream",
  "exit-during-decompose",
  "exit-during-gradients",
  "exit-during-dispose",
]) {
  t.test(scenario, async (t) => {
    t.strictSame(await run(scenario), { code: 0, signal: null, out: "", err: "" });
  });
}

t.test("work that was asked for is finished", async (t) => {
  t.strictSame(await run("unfinished"), { code: 0, signal: null, out: "50", err: "" });
});

t.test("an uncaught error ends the process as always", async (t) => {
  const { code, signal, err } = await run("uncaught");
  t.strictSame([code, signal], [1, null]);
  t.match(err, /the user's own mistake/);
});

t.test("signals", async (t) => {
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    const { code, signal, err } = await run("interrupt", (kill) => kill(name));
    t.strictSame([code, signal, err], [null, name, ""]);
  }
});
