// load, info, experts, report, memoryPlan and disposal over the fake addon.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { loadModel } from "../../lib/runtime/load.js";
import { Expert } from "../../lib/svf/expert.js";
import { Transformer2 } from "../../lib/transformer2.js";
import { fakeAddon, nativeError } from "../support/fake-addon.js";
import { openFake, shiftExpert, temporaryFolder } from "../support/open-fake.js";

t.test("info and what the engine is told", async (t) => {
  const { t2, fake, folder } = await openFake(t, {
    maxThreads: 3,
    maxMemory: 1e9,
    deterministic: true,
    contextLength: 64,
    checkWeights: false,
  });
  t.match(t2.info, {
    name: "tiny",
    path: folder,
    architecture: "LlamaForCausalLM",
    layers: 2,
    hiddenSize: 16,
    vocabularySize: 264,
    contextLength: 64,
    dtype: "F32",
    device: "cpu",
  });
  t.equal(t2.info.matrices.length, 14);
  // embeddings (tied), 5 norms, and per layer q 16², k and v 8·16, o 16², gate, up and down 24·16
  t.equal(t2.info.parameters, 264 * 16 + 5 * 16 + 2 * (2 * 256 + 2 * 128 + 3 * 384));
  const { spec, options } = fake.log.opened[0] ?? {};
  t.strictSame(options, { threads: 3, maxMemory: 1e9, deterministic: true, checkWeights: false, device: { kind: "cpu" } });
  t.match(spec, { hiddenSize: 16, layers: 2, heads: 2, kvHeads: 1, headDim: 8, tiedHead: true, contextLength: 64, prefix: "" });
  t.strictSame(spec?.files, [join(folder, "model.safetensors")]);
  t.strictSame(
    Object.keys(spec ?? {}).filter((key) => ["modelType", "eosTokenIds", "dtype"].includes(key)),
    [],
    "only what the contract names",
  );
});

t.test("defaults", async (t) => {
  const { fake } = await openFake(t);
  t.match(fake.log.opened[0]?.options, { maxMemory: 0, deterministic: false, checkWeights: true });
});

t.test("folders that are none", async (t) => {
  const folder = temporaryFolder(t);
  const load = (model: string) => loadModel(fakeAddon(), model, {});
  await t.rejects(load(join(folder, "nothing")), { code: "ERR_T2_MODEL_NOT_FOUND" });
  await t.rejects(load("meta-llama/Llama-3-8B"), { code: "ERR_T2_MODEL_NOT_FOUND", message: /hub id.*does not download/ });
  await t.rejects(load(folder), { code: "ERR_T2_MODEL_NOT_FOUND" });
  writeFileSync(join(folder, "file"), "");
  await t.rejects(load(join(folder, "file")), { code: "ERR_T2_MODEL_NOT_FOUND", message: /is a file/ });
  for (const model of ["", 5, null]) await t.rejects(load(model as string), { code: "ERR_T2_INVALID_OPTION", detail: { option: "model" } });
});

t.test("options are refused before anything is opened", async (t) => {
  await t.rejects(Transformer2.load("nowhere", { maxThreads: 0 }), { code: "ERR_T2_INVALID_OPTION", detail: { option: "maxThreads" } });
  await t.rejects(Transformer2.load("nowhere", { nonsense: 1 } as object), {
    code: "ERR_T2_INVALID_OPTION",
    detail: { option: "nonsense" },
  });
  await t.rejects(openFake(t, { contextLength: 129 }), {
    code: "ERR_T2_INVALID_OPTION",
    message: /"contextLength" must be at most 128, the model's own, but is 129/,
  });
});

t.test("devices", async (t) => {
  const before = process.env["T2_CUDA_LIBRARY"];
  t.teardown(() => {
    if (before === undefined) delete process.env["T2_CUDA_LIBRARY"];
    else process.env["T2_CUDA_LIBRARY"] = before;
  });
  process.env["T2_CUDA_LIBRARY"] = join(temporaryFolder(t), "none.so");
  for (const device of ["cuda", "cuda:1"] as const) {
    await t.rejects(openFake(t, { device }), {
      code: "ERR_T2_CUDA_UNAVAILABLE",
      detail: { device, attempts: [{ what: "backend library", ok: false, why: /no such file/ }] },
    });
  }
  const auto = (await openFake(t, { device: "auto" })).t2.report().device;
  t.match(auto, { requested: "auto", used: "cpu", reason: /^no CUDA backend in this installation \(looked in .*none\.so\)$/ });
  const cpu = (await openFake(t, { device: "cpu" })).t2.report().device;
  t.strictSame(cpu, { requested: "cpu", used: "cpu", attempts: [], description: { name: "table" } });
});

