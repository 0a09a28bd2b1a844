// `npm run build:cuda [-- --arch 80,90] [--jobs N]`: build/cuda/libt2_cuda.so, the CUDA backend for real GPUs; build/cuda/kernels.json, what
// ptxas says of every kernel; and build/cuda/t2_gpu_check, which tries the library on a GPU without Node. Needs no GPU, and fetches nvcc
// where there is none. Only what changed is compiled.

import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { basename, join, relative } from "node:path";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { filesUnder, pending, whenChanged } from "../setup/build.mjs";
import { at, root, run, runAside, SetupError, say } from "../setup/shell.mjs";
import { kernelsIn, table } from "./kernels.mjs";
import { findToolkit } from "./toolkit.mjs";

/** From Turing to Blackwell; the last one as PTX too, for what comes after it. */
const allArchitectures = [75, 80, 86, 89, 90, 100, 120];
const folder = at("build", "cuda");
const objects = join(folder, "obj");
const library = join(folder, "libt2_cuda.so");
const relativePath = (file) => relative(root, file);

try {
  const start = performance.now();
  const { values } = parseArgs({
    options: {
      arch: { type: "string" },
      jobs: { type: "string", default: process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(cpus().length) },
    },
  });
  const architectures = values.arch === undefined ? allArchitectures : values.arch.split(",").map(Number);
  if (!architectures.every((n) => Number.isInteger(n) && n >= 75)) throw new SetupError(`--arch takes numbers from 75 on, as in 80,90.`);
  const toolkit = findToolkit(architectures);
  say(`nvcc ${toolkit.version} (${toolkit.nvcc}), for ${architectures.map((n) => `sm_${n}`).join(", ")} and later`);
  mkdirSync(objects, { recursive: true });
  const sources = readdirSync(at("native", "cuda")).filter((name) => name.endsWith(".cu"));
  await compileAll(sources.sort(), toolkit, architectures, Number(values.jobs));
  link(sources, toolkit);
  buildCheck();
  checkDeclarations(toolkit);

  const kernels = sources.flatMap((name) => kernelsIn(name, readFileSync(reportOf(name), "utf8")));
  const bytes = statSync(library).size;
  const report = { nvcc: toolkit.version, architectures, library: relativePath(library), bytes, sources, kernels };
  writeFileSync(join(folder, "kernels.json"), `${JSON.stringify(report, null, 1)}\n`);
  process.stdout.write(`${table(kernels, architectures)}\n`);
  say(`${relativePath(library)}: ${(bytes / 1e6).toFixed(1)} MB, after ${((performance.now() - start) / 1000).toFixed(0)} s`);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`\nbuild:cuda stopped: ${error.message}\n`);
  process.exitCode = 1;
}

function objectOf(name) {
  return join(objects, `${basename(name, ".cu")}.o`);
}

/** ptxas' report beside the object, so that kernels.json has all kernels although few were compiled anew. */
function reportOf(name) {
  return join(objects, `${basename(name, ".cu")}.ptxas.txt`);
}

/**
 * The steps before ptxas run once per virtual architecture, and take most of the time: 86 and 89, which have nothing that the kernels use
 * beyond 80, share its. The newest one goes in as PTX too.
 */
function targets(architectures) {
  const virtualOf = (n) => (n === 86 || n === 89 ? 80 : n);
  const newest = Math.max(...architectures);
  return [...new Set(architectures.map(virtualOf))].flatMap((virtual) => {
    const codes = architectures.filter((n) => virtualOf(n) === virtual).map((n) => `sm_${n}`);
    if (virtual === virtualOf(newest)) codes.push(`compute_${virtual}`);
    return ["-gencode", `arch=compute_${virtual},code=[${codes.join(",")}]`];
  });
}

