// Small random models of every supported shape against Hugging Face transformers in fp32 (record-models.py): logits, log-probs, greedy
// tokens, losses, KL and the gradient of z for every matrix, through config.json and safetensors as a user has them.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import type { GradientOptions, TrainSequence } from "../../lib/engine.js";
import { readSafetensors, toFloat32 } from "../../lib/model/safetensors.js";
import { Expert } from "../../lib/svf/expert.js";
import { Transformer2 } from "../../lib/transformer2.js";
import { testDevice } from "../native/helpers.js";
import { temporaryFolder } from "../support/open-fake.js";

interface Expected {
  sequences: { tokens: number[]; promptLength: number; advantage: number }[];
  greedy: number[][];
  greedyZ: number[][];
  cases: {
    loss: "policy-gradient" | "next-token";
    reduction: "sequence-mean" | "token-mean";
    value: number;
    kl?: { weight: number; direction: "policy-reference" | "reference-policy"; value: number };
  }[];
  /** Of checkpoints in 16 bit: PyTorch's error when it computes in 16 bit as well, per sequence. */
  ownError?: number[];
}

const fixtures = fileURLToPath(new URL("fixtures", import.meta.url));
/** Two orders of summation of fp32 differ by some 1e-6 here; a wrong frequency, mask or index by 1e-2 and more. */
const TOLERANCE = 1e-4;
const modes = ["merged", "factored"] as const;

function open(name: string): Expected {
  return JSON.parse(readFileSync(join(fixtures, name, "expected.json"), "utf8")) as Expected;
}

/** Largest difference over the largest expected value. */
function error(actual: Float32Array | undefined, expected: Float32Array): number {
  if (actual?.length !== expected.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  let largest = 0;
  for (const [i, value] of expected.entries()) {
    const difference = Math.abs((actual[i] as number) - value);
    worst = difference <= worst ? worst : difference;
    largest = Math.max(largest, Math.abs(value));
  }
  return worst / largest;
}

function small(t: Test, e: number, limit: number, what: string): void {
  t.ok(e <= limit, `${what}: error ${e.toExponential(1)}, at most ${limit.toExponential(1)}`);
}

/** The model with its expected tensors, and z as an expert. */
async function load(t: Test, name: string) {
  const root = temporaryFolder(t);
  const t2 = await Transformer2.load(join(fixtures, name), { factors: join(root, "factors"), device: testDevice });
  t.teardown(() => t2[Symbol.asyncDispose]());
  const { data } = await readSafetensors(join(fixtures, name, "expected.safetensors"));
  const get = (key: string): Float32Array => {
    const bytes = data.get(key);
    if (!bytes) throw new Error(`${name} has no expected tensor ${key}`);
    return toFloat32(bytes);
  };
  const z = Object.fromEntries(t2.info.matrices.map((matrix) => [matrix.name, get(`z.${matrix.name}`)]));
  const report = await t2.decompose({ dtype: "F32" });
  t.equal(report.computed, t2.info.matrices.length);
  for (const matrix of report.matrices) {
    const { residual, orthogonalityU, orthogonalityV } = matrix;
    t.ok(residual <= 1e-6 && orthogonalityU <= 1e-5 && orthogonalityV <= 1e-5, `${matrix.name}: factors are sound`);
  }
  return { t2, get, expert: Expert.from(z, { name: "golden", base: t2.info }) };
}

for (const name of readdirSync(fixtures).sort()) {
  t.test(name, async (t) => {
    const expected = open(name);
    const { t2, get, expert } = await load(t, name);
    const sequences: TrainSequence[] = expected.sequences.map((s) => ({ ...s, tokens: Int32Array.from(s.tokens) }));
    const tokens = sequences.map((s) => s.tokens);
    // Where weights are stored in 16 bit, W' of the merged mode is too, and a GPU rounds the inputs of all products with them: then PyTorch's
    // own rounding is the measure.
    const ownError = expected.ownError;
    const rounds = (mode: (typeof modes)[number] | "base") => ownError && (mode === "merged" || testDevice === "cuda");
    const limit = (mode: (typeof modes)[number] | "base") => (ownError && rounds(mode) ? 2 * Math.max(...ownError) : TOLERANCE);

    await t.test("logits", async (t) => {
      for (const [i, logits] of (await t2.logits(tokens)).entries()) {
        small(t, error(logits, get(`logits.${i}`)), ownError ? 2 * (ownError[i] as number) : TOLERANCE, `base, sequence ${i}`);
      }
      for (const mode of modes) {
        const adapted = await t2.logits(tokens, { adapter: expert, mode });
        for (const [i, logits] of adapted.entries()) small(t, error(logits, get(`logits_z.${i}`)), limit(mode), `z ${mode}, sequence ${i}`);
      }
    });

    await t.test("log-probs of text", async (t) => {
      // One token per character, so that any cut between tokens is one between texts.
      const text = (ids: Int32Array) => String.fromCharCode(...Array.from(ids, (id) => id + 32));
      for (const [i, { tokens: ids, promptLength }] of sequences.entries()) {
        const [score] = await t2.score({ tokens: ids.subarray(0, promptLength) }, [text(ids.subarray(promptLength))]);
        small(t, error(score?.logprobs, get(`logprobs_base.${i}`).subarray(promptLength - 1)), limit("base"), `sequence ${i}`);
      }
    });

    await t.test("greedy tokens, one batch", async (t) => {
      const prompts = sequences.map((s) => ({ prompt: { tokens: s.tokens.subarray(0, s.promptLength) } }));
      const plain = await t2.generateBatch(prompts, { maxTokens: 24 });
      t.same(
        plain.map(([row]) => Array.from(row?.tokens ?? [])),
        expected.greedy,
      );
      const adapted = await t2.generateBatch(prompts, { maxTokens: 24, adapter: expert, mode: "factored" });
      t.same(
        adapted.map(([row]) => Array.from(row?.tokens ?? [])),
        expected.greedyZ,
      );
    });

    for (const [index, { loss, reduction, value, kl }] of expected.cases.entries()) {
      await t.test(`gradient: ${loss}, ${reduction}${kl ? `, KL ${kl.direction}` : ""}`, async (t) => {
        for (const mode of modes) {
          const options: GradientOptions = { adapter: expert, loss, reduction, mode };
          if (kl) options.kl = { weight: kl.weight, direction: kl.direction };
          const result = await t2.gradients({ sequences }, options);
          const most = limit(mode);
          small(t, Math.abs(result.loss - value) / Math.abs(value), most, `${mode}: loss`);
          if (kl) small(t, Math.abs(result.kl - kl.value) / kl.value, 5 * most, `${mode}: KL`); // a difference of near logits
          for (const [i, logprobs] of result.logprobs.entries())
            small(t, error(logprobs, get(`logprobs_z.${i}`)), most, `${mode}: log-probs ${i}`);
          const errors = t2.info.matrices.map((m) => error(result.z[m.name], get(`dz.${index}.${m.name}`)));
          small(t, Math.max(...errors), rounds(mode) ? 0.2 : TOLERANCE, `${mode}: worst of ${errors.length} gradients`);
        }
      });
    }
  });
}
