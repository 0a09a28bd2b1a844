// The options that every command on a model has, and the model they open.
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, Option } from "commander";
import type { DeviceName } from "../runtime/device.js";
import { Transformer2 } from "../transformer2.js";
import { deviceName, list, wholeNumber } from "./arguments.js";
import type { Io } from "./io.js";
import { ProgressLine } from "./progress.js";

/** The model that comes with the package. */
export const embeddedModel = fileURLToPath(new URL("../../models/micro", import.meta.url));

export interface ModelOptions {
  model: string;
  experts?: string[];
  device?: DeviceName;
  threads?: number;
  factors?: string;
  mode?: "auto" | "merged" | "factored";
  json?: boolean;
}

/** Adds the shared options to a command; with `experts`, also the one that names experts. */
export function withModel(command: Command, { experts = true } = {}): Command {
  command
    .addOption(new Option("-m, --model <folder>", "checkpoint folder in Hugging Face format").default(embeddedModel, "the embedded model"))
    .option("--device <name>", "where to run: auto (default), cpu, cuda, or cuda:N for GPU N", deviceName)
    .option("--threads <number>", "threads of the engine (default: all cores)", wholeNumber)
    .option("--factors <folder>", "factor cache (default: $T2_CACHE/factors or the user's cache folder)")
    .addOption(new Option("--mode <name>", "how adapters are applied").choices(["auto", "merged", "factored"]))
    .option("--json", "print the result as JSON");
  if (experts)
    command.option("-e, --experts <list>", "experts: names of files in <model>/experts, paths, or folders of expert files", list);
  return command;
}

/** Every expert file of a folder, in the order of their names; none where there is no such folder. */
export async function expertFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => name.endsWith(".safetensors"))
    .sort()
    .map((name) => join(folder, name));
}

/** Folders stand for the expert files in them; names and files stay as they are. */
async function spread(experts: readonly string[]): Promise<string[]> {
  const result: string[] = [];
  for (const name of experts) {
    const isFolder = (await stat(name).catch(() => undefined))?.isDirectory() ?? false;
    result.push(...(isFolder ? await expertFiles(name) : [name]));
  }
  return result;
}

/**
 * Opens the model, runs `work` and closes the model, whatever happens. `experts` are those to load where the option does not say:
 * names, or "all" in the model's folder.
 */
export async function useModel<T>(
  io: Io,
  options: ModelOptions,
  experts: readonly string[] | "all",
  work: (t2: Transformer2, progress: ProgressLine) => Promise<T>,
): Promise<T> {
  const progress = new ProgressLine(io);
  const wanted =
    options.experts === undefined
      ? experts === "all"
        ? await expertFiles(join(options.model, "experts"))
        : [...experts]
      : await spread(options.experts);
  try {
    const t2 = await Transformer2.load(options.model, {
      experts: wanted,
      ...(options.device === undefined ? {} : { device: options.device }),
      ...(options.threads === undefined ? {} : { maxThreads: options.threads }),
      ...(options.factors === undefined ? {} : { factors: options.factors }),
      ...(options.mode === undefined ? {} : { mode: options.mode }),
      signal: io.signal,
      onProgress: quiet(io, options.json) ? undefined : progress.update,
    });
    try {
      return await work(t2, progress);
    } finally {
      await t2[Symbol.asyncDispose]();
    }
  } finally {
    progress.clear();
  }
}

/** With --json into a file or pipe nobody watches: no progress then. */
export function quiet(io: Io, json: boolean | undefined): boolean {
  return json === true && !io.errIsTerminal;
}
