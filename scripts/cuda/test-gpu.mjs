// `npm run test:gpu [-- --sanitize] [-- --device-library FILE]`: on a machine with an NVIDIA GPU, the operator tests, decompositions, golden
// checkpoints and a training step on it, and t2_gpu_check. --sanitize runs compute-sanitizer over t2_gpu_check and the embedded model as well.
// --device-library takes another library than build/cuda/libt2_cuda.so: with build/cuda-host/libt2_cuda_host.so all of it runs without a GPU.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { at, outputOf, root, run, which } from "../setup/shell.mjs";
import { Runs } from "../setup/tap.mjs";
import { operatorTests } from "../setup/test-files.mjs";

const { values } = parseArgs({ options: { sanitize: { type: "boolean", default: false }, "device-library": { type: "string" } } });
const own = at("build", "cuda", "libt2_cuda.so");
const library = values["device-library"] === undefined ? own : resolve(values["device-library"]);
const check = at("build", "cuda", "t2_gpu_check");

const runs = new Runs();
const reason = whyNot();
if (reason !== undefined) {
  runs.totals.skip++;
  runs.skipped("everything on a GPU", reason);
} else {
  run(process.execPath, [at("scripts", "setup.mjs")]);
  if (library === own) run(process.execPath, [at("scripts", "cuda", "build.mjs")]);
  const env = { T2_TEST_DEVICE: "cuda", T2_CUDA_LIBRARY: library };
  // One process after the other: they would share the GPU's memory, and its time.
  const files = [
    ...operatorTests(),
    "test/native/svd.test.ts",
    "test/golden/models.test.ts",
    "test/golden/smollm2.test.ts",
    "test/gpu/device.test.ts",
  ];
  const goesOn = await runs.tap(["--jobs=1", "--timeout=1200", ...files], env, " on the GPU");
  if (goesOn) program("t2_gpu_check", [check, "--library", library]);
  if (goesOn && values.sanitize) sanitize(env);
}
runs.finish();

function whyNot() {
  if (library !== own) return existsSync(library) ? undefined : `there is no ${library}`;
  const gpus = outputOf("nvidia-smi", ["-L"]);
  if (gpus === undefined) return "nvidia-smi is not there or finds no driver";
  return /^GPU \d/m.test(gpus) ? undefined : "nvidia-smi finds no GPU";
}

/** A program that says by its exit code whether all is well. */
function program(name, [command, ...args], env = {}) {
  if (!existsSync(command)) {
    runs.totals.skip++;
    runs.skipped(name, `${command} is not there: npm run build:cuda makes it`);
    return;
  }
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } });
  runs.totals[status === 0 ? "pass" : "fail"]++;
  process.stdout.write(`${status === 0 ? "ok" : "not ok"} ${name}\n`);
}

function sanitize(env) {
  const homes = [process.env.CUDA_HOME, "/usr/local/cuda"].filter(Boolean);
  const tool = [which("compute-sanitizer"), ...homes.map((home) => which(join(home, "bin", "compute-sanitizer")))].find(Boolean);
  if (tool === undefined) {
    runs.totals.skip++;
    runs.skipped("compute-sanitizer", "it is neither on PATH nor in CUDA_HOME");
    return;
  }
  const model = [process.execPath, at("dist", "cli", "index.js"), "generate", "--device", "cuda", "--max-tokens", "8", "12 + 30 ="];
  for (const kind of ["memcheck", "racecheck"]) {
    const options = ["--tool", kind, "--error-exitcode", "9", "--target-processes", "all"];
    program(`${kind} on the operators`, [tool, ...options, check, "--library", library], env);
    program(`${kind} on the embedded model`, [tool, ...options, ...model], env);
  }
}
