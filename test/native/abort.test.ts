// Aborts against the real addon: the promise rejects within 100 ms, and so does the engine become free for other work.
import { join } from "node:path";
import t, { type Test } from "tap";
import { Transformer2 } from "../../lib/transformer2.js";
import { shiftExpert, temporaryFolder } from "../support/open-fake.js";
import { openNative, slowModel } from "../support/open-native.js";
import { writeTinyModel } from "../support/tiny-model.js";

const LIMIT = 100; // milliseconds, the promise of the design
/** A busy machine may be late once; what is late every time is a defect. */
const ATTEMPTS = 3;

/** Aborts `start` after `delay` ms; returns how long the rejection took. */
async function abortAfter(t: Test, delay: number, start: (signal: AbortSignal) => Promise<unknown>): Promise<number> {
  const controller = new AbortController();
  const reason = new Error("the user has left");
  let at = 0;
  setTimeout(() => {
    at = performance.now();
    controller.abort(reason);
  }, delay);
  await t.rejects(start(controller.signal), { name: "Transformer2Error", code: "ERR_T2_ABORTED", cause: reason });
  t.not(at, 0, "it was still running");
  return performance.now() - at;
}

/** Milliseconds until the engine has answered something small. */
async function untilFree(t2: Transformer2): Promise<number> {
  const began = performance.now();
  await t2.logits([Int32Array.of(1)]);
  return performance.now() - began;
}

t.test("generate, score, logits and gradients", async (t) => {
  const t2 = await openNative(t, {}, slowModel);
  const prompt = { tokens: new Int32Array(1500).fill(97) };
  const matrix = t2.info.matrices[0]?.name as string;
  await t2.decompose({ targets: [matrix] });
  const cases: [string, number, (signal: AbortSignal) => Promise<unknown>][] = [
    ["generate, decoding", 100, (signal) => t2.generate({ text: "a" }, { maxTokens: 4000, ignoreEos: true, signal })],
    ["generate, prefill", 20, (signal) => t2.generate(prompt, { maxTokens: 1000, ignoreEos: true, signal })],
    [
      "generate, a batch",
      100,
      (signal) =>
        t2.generate(
          Array.from({ length: 16 }, (_, i) => ({ text: `${i}` })),
          { maxTokens: 2000, ignoreEos: true, signal },
        ),
    ],
    [
      "score",
      20,
      (signal) =>
        t2.scoreBatch(
          Array.from({ length: 8 }, () => ({ prompt, continuations: ["a"] })),
          { signal },
        ),
    ],
    [
      "logits",
      20,
      (signal) =>
        t2.logits(
          Array.from({ length: 8 }, () => prompt.tokens),
          { signal },
        ),
    ],
    [
      "gradients",
      20,
      (signal) =>
        t2.gradients(
          {
            sequences: Array.from({ length: 20 }, (_, i) => ({ tokens: new Int32Array(600).fill(i + 1), promptLength: 300, advantage: 1 })),
          },
          { targets: [matrix], signal },
        ),
    ],
  ];
  for (const [name, delay, start] of cases) {
    let latency = Number.POSITIVE_INFINITY;
    let free = Number.POSITIVE_INFINITY;
    for (let attempt = 0; attempt < ATTEMPTS && !(latency < LIMIT && free < LIMIT); attempt++) {
      latency = Math.min(latency, await abortAfter(t, delay, start));
      free = Math.min(free, await untilFree(t2));
    }
    t.ok(latency < LIMIT, `${name}: rejected after ${latency.toFixed(1)} ms`);
    t.ok(free < LIMIT, `${name}: engine free after ${free.toFixed(1)} ms`);
  }
});

t.test("an aborted call behind another one in the queue does not wait for it", async (t) => {
  const t2 = await openNative(t, {}, slowModel);
  const tokens = new Int32Array(800).fill(97);
  const first = t2.logits(Array.from({ length: 3 }, () => tokens));
  const latency = await abortAfter(t, 10, (signal) => t2.logits([tokens], { signal }));
  t.ok(latency < LIMIT, `rejected after ${latency.toFixed(1)} ms`);
  t.equal((await first).length, 3, "the other one is not harmed");
});

