// The folder of a training run and its files: config.json, metrics.jsonl, timings.jsonl, checkpoint.safetensors, latest.safetensors and
// best.safetensors. The checkpoint alone decides where a run goes on; the other files are put back to its step.
import { createHash } from "node:crypto";
import { appendFile, mkdir, readdir, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Transformer2Error } from "../errors.js";
import { readSafetensors, toFloat32, writeSafetensors } from "../model/safetensors.js";
import { ioError, temporarySuffix, writeFileAtomic, writeJsonAtomic } from "../util/atomic-file.js";
import type { AdamState, Vectors } from "./optimiser.js";

/** Right answers of validation items or of rollouts. */
export interface Count {
  readonly right: number;
  readonly total: number;
}

/** What is logged for a step. Nothing in it depends on the clock, so two runs of the same settings log the same bytes. */
export interface StepRecord {
  /** From 1; 0 is the validation before training. */
  readonly step: number;
  /** Policy-gradient or next-token loss, without KL. Absent, as all below, at step 0 and where no group had a gradient. */
  readonly loss?: number;
  /** Mean KL to the base model, nats per completion token. */
  readonly kl?: number;
  /** Global norm before clipping. */
  readonly gradientNorm?: number;
  readonly learningRate?: number;
  /** Mean reward of the rollouts, and how many were right at the rollout's temperature. */
  readonly reward?: number;
  readonly sampled?: Count;
  /** Prompts of the step, and those whose samples were all alike. */
  readonly groups?: number;
  readonly skipped?: number;
  readonly completionTokens?: number;
  /** Greedy on the validation items, after the step's update. */
  readonly validation?: Count;
}

/** Milliseconds of a step. */
export interface StepTiming {
  readonly step: number;
  readonly rollout: number;
  readonly gradient: number;
  readonly validation: number;
}

/** Everything that changes while a run goes on. */
export interface RunState {
  /** Steps made. */
  step: number;
  parameters: Vectors;
  adam: AdamState;
  /** The step kept so far, with its score where there is validation. */
  best: { step: number; score?: Count; parameters: Vectors } | undefined;
  /** Validations since the last best. */
  stale: number;
  /** Nothing is left to do: all steps were made, or patience ran out. */
  done: boolean;
}

/** What identifies a run: equal configs give equal bytes. */
export type RunConfig = Readonly<Record<string, unknown>>;

const configFormat = "transformer2.run/1";
const checkpointFormat = "transformer2.checkpoint/1";

const files = {
  config: "config.json",
  metrics: "metrics.jsonl",
  timings: "timings.jsonl",
  checkpoint: "checkpoint.safetensors",
  latest: "latest.safetensors",
  best: "best.safetensors",
} as const;

function invalidRun(folder: string, message: string, detail: Record<string, unknown> = {}, cause?: unknown): Transformer2Error {
  return new Transformer2Error("ERR_T2_INVALID_RUN", `Run directory "${folder}" ${message}`, { detail: { folder, ...detail }, cause });
}

/** Paths "options.seed" at which two plain values differ. */
function differences(a: unknown, b: unknown, path = ""): string[] {
  if (isDeepStrictEqual(a, b)) return [];
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject(a) || !isObject(b)) return [path];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key) => differences(a[key], b[key], path ? `${path}.${key}` : key));
}

function at(value: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);
}

/** SHA-256 over what a checkpoint holds, so that a flipped bit is an error and not another run. */
function checksum(state: string | undefined, tensors: ReadonlyMap<string, ArrayBufferView>): string {
  const hash = createHash("sha256").update(state ?? "");
  for (const name of [...tensors.keys()].sort()) {
    const { buffer, byteOffset, byteLength } = tensors.get(name)!;
    hash.update(`\n${name} ${byteLength}\n`).update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest("hex");
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw ioError("read", path, error);
  }
}

