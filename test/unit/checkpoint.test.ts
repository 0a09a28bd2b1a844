// Which files a checkpoint consists of, and what an index may not say.
import { join } from "node:path";
import t from "tap";
import { findCheckpoint } from "../../lib/model/checkpoint.js";
import type { Targets } from "../../lib/model/info.js";
import { matrixShapes, parseMatrixName } from "../../lib/model/info.js";
import { selectMatrices } from "../../lib/svf/targets.js";

const index = (map: unknown) => JSON.stringify({ metadata: { total_size: 3 }, weight_map: map });

t.test("one file, or the shards of an index", async (t) => {
  const folder = t.testdir({
    single: { "model.safetensors": "abc", "model.safetensors.index.json": index({ a: "gone.safetensors" }) },
    sharded: {
      "model.safetensors.index.json": index({ a: "m-2.safetensors", b: "m-1.safetensors", c: "m-2.safetensors" }),
      "m-1.safetensors": "ab",
      "m-2.safetensors": "c",
    },
    linked: { "model.safetensors": t.fixture("symlink", "../single/model.safetensors") },
  });
  t.same(await findCheckpoint(join(folder, "single")), { files: [join(folder, "single/model.safetensors")], bytes: 3 });
  t.same(await findCheckpoint(join(folder, "sharded")), {
    files: [join(folder, "sharded/m-1.safetensors"), join(folder, "sharded/m-2.safetensors")],
    bytes: 3,
  });
  t.equal((await findCheckpoint(join(folder, "linked"))).bytes, 3, "links of the hub's cache");
});

t.test("what is missing is named", async (t) => {
  const folder = t.testdir({
    none: {},
    torch: { "pytorch_model.bin": "x" },
    shard: { "model.safetensors.index.json": index({ a: "m-1.safetensors", b: "m-2.safetensors" }), "m-1.safetensors": "" },
  });
  await t.rejects(findCheckpoint(join(folder, "nowhere")), { code: "ERR_T2_MODEL_NOT_FOUND" });
  await t.rejects(findCheckpoint(join(folder, "none")), { code: "ERR_T2_MODEL_NOT_FOUND" });
  await t.rejects(findCheckpoint(join(folder, "torch")), { code: "ERR_T2_MODEL_NOT_FOUND", message: /pytorch_model\.bin.*convert/ });
  await t.rejects(findCheckpoint(join(folder, "shard")), { code: "ERR_T2_MODEL_NOT_FOUND", detail: { missing: ["m-2.safetensors"] } });
});

t.test("an index cannot point outside its folder", async (t) => {
  for (const name of [
    "../evil.safetensors",
    "/etc/evil.safetensors",
    "a/b.safetensors",
    "..\\evil.safetensors",
    "a\0.safetensors",
    ".safetensors",
    "x.bin",
    3,
    null,
  ]) {
    const folder = t.testdir({ "evil.safetensors": "", model: { "model.safetensors.index.json": index({ a: name }) } });
    await t.rejects(findCheckpoint(join(folder, "model")), { code: "ERR_T2_INVALID_CHECKPOINT" }, JSON.stringify(name));
  }
  for (const text of ["{", "[]", "{}", index([]), index({}), index("x")]) {
    const folder = t.testdir({ "model.safetensors.index.json": text });
    await t.rejects(findCheckpoint(folder), { code: "ERR_T2_INVALID_CHECKPOINT" }, text);
  }
});

t.test("matrices, their names and their selection", async (t) => {
  const matrices = matrixShapes({ layers: 3, hiddenSize: 64, intermediateSize: 96, heads: 4, kvHeads: 2, headDim: 24 });
  t.equal(matrices.length, 21);
  t.same(matrices[7], { name: "model.layers.1.self_attn.q_proj", layer: 1, role: "q", rows: 96, columns: 64, rank: 64 });
  t.match(matrices[8], { role: "k", rows: 48, columns: 64, rank: 48 });
  t.match(matrices[10], { role: "o", rows: 64, columns: 96 });
  t.match(matrices[13], { role: "down", rows: 64, columns: 96, rank: 64 });
  for (const { name, layer, role } of matrices) t.same(parseMatrixName(name), { layer, role });
  for (const name of ["model.layers.01.mlp.up_proj", "layers.1.mlp.up_proj", "model.layers.1.mlp", "model.layers.1.mlp.up_proj.z"]) {
    t.equal(parseMatrixName(name), undefined);
  }

  const names = (targets?: Targets) =>
    selectMatrices(matrices, targets)
      .map(({ layer, role }) => `${layer}${role}`)
      .join(" ");
  t.equal(names().split(" ").length, 21);
  t.equal(names("mlp"), "0gate 0up 0down 1gate 1up 1down 2gate 2up 2down");
  t.equal(names(["model.layers.2.mlp.down_proj", "v"]), "0v 1v 2v 2down", "in layer order whatever the order asked");
  t.equal(names({ roles: ["q", "o"], layers: [2, 0] }), "0q 0o 2q 2o");
  t.equal(names({ layers: [1] }).split(" ").length, 7);
  const wrong: unknown[] = [
    "attn",
    [],
    ["q_proj"],
    ["model.layers.3.mlp.up_proj"],
    { roles: ["x"] },
    { layers: [3] },
    { layers: [-1] },
    { layers: [0.5] },
    { layers: [] },
    7,
    null,
  ];
  for (const targets of wrong)
    t.throws(() => selectMatrices(matrices, targets as Targets), { code: "ERR_T2_INVALID_OPTION" }, JSON.stringify(targets));
});
