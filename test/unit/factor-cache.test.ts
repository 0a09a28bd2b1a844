// The factor cache: what is found again, what is redone, and that runs which were stopped go on.
import { createHash } from "node:crypto";
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { matrixShapes } from "../../lib/model/info.js";
import { cacheFolder, factorsFolder } from "../../lib/model/paths.js";
import { readSafetensors, toFloat32, writeSafetensors } from "../../lib/model/safetensors.js";
import { FactorCache } from "../../lib/svf/factor-cache.js";
import type { MatrixDigest } from "../../lib/svf/fingerprint.js";
import { temporarySuffix } from "../../lib/util/atomic-file.js";
import { Random } from "../../lib/util/random.js";
import type { DecomposedMatrix } from "../../typings/addon.js";

const random = new Random(Date.now());
const shapes = matrixShapes({ layers: 2, hiddenSize: 6, intermediateSize: 9, heads: 2, kvHeads: 1, headDim: 2 });
const sha = (text: string) => createHash("sha256").update(text).digest("hex");
const matrices: MatrixDigest[] = shapes.map(({ name, rows, columns }) => ({ name, rows, columns, dtype: "BF16", sha256: sha(name) }));
const first = matrices[0] as MatrixDigest;
const second = matrices[1] as MatrixDigest;

const bytes = (length: number) => Uint8Array.from({ length }, () => random.int(256)).buffer;
function decompose(matrix: MatrixDigest, dtype: "F16" | "F32" = "F16"): DecomposedMatrix {
  const { name, rows, columns, sha256 } = matrix;
  const rank = Math.min(rows, columns);
  const size = dtype === "F16" ? 2 : 4;
  return {
    ...{ name, rows, columns, rank, dtype, sha256, u: bytes(rows * rank * size), vh: bytes(rank * columns * size) },
    sigma: Float32Array.from({ length: rank }, (_, i) => rank - i),
    ...{ residual: 1e-7, orthogonalityU: 2e-7, orthogonalityV: 3e-7, driver: "gram", milliseconds: 1.5 },
  };
}

async function fill(root: string, names?: string[]): Promise<FactorCache> {
  const cache = await FactorCache.open({ root, matrices, dtype: "F16", ...(names ? { names } : {}) });
  for (const matrix of matrices) if (cache.missing.has(matrix.name)) await cache.write(decompose(matrix));
  await cache.finish();
  return cache;
}

t.test("written once, found again", async (t) => {
  const root = t.testdir();
  const cache = await FactorCache.open({ root, matrices, dtype: "F16" });
  t.same(
    [...cache.missing],
    matrices.map((m) => m.name),
  );
  const made = decompose(first);
  await cache.write(made);
  t.notOk(cache.missing.has(first.name) || cache.complete);
  const file = await readSafetensors(cache.files()[0]?.path as string);
  t.same(
    [...file.tensors.values()].map((x) => [x.name, x.dtype, x.shape]),
    [
      ["S", "F32", [4]],
      ["U", "F16", [4, 4]],
      ["Vh", "F16", [4, 6]],
    ],
  );
  t.same(toFloat32(file.data.get("S") as Uint8Array), made.sigma);
  t.same((file.data.get("U") as Uint8Array).slice().buffer, made.u);
  t.match(file.metadata, { format: "transformer2.factors/1", name: first.name, sha256: first.sha256, residual: "1e-7", driver: "gram" });
  t.same(await cache.sigma(first.name), made.sigma);
  await t.rejects(cache.sigma(second.name), { code: "ERR_T2_INVALID_FACTORS" });

  const done = await fill(root);
  t.ok(done.complete);
  const again = await FactorCache.open({ root, matrices, dtype: "F16" });
  t.ok(again.complete && again.damaged.length === 0);
  t.equal(again.folder, cache.folder);
  t.same(
    again.files().map((x) => x.name),
    matrices.map((m) => m.name),
  );
  t.match(again.entry(first.name), { residual: 1e-7, orthogonalityU: 2e-7, orthogonalityV: 3e-7, driver: "gram", milliseconds: 1.5 });
});

