// Paths, output and child processes of the set-up.

import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../", import.meta.url));
export const at = (...parts) => join(root, ...parts);

/** A failure that the message explains in full; no stack is shown. */
export class SetupError extends Error {}

export function say(line) {
  process.stdout.write(`set-up: ${line}\n`);
}

/** Runs a command in the repository root with its output shown; throws SetupError when it fails. */
export function run(command, args, { what, env } = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } });
  if (result.signal === "SIGINT" || result.status === 130) process.exit(130);
  if (result.error !== undefined || result.status !== 0) {
    const why = result.error?.message ?? (result.signal === null ? `exit status ${result.status}` : result.signal);
    throw new SetupError(`${what ?? command} failed (${why}): ${[command, ...args].join(" ")}`);
  }
}

/** Runs a command without showing its output, while others run: { status, output }, standard output and error together. */
export function runAside(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
    child.on("error", reject).on("close", (code) => resolve({ status: code ?? 1, output }));
  });
}

/** A command's standard output, or undefined when it cannot be run or fails. */
export function outputOf(command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return result.status === 0 ? result.stdout : undefined;
}

/** The path of a program on PATH, or undefined. */
export function which(program) {
  if (program.includes("/")) return isProgram(program) ? program : undefined;
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const suffix of process.platform === "win32" ? [".exe", ".cmd", ".bat"] : [""]) {
      const path = join(folder, program + suffix);
      if (isProgram(path)) return path;
    }
  }
  return undefined;
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
