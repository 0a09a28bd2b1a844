// The layers of native/ (binding → core → include ← cpu, cuda), read off the #include lines. Part of `npm run lint`.

import { readdirSync, readFileSync } from "node:fs";
import { join, posix, relative, sep } from "node:path";

// What a file of each folder may include, beside its own folder and include/t2. The binding opens the backend, and its single operators
// (tests, benchmarks) call it; one of those measures BLAS itself, as the machine's limit.
const allowed = {
  include: [],
  core: [],
  cpu: [],
  cuda: [],
  binding: [/^core\//, /^cpu\/backend_cpu\.h$/],
  "binding/operators_limits.cpp": [/^cpu\/(backend_cpu|blas)\.h$/],
};
const napiHeaders = /^(napi|node_api|js_native_api)(-inl)?\.h$/;
const napiSite = "binding/napi_setup.h";
// CUDA's headers come in at one place, so that a .cu file compiles against native/cuda/host as well. Those stand-ins are found by name through
// -I, never by a path; a backend knows of the rest of native/ only what is in include/t2.
const cudaHeaders = /^(cuda\w*|mma|cublas\w*|cusolver\w*|device_launch_parameters)\.h$|^(cub|thrust|cooperative_groups)\b/;
const cudaSite = "cuda/platform.h";

/** Findings as text lines, empty when all is well. `folder` is native/ or a copy of it in a test. */
export function checkNativeLayers(folder) {
  const findings = [];
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(cpp|h|inc|cu|cuh)$/.test(entry.name))
    .map((entry) =>
      relative(folder, join(entry.parentPath ?? entry.path, entry.name))
        .split(sep)
        .join("/"),
    );
  for (const file of files.sort()) {
    const text = readFileSync(join(folder, file), "utf8");
    text.split("\n").forEach((line, index) => {
      const included = /^\s*#\s*include\s*[<"]([^">]+)[">]/.exec(line)?.[1];
      const problem = included && check(file, included);
      if (problem) findings.push(`native/${file}:${index + 1}: ${problem}`);
    });
    if (file.startsWith("include/") && /^\s*#\s*if.*\b(T2_CUDA|T2_CPU|__CUDACC__)\b/m.test(text)) {
      findings.push(`native/${file}: headers under include/t2 have no #if of a backend`);
    }
  }
  return findings;
}

function check(file, included) {
  if (napiHeaders.test(included)) return file === napiSite ? undefined : `only ${napiSite} includes ${included}`;
  const isHost = file.startsWith("cuda/host/");
  if (cudaHeaders.test(included) && file.startsWith("cuda/") && file !== cudaSite && !isHost) {
    return `only ${cudaSite} includes ${included}`;
  }
  if (file.startsWith("cuda/") && !isHost && /(^|\/)host\//.test(included)) return `${included} is found through -I alone`;
  const layer = file.split("/")[0];
  // "../cpu/x.h" and "cpu/x.h" name the same file, "t2/x.h" one of include/; headers from outside name no folder of ours.
  const target = included.startsWith(".") ? posix.join(posix.dirname(file), included) : included;
  const targetLayer = target.split("/")[0];
  if (!(targetLayer in allowed) || targetLayer === layer || targetLayer === "include") return undefined;
  const fine = (allowed[file] ?? allowed[layer]).some((pattern) => pattern.test(target));
  return fine ? undefined : `${layer} must not include ${included}`;
}
