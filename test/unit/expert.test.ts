// Experts as values and as files: what is kept, what is refused, and that a damaged file is never used.
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { matrixShapes } from "../../lib/model/info.js";
import { readSafetensors, writeSafetensors } from "../../lib/model/safetensors.js";
import { Expert } from "../../lib/svf/expert.js";
import { fingerprint } from "../../lib/svf/fingerprint.js";
import { hashVectors } from "../../lib/svf/hash.js";
import { Random } from "../../lib/util/random.js";

const random = new Random(Date.now());
const matrices = matrixShapes({ layers: 12, hiddenSize: 8, intermediateSize: 12, heads: 2, kvHeads: 1, headDim: 4 });
const base = { name: "tiny", matrices };
const draw = (length: number) => Float32Array.from({ length }, () => 1 + 0.3 * random.normal());
const vectors = () => Object.fromEntries([...matrices].reverse().map((m) => [m.name, draw(m.rank)]));
const print = "ab".repeat(32);

t.test("an expert is a value of its own", async (t) => {
  const given = vectors();
  const expert = Expert.from(given, { name: "math", base });
  t.same(
    [...expert.vectors.keys()],
    matrices.map((m) => m.name),
    "in layer order, layer 2 before layer 10",
  );
  const first = matrices[0]?.name as string;
  const kept = [...(expert.vectors.get(first) as Float32Array)];
  (given[first] as Float32Array).fill(9);
  t.same([...(expert.vectors.get(first) as Float32Array)], kept, "copied");
  t.match(expert, { label: "math", description: "", card: {}, parametrisation: "direct", rescale: false, kind: "svf", base: "tiny" });
  const renamed = expert.with({ name: "sums", label: "arithmetic", description: "Adds." });
  t.match(renamed, { name: "sums", label: "arithmetic", description: "Adds.", hash: expert.hash, base: "tiny" });
  t.throws(() => expert.with({ name: "base" }), { code: "ERR_T2_INVALID_OPTION" });
});

t.test("what an expert cannot be", async (t) => {
  const [a, b] = matrices as [(typeof matrices)[0], (typeof matrices)[0]];
  const wrong: [Record<string, Float32Array>, string][] = [
    [{}, "empty"],
    [{ [a.name]: draw(a.rank + 1) }, "too long"],
    [{ [a.name]: new Float32Array(0) }, "of length 0"],
    [{ "model.layers.99.mlp.up_proj": draw(8) }, "of no matrix"],
    [{ [a.name]: draw(a.rank), [b.name]: draw(b.rank).fill(Number.NaN, 1, 2) }, "NaN"],
    [{ [a.name]: draw(a.rank).fill(Number.POSITIVE_INFINITY, 1, 2) }, "infinite"],
    [{ [a.name]: [1, 2, 3] as unknown as Float32Array }, "no Float32Array"],
  ];
  for (const [given, name] of wrong) t.throws(() => Expert.from(given, { name: "x", base }), { code: "ERR_T2_INVALID_OPTION" }, name);
  for (const name of ["", "base"])
    t.throws(() => Expert.from(vectors(), { name, base }), { code: "ERR_T2_INVALID_OPTION" }, `named "${name}"`);
});

t.test("hashes say what the weights become", async (t) => {
  const given = vectors();
  const hash = (v: Record<string, Float32Array>) => hashVectors(new Map(Object.entries(v)));
  t.equal(hash(given), hash(Object.fromEntries(Object.entries(given).reverse())), "the order does not matter");
  const [name] = Object.keys(given) as [string];
  t.not(hash({ ...given, [name]: draw(given[name]?.length as number) }), hash(given));
  t.equal(hash({ ...given, extra: new Float32Array(5).fill(1) }), hash(given), "z = 1 is nothing");
  t.equal(hash({ extra: new Float32Array(5).fill(1) }), "base");
  t.not(hash({ a: Float32Array.of(2, 2), b: Float32Array.of(2) }), hash({ a: Float32Array.of(2), b: Float32Array.of(2, 2) }));
});

t.test("fingerprints see every part of every matrix", async (t) => {
  const digests = matrices.slice(0, 3).map((m) => ({ ...m, dtype: "BF16", sha256: print }));
  const all = new Set([fingerprint(digests)]);
  digests.forEach((_, i) => {
    for (const change of [{ name: "x" }, { rows: 9 }, { columns: 9 }, { dtype: "F16" }, { sha256: "cd".repeat(32) }]) {
      all.add(fingerprint(digests.map((digest, j) => (i === j ? { ...digest, ...change } : digest))));
    }
  });
  all.add(fingerprint(digests.slice(1)));
  t.equal(all.size, 17);
  t.match(fingerprint(digests), /^[0-9a-f]{64}$/);
});

