// The host emulation of CUDA tests itself: correct kernels pass under every order of their threads, planted faults are caught. Built with g++
// when its sources have changed.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const compiler = process.env.CXX ?? "g++";
const flags = ["-std=c++20", "-O2", "-g1", "-Wall", "-Wextra", "-Werror", "-DT2_CUDA_HOST", "-pthread"];
flags.push("-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"); // a GPU refuses what is not aligned, this processor does not
const include = ["native/cuda/host", "native/cuda", "native/include"].map((folder) => `-I${folder}`);
const emulation = ["context_switch", "failure", "faults", "fibre", "launch", "memory", "runtime", "shared_memory", "streams", "warp"];

function files(folder: string, wanted: RegExp): string[] {
  return readdirSync(join(root, folder))
    .filter((name) => wanted.test(name))
    .sort()
    .map((name) => join(folder, name));
}

/** The program, built when there is none of the present sources. */
function program(): string {
  const sources = [...files("test/native/cuda-host", /^selftest.*\.cpp$/), ...emulation.map((name) => `native/cuda/host/${name}.cpp`)];
  const headers = [...files("test/native/cuda-host", /\.h$/), ...files("native/cuda/host", /\.h$/), "native/cuda/platform.h"];
  const hash = createHash("sha256").update([compiler, ...flags, ...include].join(" "));
  for (const file of [...sources, ...headers]) hash.update(file).update(readFileSync(join(root, file)));
  const folder = join(root, ".cache/cuda-host-selftest");
  const path = join(folder, hash.digest("hex").slice(0, 16));
  if (existsSync(path)) return path;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const built = spawnSync(compiler, [...flags, ...include, ...sources, "-o", `${path}.new`], { cwd: root, encoding: "utf8" });
  if (built.status !== 0) throw new Error(`${compiler} failed:\n${built.stderr}`);
  renameSync(`${path}.new`, path);
  return path;
}

const skip =
  process.platform !== "linux"
    ? "the emulation is for Linux"
    : spawnSync(compiler, ["--version"]).status !== 0
      ? `there is no ${compiler}`
      : false;

t.test("self-test of the host emulation", { skip }, async (t) => {
  const run = spawnSync(program(), { encoding: "utf8", timeout: 240_000 });
  let notes: string[] = [];
  let checks = 0;
  for (const line of run.stdout.split("\n")) {
    const verdict = /^(not )?ok (.*)$/.exec(line);
    if (!verdict) {
      if (line) notes.push(line.trim());
      continue;
    }
    checks++;
    t.ok(!verdict[1], [verdict[2], ...notes].join("\n"));
    notes = [];
  }
  t.ok(checks > 20, `${checks} checks ran`);
  t.equal(run.status, 0, `the program ended well (${run.signal ?? "no signal"}) ${run.stderr.split("\n").slice(-3).join(" ")}`);
});
