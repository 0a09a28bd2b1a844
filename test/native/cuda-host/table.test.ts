// The table of the emulated CUDA backend from outside: table.cpp, built with g++ when it has changed, once as usual and once where device
// memory cannot be touched between calls.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const library = process.env["T2_CUDA_LIBRARY"] ?? join(root, "build/cuda-host/libt2_cuda_host.so");
const compiler = process.env["CXX"] ?? "g++";
const skip =
  process.platform !== "linux"
    ? "the emulation is for Linux"
    : !existsSync(library)
      ? `${library} is not built`
      : spawnSync(compiler, ["--version"]).status !== 0
        ? `there is no ${compiler}`
        : false;

/** The program, built when there is none of the present sources. */
function program(): string {
  const source = "test/native/cuda-host/table.cpp";
  const hash = createHash("sha256").update(compiler);
  for (const file of [source, "native/include/t2/backend.h"]) hash.update(readFileSync(join(root, file)));
  const folder = join(root, ".cache/cuda-host-table");
  const path = join(folder, hash.digest("hex").slice(0, 16));
  if (existsSync(path)) return path;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const flags = ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-Inative/include"];
  const built = spawnSync(compiler, [...flags, source, "-o", `${path}.new`, "-ldl"], { cwd: root, encoding: "utf8" });
  if (built.status !== 0) throw new Error(`${compiler} failed:\n${built.stderr}`);
  renameSync(`${path}.new`, path);
  return path;
}

for (const strict of ["0", "1"]) {
  t.test(`the table, T2_CUDA_HOST_STRICT=${strict}`, { skip }, async (t) => {
    const run = spawnSync(program(), [library], {
      encoding: "utf8",
      timeout: 100_000,
      env: { ...process.env, T2_CUDA_HOST_STRICT: strict, T2_CUDA_HOST_STREAMS: strict === "1" ? "late" : "" },
    });
    const verdicts = run.stdout.split("\n").filter((line) => line !== "");
    for (const line of verdicts) t.ok(line.startsWith("ok "), line.replace(/^(not )?ok /, ""));
    t.ok(verdicts.length > 25, `${verdicts.length} checks ran`);
    t.equal(run.status, 0, `the program ended well (${run.signal ?? "no signal"}) ${run.stderr.split("\n").slice(-3).join(" ")}`);
  });
}
