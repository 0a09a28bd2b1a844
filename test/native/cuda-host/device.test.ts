// The engine on the CUDA backend, emulated on the host: what it says must be what the CPU says, and what goes wrong with devices must be told
// and survived.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { Transformer2, train } from "../../../lib/index.js";
import type { LoadOptions } from "../../../lib/transformer2.js";
import { Random } from "../../../lib/util/random.js";
import { banditTask } from "../../support/bandit-task.js";
import { openNative } from "../../support/open-native.js";

const micro = fileURLToPath(new URL("../../../models/micro", import.meta.url));
const library = process.env["T2_CUDA_LIBRARY"] ?? fileURLToPath(new URL("../../../build/cuda-host/libt2_cuda_host.so", import.meta.url));
const skip = existsSync(library) ? false : `${library} is not built`;
process.env["T2_CUDA_LIBRARY"] = library;
// Read when the library is loaded: streams run as late as the rules allow, so that a wait that is missing shows.
process.env["T2_CUDA_HOST_STREAMS"] = "late";
const factors = mkdtempSync(join(tmpdir(), "t2-device-"));
t.teardown(() => rmSync(factors, { recursive: true, force: true }));

// BF16 weights: the GPU takes activations rounded to BF16 (8 bits) into products, the CPU takes them in fp32. Four layers of it move a log-prob
// by some 1e-2 and a gradient by some per cent of its largest element.
const LOGPROB = 0.1;
const GRADIENT = 0.1;
// F32 weights: only the order of fp32 sums differs.
const EXACT = 3e-4;

/** Faults are looked at when a device is asked for; "reset" also revives a dead one. */
function fault(text: string | undefined): void {
  if (text === undefined) delete process.env["T2_CUDA_HOST_FAULT"];
  else process.env["T2_CUDA_HOST_FAULT"] = text;
}

async function using<T>(options: LoadOptions, work: (t2: Transformer2) => Promise<T>): Promise<T> {
  const t2 = await Transformer2.load(micro, { factors, maxThreads: 1, ...options });
  try {
    return await work(t2);
  } finally {
    await t2[Symbol.asyncDispose]();
  }
}

const both = async <T>(options: LoadOptions, work: (t2: Transformer2) => Promise<T>) =>
  [await using({ ...options, device: "cpu" }, work), await using({ ...options, device: "cuda" }, work)] as const;

const largest = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let worst = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    worst = difference <= worst ? worst : Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }
  return worst;
};

const names = ["Tom", "Anna", "Ben", "Lena", "Paul"];
const prompts = Array.from(
  { length: 20 },
  (_, i) => `${names[i % 5]} has ${3 + (i % 7)} apples and buys ${2 + (i % 6)} more. How many are there?`,
);