t.test("what names the folder", async (t) => {
  const root = t.testdir();
  const folder = async (dtype: "F16" | "F32", list: MatrixDigest[]) => (await FactorCache.open({ root, matrices: list, dtype })).folder;
  const changed = matrices.map((m, i) => (i === 3 ? { ...m, sha256: sha("other weights") } : m));
  const folders = [
    await folder("F16", matrices),
    await folder("F32", matrices),
    await folder("F16", changed),
    await folder("F16", matrices.slice(1)),
  ];
  t.equal(new Set(folders).size, 4);
  t.equal(folders[0], await folder("F16", matrices));
});

t.test("a run that was stopped goes on, with a manifest and without", async (t) => {
  const root = t.testdir();
  const cache = await FactorCache.open({ root, matrices, dtype: "F16" });
  await cache.write(decompose(first)); // stopped here: finish() never came
  t.notOk(existsSync(join(cache.folder, "manifest.json")));
  const left = join(cache.folder, `.x.1.aa${temporarySuffix}`);
  const fresh = join(cache.folder, `.y.1.aa${temporarySuffix}`);
  for (const path of [left, fresh]) writeFileSync(path, "half a file");
  utimesSync(left, new Date(0), new Date(0));
  const next = await FactorCache.open({ root, matrices, dtype: "F16" });
  t.equal(next.missing.size, matrices.length - 1);
  t.notOk(existsSync(left), "what a dead run left is gone");
  t.ok(existsSync(fresh), "what may still be written is not");
  await next.write(decompose(second));
  await next.finish();
  const manifest = join(next.folder, "manifest.json");
  t.same(
    JSON.parse(readFileSync(manifest, "utf8")).matrices.map((m: { name: string }) => m.name),
    [first.name, second.name],
  );
  for (const text of ["{", "[]", JSON.stringify({ format: "x" }), JSON.stringify({ matrices: [{ name: first.name }] })]) {
    writeFileSync(manifest, text);
    t.equal((await FactorCache.open({ root, matrices, dtype: "F16" })).missing.size, matrices.length - 2, `manifest ${text}`);
  }
});

t.test("only what was asked for, in a folder that is shared", async (t) => {
  const root = t.testdir();
  const names = [second.name];
  const part = await fill(root, names);
  t.ok(part.complete);
  const whole = await FactorCache.open({ root, matrices, dtype: "F16" });
  t.equal(whole.missing.size, matrices.length - 1);
  await t.rejects(FactorCache.open({ root, matrices, names: ["x"], dtype: "F16" }), TypeError);
});

t.test("a damaged file is found and redone", async (t) => {
  const root = t.testdir();
  const cache = await fill(root);
  const path = cache.files()[0]?.path as string;
  const good = readFileSync(path);
  const { dataOffset } = await readSafetensors(path);
  const spoil: Record<string, () => void | Promise<void>> = {
    truncated: () => truncateSync(path, good.length - 3),
    empty: () => truncateSync(path, 0),
    "one bit": () => {
      const copy = Buffer.from(good);
      const at = dataOffset + random.int(good.length - dataOffset);
      copy[at] = (copy[at] as number) ^ (1 << random.int(8));
      writeFileSync(path, copy);
    },
    "another matrix' file": () => writeFileSync(path, readFileSync(cache.files()[4]?.path as string)),
    "another format": () => writeSafetensors(path, [], { format: "x" }),
    "tensors of other shapes": async () => {
      const { metadata } = await readSafetensors(cache.files()[0]?.path as string);
      await writeSafetensors(path, [{ name: "S", dtype: "F32", shape: [4], data: new Float32Array(4) }], metadata);
    },
  };
  for (const [name, damage] of Object.entries(spoil)) {
    writeFileSync(path, good);
    await damage();
    const opened = await FactorCache.open({ root, matrices, dtype: "F16" });
    t.same([...opened.missing], [first.name], name);
    t.same(
      opened.damaged.map((d) => d.name),
      [first.name],
    );
    t.ok(opened.damaged[0]?.reason);
    t.notOk(
      opened.files().some((f) => f.name === first.name),
      "it is not handed out",
    );
    await opened.write(decompose(first));
    await opened.finish();
    t.ok((await FactorCache.open({ root, matrices, dtype: "F16", verify: true })).complete, "redone");
  }
  rmSync(path);
  const gone = await FactorCache.open({ root, matrices, dtype: "F16" });
  t.same([[...gone.missing], gone.damaged], [[first.name], []], "a file that is not there is not damaged");
});

