// The layers of native/ (binding → core → include ← cpu, cuda), read off the #include lines. Part of `npm run lint`.

import { readdirSync, readFileSync } from "node:fs";
import { join, posix, relative, sep } from "node:path";

// What a file of each folder may include from the others; its own folder and include/t2 always.
const allowed = {
  include: [],
  core: [],
  cpu: [],
  cuda: [],
  binding: ["core", "cpu"], // cpu only for the table's constructor: see the rule below
};
const napiHeaders = /^(napi|node_api|js_native_api)(-inl)?\.h$/;
const napiSite = "binding/napi_setup.h";

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
    const layer = file.split("/")[0];
    const text = readFileSync(join(folder, file), "utf8");
    text.split("\n").forEach((line, index) => {
      const included = /^\s*#\s*include\s*[<"]([^">]+)[">]/.exec(line)?.[1];
      if (included === undefined) return;
      const problem = check(file, layer, included);
      if (problem !== undefined) findings.push(`native/${file}:${index + 1}: ${problem}`);
    });
    if (layer === "include" && /^\s*#\s*if.*\b(T2_CUDA|T2_CPU|__CUDACC__)\b/m.test(text)) {
      findings.push(`native/${file}: headers under include/t2 have no #if of a backend`);
    }
  }
  return findings;
}

function check(file, layer, included) {
  if (napiHeaders.test(included)) return file === napiSite ? undefined : `only ${napiSite} includes ${included}`;
  const target = targetLayer(file, included);
  if (target === undefined || target === layer || target === "include") return undefined;
  if (target === "cpu" && included.split("/").at(-1) === "backend_cpu.h" && layer === "binding") return undefined;
  if (target !== "cpu" && allowed[layer]?.includes(target)) return undefined;
  return `${layer} must not include ${included} of ${target}`;
}

/** The folder of native/ that an include names, or undefined for headers from outside. */
function targetLayer(file, included) {
  if (included.startsWith("t2/")) return "include";
  const path = included.startsWith(".") ? posix.join(posix.dirname(file), included) : included;
  const layer = path.split("/")[0];
  return layer in allowed ? layer : undefined;
}
