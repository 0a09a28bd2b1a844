// Small text and JSON files of a model folder.
import { readFile } from "node:fs/promises";
import { type ErrorCode, Transformer2Error } from "../errors.js";
import { ioError } from "../util/atomic-file.js";

export type JsonObject = Readonly<Record<string, unknown>>;

/** A file's text; undefined when there is none. Throws `ERR_T2_IO`. */
export async function readTextFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw ioError("read", path, error);
  }
}

/** A file that holds one JSON object; undefined when there is none. Throws `ERR_T2_IO`, and `code` when it holds something else. */
export async function readJsonFile(path: string, code: ErrorCode): Promise<JsonObject | undefined> {
  const text = await readTextFile(path);
  if (text === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new Transformer2Error(code, `"${path}" is not JSON; it may be truncated.`, { detail: { path }, cause });
  }
  if (isJsonObject(json)) return json;
  throw new Transformer2Error(code, `"${path}" must hold a JSON object.`, { detail: { path } });
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
