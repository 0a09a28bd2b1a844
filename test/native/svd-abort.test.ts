// Aborts in the middle of one large decomposition, at whatever stage it is: LAPACK itself cannot be interrupted, its callers can.
import t from "tap";
import { openNative } from "../support/open-native.js";

/** The promise is 100 ms; the rest is what a busy machine with two cores may add. */
const LIMIT = 100 + 50;

t.test("2048 × 2048", async (t) => {
  const t2 = await openNative(t, {}, { hiddenSize: 2048, intermediateSize: 16, layers: 1, heads: 32, kvHeads: 1 });
  const name = "model.layers.0.self_attn.q_proj";
  for (const delay of [30, 150, 400, 700, 1000]) {
    const controller = new AbortController();
    let at = 0;
    const timer = setTimeout(() => {
      at = performance.now();
      controller.abort();
    }, delay);
    const outcome = await t2.decompose({ targets: [name], signal: controller.signal }).then(
      () => "finished",
      (error: unknown) => (error as { code?: string }).code,
    );
    clearTimeout(timer);
    if (outcome === "finished" && delay > 500) break; // a fast machine
    t.equal(outcome, "ERR_T2_ABORTED", `after ${delay} ms`);
    // The promise is rejected at once; the engine must be free as soon.
    await t2.logits([Int32Array.of(1)]);
    const latency = performance.now() - at;
    t.ok(latency < LIMIT, `the engine is free ${latency.toFixed(1)} ms after it`);
  }
  const [report] = (await t2.decompose({ targets: ["model.layers.0.self_attn.k_proj"] })).matrices;
  t.equal(report?.driver, "gram", "the engine goes on with other work");
});
