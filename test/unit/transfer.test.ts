// Taking an expert to another model: as it is, shuffled, and to other sizes.
import t from "tap";
import { matrixShapes } from "../../lib/model/info.js";
import { Expert } from "../../lib/svf/expert.js";
import { resample, transferExpert } from "../../lib/svf/transfer.js";
import { Random } from "../../lib/util/random.js";

const random = new Random(Date.now());
const sizes = { layers: 4, hiddenSize: 8, intermediateSize: 12, heads: 2, kvHeads: 1, headDim: 4 };
const source = { name: "llama", matrices: matrixShapes(sizes) };
const target = { name: "mistral", matrices: matrixShapes(sizes) };
const print = "ab".repeat(32);
const expert = Expert.from(
  Object.fromEntries(source.matrices.map((m) => [m.name, Float32Array.from({ length: m.rank }, () => 1 + random.normal())])),
  { name: "math", base: source, fingerprint: print, label: "Math", card: { task: "gsm8k" }, parametrisation: "sigmoid", rescale: true },
);

t.test("ordered: the same vectors under another base", async (t) => {
  const other = "cd".repeat(32);
  const moved = transferExpert(expert, target, { method: "ordered", fingerprint: other, name: "math-from-llama" });
  t.same([...moved.vectors], [...expert.vectors]);
  t.match(moved, {
    name: "math-from-llama",
    base: "mistral",
    fingerprint: other,
    label: "Math",
    parametrisation: "sigmoid",
    rescale: true,
  });
  t.match(moved.card, { task: "gsm8k", transfer: { from: "llama", fingerprint: print, hash: expert.hash, method: "ordered" } });
  moved.check(target, other);
});

t.test("shuffled: the same numbers in another order, by seed", async (t) => {
  const moved = transferExpert(expert, target, { method: "shuffled", seed: 5 });
  let changed = 0;
  for (const [name, z] of expert.vectors) {
    const shuffled = moved.vectors.get(name) as Float32Array;
    t.same([...shuffled].sort(), [...z].sort(), name);
    if (shuffled.join() !== z.join()) changed++;
  }
  t.ok(changed > expert.vectors.size / 2);
  t.equal(transferExpert(expert, target, { method: "shuffled", seed: 5 }).hash, moved.hash);
  t.not(transferExpert(expert, target, { method: "shuffled", seed: 6 }).hash, moved.hash);
  t.match(moved.card, { transfer: { method: "shuffled", seed: 5 } });
});

t.test("interpolated: other ranks and other depths", async (t) => {
  t.same([...resample(Float32Array.of(1, 3), 5)], [1, 1.5, 2, 2.5, 3]);
  t.same([...resample(Float32Array.of(1, 2, 3, 4, 5), 3)], [1, 3, 5]);
  t.same([...resample(Float32Array.of(7), 3)], [7, 7, 7]);
  t.same([...resample(Float32Array.of(7, 9), 1)], [7]);
  const same = transferExpert(expert, target, { method: "interpolated" });
  t.same([...same.vectors], [...expert.vectors], "equal shapes: nothing changes");

  const wide = { name: "wide", matrices: matrixShapes({ ...sizes, layers: 7, hiddenSize: 10, headDim: 5 }) };
  const moved = transferExpert(expert, wide, { method: "interpolated" });
  t.equal(moved.vectors.size, wide.matrices.length);
  moved.check(wide);
  const depth = [0, 1, 1, 2, 2, 3, 3]; // round(l · 3 / 6), halves up
  depth.forEach((from, layer) => {
    const z = expert.vectors.get(`model.layers.${from}.mlp.up_proj`) as Float32Array;
    t.same(moved.vectors.get(`model.layers.${layer}.mlp.up_proj`), resample(z, 10), `layer ${layer} from ${from}`);
  });
  const shallow = { name: "shallow", matrices: matrixShapes({ ...sizes, layers: 1 }) };
  t.same(
    transferExpert(expert, shallow, { method: "interpolated" }).vectors.get("model.layers.0.mlp.up_proj"),
    expert.vectors.get("model.layers.0.mlp.up_proj"),
  );
});

t.test("an expert for some matrices stays one", async (t) => {
  const one = Expert.from({ "model.layers.0.mlp.up_proj": new Float32Array(8).fill(2) }, { name: "one", base: source });
  const moved = transferExpert(one, target, { method: "interpolated", sourceLayers: 4 });
  t.same([...moved.vectors.keys()], ["model.layers.0.mlp.up_proj"]);
  const all = transferExpert(one, target, { method: "interpolated" });
  t.equal(all.vectors.size, 4, "without a word about the source's depth its only layer stands for all");
});

t.test("what does not fit", async (t) => {
  const wider = { name: "wide", matrices: matrixShapes({ ...sizes, hiddenSize: 10 }) };
  const shallower = { name: "shallow", matrices: matrixShapes({ ...sizes, layers: 3 }) };
  for (const method of ["ordered", "shuffled"] as const) {
    for (const model of [wider, shallower])
      t.throws(() => transferExpert(expert, model, { method }), { code: "ERR_T2_EXPERT_MISMATCH", message: /interpolated/ });
  }
  t.throws(() => transferExpert(expert, target, { method: "sorted" as "ordered" }), { code: "ERR_T2_INVALID_OPTION" });
  const odd = Expert.from({ "encoder.dense": new Float32Array(8).fill(2) }, { name: "odd", base: { name: "other" } });
  t.throws(() => transferExpert(odd, target, { method: "interpolated" }), { code: "ERR_T2_EXPERT_MISMATCH" });
});
