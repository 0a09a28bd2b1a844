// The weight files of a model folder: one model.safetensors, or the shards that model.safetensors.index.json lists. Headers and tensors
// are checked by the native core when it maps the files.
import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { Transformer2Error } from "../errors.js";
import { isJsonObject, readJsonFile } from "./json-file.js";

export interface Checkpoint {
  /** Absolute paths of the shards, in the order of their names. */
  readonly files: readonly string[];
  /** Bytes of all files together. */
  readonly bytes: number;
}

const single = "model.safetensors";
const index = "model.safetensors.index.json";

/**
 * Finds the weight files; all of them exist.
 * Throws `ERR_T2_MODEL_NOT_FOUND` when the folder, its weights or a shard is missing, `ERR_T2_INVALID_CHECKPOINT` for a malformed index or
 * one that points outside the folder, `ERR_T2_IO`.
 */
export async function findCheckpoint(folder: string): Promise<Checkpoint> {
  const root = resolve(folder);
  if (!(await isFolder(root))) throw notFound(`There is no model folder "${folder}".`, folder);
  if ((await fileSize(join(root, single))) !== undefined) return collect(root, [single]);
  const json = await readJsonFile(join(root, index), "ERR_T2_INVALID_CHECKPOINT");
  if (json) return collect(root, shardNames(json, join(root, index)));
  const others = (await readdir(root)).filter((name) => /\.(bin|pth|pt|gguf|h5|msgpack)$/.test(name));
  const hint = others.length > 0 ? ` It has ${others.slice(0, 3).join(", ")}; convert them to safetensors.` : "";
  throw notFound(`"${folder}" has no weights: neither ${single} nor ${index}.${hint}`, join(root, single));
}

function shardNames(json: Readonly<Record<string, unknown>>, path: string): string[] {
  const fail = (what: string) =>
    new Transformer2Error("ERR_T2_INVALID_CHECKPOINT", `"${path}" is malformed: ${what}.`, { detail: { path } });
  const { weight_map: map } = json;
  if (!isJsonObject(map)) throw fail('"weight_map" is not an object');
  const names = new Set<string>();
  for (const [tensor, name] of Object.entries(map)) {
    // Shards lie beside the index; anything else could point anywhere on the machine.
    if (typeof name !== "string" || name !== basename(name) || /[\\/\0]/.test(name) || !/^[^.].*\.safetensors$/.test(name)) {
      throw fail(`tensor "${tensor}" is in ${JSON.stringify(name)}, expected the name of a .safetensors file in the same folder`);
    }
    names.add(name);
  }
  if (names.size === 0) throw fail('"weight_map" is empty');
  return [...names].sort();
}

async function collect(root: string, names: readonly string[]): Promise<Checkpoint> {
  const missing: string[] = [];
  let bytes = 0;
  for (const name of names) {
    const size = await fileSize(join(root, name));
    if (size === undefined) missing.push(name);
    else bytes += size;
  }
  if (missing.length > 0) {
    throw new Transformer2Error(
      "ERR_T2_MODEL_NOT_FOUND",
      `"${root}" lacks ${missing.length} of ${names.length} weight files: ${missing.slice(0, 3).join(", ")}${missing.length > 3 ? ", …" : ""}. Download them again.`,
      { detail: { path: root, missing } },
    );
  }
  return { files: names.map((name) => join(root, name)), bytes };
}

/** Undefined unless it is a file (or a link to one, as in the hub's cache). */
async function fileSize(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

function notFound(message: string, path: string): Transformer2Error {
  return new Transformer2Error("ERR_T2_MODEL_NOT_FOUND", message, { detail: { path } });
}
