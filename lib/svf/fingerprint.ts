// The fingerprint of base weights: what ties experts and cached factors to the very bytes they were made from.
import { createHash } from "node:crypto";

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
