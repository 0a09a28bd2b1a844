// kill -9 in the middle of a decomposition, again and again: what is on disk is always sound, and the next run goes on from there.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { Transformer2 } from "../../lib/transformer2.js";
import { temporaryFolder } from "../support/open-fake.js";
import { writeTinyModel } from "../support/tiny-model.js";

const child = fileURLToPath(new URL("../support/decompose-child.ts", import.meta.url));
const loader = new URL("../../scripts/typescript-loader.mjs", import.meta.url).href;

/** Runs a decomposition and kills it once it says that `count` matrices are done; resolves with the signal that ended it. */
function killed(folder: string, factors: string, count: number): Promise<string | null> {
  const process_ = spawn(process.execPath, [`--import=${loader}`, child, folder, factors], { stdio: ["ignore", "pipe", "ignore"] });
  let out = "";
  process_.stdout.on("data", (data: Buffer) => {
    out += data.toString();
    if (Number(out.trim().split(" ").at(-1)) >= count) process_.kill("SIGKILL");
  });
  return new Promise((resolve) => process_.on("close", (_code, signal) => resolve(signal)));
}

t.test("a decomposition that is killed goes on where it was", async (t) => {
  const root = temporaryFolder(t);
  const folder = writeTinyModel(join(root, "m"), { hiddenSize: 384, intermediateSize: 512, layers: 6, heads: 6, kvHeads: 2 });
  const factors = join(root, "factors");
  const files = () => readdirSync(factors, { recursive: true }).filter((name) => String(name).endsWith("proj.safetensors")).length;
  let before = 0;
  let kills = 0;
  for (const count of [1, 9, 20]) {
    if ((await killed(folder, factors, count)) === "SIGKILL") kills++;
    t.ok(files() >= count, `${files()} files after a kill at ${count}`);
    before = files();
  }
  t.equal(kills, 3, "all came in time");

  const t2 = await Transformer2.load(folder, { factors });
  const report = await t2.decompose();
  t.equal(report.reused, before, "every file that was there is used");
  t.strictSame(report.redone, [], "none was damaged");
  t.equal(report.computed + report.reused, t2.info.matrices.length);
  await t2[Symbol.asyncDispose]();
});
