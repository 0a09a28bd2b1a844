// One decomposed matrix as a safetensors file: S [rank] F32, U [rows, rank] and Vh [rank, columns] in F16 or F32, and in the metadata
// what it was made from and how exact it is. The metadata also holds a checksum of all tensor bytes.
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import type { DecomposedMatrix } from "../../typings/addon.js";
import { Transformer2Error } from "../errors.js";
import { readSafetensors, readSafetensorsHeader, type SafetensorsHeader, toFloat32, writeSafetensors } from "../model/safetensors.js";
import { ioError, isSystemError } from "../util/atomic-file.js";
import type { MatrixDigest } from "./fingerprint.js";

/** Value of `format` in factor files and manifests. */
export const factorFormat = "transformer2.factors/1";

/** What is known of one factor file; the shape of an entry of the manifest. */
export interface FactorEntry {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** SHA-256 of the matrix' bytes as stored in the model. */
  readonly sha256: string;
  /** SHA-256 of the factor file's tensor bytes. */
  readonly checksum: string;
  readonly residual: number;
  readonly orthogonalityU: number;
  readonly orthogonalityV: number;
  readonly driver: string;
  readonly milliseconds: number;
  /** Size and time of the file when its checksum was last known to be right. */
  readonly bytes: number;
  readonly modified: string;
}

type Stamp = Pick<FactorEntry, "bytes" | "modified">;

/** Bytes hashed at a time, so that the event loop is never held for more than some milliseconds. */
const PIECE = 2 * 1024 * 1024;

/** Writes the file whole or not at all. Throws `ERR_T2_IO` and `ERR_T2_ABORTED`. */
export async function writeFactorFile(
  path: string,
  matrix: DecomposedMatrix,
  signal?: AbortSignal,
): Promise<Omit<FactorEntry, keyof Stamp>> {
  const { name, rows, columns, rank, dtype, sigma } = matrix;
  const sigmaBytes = new Uint8Array(sigma.buffer, sigma.byteOffset, sigma.byteLength);
  const parts = [sigmaBytes, new Uint8Array(matrix.u), new Uint8Array(matrix.vh)];
  const hash = createHash("sha256");
  for (const part of parts) await update(hash, part);
  const entry = {
    name,
    rows,
    columns,
    sha256: matrix.sha256,
    checksum: hash.digest("hex"),
    residual: matrix.residual,
    orthogonalityU: matrix.orthogonalityU,
    orthogonalityV: matrix.orthogonalityV,
    driver: matrix.driver,
    milliseconds: matrix.milliseconds,
  };
  // S comes first: after an odd number of 16-bit values it would not be aligned.
  const tensors = [
    { name: "S", dtype: "F32" as const, shape: [rank], data: sigmaBytes },
    { name: "U", dtype, shape: [rows, rank], data: matrix.u },
    { name: "Vh", dtype, shape: [rank, columns], data: matrix.vh },
  ];
  const texts = Object.entries(entry).map(([key, value]) => [key, String(value)] as const);
  await writeSafetensors(path, tensors, { format: factorFormat, ...Object.fromEntries(texts) }, signal ? { signal } : {});
  return entry;
}

/**
 * Checks a file from header to last byte against the matrix it should belong to.
 * Returns its entry, what is wrong with it, or undefined when there is none.
 * Throws `ERR_T2_IO` when it exists and cannot be read, and `ERR_T2_ABORTED`.
 */
