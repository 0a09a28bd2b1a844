import t from "tap";
import { adamState, adamUpdate, clipGlobalNorm, globalNorm } from "../../lib/train/optimiser.js";

const f = Math.fround;

t.test("two AdamW updates equal the formula worked by hand", async (t) => {
  const p = { a: Float32Array.of(0.5) };
  const state = adamState(p);
  const settings = { kind: "adamw", betas: [0.9, 0.99], epsilon: 1e-8, weightDecay: 0.1 } as const;
  adamUpdate(p, { a: Float32Array.of(0.25) }, state, 0.01, settings);
  // m = 0.025, v = 0.000625; corrected 0.25 and 0.0625; the step is 0.01 · 0.25 / (0.25 + 1e-8).
  const first = f(0.5 * (1 - 0.001) - (0.01 * 0.25) / (0.25 + 1e-8));
  t.equal(p.a[0], first);
  adamUpdate(p, { a: Float32Array.of(-1) }, state, 0.02, settings);
  const m = 0.9 * f(0.025) + 0.1 * -1;
  const v = 0.99 * f(0.000625) + 0.01 * 1;
  const second = first * (1 - 0.002) - ((0.02 / (1 - 0.81)) * m) / (Math.sqrt(v) / Math.sqrt(1 - 0.9801) + 1e-8);
  t.ok(Math.abs(p.a[0]! - second) < 1e-7);
  t.equal(state.updates, 2);
});

t.test("Adam adds the decay to the gradient instead", async (t) => {
  const p = { a: Float32Array.of(2) };
  adamUpdate(p, { a: Float32Array.of(0) }, adamState(p), 0.1, { kind: "adam", betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.5 });
  t.ok(Math.abs(p.a[0]! - 1.9) < 1e-6, "a first Adam step has the size of the rate, whatever the gradient");
});

// D8: in bf16 a step of 2e-3 at |p| ≥ 1 is lost and a second moment with beta 0.999 never decays.
t.test("small steps at large parameters arrive and moments decay", async (t) => {
  const p = { a: Float32Array.of(1.5) };
  const state = adamState(p);
  const settings = { kind: "adam", betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0 } as const;
  adamUpdate(p, { a: Float32Array.of(1) }, state, 2e-3, settings);
  t.ok(Math.abs(p.a[0]! - 1.498) < 1e-6);
  const before = state.second.a![0]!;
  adamUpdate(p, { a: Float32Array.of(0) }, state, 2e-3, settings);
  t.ok(Math.abs(state.second.a![0]! / before - 0.999) < 1e-6);
});

t.test("clipping by the norm over all vectors", async (t) => {
  const g = { a: Float32Array.of(3, 0), b: Float32Array.of(0, 4) };
  t.equal(clipGlobalNorm(g, 10), 5);
  t.same([...g.a, ...g.b], [3, 0, 0, 4], "left alone below the limit");
  t.equal(clipGlobalNorm(g, 1), 5);
  t.ok(Math.abs(globalNorm(g) - 1) < 1e-7);
  t.ok(Math.abs(g.b[1]! - 0.8) < 1e-7);
});
