// `npm run test:sanitize [-- tests…]`: builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer into build/sanitize and runs the
// tests that reach it. Linux with GCC. Leaks are not reported: Node itself keeps memory until the end of the process.

import { readdirSync } from "node:fs";
import { cpus } from "node:os";
import { at, outputOf, run, SetupError } from "./setup/shell.mjs";
import { testArguments } from "./setup/test-files.mjs";

const selected = process.argv.slice(2);
const compiler = process.env.CXX ?? "c++";
const runtime = outputOf(compiler, ["-print-file-name=libasan.so"])?.trim();
if (process.platform !== "linux" || !runtime?.startsWith("/"))
  throw new SetupError(`${compiler} has no libasan.so: sanitizers need GCC on Linux.`);

run(process.execPath, [at("scripts", "setup.mjs")]);
const options = ["-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DT2_SANITIZE=address,undefined"];
run("cmake", ["-S", ".", "-B", "build/sanitize", ...options], { what: "CMake's configuration" });
run("cmake", ["--build", "build/sanitize", "--parallel", String(cpus().length)], { what: "the sanitizer build" });
const env = {
  LD_PRELOAD: runtime,
  ASAN_OPTIONS: "detect_leaks=0",
  UBSAN_OPTIONS: "print_stacktrace=1:halt_on_error=1",
  T2_NATIVE: at("build", "sanitize", "transformer2.node"),
};
// The deadlines in abort.test.ts mean nothing at a tenth of the speed.
const native = readdirSync(at("test", "native")).filter((name) => name.endsWith(".test.ts") && name !== "abort.test.ts");
const usual = [...native.map((name) => `test/native/${name}`), "test/golden/models.test.ts"];
const tests = selected.length > 0 ? testArguments(selected) : usual;
run(
  process.execPath,
  [at("node_modules", "tap", "dist", "esm", "run.mjs"), "run", "--reporter=terse", "--jobs=1", "--timeout=1200", ...tests],
  { env },
);
