// Native tools and libraries from PyPI, for machines without them and without root: wheels installed into a folder under third_party/.

import { mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { at, outputOf, run, SetupError, which } from "./shell.mjs";

const environment = at(".cache", "pip"); // Debian's python3 comes without pip, but venv brings one

export function hasPip() {
  return pip() !== undefined;
}

function pip() {
  const candidates = ["python3", `${environment}/bin/python`];
  return candidates.find((python) => which(python) !== undefined && outputOf(python, ["-m", "pip", "--version"]) !== undefined);
}

/** Installs these wheels (name==version), and nothing they ask for, into `folder`, which appears in one step or not at all. */
export function installWheels(requirements, folder, what) {
  if (!hasPip() && which("python3") !== undefined) outputOf("python3", ["-m", "venv", environment]);
  const python = pip();
  if (python === undefined) throw new SetupError(`${what} from PyPI needs python3 with pip (Debian: apt-get install python3-pip).`);
  const part = `${folder}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(dirname(part), { recursive: true });
  const options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--target", part];
  run(python, ["-m", "pip", "install", ...options, ...requirements], { what: `fetching ${what}` });
  rmSync(folder, { recursive: true, force: true });
  renameSync(part, folder);
}
