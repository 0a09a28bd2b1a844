// A whole model on the device of T2_TEST_DEVICE beside the CPU: text, gradients, a training step, and decompositions of real weights. `npm run
// test:gpu` runs it on a GPU; kernels alone are checked by operators-*.test.ts and t2_gpu_check.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import type { GradientOptions } from "../../lib/engine.js";
import { Expert } from "../../lib/svf/expert.js";
import { Transformer2 } from "../../lib/transformer2.js";
import { Random, testDevice } from "../native/helpers.js";
import { temporaryFolder } from "../support/open-fake.js";

const micro = fileURLToPath(new URL("../../models/micro", import.meta.url));
const skip = testDevice === "cuda" ? false : "npm run test:gpu runs this on a GPU";

async function open(t: Test, device: "cpu" | "cuda", factors: string): Promise<Transformer2> {
  const t2 = await Transformer2.load(micro, { device, factors });
  t.teardown(() => t2[Symbol.asyncDispose]());
  return t2;
}

/** |a − b| over |b|, as vectors. */
function distance(a: Float32Array, b: Float32Array): number {
  let difference = 0;
  let size = 0;
  for (const [i, value] of b.entries()) {
    difference += ((a[i] ?? Number.NaN) - value) ** 2;
    size += value ** 2;
  }
  return Math.sqrt(difference / size);
}

t.test("decompositions made on the device are as good as the CPU's", { skip }, async (t) => {
  const t2 = await open(t, "cuda", join(temporaryFolder(t), "factors"));
  t.match(t2.info.device, /^cuda/);
  const { matrices, computed } = await t2.decompose({ dtype: "F32" });
  t.equal(computed, t2.info.matrices.length);
  for (const m of matrices) {
    t.ok(m.residual <= 1e-6 && m.orthogonalityU <= 1e-5 && m.orthogonalityV <= 1e-5, `${m.name}: ${m.residual}, ${m.driver}`);
  }
});

t.test("gradients and a training step agree with the CPU's", { skip }, async (t) => {
  const factors = join(temporaryFolder(t), "factors");
  const cpu = await open(t, "cpu", factors);
  await cpu.decompose();
  const gpu = await open(t, "cuda", factors);
  const random = new Random(5);
  const { matrices, vocabularySize } = cpu.info;
  const sequences = [40, 17, 33].map((length, i) => ({
    tokens: Int32Array.from({ length }, () => 5 + random.int(vocabularySize - 5)),
    promptLength: 9,
    advantage: i === 1 ? -0.5 : 1,
  }));
  const z = () => Object.fromEntries(matrices.map((m) => [m.name, Float32Array.from({ length: m.rank }, () => 1 + 0.1 * random.normal())]));
  const expert = Expert.from(z(), { name: "step", base: cpu.info });
  for (const mode of ["merged", "factored"] as const) {
    const options: GradientOptions = { adapter: expert, mode };
    const [a, b] = [await gpu.gradients({ sequences }, options), await cpu.gradients({ sequences }, options)];
    // Inputs of products are rounded to the 16 bits of the weights on the device (in F32 the golden checkpoints agree to 1e-4). Single
    // matrices with small gradients suffer most: 6 % was seen.
    t.ok(Math.abs(a.loss - b.loss) <= 5e-3 * Math.abs(b.loss), `${mode}: loss ${a.loss} and ${b.loss}`);
    const each = matrices.map(({ name }) => distance(a.z[name] as Float32Array, b.z[name] as Float32Array));
    t.ok(Math.max(...each) <= 0.2, `${mode}: gradients of single matrices differ by ${Math.max(...each)} at most`);
    const whole = (z: Record<string, Float32Array>) => Float32Array.from(matrices.flatMap(({ name }) => Array.from(z[name] ?? [])));
    const all = distance(whole(a.z), whole(b.z));
    t.ok(all <= 3e-2, `${mode}: all gradients together differ by ${all}`);
  }
});

t.test("text: the same first tokens as the CPU's, alone and in a batch", { skip }, async (t) => {
  const factors = join(temporaryFolder(t), "factors");
  const [cpu, gpu] = [await open(t, "cpu", factors), await open(t, "cuda", factors)];
  const prompts = ["12 + 30 =", "a b c", "3 * 4 =", "hello"];
  const options = { maxTokens: 16, ignoreEos: true };
  const [a, b] = [await gpu.generate(prompts, options), await cpu.generate(prompts, options)];
  for (const [i, { tokens }] of b.entries()) t.equal(a[i]?.tokens[0], tokens[0], String(prompts[i]));
  const alone = await gpu.generate(prompts[0] as string, options);
  t.equal(alone.tokens[0], b[0]?.tokens[0], "alone");
});
