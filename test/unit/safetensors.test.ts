// The safetensors reader against files with lies in them, and the writer against the reader, the disk and the format.

import { spawnSync } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { readSafetensors, readSafetensorsHeader, toFloat32, writeSafetensors } from "../../lib/model/safetensors.js";
import { ioError, writeFileAtomic } from "../../lib/util/atomic-file.js";
import { Random } from "../../lib/util/random.js";

/** A file from any header and any number of bytes behind it. */
function file(header: unknown, bytes = 0, claimed?: bigint): Buffer {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(bytes)]);
}

const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({ dtype: "F32", shape, data_offsets: [begin, end] });

t.test("what is written is read", async (t) => {
  const folder = t.testdir();
  const random = new Random(Date.now());
  const values = Float32Array.from({ length: random.int(50) + 1 }, () => random.normal());
  const half = Uint16Array.from({ length: 6 }, () => random.int(65536));
  const path = join(folder, "deep/er/x.safetensors");
  await writeSafetensors(
    path,
    [
      { name: "a.z", dtype: "F32", shape: [values.length], data: values },
      { name: "empty", dtype: "F16", shape: [0, 4], data: new ArrayBuffer(0) },
      { name: "__proto__", dtype: "BF16", shape: [2, 3], data: half.buffer },
      { name: "scalar", dtype: "F64", shape: [], data: new Float64Array([Math.PI]) },
    ],
    { format: "test", note: 'a "quoted" € text' },
  );
  const read = await readSafetensors(path);
  t.same({ ...read.metadata }, { format: "test", note: 'a "quoted" € text' });
  t.same([...read.tensors.keys()], ["a.z", "empty", "__proto__", "scalar"]);
  t.same(toFloat32(read.data.get("a.z") as Uint8Array), values);
  t.same(new Uint16Array((read.data.get("__proto__") as Uint8Array).slice().buffer), half);
  t.equal(read.dataOffset % 64, 0, "tensors begin on a cache line");
  t.equal((await readSafetensors(path, { only: ["scalar"] })).data.size, 1);
  t.throws(() => readFileSync(`${path}.tmp`));
  t.same(readdirSync(join(folder, "deep/er")), ["x.safetensors"], "no temporary file is left");
  await t.rejects(writeSafetensors(path, [{ name: "a", dtype: "F32", shape: [3], data: values.subarray(0, 1) }]), TypeError);
});

t.test("damage is found before anything is used", async (t) => {
  const folder = t.testdir();
  const good = file({ a: f32(0, 16), b: f32(16, 20) }, 20);
  const damaged: Record<string, Buffer> = {
    empty: Buffer.alloc(0),
    "too short for a header": Buffer.alloc(9),
    truncated: good.subarray(0, good.length - 1),
    "truncated in the header": good.subarray(0, 20),
    "something behind the end": Buffer.concat([good, Buffer.alloc(1)]),
    "header longer than the file": file("{}", 0, 1n << 40n),
    "header of 2^64 − 1": file("{}", 0, (1n << 64n) - 1n),
    "no JSON": file("{not json}"),
    "no UTF-8": Buffer.concat([file("", 0, 4n), Buffer.from([0x22, 0xff, 0xfe, 0x22])]),
    "a list": file([]),
    "an entry that is no object": file({ a: 3 }),
    "an unknown type": file({ a: { ...f32(0, 4), dtype: "F4" } }, 4),
    "a type from the prototype": file({ a: { ...f32(0, 4), dtype: "constructor" } }, 4),
    "a negative size": file({ a: f32(0, 4, [-1]) }, 4),
    "a size that is no number": file({ a: { ...f32(0, 4), shape: ["1"] } }, 4),
    "shape and bytes that differ": file({ a: f32(0, 8, [3]) }, 8),
    "a shape that overflows": file({ a: f32(0, 4, [2 ** 31, 2 ** 31, 2 ** 31]) }, 4),
    "offsets backwards": file({ a: { ...f32(0, 0), data_offsets: [4, 0] } }, 4),
    "offsets outside": file({ a: f32(0, 64) }, 4),
    "three offsets": file({ a: { ...f32(0, 4), data_offsets: [0, 4, 4] } }, 4),
    "fractional offsets": file({ a: { ...f32(0, 4), data_offsets: [0, 4.5] } }, 8),
    overlap: file({ a: f32(0, 8), b: f32(4, 12) }, 12),
    "the same bytes twice": file({ a: f32(0, 8), b: f32(0, 8) }, 8),
    "a hole": file({ a: f32(0, 4), b: f32(8, 12) }, 12),
    "a hole at the beginning": file({ a: f32(4, 8) }, 8),
    "metadata that is no object": file({ __metadata__: "x", a: f32(0, 4) }, 4),
    "metadata that is no text": file({ __metadata__: { x: 1 }, a: f32(0, 4) }, 4),
  };
  const path = join(folder, "x.safetensors");
  writeFileSync(path, good);
  t.equal((await readSafetensorsHeader(path)).tensors.size, 2, "the undamaged file is fine");
  for (const [name, bytes] of Object.entries(damaged)) {
    writeFileSync(path, bytes);
    await t.rejects(readSafetensors(path, { code: "ERR_T2_INVALID_EXPERT" }), { code: "ERR_T2_INVALID_EXPERT", detail: { path } }, name);
  }
  await t.rejects(readSafetensors(join(folder, "none")), { code: "ERR_T2_IO", detail: { code: "ENOENT" } });
  await t.rejects(readSafetensors(folder), { code: /ERR_T2_IO|ERR_T2_INVALID_CHECKPOINT/ });
  writeFileSync(path, good);
  await t.rejects(readSafetensors(path, { maxBytes: 30 }), { code: "ERR_T2_INVALID_CHECKPOINT" });
});