async function compileAll(sources, toolkit, architectures, jobs) {
  const common = [
    "-std=c++20 -O3 --extended-lambda -Xptxas -v -Xfatbin=-compress-all -Xcompiler -fPIC,-fvisibility=hidden,-Wall".split(" "),
    ["-I", "native/include", "-I", "native/cuda", "-I", "native"],
  ].flat();
  const headers = filesUnder("native").filter((file) => file.endsWith(".h") && !file.startsWith(join("native", "cuda", "host")));
  const queue = [];
  for (const name of sources) {
    const file = join("native", "cuda", name);
    const inputs = [file, ...headersOf(file, headers)];
    // A file without kernels goes through the compiler once.
    const hasKernels = inputs.some((input) => readFileSync(at(input), "utf8").includes("__global__"));
    const flags = [...common, ...targets(hasKernels ? architectures : architectures.slice(0, 1))];
    const work = pending(join(objects, `${basename(name, ".cu")}.made-from`), objectOf(name), inputs, [toolkit.version, ...flags]);
    if (work !== undefined) queue.push({ name, file, flags, ...work });
  }
  // The largest first, so that no worker is left alone with one at the end.
  queue.sort((a, b) => statSync(at(b.file)).size - statSync(at(a.file)).size);
  const compileNext = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      const start = performance.now();
      const { status, output } = await runAside(toolkit.nvcc, [...item.flags, "-c", item.file, "-o", objectOf(item.name)]);
      const complaints = output.split("\n").filter((line) => line !== "" && !/^ptxas info|^ {4}\d+ bytes stack frame/.test(line));
      if (complaints.length > 0) process.stdout.write(`${complaints.join("\n")}\n`);
      if (status !== 0) {
        queue.length = 0;
        throw new SetupError(`${item.file} does not compile.`);
      }
      writeFileSync(reportOf(item.name), output);
      item.finished();
      say(`${item.name} (${item.why}): ${((performance.now() - start) / 1000).toFixed(1)} s`);
    }
  };
  const workers = await Promise.allSettled(Array.from({ length: Math.max(1, jobs) }, compileNext));
  for (const { reason } of workers) if (reason !== undefined) throw reason;
}

/** The headers of ours that a file includes, directly or through others. */
function headersOf(file, headers, found = new Set()) {
  for (const [, name] of readFileSync(at(file), "utf8").matchAll(/^\s*#\s*include\s*"([^"]+)"/gm)) {
    const header = headers.find((path) => ["native", "native/cuda", "native/include"].some((from) => path === join(from, name)));
    if (header === undefined || found.has(header)) continue;
    found.add(header);
    headersOf(header, headers, found);
  }
  return [...found].sort();
}

function link(sources, toolkit) {
  const exports = join(folder, "exports.map");
  writeFileSync(exports, "{\n  global: t2_backend_create;\n  local: *;\n};\n");
  const inputs = sources.map((name) => relativePath(objectOf(name)));
  const flags = `-shared -s -static-libstdc++ -static-libgcc -Wl,--no-undefined -Wl,-z,relro,-z,now -Wl,--version-script=${exports}`.split(
    " ",
  );
  const libraries = ["-L", toolkit.lib, "-lcudart_static", "-ldl", "-lrt", "-pthread"];
  whenChanged(join(folder, ".made-from"), library, inputs, [toolkit.version, ...flags], () => {
    run(process.env.CXX ?? "g++", [...flags, "-o", library, ...inputs, ...libraries], { what: "linking libt2_cuda.so" });
  });
}

function buildCheck() {
  const program = join(folder, "t2_gpu_check");
  const inputs = [...filesUnder("test/gpu"), ...filesUnder("native/include")];
  const sources = inputs.filter((file) => file.endsWith(".cpp"));
  if (sources.length === 0) throw new SetupError("test/gpu holds no program.");
  const flags = ["-std=c++20", "-O3", "-Wall", "-static-libstdc++", "-static-libgcc", "-I", "native/include", "-I", "test/gpu"];
  whenChanged(join(folder, ".check-made-from"), program, inputs, flags, () => {
    run(process.env.CXX ?? "g++", [...flags, "-o", program, ...sources, "-ldl", "-pthread"], { what: "building t2_gpu_check" });
  });
}

/** libraries.h repeats a part of NVIDIA's declarations; where the real ones are, the compiler compares them. */
function checkDeclarations(toolkit) {
  const program = join("test", "native", "cuda-host", "declarations.cpp");
  const includes = [process.env.T2_CUDA_HEADERS, toolkit.include].filter(Boolean);
  const missing = ["cublasLt.h", "cusolverDn.h"].filter((header) => !includes.some((path) => existsSync(join(path, header))));
  if (missing.length > 0) {
    say(`libraries.h: not compared with NVIDIA's headers, ${missing.join(" and ")} are not here (T2_CUDA_HEADERS names a folder)`);
    return;
  }
  const folders = [...includes, "native/cuda", "native/include"].flatMap((path) => ["-I", path]);
  run(process.env.CXX ?? "g++", ["-std=c++20", "-fsyntax-only", ...folders, program], {
    what: "comparing libraries.h with NVIDIA's headers",
  });
  say("libraries.h: as in NVIDIA's headers");
}
