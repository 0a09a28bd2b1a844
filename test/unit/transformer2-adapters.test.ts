// Adapters, factors and the first pass over the fake addon.
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import t from "tap";
import type { Decision, Strategy } from "../../lib/adapt/strategy.js";
import type { Adapter } from "../../lib/engine.js";
import { loadModel } from "../../lib/runtime/load.js";
import { Transformer2 } from "../../lib/transformer2.js";
import { fakeAddon, nativeError } from "../support/fake-addon.js";
import { openFake, shiftExpert } from "../support/open-fake.js";

const one = { maxTokens: 1 };

t.test("an expert is decomposed for when it is first used, once", async (t) => {
  const { t2, fake } = await openFake(t);
  const expert = shiftExpert(t2, "skip", 1);
  await t2.experts.add(expert);
  t.strictSame(fake.log.decomposed, [], "not before it is used");
  const [a, b] = await Promise.all([
    t2.generate({ text: "a" }, { ...one, adapter: "skip" }),
    t2.generate({ text: "b" }, { ...one, adapter: expert }),
  ]);
  t.equal(a?.text, "c");
  t.equal(b?.text, "d");
  const name = t2.info.matrices[0]?.name as string;
  t.strictSame(fake.log.decomposed, [[name]]);
  t.strictSame(fake.log.attached, [[name]]);
  t.equal(fake.log.adapters.length, 1, "equal weights are one adapter to the engine");
  await t2.generate({ text: "a" }, { ...one, adapter: { weights: { skip: 1 } } });
  t.equal(fake.log.adapters.length, 1, "a mixture of the same vectors too");
});

t.test("base, weights of 0 and an expert of ones need nothing", async (t) => {
  const { t2, fake } = await openFake(t);
  await t2.experts.add(shiftExpert(t2, "skip", 1));
  await t2.experts.add(shiftExpert(t2, "idle", 0));
  const adapters: Adapter[] = ["base", "idle", { weights: {} }, { weights: { skip: 0 } }, { weights: { idle: 5 } }];
  for (const adapter of adapters) {
    t.equal((await t2.generate({ text: "a" }, { ...one, adapter })).text, "b");
    t.equal(fake.log.generated.at(-1)?.rows[0]?.adapter, null, JSON.stringify(adapter));
  }
  t.strictSame(fake.log.decomposed, []);
});

t.test("unknown adapters are refused", async (t) => {
  const { t2 } = await openFake(t);
  await t2.experts.add(shiftExpert(t2, "math", 1));
  const run = (adapter: object | string) => t2.generate({ text: "a" }, { adapter: adapter as string });
  await t.rejects(run("maths"), { code: "ERR_T2_EXPERT_NOT_FOUND", message: /Loaded: "math"/, detail: { loaded: ["math"] } });
  await t.rejects(run({ weights: { maths: 1 } }), { code: "ERR_T2_EXPERT_NOT_FOUND" });
  await t.rejects(run({ weights: { math: Number.NaN } }), { code: "ERR_T2_INVALID_OPTION" });
  await t.rejects(run({ weights: { math: [1, 2, 3] } }), { code: "ERR_T2_INVALID_OPTION" });
  await t.rejects(run({ mix: 1 }), { code: "ERR_T2_INVALID_OPTION" });
  await t.rejects(t2.generateBatch([{ prompt: "a", adapter: 5 as unknown as string }]), {
    code: "ERR_T2_INVALID_OPTION",
    detail: { option: "items[0].adapter" },
  });
});

t.test("decompose: report, cache, another model on the same cache, a damaged file", async (t) => {
  const { t2, fake, folder, factors } = await openFake(t);
  const phases = new Set<string>();
  const counts: number[] = [];
  const report = await t2.decompose({
    targets: "mlp",
    onProgress: ({ phase, done, total }) => {
      phases.add(phase);
      if (phase === "decompose") counts.push(done / total);
    },
  });
  t.match(report, { computed: 6, reused: 0, redone: [], fingerprint: await t2.fingerprint(), folder: String });
  t.match(report.matrices[0], { name: /gate_proj/, rows: 24, columns: 16, residual: 1e-7, driver: "gram" });
  t.equal(report.matrices.length, 6);
  t.strictSame([...phases], ["fingerprint", "decompose"].slice(1), "the fake reports no progress of hashing");
  t.strictSame(
    counts,
    [0, 1, 2, 3, 4, 5, 6].map((done) => done / 6),
  );
  t.strictSame(
    fake.log.attached.at(-1),
    t2.select("mlp").map((matrix) => matrix.name),
  );
  t.match(await t2.decompose(), { computed: 8, reused: 6 });

  const again = new Transformer2(await loadModel(fakeAddon(), folder, { factors }));
  t.match(await again.decompose(), { computed: 0, reused: 14 });
  await again[Symbol.asyncDispose]();

  const file = join(report.folder, `${report.matrices[0]?.name}.safetensors`);
  writeFileSync(file, "damaged");
  const repaired = new Transformer2(await loadModel(fakeAddon(), folder, { factors }));
  t.match(await repaired.decompose(), { computed: 1, reused: 13, redone: [report.matrices[0]?.name] });
  await repaired[Symbol.asyncDispose]();
  await t.rejects(t2.decompose({ targets: ["nothing"] }), { code: "ERR_T2_INVALID_OPTION" });
});

