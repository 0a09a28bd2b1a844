// Texts of the command line as values. A text that is no such value is a usage error, told before anything is loaded.
import { InvalidArgumentError } from "commander";
import { deviceNames, devicePattern } from "../options.js";
import type { DeviceName } from "../runtime/device.js";
import type { Mixture } from "../svf/mixture.js";

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError("It must be a whole number ≥ 0.");
  return value;
}

export function realNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("It must be a number.");
  return value;
}

export function deviceName(text: string): DeviceName {
  if (!devicePattern.test(text)) throw new InvalidArgumentError(`It must be ${deviceNames()}.`);
  return text as DeviceName;
}

/** "a,b , c" → ["a", "b", "c"] */
export function list(text: string): string[] {
  const items = text.split(",").map((item) => item.trim());
  if (items.some((item) => item === "")) throw new InvalidArgumentError("It must be a list separated by commas, without empty items.");
  return items;
}

/** "math=0.7,code=0.3" → { math: 0.7, code: 0.3 } */
export function mixture(text: string): Mixture {
  const weights: Record<string, number> = {};
  for (const item of list(text)) {
    const at = item.lastIndexOf("=");
    const name = item.slice(0, at).trim();
    if (at < 1 || name === "") throw new InvalidArgumentError("It must look like math=0.7,code=0.3.");
    if (Object.hasOwn(weights, name)) throw new InvalidArgumentError(`"${name}" occurs twice.`);
    weights[name] = realNumber(item.slice(at + 1));
  }
  return { weights };
}

/** "all", "mlp", "attention", or a list of roles and matrix names. */
export function targets(text: string): "all" | "mlp" | "attention" | string[] {
  return text === "all" || text === "mlp" || text === "attention" ? text : list(text);
}

/** A number, or a list of numbers. */
export function numberOrList(text: string): number | number[] {
  return text.includes(",") ? list(text).map(realNumber) : realNumber(text);
}

/** "model", "matrix", or a number of layer groups. */
export function granularity(text: string): "model" | "matrix" | number {
  return text === "model" || text === "matrix" ? text : wholeNumber(text);
}

export function collect(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}
