// A name for what an adapter does to the weights: the key of KV and prefix caches, and the checksum of expert files.
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