export async function checkFactorFile(
  path: string,
  matrix: MatrixDigest,
  dtype: "F16" | "F32",
  signal?: AbortSignal,
): Promise<FactorEntry | { reason: string } | undefined> {
  let header: SafetensorsHeader;
  const stamp = await stampOf(path).catch((error: Transformer2Error) => {
    if (error.detail?.code === "ENOENT") return undefined;
    throw error;
  });
  if (!stamp) return undefined;
  try {
    header = await readSafetensorsHeader(path, { code: "ERR_T2_INVALID_FACTORS" });
  } catch (error) {
    if (error instanceof Transformer2Error && error.code === "ERR_T2_INVALID_FACTORS") return { reason: error.message };
    throw error;
  }
  const reason = mismatch(header, matrix, dtype);
  if (reason) return { reason };
  const checksum = await hashFile(path, header.dataOffset, signal);
  if (checksum !== header.metadata.checksum) return { reason: "its bytes do not match its checksum" };
  const { residual, orthogonalityU, orthogonalityV, driver, milliseconds } = header.metadata;
  return {
    name: matrix.name,
    rows: matrix.rows,
    columns: matrix.columns,
    sha256: matrix.sha256,
    checksum,
    residual: Number(residual),
    orthogonalityU: Number(orthogonalityU),
    orthogonalityV: Number(orthogonalityV),
    driver: driver ?? "",
    milliseconds: Number(milliseconds),
    ...stamp,
  };
}

function mismatch({ metadata, tensors }: SafetensorsHeader, matrix: MatrixDigest, dtype: "F16" | "F32"): string | undefined {
  const { name, rows, columns } = matrix;
  const rank = Math.min(rows, columns);
  if (metadata.format !== factorFormat) return `its format is ${JSON.stringify(metadata.format ?? null)}, expected "${factorFormat}"`;
  if (metadata.name !== name) return `it belongs to ${JSON.stringify(metadata.name ?? null)}`;
  if (metadata.sha256 !== matrix.sha256) return "it was made from other weights";
  const expected = { S: ["F32", [rank]], U: [dtype, [rows, rank]], Vh: [dtype, [rank, columns]] } as const;
  if (tensors.size !== 3) return `it has ${tensors.size} tensors, expected S, U and Vh`;
  for (const [key, [type, shape]] of Object.entries(expected)) {
    const tensor = tensors.get(key);
    if (!tensor || tensor.dtype !== type || tensor.shape.join() !== shape.join()) return `its ${key} is not ${type} of shape [${shape}]`;
  }
  return undefined;
}

/** Singular values of a factor file, [rank]. Throws `ERR_T2_INVALID_FACTORS` and `ERR_T2_IO`. */
export async function readSigma(path: string): Promise<Float32Array> {
  const { data } = await readSafetensors(path, { code: "ERR_T2_INVALID_FACTORS", only: ["S"] });
  const bytes = data.get("S");
  if (!bytes) throw new Transformer2Error("ERR_T2_INVALID_FACTORS", `"${path}" has no singular values.`, { detail: { path } });
  return toFloat32(bytes);
}

/** Size and time of modification, to the nanosecond. Throws `ERR_T2_IO`. */
export async function stampOf(path: string): Promise<Stamp> {
  try {
    const { size, mtimeNs } = await stat(path, { bigint: true });
    return { bytes: Number(size), modified: mtimeNs.toString() };
  } catch (error) {
    throw ioError("read", path, error);
  }
}

/** Whether the file is, by size and time, the one whose checksum was found right. */
export async function sameStamp(path: string, entry: Stamp): Promise<boolean> {
  const stamp = await stampOf(path).catch(() => undefined);
  return stamp !== undefined && stamp.bytes === entry.bytes && stamp.modified === entry.modified;
}

async function hashFile(path: string, start: number, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const piece of createReadStream(path, { start, highWaterMark: PIECE })) {
      if (signal?.aborted) throw new Transformer2Error("ERR_T2_ABORTED", "Checking cached factors was aborted.", { cause: signal.reason });
      hash.update(piece as Uint8Array);
    }
  } catch (error) {
    throw isSystemError(error) ? ioError("read", path, error) : error;
  }
  return hash.digest("hex");
}

async function update(hash: Hash, bytes: Uint8Array): Promise<void> {
  for (let start = 0; start < bytes.byteLength; start += PIECE) {
    hash.update(bytes.subarray(start, start + PIECE));
    await setImmediate();
  }
}
