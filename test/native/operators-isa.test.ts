// Every kernel variant this processor can run passes the operator tests: T2_CPU forces the lower ones, in processes of their own.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import t from "tap";
import { addon } from "../../lib/native.js";

t.setTimeout(240_000);
const here = new URL("./", import.meta.url);
const variants = ["baseline", "avx2", "avx512", "amx"];
const { isa } = addon().systemInfo();
const lower = variants.slice(0, Math.max(0, variants.indexOf(isa)));
if (isa === "avx512" || isa === "amx") lower.push("amx-emulated"); // so that a processor without tiles tests what is written over them
const files = readdirSync(here).filter((name) => /^operators-.*\.test\.ts$/.test(name) && name !== "operators-isa.test.ts");

if (process.env["T2_CPU"] !== undefined) t.pass("already inside of a forced variant");
else if (lower.length === 0) t.pass(`${isa} is the only variant`, { skip: "no lower variant on this processor" });
for (const variant of process.env["T2_CPU"] === undefined ? lower : [])
  t.test(variant, async (t) => {
    // one process for all files: starting up takes as long as the tests
    const report = "process.on('exit', () => console.log(addon().systemInfo().isa))";
    const source = [
      "import { addon } from './lib/native.ts'",
      report,
      ...files.map((file) => `await import('./test/native/${file}')`),
    ].join(";");
    const { status, stdout } = spawnSync(process.execPath, [...process.execArgv, "--input-type=module", "-e", source], {
      env: { ...process.env, T2_CPU: variant },
      cwd: fileURLToPath(new URL("../../", here)),
      encoding: "utf8",
    });
    const lines = stdout.trim().split("\n");
    t.equal(lines.at(-1), variant, "T2_CPU is obeyed");
    const failed = lines.filter((line) => /^\s*not ok/.test(line));
    t.equal(status, 0, failed.slice(0, 5).join("; "));
    t.equal(lines.filter((line) => line.startsWith("# Subtest: ")).length > 25, true, "the tests were run");
  });