t.test("saved and loaded", async (t) => {
  const path = join(t.testdir(), "experts/math.safetensors");
  const card = { task: "gsm8k", seed: 3, scores: { test: { right: 7, total: 9 } }, text: 'é "quoted"' };
  const about = {
    name: "math",
    base,
    fingerprint: print,
    label: "Mathe",
    description: "Zählt.",
    card,
    parametrisation: "sigmoid",
    rescale: true,
  } as const;
  const expert = Expert.from(vectors(), about);
  await expert.save(path);
  const loaded = await Expert.load(path);
  t.same(loaded, expert);
  t.equal(loaded.hash, expert.hash);
  for (const [name, z] of expert.vectors) t.same(loaded.vectors.get(name), z, name);
  const file = await readSafetensors(path);
  t.match(file.metadata, { format: "transformer2.expert/1", base: "tiny", rescale: "true", kind: "svf" });
  t.match(file.tensors.get("model.layers.0.self_attn.q_proj.z"), { dtype: "F32", shape: [8] });
});

t.test("damaged files", async (t) => {
  const folder = t.testdir();
  const path = join(folder, "x.safetensors");
  const expert = Expert.from(vectors(), { name: "x", base, fingerprint: print });
  await expert.save(path);
  const good = readFileSync(path);
  const { metadata } = await readSafetensors(path);
  const rejects = (name: string) => t.rejects(Expert.load(path), { code: "ERR_T2_INVALID_EXPERT", detail: { path } }, name);

  for (let i = 0; i < 5; i++) {
    writeFileSync(path, good);
    truncateSync(path, random.int(good.length));
    await rejects("truncated");
  }
  const { dataOffset } = await readSafetensors(path).catch(() => {
    writeFileSync(path, good);
    return readSafetensors(path);
  });
  for (let i = 0; i < 20; i++) {
    const bytes = Buffer.from(good);
    const at = dataOffset + random.int(good.length - dataOffset);
    bytes[at] = (bytes[at] as number) ^ (1 << random.int(8));
    writeFileSync(path, bytes);
    await rejects(`one bit of byte ${at} changed`);
  }
  const z = { name: "model.layers.0.mlp.up_proj.z", dtype: "F32", shape: [4], data: draw(4) } as const;
  const save = async (name: string, tensors: Parameters<typeof writeSafetensors>[1], texts: Record<string, string>) => {
    const vectors = new Map([[z.name.slice(0, -2), z.data]]);
    await writeSafetensors(path, tensors, { ...metadata, checksum: hashVectors(vectors), ...texts });
    if (name) await rejects(name);
  };
  await save("", [z], {});
  t.equal((await Expert.load(path)).vectors.size, 1, "the file is fine before it is spoilt");
  await save("another format", [z], { format: "transformer2.expert/9" });
  await save("another kind", [z], { kind: "lora" });
  await save("no name", [z], { name: "" });
  await save("the name of the base", [z], { name: "base" });
  await save("no fingerprint but something", [z], { fingerprint: "abc" });
  await save("an unknown parametrisation", [z], { parametrisation: "cubic" });
  await save("a rescale that is no boolean", [z], { rescale: "maybe" });
  await save("a card that is no JSON", [z], { card: "{" });
  await save("a card that is a list", [z], { card: "[]" });
  await save("another checksum", [z], { checksum: print });
  await save("half precision", [{ ...z, dtype: "F16", data: new Uint16Array(4) }], {});
  await save("a matrix", [{ ...z, shape: [2, 2] }], {});
  await save("a tensor that is no z", [{ ...z, name: "model.layers.0.mlp.up_proj" }], {});
  await save("no tensors", [], {});
  const nan = draw(4).fill(Number.NaN, 2, 3);
  await save("NaN with the right checksum", [{ ...z, data: nan }], { checksum: hashVectors(new Map([[z.name.slice(0, -2), nan]])) });
  await t.rejects(Expert.load(join(folder, "none")), { code: "ERR_T2_EXPERT_NOT_FOUND" });
  await t.rejects(Expert.load(join(path, "none")), { code: "ERR_T2_IO" });
  await t.rejects(expert.save(join(path, "x")), { code: "ERR_T2_IO" });
});

t.test("an expert fits its own base only", async (t) => {
  const expert = Expert.from(vectors(), { name: "x", base, fingerprint: print });
  expert.check(base, print);
  expert.check(base);
  Expert.from(vectors(), { name: "free", base }).check(base, print);
  t.throws(() => expert.check(base, "cd".repeat(32)), { code: "ERR_T2_EXPERT_MISMATCH", message: /tiny.*weights differ/ });
  t.throws(() => expert.check({ name: "b", matrices: matrices.slice(7) }), { code: "ERR_T2_EXPERT_MISMATCH" });
  const wider = matrices.map((m) => ({ ...m, rank: m.rank + 1 }));
  t.throws(() => expert.check({ name: "b", matrices: wider }), {
    code: "ERR_T2_EXPERT_MISMATCH",
    detail: { expected: Number, actual: Number },
  });
});