t.test("sigma, and precision by dtype of the model", async (t) => {
  const { t2 } = await openFake(t);
  const sigma = await t2.sigma("model.layers.1.self_attn.k_proj");
  t.strictSame([...sigma], [8, 7, 6, 5, 4, 3, 2, 1]);
  t.match(t2.report().factors.folder, /-f32$/);
  t.match((await t2.decompose({ dtype: "F16" })).folder, /-f16$/);
  await t.rejects(t2.sigma("nothing"), { code: "ERR_T2_INVALID_OPTION" });
});

t.test("an aborted decomposition keeps what it has made, and goes on from there", async (t) => {
  const { t2, fake, factors } = await openFake(t);
  fake.delays.matrix = 10;
  const controller = new AbortController();
  let at = 0;
  await t.rejects(
    t2.decompose({
      signal: controller.signal,
      onProgress: ({ done }) => {
        if (done < 4 || at > 0) return;
        at = performance.now();
        controller.abort("pause");
      },
    }),
    { code: "ERR_T2_ABORTED", cause: "pause" },
  );
  t.ok(performance.now() - at < 100, "rejected within 100 ms");
  const report = await t2.decompose();
  t.ok(
    report.reused >= 4 && report.computed > 0 && report.reused + report.computed === 14,
    JSON.stringify([report.reused, report.computed]),
  );
  t.notOk(
    readdirSync(factors, { recursive: true }).some((name) => String(name).endsWith(".t2-tmp")),
    "no temporary files are left",
  );
});

t.test("one call's abort does not harm another that waits for the same factors", async (t) => {
  const { t2, fake } = await openFake(t);
  fake.delays.matrix = 10;
  const expert = shiftExpert(t2, "skip", 1);
  const controller = new AbortController();
  const all = t2.decompose({ signal: controller.signal });
  const other = t2.generate({ text: "a" }, { ...one, adapter: expert });
  setTimeout(() => controller.abort(), 35);
  await t.rejects(all, { code: "ERR_T2_ABORTED" });
  t.equal((await other).text, "c");
});

t.test("a cache that cannot be written", async (t) => {
  const { t2, factors } = await openFake(t);
  writeFileSync(factors, "a file where the folder should be");
  await t.rejects(t2.decompose(), { code: "ERR_T2_IO" });
  rmSync(factors);
  t.match(await t2.decompose(), { computed: 14 }, "and works once it can");
});

t.test("a native failure of the decomposition", async (t) => {
  const { t2, fake } = await openFake(t);
  const decompose = fake.decompose;
  fake.decompose = async () => {
    throw nativeError("ERR_T2_INVALID_CHECKPOINT", "not finite");
  };
  await t.rejects(t2.decompose(), { code: "ERR_T2_INVALID_CHECKPOINT" });
  fake.decompose = decompose;
  t.match(await t2.decompose(), { computed: 14 });
});

/** Chooses what it is told and remembers what it saw. */
function fixed(decision: Partial<Decision>, seen: unknown[] = [], input: Strategy["input"] = "prompt"): Strategy {
  return {
    name: "fixed",
    input,
    async choose(prompt, context) {
      seen.push(
        prompt,
        context.experts.map((expert) => expert.name),
      );
      const cost = { promptTokens: 3, completionTokens: 0, milliseconds: { "first-pass": 1 } };
      return { strategy: "fixed", weights: {}, scores: {}, abstained: false, adapter: "base", cost, detail: {}, ...decision };
    },
  };
}

t.test("adapt: the decision is a handle that answers with it", async (t) => {
  const seen: unknown[] = [];
  const strategy = fixed({ weights: { skip: 1 }, scores: { skip: 0.9 }, adapter: { weights: { skip: 1 } } }, seen);
  const { t2 } = await openFake(t, { strategy });
  await t2.experts.add(shiftExpert(t2, "skip", 1));
  const adapted = await t2.adapt({ text: "a" });
  t.strictSame(seen, [{ text: "a" }, ["skip"]]);
  t.match(adapted, { strategy: "fixed", weights: { skip: 1 }, scores: { skip: 0.9 }, abstained: false, cost: { promptTokens: 3 } });
  t.match(await adapted.generate({ maxTokens: 2 }), { text: "ce", adapter: "skip=1" });
  t.match(await adapted.generate({ maxTokens: 2, prompt: { text: "b" } }), { text: "df" });
  let text = "";
  for await (const piece of adapted.stream({ maxTokens: 3 })) text += piece;
  t.equal(text, "ceg");
  const base = await t2.adapt({ text: "a" }, { strategy: fixed({ abstained: true }) });
  t.match(await base.generate(one), { text: "b", adapter: "base" });
});