t.test("the embedded model answers as on the CPU", { skip }, async (t) => {
  const [cpu, cuda] = await both({ experts: ["math"] }, async (t2) => {
    const base = await t2.generate(prompts, { maxTokens: 12 });
    const expert = await t2.generate(prompts.slice(0, 5), { maxTokens: 8, adapter: "math", mode: "factored" });
    const merged = await t2.generate(prompts.slice(0, 5), { maxTokens: 8, adapter: "math", mode: "merged" });
    const scores = await t2.score(prompts[0]!, ["7", "There are 9.", " x"], { adapter: "math" });
    return {
      base,
      expert,
      merged,
      scores,
      device: t2.report().device,
      memory: t2.report().memory,
      plan: t2.memoryPlan(),
      name: t2.info.device,
    };
  });
  t.same(
    cuda.base.map(({ text }) => text),
    cpu.base.map(({ text }) => text),
    "20 prompts, greedy",
  );
  t.same(
    cuda.expert.map(({ text }) => text),
    cpu.expert.map(({ text }) => text),
    "an expert, factored",
  );
  t.same(
    cuda.merged.map(({ text }) => text),
    cpu.merged.map(({ text }) => text),
    "an expert, merged",
  );
  for (const [i, one] of cuda.scores.entries()) t.ok(largest(one.logprobs, cpu.scores[i]!.logprobs) < LOGPROB, `score ${i}`);
  t.match(cuda.device, { requested: "cuda", used: "cuda:0", description: { name: "cuda", device: String } });
  t.match(cuda.name, /^cuda:0 \(/);
  t.ok(cuda.memory.device.weights > 3e6 && cuda.memory.device.factors > 0 && cuda.memory.device.available > 0, "bytes on the device");
  t.match(cuda.plan.device, { fits: true });
  t.equal(cpu.plan.device, undefined);
});

t.test("F32 weights: log-probs and gradients to fp32 rounding", { skip }, async (t) => {
  const size = { hiddenSize: 64, intermediateSize: 96, layers: 2, heads: 4, kvHeads: 2, contextLength: 128 };
  const results = [];
  for (const device of ["cpu", "cuda"] as const) {
    const t2 = await openNative(t, { device, maxThreads: 1 }, size);
    await t2.decompose();
    const tokens = Int32Array.from(Buffer.from("The quick brown fox jumps"));
    const [logits] = await t2.logits([tokens]);
    const sequences = [1, -0.5].map((advantage) => ({ tokens, promptLength: 10, advantage }));
    const kl = { weight: 0.1, direction: "policy-reference" as const };
    results.push({ logits: logits!, gradients: await t2.gradients({ sequences }, { kl }), fingerprint: await t2.fingerprint() });
  }
  const [cpu, cuda] = results as [(typeof results)[0], (typeof results)[0]];
  t.equal(cuda.fingerprint, cpu.fingerprint);
  t.ok(largest(cuda.logits, cpu.logits) < EXACT, "logits");
  t.ok(Math.abs(cuda.gradients.loss - cpu.gradients.loss) < EXACT, "loss");
  for (const [name, z] of Object.entries(cpu.gradients.z)) {
    const scale = Math.max(...z.map(Math.abs));
    t.ok(largest(cuda.gradients.z[name]!, z) <= EXACT * scale + 1e-7, `dz of ${name}`);
  }
});

t.test("BF16 weights: gradients, adaptation, a training step", { skip }, async (t) => {
  const [cpu, cuda] = await both({ experts: ["math", "code", "reasoning"] }, async (t2) => {
    const tokens = t2.encodePrompt(prompts[0]!);
    const sequences = [
      { tokens: Int32Array.from([...tokens, ...t2.encodePrompt(prompts[1]!)]), promptLength: tokens.length, advantage: 1 },
    ];
    const gradients = await t2.gradients({ sequences }, { targets: ["down"] });
    const { weights } = await t2.adapt(prompts[2]!);
    return { gradients, weights };
  });
  t.ok(Math.abs(cuda.gradients.loss - cpu.gradients.loss) < LOGPROB * cpu.gradients.logprobs[0]!.length, "loss");
  for (const [name, z] of Object.entries(cpu.gradients.z)) {
    const scale = Math.max(...z.map(Math.abs));
    t.ok(largest(cuda.gradients.z[name]!, z) <= GRADIENT * scale, `dz of ${name}`);
  }
  t.same(Object.keys(cuda.weights), Object.keys(cpu.weights), "the same experts are mixed");
  await using({ device: "cuda" }, async (t2) => {
    const { expert } = await train(t2, banditTask(), {
      steps: 1,
      prompts: 2,
      samples: 2,
      maxTokens: 4,
      validateEvery: 0,
      kl: 0.1,
      seed: 1,
    });
    t.ok(
      [...expert.vectors.values()].every((z) => z.every(Number.isFinite)),
      "z stays finite",
    );
  });
});

t.test("decomposes on the device", { skip }, async (t) => {
  const own = join(factors, "own");
  const report = await using({ device: "cuda", factors: own }, (t2) => t2.decompose({ targets: ["q", "k"] }));
  t.equal(report.computed, 8);
  t.ok(report.matrices.every(({ residual }) => residual < 1e-5));
});

t.test("what cannot be used is told", { skip }, async (t) => {
  const broken = join(factors, "broken.so");
  writeFileSync(broken, "no library");
  t.teardown(() => {
    process.env["T2_CUDA_LIBRARY"] = library;
    fault("reset");
  });
  const cases = [
    { name: "no file", path: join(factors, "none.so"), fault: undefined, why: /no CUDA backend in this installation/ },
    { name: "no library", path: broken, fault: undefined, why: /backend library/ },
    { name: "no device", path: library, fault: "device:none", why: /device/i },
    { name: "no cuBLASLt", path: library, fault: "library:cublaslt", why: /cublas/i },
  ];
  for (const one of cases) {
    process.env["T2_CUDA_LIBRARY"] = one.path;
    fault(one.fault);
    await t.rejects(
      using({ device: "cuda" }, async () => undefined),
      {
        code: "ERR_T2_CUDA_UNAVAILABLE",
        message: one.why,
        detail: { device: "cuda", attempts: Array },
      },
      one.name,
    );
    const device = await using({ device: "auto" }, async (t2) => t2.report().device);
    t.match(device, { requested: "auto", used: "cpu", reason: one.why }, `${one.name}: auto goes on`);
    t.ok(
      device.attempts.some(({ ok, path, why }) => !ok && typeof path === "string" && why !== ""),
      `${one.name}: attempts`,
    );
  }
  fault("reset");
  process.env["T2_CUDA_LIBRARY"] = library;
  t.equal(await using({ device: "auto" }, async (t2) => t2.report().device.used), "cuda:0");
});

t.test("no memory", { skip }, async (t) => {
  t.teardown(() => fault("reset"));
  fault("memory:8");
  await t.rejects(
    using({ device: "cuda" }, async () => undefined),
    {
      code: "ERR_T2_OUT_OF_MEMORY",
      detail: { requested: Number, available: Number, total: Number },
    },
  );
  fault("memory:9"); // another text: the same would count as the one that has happened
  t.match(await using({ device: "auto" }, async (t2) => t2.report().device), { used: "cpu", reason: /loading the model/ });
  const expected = await using({ device: "cpu" }, (t2) => t2.generate(prompts, { maxTokens: 3 }));
  const work = (t2: Transformer2) => t2.generate(prompts, { maxTokens: 3 });
  let failed = 0;
  for (let n = 1; n <= 80; n += 5) {
    fault(`memory:${n}`);
    try {
      const answers = await using({ device: "cuda" }, async (t2) => {
        const first = await work(t2).catch((error) => error as Error);
        const again = await work(t2); // what failed left nothing behind
        if (first instanceof Error) throw first;
        return [...first, ...again];
      });
      t.same(
        answers.map(({ text }) => text),
        [...expected, ...expected].map(({ text }) => text),
        `allocation ${n} was not needed, or there was a way around it`,
      );
    } catch (error) {
      failed++;
      t.match(error, { code: /^ERR_T2_(OUT_OF_MEMORY|CUDA_UNAVAILABLE)$/ }, `allocation ${n}`);
    }
  }
  t.ok(failed > 5);
  fault("reset");
  t.same((await using({ device: "cuda" }, work)).length, prompts.length, "the next one works");
});

t.test("factors that do not fit are brought over as they are used", { skip }, async (t) => {
  const before = process.env["T2_CUDA_HOST_MEMORY"];
  t.teardown(() => {
    if (before === undefined) delete process.env["T2_CUDA_HOST_MEMORY"];
    else process.env["T2_CUDA_HOST_MEMORY"] = before;
  });
  const work = async (t2: Transformer2, squeeze: (t2: Transformer2) => void) => {
    await t2.score(prompts[0]!, ["7"]); // the work's own buffers
    squeeze(t2);
    const answers = await t2.generate(prompts.slice(0, 3), { maxTokens: 8, adapter: "math", mode: "factored" });
    return { texts: answers.map(({ text }) => text), memory: t2.report().memory };
  };
  const cpu = await using({ device: "cpu", experts: ["math"] }, (t2) => work(t2, () => undefined));
  const cuda = await using({ device: "cuda", experts: ["math"] }, (t2) =>
    work(t2, () => {
      const { available, total } = t2.report().memory.device;
      process.env["T2_CUDA_HOST_MEMORY"] = String(total - available + 8_000_000);
    }),
  );
  t.same(cuda.texts, cpu.texts);
  t.ok(cuda.memory.device.factors < cuda.memory.factors / 2, `${cuda.memory.device.factors} bytes on the device`);
});

t.test("a dead device ends its model, not the process", { skip }, async (t) => {
  t.teardown(() => fault("reset"));
  const random = new Random(1, "dead");
  fault(`launch:${100 + random.int(200)}`);
  await using({ device: "cuda" }, async (t2) => {
    await t.rejects(t2.generate(prompts, { maxTokens: 12 }), { code: "ERR_T2_DEVICE_LOST" });
    await t.rejects(t2.generate(prompts[0]!, { maxTokens: 2 }), { code: "ERR_T2_DEVICE_LOST" }, "and again");
    await t.rejects(t2.score(prompts[0]!, ["a"]), { code: "ERR_T2_DEVICE_LOST" });
  });
  const { text } = await using({ device: "cpu" }, (t2) => t2.generate(prompts[0]!, { maxTokens: 4 }));
  t.ok(text.length > 0, "the CPU goes on");
  fault("reset");
  t.ok((await using({ device: "cuda" }, (t2) => t2.generate(prompts[0]!, { maxTokens: 4 }))).text.length > 0, "a living device too");
});