t.test("a native failure of opening comes through", async (t) => {
  const fake = fakeAddon();
  fake.modelOpen = async () => {
    throw nativeError("ERR_T2_INVALID_CHECKPOINT", "NaN in x", { tensor: "x" });
  };
  await t.rejects(openFake(t, {}, {}, fake), { code: "ERR_T2_INVALID_CHECKPOINT", detail: { tensor: "x" } });
});

t.test("an aborted load closes what still opens", async (t) => {
  const fake = fakeAddon();
  const open = fake.modelOpen;
  const controller = new AbortController();
  let at = 0;
  fake.modelOpen = async (spec, options) => {
    setTimeout(() => {
      at = performance.now();
      controller.abort("later");
    }, 5);
    await new Promise((resolve) => setTimeout(resolve, 50));
    return open(spec, options, null, null); // does not look at its cancel token
  };
  const loading = openFake(t, { signal: controller.signal }, {}, fake);
  await t.rejects(loading, { code: "ERR_T2_ABORTED", cause: "later" });
  t.ok(performance.now() - at < 100);
  for (let waited = 0; fake.log.closed === 0 && waited < 5000; waited += 20) await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(fake.log.closed, 1);
});

t.test("experts: by object, path and name", async (t) => {
  const first = await openFake(t);
  const math = shiftExpert(first.t2, "math", 1);
  const folder = join(first.folder, "experts");
  mkdirSync(folder);
  await math.save(join(folder, "math.safetensors"));
  const elsewhere = join(first.factors, "..", "code.safetensors");
  await shiftExpert(first.t2, "code", 2).save(elsewhere);

  const phases: string[] = [];
  const fake = fakeAddon();
  const onProgress = ({ phase, done, total, detail }: { phase: string; done: number; total: number; detail?: string }) =>
    phases.push(`${phase} ${done}/${total} ${detail}`);
  const loaded = await loadModel(fake, first.folder, { experts: ["math", elsewhere, shiftExpert(first.t2, "third", 3)], onProgress });
  const t2 = new Transformer2(loaded);
  t.strictSame(t2.experts.names, ["math", "code", "third"]);
  t.strictSame(phases, ["load 1/1 weights", "experts 0/3 math", `experts 1/3 ${elsewhere}`, "experts 2/3 third"]);
  t.equal(t2.experts.get("math")?.hash, math.hash);
  t.equal(t2.experts.size, 3);
  t.strictSame(
    [...t2.experts].map((expert) => expert.name),
    t2.experts.names,
  );
  await t.rejects(t2.experts.add("math"), { code: "ERR_T2_INVALID_OPTION", message: /not loaded yet/ });
  t.ok(t2.experts.remove("math"));
  t.notOk(t2.experts.remove("math"));
  t.equal((await t2.experts.add("math")).name, "math");
  t.strictSame(t2.experts.names, ["code", "third", "math"]);
  await t2[Symbol.asyncDispose]();
});

t.test("experts that cannot be", async (t) => {
  const { t2, folder, fake } = await openFake(t);
  await t.rejects(t2.experts.add("poetry"), {
    code: "ERR_T2_EXPERT_NOT_FOUND",
    message: /"poetry"/,
    detail: { tried: [join(folder, "experts", "poetry.safetensors")] },
  });
  await t.rejects(t2.experts.add("./poetry.safetensors"), { code: "ERR_T2_EXPERT_NOT_FOUND" });
  await t.rejects(t2.experts.add(5 as unknown as string), { code: "ERR_T2_INVALID_OPTION" });
  const other = Expert.from({ "model.layers.0.self_attn.q_proj": new Float32Array(5).fill(1) }, { name: "x", base: { name: "other" } });
  await t.rejects(t2.experts.add(other), { code: "ERR_T2_EXPERT_MISMATCH" });
  await t.rejects(t2.experts.add(shiftExpert(t2, "x", 1, { fingerprint: "0".repeat(64) })), { code: "ERR_T2_EXPERT_MISMATCH" });
  await t.rejects(t2.generate({ text: "a" }, { adapter: shiftExpert(t2, "x", 1, { fingerprint: "0".repeat(64) }) }), {
    code: "ERR_T2_EXPERT_MISMATCH",
  });
  t.strictSame(t2.experts.names, []);
  const right = shiftExpert(t2, "x", 1, { fingerprint: await t2.fingerprint(["model.layers.0.self_attn.q_proj"]) });
  await t2.experts.add(right);
  t.strictSame(fake.log.hashed, [["model.layers.0.self_attn.q_proj"]], "each matrix is hashed once");
  await t.rejects(openFake(t, { experts: ["missing"] }), { code: "ERR_T2_EXPERT_NOT_FOUND" });
});

t.test("a load that fails at its experts closes the model", async (t) => {
  const fake = fakeAddon();
  await t.rejects(openFake(t, { experts: ["missing"] }, {}, fake), { code: "ERR_T2_EXPERT_NOT_FOUND" });
  t.equal(fake.log.closed, 1);
});