t.test("a random byte changed never crashes the reader", async (t) => {
  const folder = t.testdir();
  const path = join(folder, "x.safetensors");
  const good = file({ __metadata__: { k: "v" }, a: f32(0, 16), b: f32(16, 20) }, 20);
  const random = new Random(Date.now(), "fuzz");
  for (let i = 0; i < 300; i++) {
    const bytes = Buffer.from(good);
    bytes[random.int(bytes.length - 20)] = random.int(256);
    writeFileSync(path, bytes);
    const error = await readSafetensors(path).then(
      () => undefined,
      (thrown: { code?: string }) => thrown,
    );
    if (error && error.code !== "ERR_T2_INVALID_CHECKPOINT") t.fail(`unexpected ${error} for ${bytes.toString("hex")}`);
  }
});

t.test("a file appears whole or not at all", async (t) => {
  const folder = t.testdir({ file: "old", folder: {} });
  const path = join(folder, "file");
  async function* failing() {
    yield new Uint8Array(10);
    throw new Error("the source failed");
  }
  await t.rejects(writeFileAtomic(path, failing()), /source failed/);
  await t.rejects(writeFileAtomic(path, "new", { signal: AbortSignal.abort("enough") }), { code: "ERR_T2_ABORTED", cause: "enough" });
  t.equal(readFileSync(path, "utf8"), "old");
  t.same(readdirSync(folder).sort(), ["file", "folder"], "nothing is left behind");
  await writeFileAtomic(path, "né");
  t.equal(readFileSync(path, "utf8"), "né");
  await t.rejects(writeFileAtomic(join(folder, "folder"), "x"), { code: "ERR_T2_IO" });
  await t.rejects(writeFileAtomic(join(path, "x"), "x"), {
    code: "ERR_T2_IO",
    message: /is a file, not a folder/,
  });
  t.match(ioError("write", "/x", Object.assign(new Error("no"), { code: "ENOSPC" })).message, /disk is full/);
});

t.test("a folder that cannot be written", { skip: process.getuid?.() === 0 ? "root may write everywhere" : false }, async (t) => {
  const folder = t.testdir({ locked: {} });
  chmodSync(join(folder, "locked"), 0o500);
  await t.rejects(writeFileAtomic(join(folder, "locked/x"), "x"), { code: "ERR_T2_IO", message: /permission/ });
});

t.test("no room: the old file stays", { skip: process.platform === "win32" ? "needs ulimit" : false }, async (t) => {
  const folder = t.testdir({ x: "old" });
  const module = new URL("../../lib/util/atomic-file.ts", import.meta.url).href;
  const program = `import { writeFileAtomic } from ${JSON.stringify(module)};
    await writeFileAtomic(${JSON.stringify(join(folder, "x"))}, new Uint8Array(1e6)).then(() => console.log("written"), (e) => console.log(e.code, e.detail.code));`;
  // A limit on the size of files fails in the same place and way as a full disk; the signal it would send is ignored.
  const limited = 'trap "" XFSZ; ulimit -f 100; exec env -i "$0" "$@"'; // -i: tap's own hooks would end the process on that signal
  const loader = `--import=${new URL("../../scripts/typescript-loader.mjs", import.meta.url).href}`;
  const child = spawnSync("sh", ["-c", limited, process.execPath, loader, "--input-type=module", "-e", program], { encoding: "utf8" });
  t.equal(child.stdout.trim(), "ERR_T2_IO EFBIG", child.stderr);
  t.equal(readFileSync(join(folder, "x"), "utf8"), "old");
  t.same(readdirSync(folder).sort(), ["x"]);
});
