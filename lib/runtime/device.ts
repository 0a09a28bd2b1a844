// Which device a model runs on: where the CUDA backend may lie, what is tried in which order, and what was found.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Addon, OpenOptions } from "../../typings/addon.js";
import { Transformer2Error } from "../errors.js";
import { fromNative } from "./native-error.js";

export type DeviceName = "auto" | "cpu" | "cuda" | `cuda:${number}`;

/** One thing that was tried on the way to a GPU: a file, a library, a device. */
export interface DeviceAttempt {
  readonly what: string;
  readonly path: string;
  readonly ok: boolean;
  readonly why: string;
}

export interface DeviceChoice {
  readonly requested: string;
  readonly used: "cpu" | `cuda:${number}`;
  /** Why "auto" did not take a GPU. */
  readonly reason?: string;
  readonly attempts: readonly DeviceAttempt[];
  /** What the device says of itself: name, and for a GPU memory, capability, libraries with their paths. */
  readonly description?: Record<string, unknown>;
}

/** What the search sees of the world; tests put in another one. */
export interface DeviceHost {
  /** The package's folder; in a checkout the backend is built into build/cuda. */
  readonly root: string;
  /** T2_CUDA_LIBRARY: this file and no other. */
  readonly override: string | undefined;
  /** T2_CUDA_PATH: folder to look for NVIDIA's libraries in first. */
  readonly libraries: string | undefined;
  /** The backend's file in the optional package, where that is installed. */
  packaged(): string | undefined;
  exists(path: string): boolean;
}

/** Files that may hold the CUDA backend, in the order in which they are tried. */
export function backendFiles(host: DeviceHost): string[] {
  if (host.override !== undefined) return [resolve(host.override)];
  const packaged = host.packaged();
  return [join(host.root, "build", "cuda", "libt2_cuda.so"), ...(packaged === undefined ? [] : [packaged])];
}

type Where = OpenOptions["device"];

const sameForAuto = new Set(["ERR_T2_OUT_OF_MEMORY", "ERR_T2_DEVICE_LOST"]);

/**
 * Opens something on the wished device: "auto" goes on to the CPU when no GPU can be used or the model does not fit it, a GPU asked for
 * by name is `ERR_T2_CUDA_UNAVAILABLE` instead. What else `open` throws comes through.
 */
export async function openOnDevice<T>(
  wish: { device?: string | undefined; cudaPath?: string | undefined },
  open: (where: Where) => Promise<T>,
  host: DeviceHost = thisHost(),
): Promise<{ opened: T; choice: DeviceChoice }> {
  const requested = wish.device ?? "auto";
  const attempts: DeviceAttempt[] = [];
  if (requested !== "cpu") {
    const index = indexOf(requested);
    for (const path of backendFiles(host)) {
      if (!host.exists(path)) {
        attempts.push({ what: "backend library", path, ok: false, why: "there is no such file" });
        continue;
      }
      try {
        const opened = await open({ kind: "library", path, index, libraryPath: wish.cudaPath ?? host.libraries ?? null });
        return { opened, choice: { requested, used: `cuda:${index}`, attempts } };
      } catch (thrown) {
        const error = fromNative(thrown);
        if (!(error instanceof Transformer2Error)) throw error;
        if (error.code === "ERR_T2_CUDA_UNAVAILABLE") {
          attempts.push(...attemptsOf(error));
        } else if (requested === "auto" && sameForAuto.has(error.code)) {
          attempts.push({ what: "loading the model", path, ok: false, why: error.message });
        } else {
          throw error;
        }
      }
    }
    if (requested !== "auto") {
      throw new Transformer2Error(
        "ERR_T2_CUDA_UNAVAILABLE",
        `Device "${requested}" cannot be used: ${whyNoGpu(attempts)}. Use "cpu" or "auto", or see "t2 doctor --json" for all that was tried.`,
        { detail: { device: requested, attempts } },
      );
    }
  }
  const opened = await open({ kind: "cpu" });
  const reason = requested === "auto" ? { reason: whyNoGpu(attempts) } : {};
  return { opened, choice: { requested, used: "cpu", ...reason, attempts } };
}

export interface ProbedDevice extends DeviceChoice {
  /** Bytes of the GPU's memory. */
  readonly memory?: { readonly available: number; readonly total: number };
}

/** Opens the device without a model and closes it again. */
export function probeDevice(addon: Addon, requested: string = "auto", host: DeviceHost = thisHost()): ProbedDevice {
  const index = indexOf(requested);
  const attempts: DeviceAttempt[] = [];
  for (const path of backendFiles(host)) {
    if (!host.exists(path)) {
      attempts.push({ what: "backend library", path, ok: false, why: "there is no such file" });
      continue;
    }
    const probe = addon.deviceProbe(path, index, host.libraries ?? null);
    attempts.push(...(JSON.parse(probe.attempts) as DeviceAttempt[]));
    if (!probe.ok) continue;
    const { available, total } = probe;
    const description = JSON.parse(probe.description) as Record<string, unknown>;
    return { requested, used: `cuda:${index}`, attempts, description, memory: { available, total } };
  }
  return { requested, used: "cpu", reason: whyNoGpu(attempts), attempts };
}

function indexOf(name: string): number {
  return Number(/^cuda:(\d+)$/.exec(name)?.[1] ?? 0);
}

/** e.g. "cpu", or "cuda:0 (NVIDIA H100)": records of measurements must say on what they were made. */
export function deviceLabel({ used, description }: Pick<DeviceChoice, "used" | "description">): string {
  const name = used === "cpu" ? undefined : description?.["device"];
  return typeof name === "string" ? `${used} (${name})` : used;
}

/** One plain line from a list of attempts none of which led to a GPU. */
export function whyNoGpu(attempts: readonly DeviceAttempt[]): string {
  const failed = attempts.filter(({ ok }) => !ok);
  if (failed.every(({ what, why }) => what === "backend library" && why === "there is no such file")) {
    const places = failed.map(({ path }) => path).join(", ");
    return `no CUDA backend in this installation (looked in ${places || "no place"})`;
  }
  // a missing file is no news where another one was there
  const { what, path, why } = failed.findLast((one) => one.why !== "there is no such file") ?? failed.at(-1)!;
  const where = what === "backend library" && !why.includes(path) ? ` ${path}` : "";
  return `${what}${where}: ${why || "could not be used"}`;
}

function attemptsOf(error: Transformer2Error): DeviceAttempt[] {
  const listed = error.detail?.["attempts"];
  if (Array.isArray(listed) && listed.length > 0) return listed as DeviceAttempt[];
  return [{ what: "backend library", path: "", ok: false, why: error.message }];
}

function thisHost(): DeviceHost {
  return {
    root: fileURLToPath(new URL("../../", import.meta.url)),
    override: process.env["T2_CUDA_LIBRARY"] || undefined,
    libraries: process.env["T2_CUDA_PATH"] || undefined,
    packaged: () => {
      try {
        return createRequire(import.meta.url).resolve(`@transformer2/${process.platform}-${process.arch}-cuda`);
      } catch {
        return undefined;
      }
    },
    exists: existsSync,
  };
}
