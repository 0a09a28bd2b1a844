// Mixtures: the rules, what is exact, and the published code's defects D1 and D2.
import t from "tap";
import { type MatrixShape, matrixShapes } from "../../lib/model/info.js";
import { Expert } from "../../lib/svf/expert.js";
import { isMixture, type Mixture, resolveAdapter } from "../../lib/svf/mixture.js";
import { toVector } from "../../lib/svf/parametrisation.js";
import { Random } from "../../lib/util/random.js";

const random = new Random(Date.now());
const matrices = matrixShapes({ layers: 4, hiddenSize: 8, intermediateSize: 12, heads: 2, kvHeads: 1, headDim: 4 });
const model = { name: "tiny", matrices };
/** Values of every size, so that rounding shows. */
const draw = (length: number) => Float32Array.from({ length }, () => random.normal() * 10 ** (random.int(13) - 9));
const make = (name: string, keep: (matrix: MatrixShape) => boolean = () => true) =>
  Expert.from(Object.fromEntries(matrices.filter(keep).map((m) => [m.name, draw(m.rank)])), { name, base: model });

const math = make("math");
const code = make("code");
const mlp = make("mlp", (m) => ["gate", "up", "down"].includes(m.role));
const experts = new Map([math, code, mlp].map((expert) => [expert.name, expert]));
const resolve = (mixture: Mixture) => resolveAdapter(mixture, experts, model);

t.test("one expert with weight 1 is that expert, bit for bit", async (t) => {
  for (const rule of ["delta", "sum"] as const) {
    for (const expert of experts.values()) {
      const others = Object.fromEntries([...experts.keys()].map((name) => [name, name === expert.name ? 1 : 0]));
      const mixed = resolve({ weights: others, rule });
      t.same([...mixed.vectors], [...expert.vectors], `${expert.name}, ${rule}`);
      t.equal(mixed.hash, expert.hash);
      t.equal(mixed.hash, resolveAdapter(expert, experts, model).hash);
    }
  }
});

t.test("D1: what is mixed is z, not the parameters it was made of", async (t) => {
  const p = Float32Array.from({ length: 8 }, () => 0.1 + 0.1 * random.normal());
  const z = Float32Array.from(toVector({ name: "sigmoid", scale: 1 }, p));
  const name = (matrices[0] as MatrixShape).name;
  const expert = Expert.from({ [name]: z }, { name: "s", base: model, parametrisation: "sigmoid" });
  const mixed = resolveAdapter({ weights: { s: 1 } }, new Map([["s", expert]]), model);
  t.same(mixed.vectors.get(name), z);
  t.notSame(mixed.vectors.get(name), p);
});

t.test("D2: all weights 0 is the base, never zeros or NaN", async (t) => {
  for (const rule of ["delta", "sum"] as const) {
    const zero = resolve({ weights: { math: 0, code: 0 }, rule });
    t.same([zero.name, zero.hash, zero.vectors.size], ["base", "base", 0], rule);
    t.equal(resolve({ weights: {}, rule }).hash, "base");
  }
  const perMatrix = matrices.map((_, i) => (i % 2 === 0 ? 0 : 0.5));
  const partly = resolve({ weights: { math: perMatrix, code: perMatrix.map((w) => w * 3) }, rule: "sum" });
  matrices.forEach((m, i) => {
    t.equal(partly.vectors.has(m.name), i % 2 === 1);
  });
  t.ok([...partly.vectors.values()].every((z) => z.every(Number.isFinite)));
  t.equal(resolve({ weights: { math: 0.5, code: -0.5 }, rule: "sum" }).hash, "base", "weights that add up to 0");
});