t.test("fingerprints depend on names and order of layers only", async (t) => {
  const { t2 } = await openFake(t);
  const [a, b] = t2.info.matrices.map((matrix) => matrix.name) as [string, string];
  t.match(await t2.fingerprint(), /^[0-9a-f]{64}$/);
  t.equal(await t2.fingerprint([a, b]), await t2.fingerprint([b, a, b]));
  t.not(await t2.fingerprint([a]), await t2.fingerprint([b]));
  await t.rejects(t2.fingerprint(["nothing"]), { code: "ERR_T2_INVALID_OPTION" });
});

t.test("report", async (t) => {
  const { t2, folder, factors } = await openFake(t);
  await t2.decompose({ targets: "attention" });
  t.match(t2.report(), {
    version: "fake",
    node: process.versions.node,
    isa: "table",
    blas: "none",
    threads: Number,
    model: { name: "tiny", path: folder, dtype: "F32", contextLength: 128 },
    experts: [],
    factors: { cache: factors, folder: String, matrices: 8 },
    memory: { mapped: 1, merged: 2, factors: 3, kv: 4 },
  });
  t.equal(JSON.parse(JSON.stringify(t2.report())).isa, "table", "plain data");
});

t.test("memory plan, before and after load", async (t) => {
  const { t2, folder } = await openFake(t);
  const plan = t2.memoryPlan();
  const before = await Transformer2.memoryPlan(folder);
  t.strictSame(before, plan);
  t.equal(plan.kvCache, 128 * 2 * 2 * 8 * 4, "context × layers × (k and v) × kv width × 4 bytes");
  t.equal(plan.merged, 4 * 2 * (2 * 256 + 2 * 128 + 3 * 384));
  t.equal(plan.total, plan.weights + plan.factors + plan.merged + plan.kvCache + plan.activations);
  t.equal(plan.resident, plan.merged + plan.kvCache + plan.activations);
  t.equal(t2.memoryPlan({ sequences: 3, contextLength: 64 }).kvCache, 1.5 * plan.kvCache);
  t.ok(t2.memoryPlan({ factorsDtype: "F16" }).factors < plan.factors);
  t.throws(() => t2.memoryPlan({ sequences: 0 }), { code: "ERR_T2_INVALID_OPTION" });
  await t.rejects(Transformer2.memoryPlan(join(folder, "nothing")), { code: "ERR_T2_MODEL_NOT_FOUND" });
});

t.test("disposal rejects what runs, refuses what comes, and happens once", async (t) => {
  const { t2, fake } = await openFake(t);
  fake.delays.step = 5;
  fake.delays.call = 500;
  const stream = t2.stream({ text: "a" }, { ignoreEos: true });
  const running = Promise.allSettled([
    t2.generate({ text: "a" }, { ignoreEos: true }),
    t2.score({ text: "a" }, ["b"]),
    t2.logits([Int32Array.of(1)]),
    stream.result,
    t2.decompose(),
    t2.fingerprint(),
    t2.adapt({ text: "a" }, { strategy: { name: "slow", input: "prompt", choose: () => new Promise(() => {}) } }),
  ]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const first = t2[Symbol.asyncDispose]();
  t.equal(t2[Symbol.asyncDispose](), first);
  for (const [index, result] of (await running).entries())
    t.match(result, { status: "rejected", reason: { code: "ERR_T2_DISPOSED" } }, `call ${index}`);
  await first;
  await t2[Symbol.asyncDispose]();
  t.equal(fake.log.closed, 1);
  const later: (() => Promise<unknown>)[] = [
    () => t2.generate({ text: "a" }),
    () => t2.generateBatch([{ prompt: "a" }]),
    () => t2.score({ text: "a" }, ["b"]),
    () => t2.logits([Int32Array.of(1)]),
    () => t2.gradients({ sequences: [{ tokens: Int32Array.of(1, 2), promptLength: 1, advantage: 1 }] }),
    () => t2.decompose(),
    () => t2.adapt("a"),
    () => t2.sigma("x"),
    () => t2.fingerprint(),
    () => t2.stream({ text: "a" }).result,
    () => t2.experts.add(shiftExpert(t2, "x", 1)),
  ];
  for (const [index, call] of later.entries()) await t.rejects(call(), { code: "ERR_T2_DISPOSED" }, `later call ${index}`);
  t.throws(() => t2.report(), { code: "ERR_T2_DISPOSED" });
});

t.test("disposal waits for files that are being written", async (t) => {
  const { t2, fake, factors } = await openFake(t);
  fake.delays.matrix = 10;
  const run = t2.decompose();
  const outcome = t.rejects(run, { code: "ERR_T2_DISPOSED" });
  await new Promise((resolve) => setTimeout(resolve, 60));
  await t2[Symbol.asyncDispose]();
  await outcome;
  const count = () => readdirSync(factors, { recursive: true }).length;
  const before = count();
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(count(), before);
  rmSync(factors, { recursive: true });
});
