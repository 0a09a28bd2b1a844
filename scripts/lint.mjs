// `npm run lint`: everything that can be said about the sources without running them. Each check prints one line, and its findings if it fails.

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { checkNativeLayers } from "./native-layers.mjs";
import { at, root, which } from "./setup/shell.mjs";

const module = (...parts) => at("node_modules", ...parts);

/** Runs all checks; returns for each its name and "pass", "fail" or "skip". */
export function lint() {
  const checks = [
    [
      "biome",
      () =>
        node(
          module("@biomejs", "biome", "bin", "biome"),
          "check",
          ".",
          "--error-on-warnings",
          "--diagnostic-level=warn",
          "--max-diagnostics=200",
        ),
    ],
    ["clang-format", clangFormat],
    ["native layers", () => ({ ok: true, ...failuresOf(checkNativeLayers(at("native"))) })],
    ["layers of lib (dependency-cruiser)", dependencyCruiser],
    [
      "types (tsc)",
      () =>
        node(module("typescript", "bin", "tsc"), "-p", "tsconfig.json", "--incremental", "--tsBuildInfoFile", ".cache/lint.tsbuildinfo"),
    ],
  ];
  return checks.map(([name, check]) => {
    const { ok, skip, findings } = check();
    const status = skip !== undefined ? "skip" : ok ? "pass" : "fail";
    process.stdout.write(`lint: ${name}: ${skip !== undefined ? `skipped (${skip})` : ok ? "ok" : `failed\n${findings}`}\n`);
    return { name, status };
  });
}

function node(...args) {
  return finished(spawnSync(process.execPath, args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 }));
}

function finished(result) {
  return { ok: result.status === 0, findings: `${result.stdout}${result.stderr}${result.error ?? ""}` };
}

function failuresOf(findings) {
  return { ok: findings.length === 0, findings: findings.join("\n") };
}

function clangFormat() {
  const files = nativeSources();
  const tool = clangFormatProgram();
  if (tool === undefined)
    return { skip: "neither the npm package clang-format has a binary for this platform, nor is clang-format 14 or 15 installed" };
  return finished(spawnSync(tool, ["--dry-run", "--Werror", ...files], { encoding: "utf8", maxBuffer: 1 << 26 }));
}

/** The pinned version from npm where it has a binary; else the system's, if its version formats alike. */
export function clangFormatProgram() {
  const folder = { linux: "linux_x64", darwin: "darwin_x64" }[process.platform];
  const pinned = folder && process.arch === "x64" ? module("clang-format", "bin", folder, "clang-format") : undefined;
  const usable = (program) => {
    const version = spawnSync(program, ["--version"], { encoding: "utf8" });
    return version.status === 0 && /version 1[45]\./.test(version.stdout);
  };
  return [pinned, which("clang-format-15"), which("clang-format-14"), which("clang-format")].find(
    (program) => program && existsSync(program) && usable(program),
  );
}

/** All C++ and CUDA of ours: native/, and the programs among the tests. */
export function nativeSources() {
  return ["native", "test"].flatMap((folder) => filesUnder(at(folder), /\.(cpp|h|inc|cu|cuh)$/));
}

function dependencyCruiser() {
  return node(
    module("dependency-cruiser", "bin", "dependency-cruise.mjs"),
    "lib",
    "--config",
    ".dependency-cruiser.cjs",
    "--output-type",
    "err-long",
  );
}

function filesUnder(folder, pattern) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  process.exitCode = lint().some(({ status }) => status === "fail") ? 1 : 0;
}
