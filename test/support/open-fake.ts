// A Transformer2 over the fake addon: a tiny model folder, a factor cache of its own, both gone when the test ends.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import { loadModel } from "../../lib/runtime/load.js";
import { Expert } from "../../lib/svf/expert.js";
import { type LoadOptions, Transformer2 } from "../../lib/transformer2.js";
import { type FakeAddon, fakeAddon } from "./fake-addon.js";
import { type TinyOptions, writeTinyModel } from "./tiny-model.js";

export interface Opened {
  t2: Transformer2;
  fake: FakeAddon;
  /** The model's folder. */
  folder: string;
  /** The factor cache. */
  factors: string;
}

/** A temporary folder that the test removes. */
export function temporaryFolder(t: Test, name = "t2-test"): string {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function openFake(t: Test, options: LoadOptions = {}, tiny: TinyOptions = {}, fake = fakeAddon()): Promise<Opened> {
  const root = temporaryFolder(t);
  const folder = writeTinyModel(join(root, "tiny"), tiny);
  const factors = options.factors ?? join(root, "factors");
  const { strategy, ...rest } = options;
  const t2 = new Transformer2(await loadModel(fake, folder, { device: "cpu", ...rest, factors }), strategy);
  t.teardown(() => t2[Symbol.asyncDispose]());
  return { t2, fake, folder, factors };
}

/** An expert that changes one matrix by `shift` in all: the fake's table counts on by 1 + shift letters. */
export function shiftExpert(t2: Transformer2, name: string, shift: number, about: { label?: string; fingerprint?: string } = {}): Expert {
  const matrix = t2.info.matrices[0] as (typeof t2.info.matrices)[number];
  const z = new Float32Array(matrix.rank).fill(1);
  z[0] = 1 + shift;
  return Expert.from({ [matrix.name]: z }, { name, base: t2.info, ...about });
}
