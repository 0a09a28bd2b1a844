// Typed reading of the untrusted values of a config.json, with one form of error for all of them.
import { Transformer2Error } from "../errors.js";
import type { JsonObject } from "./json-file.js";

/** Typed access to the keys, with one form of error. */
export class ConfigReader {
  readonly #config: JsonObject;

  constructor(config: JsonObject) {
    this.#config = config;
  }

  value(key: string): unknown {
    return this.#config[key];
  }

  isSet(key: string): boolean {
    return this.#config[key] !== undefined && this.#config[key] !== null;
  }

  count(key: string): number {
    const value = this.#config[key];
    if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > 0x7fffffff)
      throw invalid(key, "a whole number from 1 to 2147483647", value);
    return value as number;
  }

  positive(key: string): number {
    const value = this.#config[key];
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) throw invalid(key, "a number above 0", value);
    return value;
  }

  flag(key: string): boolean {
    const value = this.#config[key];
    if (typeof value !== "boolean") throw invalid(key, "true or false", value);
    return value;
  }
}

export function invalid(key: string, expected: string, actual: unknown): Transformer2Error {
  const shown = actual === undefined ? "missing" : JSON.stringify(actual);
  return new Transformer2Error("ERR_T2_INVALID_CHECKPOINT", `"${key}" in config.json must be ${expected}, but is ${shown}.`, {
    detail: { key, expected, actual },
  });
}

export function unsupported(message: string, key: string, actual: unknown): Transformer2Error {
  return new Transformer2Error("ERR_T2_UNSUPPORTED_MODEL", message, { detail: { key, actual } });
}
