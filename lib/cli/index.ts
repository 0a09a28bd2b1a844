#!/usr/bin/env node
// t2: the commands put together, Ctrl-C, and the exit status. Every command is the thin face of one library call.
import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command, CommanderError } from "commander";
import { adaptCommand } from "./adapt.js";
import { decomposeCommand } from "./decompose.js";
import { demoCommand } from "./demo.js";
import { doctorCommand } from "./doctor.js";
import { evaluateCommand } from "./evaluate.js";
import { exitCodes, fail } from "./failure.js";
import { generateCommand } from "./generate.js";
import type { Io } from "./io.js";
import { trainCommand } from "./train.js";

/** Runs one command line; resolves with the exit status and throws nothing. */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  let status: number = exitCodes.success;
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  const program = new Command("t2")
    .description("A language model that adapts its own weights to each prompt")
    .version(version)
    .exitOverride()
    .showHelpAfterError('Run "t2 help" or "t2 help <command>" for the options.')
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(text) });
  doctorCommand(program, io, (code) => {
    status = code;
  });
  decomposeCommand(program, io);
  trainCommand(program, io);
  evaluateCommand(program, io);
  adaptCommand(program, io);
  generateCommand(program, io);
  demoCommand(program, io);
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.success : exitCodes.usage;
    return fail(io, error, argv.includes("--json"));
  }
  return status;
}

/** The process as the commands see it. The first Ctrl-C asks the work to stop, the second ends the process at once. */
function processIo(): Io {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    controller.abort(new Error("interrupted"));
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  // A reader that went away, as in t2 … | head, is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    controller.abort(new Error("nobody reads the output"));
  });
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    outIsTerminal: process.stdout.isTTY === true,
    errIsTerminal: process.stderr.isTTY === true,
    get columns() {
      return process.stderr.columns || 80;
    },
    signal: controller.signal,
  };
}

/** Whether this file is what was started, also through the symbolic link in node_modules/.bin. */
function isMain(): boolean {
  const started = process.argv[1];
  if (started === undefined) return false;
  try {
    return realpathSync(started) === fileURLToPath(import.meta.url);
  } catch {
    return false;
  }
}

if (isMain()) {
  void main(process.argv.slice(2), processIo()).then((status) => {
    process.exitCode = status;
    // What is still open, e.g. a pipe on standard input, must not keep an interrupted process alive.
    if (status === exitCodes.interrupted) process.exit(status);
  });
}
