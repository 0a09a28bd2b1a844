// A Transformer2 over the real addon on a model of random weights; its files are gone when the test ends.
import { join } from "node:path";
import type { Test } from "tap";
import { type LoadOptions, Transformer2 } from "../../lib/transformer2.js";
import { temporaryFolder } from "./open-fake.js";
import { type TinyOptions, writeTinyModel } from "./tiny-model.js";

/** As for single operators: T2_TEST_DEVICE, with T2_CUDA_LIBRARY for "cuda". */
const device = process.env["T2_TEST_DEVICE"] === "cuda" ? "cuda" : "cpu";

export async function openNative(t: Test, options: LoadOptions = {}, tiny: TinyOptions = {}): Promise<Transformer2> {
  const root = temporaryFolder(t);
  const folder = writeTinyModel(join(root, "tiny"), tiny);
  const t2 = await Transformer2.load(folder, { factors: join(root, "factors"), device, ...options });
  t.teardown(() => t2[Symbol.asyncDispose]());
  return t2;
}

/** Large enough that a token takes about a millisecond and a decomposition of all matrices some seconds. */
export const slowModel: TinyOptions = { hiddenSize: 384, intermediateSize: 1024, layers: 4, heads: 6, kvHeads: 2, contextLength: 4096 };
