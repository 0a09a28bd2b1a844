// Node, compiler, CMake and OpenBLAS: what is there, what is missing, and how to get it.

import { hasSystemOpenblas, hasWheel } from "./openblas.mjs";
import { outputOf, run, SetupError, say, which } from "./shell.mjs";
import { hasPip } from "./wheels.mjs";

const packages = {
  "apt-get": { install: "apt-get install -y", compiler: "g++", make: "make", cmake: "cmake", openblas: "libopenblas-dev" },
  dnf: { install: "dnf install -y", compiler: "gcc-c++", make: "make", cmake: "cmake", openblas: "openblas-devel" },
  zypper: { install: "zypper install -y", compiler: "gcc-c++", make: "make", cmake: "cmake", openblas: "openblas-devel" },
  pacman: { install: "pacman -S --needed", compiler: "gcc", make: "make", cmake: "cmake", openblas: "openblas" },
  apk: { install: "apk add", compiler: "g++", make: "make", cmake: "cmake", openblas: "openblas-dev" },
  brew: { install: "brew install", compiler: "gcc", make: "make", cmake: "cmake", openblas: "openblas" },
};

/** package.json's engines: ^20.19.0 || >=22.12.0. */
export function checkNode(version = process.versions.node) {
  const [major, minor] = version.split(".").map(Number);
  if ((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22) return;
  throw new SetupError(
    `Node ${version} is not supported; transformer2 needs 20.19 or later of 20, or 22.12 and later (https://nodejs.org).`,
  );
}

/**
 * Finds the tools, installs Debian packages for the missing ones when it may, or throws with the exact line to run.
 * Returns the tools in words.
 */
export function ensureTools({ openblas }) {
  let missing = missingTools(openblas);
  if (missing.length > 0 && which("apt-get") !== undefined && process.getuid?.() === 0) {
    installDebian(missing.map((tool) => packages["apt-get"][tool]));
    missing = missingTools(openblas);
  }
  // Without root only OpenBLAS can come another way: as a wheel from PyPI.
  const needed = missing.filter((tool) => !(tool === "openblas" && openblas === "auto" && hasPip()));
  if (needed.length > 0) throw new SetupError(instructions(needed));
  return `Node ${process.versions.node}, ${checkCompiler()}, CMake ${checkCmake()}`;
}

function compiler() {
  return [process.env.CXX, "c++", "g++", "clang++"].find((name) => name && which(name) !== undefined);
}

function missingTools(openblas) {
  const missing = [];
  if (compiler() === undefined) missing.push("compiler");
  if (which("make") === undefined && which("ninja") === undefined) missing.push("make");
  if (which("cmake") === undefined) missing.push("cmake");
  if (openblas !== "wheel" && !hasSystemOpenblas() && !(openblas === "auto" && hasWheel())) missing.push("openblas");
  return missing;
}

function installDebian(names) {
  say(`installing ${names.join(", ")} (missing; this is a Debian system and I am root)`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  run("dpkg", ["--configure", "-a"], { env }); // in case an earlier run was interrupted here
  run("apt-get", ["update", "-q"], { env });
  run("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...names], { env, what: "installing Debian packages" });
}

function instructions(missing) {
  const manager = Object.keys(packages).find((name) => which(name) !== undefined);
  const things = { compiler: "a C++20 compiler", make: "make", cmake: "CMake", openblas: "OpenBLAS" };
  const what = missing.map((tool) => things[tool]).join(", ");
  if (manager === undefined) return `${what} missing, and no package manager that I know. Install ${what}, then run this again.`;
  const sudo = manager === "brew" || process.getuid?.() === 0 ? "" : "sudo ";
  return `${what} missing. Run this, then try again:\n\n    ${sudo}${packages[manager].install} ${missing.map((tool) => packages[manager][tool]).join(" ")}\n`;
}

function checkCompiler() {
  const name = compiler();
  const first = (outputOf(name, ["--version"]) ?? "").split("\n")[0];
  const version = /(\d+)\.(\d+)(\.\d+)?/.exec(first)?.[0];
  const isClang = first.includes("clang");
  const least = isClang ? 14 : 11;
  if (version !== undefined && Number.parseInt(version, 10) < least) {
    throw new SetupError(`${first}: C++20 needs GCC 11 or Clang 14 at least. Set CXX to a newer compiler.`);
  }
  return `${isClang ? "Clang" : "GCC"} ${version ?? "of unknown version"}`;
}

function checkCmake() {
  const version = /\d+\.\d+(\.\d+)?/.exec(outputOf("cmake", ["--version"]) ?? "")?.[0] ?? "0.0";
  const [major, minor] = version.split(".").map(Number);
  if (major < 3 || (major === 3 && minor < 20)) throw new SetupError(`CMake ${version} is too old; 3.20 or later is needed.`);
  return version;
}
