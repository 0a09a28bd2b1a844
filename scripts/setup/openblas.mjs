// OpenBLAS: from the system (Debian's 0.3.21 and the wheel's 0.3.34 measured the same, see docs/performance.md; the system's can be linked
// statically), or, where that needs a password, the PyPI wheel scipy-openblas32 unpacked under third_party/.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { at, say } from "./shell.mjs";
import { installWheels } from "./wheels.mjs";

const wheelVersion = "0.3.34.0.0";
const wheelFolder = at("third_party", "openblas");

/** "system" or "wheel": what to build against. Fetches the wheel when it is wanted, or the only way. */
export function openblasSource(wish) {
  if (wish === "system" || (wish === "auto" && hasSystemOpenblas())) return "system";
  if (!hasWheel()) fetchWheel();
  return "wheel";
}

export function hasSystemOpenblas() {
  const folders = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/opt/homebrew/opt/openblas/lib",
    "/usr/local/opt/openblas/lib",
  ];
  for (const name of list("/usr/lib")) if (name.endsWith("-linux-gnu")) folders.push(join("/usr/lib", name));
  return folders.some((folder) =>
    ["", "openblas-pthread", "openblas"].some((sub) =>
      ["libopenblas.a", "libopenblas.so", "libopenblas.dylib"].some((file) => existsSync(join(folder, sub, file))),
    ),
  );
}

export function hasWheel() {
  return existsSync(join(wheelFolder, "scipy_openblas32", "lib"));
}

function fetchWheel() {
  say(`OpenBLAS: fetching the wheel scipy-openblas32 ${wheelVersion} (no system OpenBLAS, or --openblas wheel)`);
  installWheels([`scipy-openblas32==${wheelVersion}`], wheelFolder, "OpenBLAS");
}

function list(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
