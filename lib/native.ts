// Loads the addon, on first use; the only file that touches it. When that fails, the message says what was tried and what to do.

import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Addon } from "../typings/addon.js";
import { Transformer2Error } from "./errors.js";

const require = createRequire(import.meta.url);

/** One file that was tried, or one place that was searched, and why it did not do. */
export interface LoadAttempt {
  path: string;
  problem: string;
}

/** What the loader sees of the world; tests put in another one. */
export interface LoaderHost {
  /** The package's folder: build/Release (a checkout) and prebuilds/ (an installed package) are looked for in it. */
  root: string;
  /** T2_NATIVE: this file and no other. */
  override: string | undefined;
  /** node-gyp-build's search; throws when it finds nothing. */
  find(root: string): string;
  open(path: string): unknown;
  platform: string;
  arch: string;
  /** e.g. "glibc 2.36", "musl", "" outside Linux. */
  libc(): string;
  node: string;
}

let loaded: Addon | undefined;

/**
 * The native addon, loaded at the first call in each thread. T2_NATIVE names the .node file to load instead of the package's own.
 *
 * Throws ERR_T2_NATIVE_NOT_FOUND; `detail.attempts` lists paths and problems.
 */
export function addon(): Addon {
  loaded ??= loadAddon(thisHost());
  return loaded;
}

/** `addon()` without its memory, over any host. */
export function loadAddon(host: LoaderHost): Addon {
  const attempts: LoadAttempt[] = [];
  let cause: unknown;
  try {
    const path = host.override === undefined ? host.find(host.root) : resolve(host.override);
    try {
      return host.open(path) as Addon;
    } catch (error) {
      attempts.push({ path, problem: messageOf(error) });
      cause = error;
    }
  } catch (error) {
    attempts.push({ path: host.root, problem: messageOf(error) });
    cause = error;
  }
  const libc = host.libc();
  const where = `${host.platform}-${host.arch}${libc === "" ? "" : ` (${libc})`}, Node ${host.node}`;
  const tried = attempts.map(({ path, problem }) => `  - ${path}: ${problem.trim().split("\n")[0]}`);
  const advice = adviceFor(host, attempts, libc).map((line) => `  - ${line}`);
  const message = `The native addon of transformer2 could not be loaded on ${where}.\nTried:\n${tried.join("\n")}\nWhat to do:\n${advice.join("\n")}`;
  throw new Transformer2Error("ERR_T2_NATIVE_NOT_FOUND", message, {
    detail: { attempts, platform: host.platform, arch: host.arch, libc, node: host.node },
    cause,
  });
}

/** One line of help per cause that can be told from the attempts. */
function adviceFor(host: LoaderHost, attempts: LoadAttempt[], libc: string): string[] {
  const problems = attempts.map(({ problem }) => problem).join("\n");
  const checkout = existsSync(resolve(host.root, "CMakeLists.txt"));
  const rebuild = checkout
    ? 'build it here: "npm run build:native"'
    : "build it from a checkout of the source, and set T2_NATIVE to the .node file";
  const advice: string[] = [];

  const neededGlibc = /version [`'"]?(GLIBC(?:XX)?_[\d.]+)['"]? not found/.exec(problems)?.[1];
  const missingLibrary = /([\w.+-]+\.(?:so[\d.]*|dylib)): cannot open shared object file|Library not loaded: (\S+)/.exec(problems);
  if (neededGlibc !== undefined) {
    advice.push(`the binary needs ${neededGlibc}, which this system (${libc}) does not have; use a newer system, or ${rebuild}.`);
  } else if (/ld-musl|Error relocating|libc\.musl/.test(problems)) {
    advice.push(`the binary and this system use different C libraries (${libc}); ${rebuild}.`);
  } else if (missingLibrary !== null) {
    const name = missingLibrary[1] ?? missingLibrary[2] ?? "";
    const debian = name.includes("openblas") ? " (Debian: apt-get install libopenblas0)" : "";
    if (existsSync(attempts[0]?.path ?? "")) advice.push(`the shared library ${name} is missing; install it${debian}, or ${rebuild}.`);
  } else if (/\bELF\b|incompatible architecture|mach-o|not a valid Win32|file too short/.test(problems)) {
    advice.push("the file is damaged or was made for another processor or system; was node_modules or build/ copied from another machine?");
    advice.push(checkout ? rebuild : "install the package again on this machine: npm install --force transformer2.");
  } else if (/did not self-register|NODE_MODULE_VERSION|Node-API version/.test(problems)) {
    advice.push(`this Node does not offer Node-API 9, or the file is not ours: use Node 20.19, 22.12 or later, and ${rebuild}.`);
  }

  if (advice.length === 0 && host.override !== undefined) {
    advice.push(
      `T2_NATIVE is set to ${JSON.stringify(host.override)}: point it to a transformer2.node, or unset it to use the package's own.`,
    );
  }
  if (advice.length === 0 && checkout)
    advice.push('this is a checkout of the source: run "npm run build" once ("npm run demo" and "npm test" do so themselves).');
  if (advice.length === 0) {
    const shipped = existsSync(resolve(host.root, "prebuilds")) ? readdirSync(resolve(host.root, "prebuilds")) : [];
    advice.push(
      `this package has binaries for ${shipped.length > 0 ? shipped.join(", ") : "no system at all (an incomplete installation)"}.`,
    );
    advice.push(shipped.includes(`${host.platform}-${host.arch}`) ? "install the package again on this machine." : rebuild);
  }
  advice.push('"npx t2 doctor" shows what this machine has.');
  return advice;
}

function thisHost(): LoaderHost {
  return {
    root: fileURLToPath(new URL("../", import.meta.url)),
    override: process.env["T2_NATIVE"] || undefined,
    find: (root) => (require("node-gyp-build") as { resolve(root: string): string }).resolve(root),
    open: (path) => require(path),
    platform: process.platform,
    arch: process.arch,
    libc: () => {
      if (process.platform !== "linux") return "";
      const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
      return header.glibcVersionRuntime === undefined ? "musl" : `glibc ${header.glibcVersionRuntime}`;
    },
    node: process.versions.node,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
