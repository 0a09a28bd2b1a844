// `npm test`: the set-up, then lint, then tap; one line per test file, and what failed in full. The operator tests run once more on the CUDA
// backend, compiled for a host that emulates the GPU. The last line says "N passed, N failed, N skipped" over all of them.
//
//   npm test -- test/unit test/native/svd.test.ts     only these, and no lint; tap's other options pass through

import { spawnSync } from "node:child_process";
import { buildCudaHost, cudaHostLibrary } from "./setup/build.mjs";
import { withLock } from "./setup/lock.mjs";
import { at, root, SetupError } from "./setup/shell.mjs";
import { Runs } from "./setup/tap.mjs";
import { operatorTests, testArguments } from "./setup/test-files.mjs";

const options = process.argv.slice(2).filter((argument) => argument.startsWith("-"));
const named = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));

const setup = spawnSync(process.execPath, [at("scripts", "setup.mjs")], { cwd: root, stdio: "inherit" });
if (setup.status !== 0) process.exit(setup.status ?? 1);
const isOn = (file) => named.length === 0 || named.some((name) => `${file}/`.startsWith(name.replace(/\/*$/, "/")));
const onDevice = operatorTests().filter(isOn);
if (onDevice.length > 0 || named.some((name) => name.includes("cuda-host"))) await makeCudaHost();

const runs = new Runs();
if (process.argv.length === 2) {
  const { lint } = await import("./lint.mjs");
  for (const { status } of lint()) runs.totals[status]++;
}
const goesOn = await runs.tap(testArguments(process.argv.slice(2)));
if (goesOn && onDevice.length > 0) {
  // streams as late as the rules allow: a wait that is missing shows
  const env = { T2_TEST_DEVICE: "cuda", T2_CUDA_LIBRARY: cudaHostLibrary, T2_CUDA_HOST_STREAMS: "late" };
  await runs.tap([...options, ...onDevice], env, " on the emulated GPU");
}
runs.finish();

async function makeCudaHost() {
  try {
    await withLock(buildCudaHost);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}