t.test("unchanged files are not read again, unless asked", async (t) => {
  const root = t.testdir();
  const cache = await fill(root);
  const path = cache.files()[0]?.path as string;
  const manifest = join(cache.folder, "manifest.json");
  const json = JSON.parse(readFileSync(manifest, "utf8"));
  json.matrices[0].residual = 0.5; // comes back only when the manifest is believed
  writeFileSync(manifest, JSON.stringify(json));
  const residual = async (verify: boolean) =>
    (await FactorCache.open({ root, matrices, dtype: "F16", verify })).entry(first.name)?.residual;
  t.equal(await residual(false), 0.5);
  t.equal(await residual(true), 1e-7);
  utimesSync(path, new Date(), new Date());
  t.equal(await residual(false), 1e-7, "a touched file is read");
});

t.test("the wrong matrix, aborts, and folders that cannot be written", async (t) => {
  const root = t.testdir({ file: "" });
  const cache = await FactorCache.open({ root, matrices, dtype: "F16" });
  const wrong = [
    decompose({ ...first, sha256: sha("x") }),
    decompose(first, "F32"),
    decompose({ ...first, name: "x" }),
    decompose({ ...first, rows: 5 }),
  ];
  for (const matrix of wrong) await t.rejects(cache.write(matrix), { code: "ERR_T2_NATIVE" });
  await t.rejects(cache.write(decompose(first), { signal: AbortSignal.abort() }), { code: "ERR_T2_ABORTED" });
  await t.rejects(FactorCache.open({ root, matrices, dtype: "F16", signal: AbortSignal.abort() }), { code: "ERR_T2_ABORTED" });
  t.same(readdirSync(cache.folder), [], "nothing is left of them");
  await t.rejects(FactorCache.open({ root: join(root, "file"), matrices, dtype: "F16" }), { code: "ERR_T2_IO" });
  const progress: string[] = [];
  await FactorCache.open({ root, matrices, dtype: "F16", onProgress: (done, total, name) => progress.push(`${done}/${total} ${name}`) });
  t.equal(progress.length, matrices.length);
  t.equal(progress[0], `1/${matrices.length} ${first.name}`);
});

t.test(
  "a full cache that cannot be written still serves",
  { skip: process.getuid?.() === 0 ? "root may write everywhere" : false },
  async (t) => {
    const root = t.testdir();
    const { folder } = await fill(root);
    chmodSync(folder, 0o500);
    t.ok((await FactorCache.open({ root, matrices, dtype: "F16" })).complete);
    chmodSync(folder, 0o700);
  },
);

t.test("where caches are", async (t) => {
  t.equal(factorsFolder({ T2_CACHE: "/a", XDG_CACHE_HOME: "/b" }), "/a/factors");
  t.equal(cacheFolder({ XDG_CACHE_HOME: "/b" }), "/b/transformer2");
  t.match(cacheFolder({ XDG_CACHE_HOME: "relative" }), /\.cache\/transformer2$/);
  t.match(cacheFolder({}), /\.cache\/transformer2$/);
});