t.test("adapt to shots", async (t) => {
  const seen: unknown[] = [];
  const { t2 } = await openFake(t);
  const shots = [{ prompt: { text: "a" }, answer: "b" }];
  const adapted = await t2.adapt(shots, { strategy: fixed({}, seen, "shots") });
  t.strictSame(seen, [shots, []]);
  await t.rejects(adapted.generate(), { code: "ERR_T2_INVALID_PROMPT", message: /pass \{ prompt \}/ });
  t.throws(() => adapted.stream(), { code: "ERR_T2_INVALID_PROMPT" });
  t.equal((await adapted.generate({ ...one, prompt: { text: "a" } })).text, "b");
  t.equal((await t2.adapt(shots)).strategy, "few-shot", "the default for shots");
  await t.rejects(t2.adapt(shots, { strategy: "prompt" }), { code: "ERR_T2_INVALID_OPTION" });
  await t.rejects(t2.adapt("a", { strategy: "few-shot" }), { code: "ERR_T2_INVALID_OPTION" });
});

t.test("adapt without experts is the base", async (t) => {
  const { t2 } = await openFake(t);
  t.match(await t2.adapt("a"), { strategy: "prompt", adapter: "base", abstained: true, weights: {} });
  await t.rejects(t2.adapt("a", { strategy: "classifier" }), { code: "ERR_T2_EXPERT_NOT_FOUND" });
});

t.test("adapt by the prompt strategy scores the labels and picks an expert", async (t) => {
  const { t2, fake } = await openFake(t, {}, { contextLength: 2048 });
  await t2.experts.add(shiftExpert(t2, "first", 1, { label: "b" }));
  await t2.experts.add(shiftExpert(t2, "second", 2, { label: "z" }));
  // The table likes the letter b in front of the question "Q", and nothing for the content-free prompt.
  fake.next = (tokens) => (tokens.includes(81) ? 98 : 0);
  const adapted = await t2.adapt("Q");
  t.match(adapted, { strategy: "prompt", weights: { first: 1, second: 0 }, adapter: { weights: { first: 1 } }, abstained: false });
  t.ok(fake.log.scored.length > 0, "by scoring, not by writing");
  t.equal(fake.log.generated.length, 0);
});

t.test("adapt checks its prompt first, aborts, and passes on what a strategy throws", async (t) => {
  const { t2 } = await openFake(t);
  await t.rejects(t2.adapt(""), { code: "ERR_T2_INVALID_PROMPT" });
  await t.rejects(t2.adapt("a", { strategy: "best" as "prompt" }), { code: "ERR_T2_INVALID_OPTION", detail: { option: "strategy" } });
  const controller = new AbortController();
  let inner: AbortSignal | undefined;
  const slow: Strategy = {
    name: "slow",
    input: "prompt",
    choose: (_prompt, context) => {
      inner = context.signal;
      return new Promise(() => {});
    },
  };
  const run = t2.adapt("a", { strategy: slow, signal: controller.signal });
  setTimeout(() => controller.abort("no"), 10);
  await t.rejects(run, { code: "ERR_T2_ABORTED", cause: "no" });
  t.ok(inner?.aborted, "the strategy is told");
  const broken = new RangeError("in the strategy");
  await t.rejects(t2.adapt("a", { strategy: { ...slow, choose: () => Promise.reject(broken) } }), broken);
});

t.test("a new expert at every step, as in training, does not pile up", async (t) => {
  const { t2, fake } = await openFake(t);
  const handles: WeakRef<object>[] = [];
  const create = fake.adapterCreate;
  fake.adapterCreate = (model, vectors) => {
    const handle = create(model, vectors);
    handles.push(new WeakRef(handle));
    fake.log.adapters.length = 0;
    return handle;
  };
  for (let step = 0; step < 200; step++) {
    await t2.generate({ text: "a" }, { ...one, adapter: shiftExpert(t2, `step ${step}`, (step + 1) / 4096) });
    fake.log.generated.length = 0;
  }
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    gc();
  }
  const alive = handles.filter((handle) => handle.deref() !== undefined).length;
  t.equal(handles.length, 200);
  t.ok(alive <= 130, `${alive} handles are kept`);
  t.ok(handles.at(-1)?.deref(), "the last one is");
});

t.test("the cache folder is not made before it is needed", async (t) => {
  const { t2, factors } = await openFake(t);
  await t2.generate({ text: "a" }, one);
  t.notOk(existsSync(factors));
});
