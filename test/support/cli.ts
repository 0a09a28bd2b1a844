// Runs the built command line as a process of its own, with its own cache folder.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Io } from "../../lib/cli/io.js";

export const cliFile = fileURLToPath(new URL("../../dist/cli/index.js", import.meta.url));

export interface CliResult {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface CliOptions {
  cwd: string;
  input?: string;
  environment?: Record<string, string>;
  /** Called with everything written to stderr and stdout so far, and the child. */
  watch?: (soFar: string, child: ChildProcess) => void;
}

/** Factors are cached below `cwd`; two threads are never needed for a tiny model. */
export function t2(args: readonly string[], options: CliOptions): Promise<CliResult> {
  if (!existsSync(cliFile)) throw new Error("dist/ is missing: run npm run build first");
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cliFile, ...args], {
      cwd: options.cwd,
      env: { ...process.env, T2_CACHE: join(options.cwd, "cache"), OMP_NUM_THREADS: "1", ...options.environment },
      stdio: "pipe",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      options.watch?.(stderr + stdout, child);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      options.watch?.(stderr + stdout, child);
    });
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status, signal, stdout, stderr }));
    child.stdin.on("error", () => undefined).end(options.input ?? "");
  });
}

/** The same within this process, which saves the start of one; what it reads from stdin or does with signals needs `t2`. */
export async function t2Here(args: readonly string[], about: Partial<Io> = {}): Promise<CliResult> {
  const { main } = (await import(pathToFileURL(cliFile).href)) as { main(argv: readonly string[], io: Io): Promise<number> };
  let stdout = "";
  let stderr = "";
  const io: Io = {
    out: (text) => {
      stdout += text;
    },
    err: (text) => {
      stderr += text;
    },
    outIsTerminal: false,
    errIsTerminal: false,
    columns: 80,
    signal: new AbortController().signal,
    ...about,
  };
  return { status: await main(args, io), signal: null, stdout, stderr };
}

/** A task file: questions whose answers are one letter, in all three splits. */
export function letterTask(letters = "abcdefghijklmnopqrstuvwxyz"): string {
  return [...letters]
    .map(
      (letter, i) =>
        `${JSON.stringify({ prompt: `say ${letter}`, answer: letter, split: ["train", "train", "validation", "test"][i % 4] })}\n`,
    )
    .join("");
}