t.test("a generate that is aborted before the engine has taken it up never runs", async (t) => {
  const t2 = await openNative(t, {}, slowModel);
  const first = t2.logits(Array.from({ length: 3 }, () => new Int32Array(800)));
  const latency = await abortAfter(t, 10, (signal) => t2.generate({ text: "a" }, { maxTokens: 4000, ignoreEos: true, signal }));
  t.ok(latency < LIMIT, `rejected after ${latency.toFixed(1)} ms`);
  await first;
  const memory = t2.report().memory.kv;
  await untilFree(t2);
  t.equal(t2.report().memory.kv, memory, "no cache was taken for it");
});

t.test("decompose stops, and goes on where it was", async (t) => {
  const t2 = await openNative(t, {}, slowModel);
  const controller = new AbortController();
  let at = 0;
  await t.rejects(
    t2.decompose({
      signal: controller.signal,
      onProgress: ({ phase, done }) => {
        if (phase !== "decompose" || done < 3 || at > 0) return;
        at = performance.now();
        controller.abort();
      },
    }),
    { code: "ERR_T2_ABORTED" },
  );
  const latency = performance.now() - at;
  t.ok(latency < LIMIT, `rejected after ${latency.toFixed(1)} ms`);
  const report = await t2.decompose();
  t.ok(report.reused >= 3, `${report.reused} matrices were kept`);
  t.equal(report.reused + report.computed, t2.info.matrices.length);
  for (const matrix of report.matrices) t.ok(matrix.residual < 1e-6, `${matrix.name}: ${matrix.residual}`);
});

t.test("load", async (t) => {
  const folder = writeTinyModel(join(temporaryFolder(t), "m"), { ...slowModel, layers: 6 });
  // At every stage of the load, which takes a few hundred milliseconds at most.
  for (const delay of [0, 5, 20, 50]) {
    const controller = new AbortController();
    let at = 0;
    const timer = setTimeout(() => {
      at = performance.now();
      controller.abort("no");
    }, delay);
    const outcome = await Transformer2.load(folder, { signal: controller.signal }).then(
      (t2) => t2,
      (error: unknown) => error,
    );
    clearTimeout(timer);
    if (outcome instanceof Transformer2) {
      await outcome[Symbol.asyncDispose]();
      t.pass(`delay ${delay}: had loaded before`);
    } else {
      t.match(outcome, { code: "ERR_T2_ABORTED", cause: "no" });
      t.ok(performance.now() - at < LIMIT, `delay ${delay}: rejected after ${(performance.now() - at).toFixed(1)} ms`);
    }
  }
  const controller = new AbortController();
  await t.rejects(Transformer2.load(folder, { signal: controller.signal, onProgress: () => controller.abort("at the first report") }), {
    code: "ERR_T2_ABORTED",
    cause: "at the first report",
  });
});

t.test("disposal while everything runs", async (t) => {
  const t2 = await openNative(t, {}, slowModel);
  const expert = shiftExpert(t2, "x", 0.5);
  const running = Promise.allSettled([
    t2.generate({ text: "a" }, { maxTokens: 4000, ignoreEos: true }),
    t2.logits(Array.from({ length: 8 }, () => new Int32Array(1500))),
    t2.generate({ text: "a" }, { maxTokens: 4000, ignoreEos: true, adapter: expert }),
    t2.decompose(),
  ]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const began = performance.now();
  await t2[Symbol.asyncDispose]();
  const took = performance.now() - began;
  t.ok(took < 1000, `disposed after ${took.toFixed(0)} ms`); // a LAPACK call cannot be interrupted
  for (const result of await running) t.match(result, { status: "rejected", reason: { code: "ERR_T2_DISPOSED" } });
});
