// node_modules, the addon and dist/: each made anew only when what it is made from has changed.

import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join, relative } from "node:path";
import { at, root, run, say } from "./shell.mjs";

/** `npm ci` unless node_modules holds exactly what package-lock.json asks for. Returns whether it did something. */
export function installModules() {
  const why = whyInstall();
  if (why === undefined) return false;
  say(`npm ci (${why})`);
  const npm = process.env.npm_execpath; // the npm that runs us, if one does
  const args = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
  if (npm?.endsWith(".js")) run(process.execPath, [npm, ...args], { what: "npm ci" });
  else run(process.platform === "win32" ? "npm.cmd" : "npm", args, { what: "npm ci" });
  return true;
}

// npm writes node_modules/.package-lock.json last, so its absence also means that an installation was interrupted.
function whyInstall() {
  const installed = readJson(at("node_modules", ".package-lock.json"))?.packages;
  if (installed === undefined) return "node_modules is missing or incomplete";
  for (const [path, wanted] of Object.entries(readJson(at("package-lock.json")).packages)) {
    if (path === "" || installed[path]?.version === wanted.version) continue;
    if (installed[path] !== undefined || !wanted.optional) return `${path.replace("node_modules/", "")} ${wanted.version} is not installed`;
  }
  return undefined;
}

/** cmake-js, when the native sources, the build files or the source of OpenBLAS have changed. */
export function buildNative(openblas) {
  const made = at("build", "Release", "transformer2.node");
  const sources = filesUnder("native").filter((file) => !file.startsWith(join("native", "cuda"))); // a library of its own
  const inputs = [...sources, ...filesUnder("cmake"), "CMakeLists.txt"];
  const versions = ["cmake-js", "node-addon-api", "node-api-headers"].map(moduleVersion);
  const extra = [
    openblas,
    process.platform,
    process.arch,
    process.env.CXX ?? "",
    ...versions,
    `version ${readJson(at("package.json")).version}`,
  ];
  return whenChanged(at("build", ".made-from"), made, inputs, extra, (why) => {
    const jobs = process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(cpus().length);
    say(`native build with ${jobs} jobs (${why})`);
    if (configuredElsewhere(at("build"))) rmSync(at("build"), { recursive: true, force: true });
    const options = ["--out", "build", "--config", "Release", "--log-level", "warn", `--CDT2_OPENBLAS=${openblas}`];
    const cmakeJs = at("node_modules", "cmake-js", "bin", "cmake-js");
    run(process.execPath, [cmakeJs, "configure", ...options], { what: "CMake's configuration" });
    run(process.execPath, [cmakeJs, "build", ...options, "--parallel", jobs], { what: "the native build" });
  });
}

/** CMake refuses a build folder that was made for another path, such as a copy of this checkout. */
function configuredElsewhere(folder) {
  const cache = join(folder, "CMakeCache.txt");
  const home = existsSync(cache) ? /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(readFileSync(cache, "utf8"))?.[1] : undefined;
  return home !== undefined && relative(home, root) !== "";
}

/** Where the CUDA backend on emulated hardware is built (T2_CUDA_LIBRARY for the tests). */
export const cudaHostLibrary = at("build", "cuda-host", process.platform === "darwin" ? "libt2_cuda_host.dylib" : "libt2_cuda_host.so");

/** The CUDA backend compiled for the host against native/cuda/host, for tests without a GPU: CMake's target t2_cuda_host. */
export function buildCudaHost() {
  const folder = dirname(cudaHostLibrary);
  const inputs = [...filesUnder("native/cuda"), ...filesUnder("native/include"), ...filesUnder("cmake"), "CMakeLists.txt"];
  const extra = [process.platform, process.arch, process.env.CXX ?? ""];
  return whenChanged(join(folder, ".made-from"), cudaHostLibrary, inputs, extra, (why) => {
    const jobs = process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(cpus().length);
    say(`emulated CUDA backend with ${jobs} jobs (${why})`);
    if (configuredElsewhere(folder)) rmSync(folder, { recursive: true, force: true });
    const options = ["-DCMAKE_BUILD_TYPE=Release", "-DT2_CUDA_HOST=ON", "--log-level=WARNING"];
    run("cmake", ["-S", ".", "-B", folder, ...options], { what: "CMake's configuration" });
    run("cmake", ["--build", folder, "--target", "t2_cuda_host", "--parallel", jobs], { what: "the build of the emulated CUDA backend" });
  });
}

/** tsc: lib/ to dist/. */
export function buildTypeScript() {
  const inputs = [...filesUnder("lib"), ...filesUnder("typings"), "tsconfig.json", "tsconfig.build.json"];
  const made = at("dist", "index.js");
  return whenChanged(at("dist", ".made-from"), made, inputs, [moduleVersion("typescript")], (why) => {
    say(`TypeScript build (${why})`);
    if (!existsSync(made)) rmSync(at("dist"), { recursive: true, force: true });
    run(process.execPath, [at("node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.build.json"], { what: "tsc" });
    const cli = at("dist", "cli", "index.js");
    if (existsSync(cli)) chmodSync(cli, 0o755);
  });
}

/** Calls `make` when `pending` says so. Returns whether it did. */
export function whenChanged(mark, made, inputs, extra, make) {
  const work = pending(mark, made, inputs, extra);
  if (work === undefined) return false;
  make(work.why);
  work.finished();
  return true;
}

/**
 * Why `made` must be made: it is missing, or `mark` does not name these inputs. Undefined when it need not. `finished` writes `mark`, one line
 * per input.
 */
export function pending(mark, made, inputs, extra) {
  const now = [`with ${extra.join(" ")}`, ...inputs.map((file) => `${hash(file)} ${file}`)];
  const before = existsSync(mark) ? readFileSync(mark, "utf8").split("\n") : undefined;
  const why = whyMake(before, now, made);
  if (why === undefined) return undefined;
  rmSync(mark, { force: true });
  const finished = () => {
    mkdirSync(dirname(mark), { recursive: true });
    writeFileSync(mark, now.join("\n"));
  };
  return { why, finished };
}

function whyMake(before, now, made) {
  if (!existsSync(made)) return `${relative(root, made)} is missing`;
  if (before === undefined) return "it was not finished the last time";
  const old = new Set(before);
  const changed = now.filter((line) => !old.has(line));
  if (changed.length > 0)
    return `${changed[0].startsWith("with ") ? "tools or options" : changed[0].split(" ")[1]} changed${changed.length > 1 ? ` and ${changed.length - 1} more` : ""}`;
  return before.length === now.length ? undefined : "a source file was removed";
}

function hash(file) {
  return createHash("sha256")
    .update(readFileSync(at(file)))
    .digest("hex")
    .slice(0, 16);
}

/** Files below a folder, relative to the root, sorted. */
export function filesUnder(folder) {
  const entries = existsSync(at(folder)) ? readdirSync(at(folder), { recursive: true, withFileTypes: true }) : [];
  const files = entries.filter((entry) => entry.isFile()).map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)));
  return files.sort();
}

function moduleVersion(name) {
  return `${name}@${readJson(at("node_modules", name, "package.json"))?.version}`;
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}