export class RunDirectory {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * Opens a run's folder, or makes it.
   *
   * Throws `ERR_T2_INVALID_RUN` when the folder holds something else, or a run whose config differs (the message names the differences);
   * `ERR_T2_IO`.
   */
  static async open(folder: string, config: RunConfig): Promise<RunDirectory> {
    // Through JSON once, so that what was read back compares equal with what is asked for.
    const wanted = JSON.parse(JSON.stringify({ format: configFormat, ...config })) as Record<string, unknown>;
    let names: string[];
    try {
      await mkdir(folder, { recursive: true });
      names = await readdir(folder);
    } catch (error) {
      throw ioError("create", folder, error);
    }
    const run = new RunDirectory(folder);
    // A killed process leaves its half-written temporary files.
    const left = names.filter((name) => name.endsWith(temporarySuffix));
    await Promise.all(left.map((name) => unlink(join(folder, name)).catch(() => {})));
    const text = await readText(run.#path("config"));
    if (text === undefined) {
      const other = names.find((name) => !left.includes(name));
      if (other !== undefined)
        throw invalidRun(folder, `is not empty (it has "${other}") and is no run of ours; name another folder.`, { found: other });
      await writeJsonAtomic(run.#path("config"), wanted);
      return run;
    }
    let found: unknown;
    try {
      found = JSON.parse(text);
    } catch (cause) {
      throw invalidRun(folder, "has a config.json that is not JSON.", {}, cause);
    }
    const differing = differences(found, wanted);
    if (differing.length > 0) {
      const shown = differing
        .slice(0, 5)
        .map((path) => `${path} was ${JSON.stringify(at(found, path))} and is now ${JSON.stringify(at(wanted, path))}`);
      const more = differing.length > shown.length ? `, and ${differing.length - shown.length} more` : "";
      throw invalidRun(
        folder,
        `was made with other settings: ${shown.join("; ")}${more}. Give the same ones to continue it, or name another folder.`,
        {
          differences: differing,
        },
      );
    }
    return run;
  }

  #path(file: keyof typeof files): string {
    return join(this.folder, files[file]);
  }

  /** Path of latest.safetensors or best.safetensors. */
  expertPath(which: "latest" | "best"): string {
    return this.#path(which);
  }

  /**
   * The state to go on from with the records up to it, or undefined before the first checkpoint. Logs are cut back to its step.
   * Throws `ERR_T2_INVALID_RUN` when a file is damaged, `ERR_T2_IO`.
   */
  async restore(
    shapes: Readonly<Record<string, number>>,
  ): Promise<{ state: RunState; records: StepRecord[]; timings: StepTiming[] } | undefined> {
    const exists = (await readdir(this.folder)).includes(files.checkpoint);
    const state = exists ? await this.#readCheckpoint(shapes) : undefined;
    const last = state ? state.step : -1;
    const records = await this.#cut<StepRecord>("metrics", last);
    const timings = await this.#cut<StepTiming>("timings", last);
    if (state && records.length !== last + 1)
      throw invalidRun(this.folder, `has a metrics.jsonl of ${records.length} steps, but its checkpoint is at step ${last}.`);
    return state && { state, records, timings };
  }

  /** Lines up to a step; whatever stands behind them (a step that was not finished, a torn line) is removed from the file. */
  async #cut<T extends { step: number }>(file: "metrics" | "timings", last: number): Promise<T[]> {
    const text = await readText(this.#path(file));
    if (text === undefined) return [];
    const kept: T[] = [];
    let length = 0;
    for (const line of text.split("\n").slice(0, -1)) {
      let value: T;
      try {
        value = JSON.parse(line) as T;
      } catch {
        break;
      }
      if (value.step > last || value.step !== kept.length) break;
      kept.push(value);
      length += line.length + 1;
    }
    if (length < text.length) await writeFileAtomic(this.#path(file), text.slice(0, length));
    return kept;
  }

  async #readCheckpoint(shapes: Readonly<Record<string, number>>): Promise<RunState> {
    const path = this.#path("checkpoint");
    const { metadata, data, tensors } = await readSafetensors(path, { code: "ERR_T2_INVALID_RUN" });
    const damaged = (what: string, cause?: unknown) => invalidRun(this.folder, `has a damaged checkpoint: ${what}.`, { path }, cause);
    if (metadata.format !== checkpointFormat)
      throw damaged(`its format is ${JSON.stringify(metadata.format ?? null)}, expected "${checkpointFormat}"`);
    if (metadata.checksum !== checksum(metadata.state, data)) throw damaged("its content does not match its checksum");
    let plain: { step: number; updates: number; stale: number; done: boolean; best?: { step: number; score?: Count } };
    try {
      plain = JSON.parse(metadata.state ?? "");
    } catch (cause) {
      throw damaged("its state is not JSON", cause);
    }
    const group = (prefix: string): Vectors =>
      Object.fromEntries(
        Object.entries(shapes).map(([name, rank]) => {
          const tensor = tensors.get(`${name}.${prefix}`);
          if (tensor?.dtype !== "F32" || tensor.shape.length !== 1 || tensor.shape[0] !== rank)
            throw damaged(`"${name}.${prefix}" is not a vector of ${rank} F32`);
          return [name, toFloat32(data.get(tensor.name)!)];
        }),
      );
    return {
      step: plain.step,
      parameters: group("p"),
      adam: { updates: plain.updates, first: group("first"), second: group("second") },
      best: plain.best && { ...plain.best, parameters: group("best") },
      stale: plain.stale,
      done: plain.done,
    };
  }

  /** Appends a step to the logs. Comes before `save`: a kill in between repeats the step. */
  async log(record: StepRecord, timing: StepTiming): Promise<void> {
    for (const [file, value] of [
      ["metrics", record],
      ["timings", timing],
    ] as const) {
      const path = this.#path(file);
      await appendFile(path, `${JSON.stringify(value)}\n`, { flush: true }).catch((error: unknown) => {
        throw ioError("write", path, error);
      });
    }
  }

  /** Writes the checkpoint: from here the run goes on. */
  async save(state: RunState): Promise<void> {
    const { step, parameters, adam, best, stale, done } = state;
    const tensors = (prefix: string, vectors: Vectors) =>
      Object.entries(vectors).map(([name, data]) => ({ name: `${name}.${prefix}`, dtype: "F32" as const, shape: [data.length], data }));
    const plain = {
      step,
      updates: adam.updates,
      stale,
      done,
      ...(best && { best: { step: best.step, ...(best.score && { score: best.score }) } }),
    };
    const all = [
      ...tensors("p", parameters),
      ...tensors("first", adam.first),
      ...tensors("second", adam.second),
      ...(best ? tensors("best", best.parameters) : []),
    ];
    const text = JSON.stringify(plain);
    const metadata = {
      format: checkpointFormat,
      state: text,
      checksum: checksum(text, new Map(all.map(({ name, data }) => [name, data]))),
    };
    await writeSafetensors(this.#path("checkpoint"), all, metadata);
  }
}
