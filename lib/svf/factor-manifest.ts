// manifest.json of a folder of factors: which files were found right, and when. It is a convenience; without it files are read again.
import { join } from "node:path";
import { z } from "zod";
import { readJsonFile } from "../model/json-file.js";
import { type FactorEntry, factorFormat } from "./factor-file.js";

const entry = z.object({
  name: z.string(),
  rows: z.int(),
  columns: z.int(),
  sha256: z.string(),
  checksum: z.string(),
  residual: z.number(),
  orthogonalityU: z.number(),
  orthogonalityV: z.number(),
  driver: z.string(),
  milliseconds: z.number(),
  bytes: z.int(),
  modified: z.string(),
});

const manifest = z.object({ format: z.literal(factorFormat), fingerprint: z.string(), dtype: z.string(), matrices: z.array(entry) });

/** Entries by name; none when the manifest is missing, damaged or of another model, since files can always be checked anew. */
export async function readManifest(folder: string, fingerprint: string, dtype: string): Promise<Map<string, FactorEntry>> {
  const json = await readJsonFile(join(folder, "manifest.json"), "ERR_T2_INVALID_FACTORS").catch(() => undefined);
  const parsed = manifest.safeParse(json);
  if (!parsed.success || parsed.data.fingerprint !== fingerprint || parsed.data.dtype !== dtype) return new Map();
  return new Map(parsed.data.matrices.map((item) => [item.name, item]));
}
