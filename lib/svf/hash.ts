// Names for what is in memory or on disk: a hash of z vectors (keys of KV and prefix caches) and the fingerprint of base weights.
import { createHash } from "node:crypto";

/** Hash of the base model: no matrix is changed. */
export const baseHash = "base";

/**
 * SHA-256 (hexadecimal) of z vectors, independent of the order of the map; `baseHash` when they change nothing.
 * Matrices whose z is 1 throughout are left out, because they are the base's matrices: equal hashes mean equal weights.
 */
export function hashVectors(vectors: ReadonlyMap<string, Float32Array>): string {
  const hash = createHash("sha256");
  let changed = false;
  for (const name of [...vectors.keys()].sort()) {
    const z = vectors.get(name) as Float32Array;
    if (isIdentity(z)) continue;
    changed = true;
    hash.update(`${name}\0${z.length}\0`);
    hash.update(new Uint8Array(z.buffer, z.byteOffset, z.byteLength));
  }
  return changed ? hash.digest("hex") : baseHash;
}

/** Whether z leaves its matrix as it is. */
export function isIdentity(z: Float32Array): boolean {
  return z.every((value) => value === 1);
}

/** One matrix of a base model, as the fingerprint sees it. */
export interface MatrixDigest {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** "F32", "F16" or "BF16", as stored. */
  readonly dtype: string;
  /** SHA-256 of the matrix' bytes as stored, hexadecimal. */
  readonly sha256: string;
}

/**
 * Fingerprint of base weights: SHA-256 (hexadecimal) over one line per matrix, `name dtype rows columns sha256`, each ended by a newline,
 * in the order given, which is layer order by convention. It is a hash over hashes, so that the bytes of every matrix are read once and
 * the fingerprints of several selections cost nothing more.
 */
export function fingerprint(matrices: readonly MatrixDigest[]): string {
  const hash = createHash("sha256");
  for (const { name, dtype, rows, columns, sha256 } of matrices) hash.update(`${name} ${dtype} ${rows} ${columns} ${sha256}\n`);
  return hash.digest("hex");
}