t.test("the sums", async (t) => {
  const weights = { math: 0.7, code: -0.3, mlp: 1.5 };
  for (const rule of ["delta", "sum"] as const) {
    const mixed = resolve({ weights, rule });
    for (const m of matrices) {
      const z = mixed.vectors.get(m.name) as Float32Array;
      z.forEach((value, i) => {
        const parts = [...experts.values()].map((e) => ({
          z: e.vectors.get(m.name)?.[i] ?? 1,
          a: weights[e.name as keyof typeof weights],
        }));
        const expected = rule === "sum" ? parts.reduce((s, p) => s + p.a * p.z, 0) : parts.reduce((s, p) => s + p.a * (p.z - 1), 1);
        const size = parts.reduce((s, p) => s + Math.abs(p.a * p.z), 1);
        if (Math.abs(value - expected) > 1e-7 * size) t.fail(`${m.name}[${i}]: ${value}, expected ${expected}`);
      });
    }
    t.equal(mixed.name, "math=0.7,code=-0.3,mlp=1.5");
  }
  const attention = (matrices[0] as MatrixShape).name;
  t.notOk(resolve({ weights: { mlp: 0.4 } }).vectors.has(attention), "a matrix the expert does not have is the base's");
  t.same(
    [...(resolve({ weights: { mlp: 0.25 }, rule: "sum" }).vectors.get(attention) as Float32Array)],
    Array(8).fill(0.25),
    "and counts as 1 in a sum",
  );
});

t.test("weights per group of layers and per matrix", async (t) => {
  const one = (mixture: Mixture) => resolve(mixture).hash;
  t.equal(one({ weights: { math: [0.5] } }), one({ weights: { math: 0.5 } }));
  t.equal(one({ weights: { math: [0.5, 0.5, 0.5] } }), one({ weights: { math: 0.5 } }));
  t.equal(one({ weights: { math: matrices.map(() => 0.5) } }), one({ weights: { math: 0.5 } }));
  const groups = resolve({ weights: { math: [0, 1] } });
  for (const m of matrices) t.equal(groups.vectors.has(m.name), m.layer >= 2, m.name);
  const three = resolve({ weights: { math: [1, 0, 0] } });
  t.same(new Set([...three.vectors.keys()].map((name) => name.split(".")[2])), new Set(["0", "1"]), "4 layers in 3 groups: 2, 1, 1");
  const single = matrices.map((_, i) => (i === 9 ? 1 : 0));
  t.same([...resolve({ weights: { math: single, code: 0 } }).vectors.keys()], [(matrices[9] as MatrixShape).name]);
});

t.test("adapters of every kind", async (t) => {
  t.same(resolveAdapter("base", experts, model).vectors.size, 0);
  t.equal(resolveAdapter("math", experts, model).hash, math.hash);
  t.equal(resolveAdapter(code, new Map(), model).name, "code", "an expert need not be loaded");
  const ones = Expert.from({ [(matrices[3] as MatrixShape).name]: new Float32Array(8).fill(1) }, { name: "ones", base: model });
  t.same([...resolveAdapter(ones, experts, model).vectors], [], "z = 1 changes nothing");
  t.ok(isMixture({ weights: {} }) && !isMixture(math) && !isMixture("math") && !isMixture(null));
});

t.test("what is refused", async (t) => {
  t.throws(() => resolveAdapter("chess", experts, model), { code: "ERR_T2_EXPERT_NOT_FOUND", message: /"math", "code", "mlp"/ });
  t.throws(() => resolve({ weights: { chess: 1 } }), { code: "ERR_T2_EXPERT_NOT_FOUND" });
  t.throws(() => resolve({ weights: { toString: 1 } }), { code: "ERR_T2_EXPERT_NOT_FOUND" });
  const wrong: unknown[] = [Number.NaN, Number.POSITIVE_INFINITY, [], [1, 2, 3, 4, 5], [1, Number.NaN], "1", null];
  for (const weight of wrong)
    t.throws(() => resolve({ weights: { math: weight as number } }), { code: "ERR_T2_INVALID_OPTION" }, String(weight));
  t.throws(() => resolve({ weights: { math: 1 }, rule: "max" as "sum" }), { code: "ERR_T2_INVALID_OPTION" });
  t.throws(() => resolve({ weights: null as unknown as Record<string, number> }), { code: "ERR_T2_INVALID_OPTION" });
  for (const adapter of [7, null, {}, []]) {
    t.throws(() => resolveAdapter(adapter as unknown as Mixture, experts, model), { code: "ERR_T2_INVALID_OPTION" });
  }
  const other = { name: "other", matrices: matrices.map((m) => ({ ...m, rank: m.rank - 1 })) };
  t.throws(() => resolveAdapter("math", experts, other), { code: "ERR_T2_EXPERT_MISMATCH" });
  t.throws(() => resolveAdapter({ weights: { math: 0.5 } }, experts, other), { code: "ERR_T2_EXPERT_MISMATCH" });
});
