// Checkpoint files that lie: every one is a typed error that names file, tensor and offset, or loads and gives the right numbers; none crashes.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { addon } from "../../lib/native.js";
import { Transformer2 } from "../../lib/transformer2.js";
import { Random } from "../../lib/util/random.js";
import { openOptions, specOf } from "../support/open-addon.js";
import { writeTinyModel } from "../support/tiny-model.js";

const folder = writeTinyModel(join(t.testdir(), "tiny"));
const file = join(folder, "model.safetensors");
const good = readFileSync(file);
const headerLength = Number(good.readBigUInt64LE(0));
const headerText = good.subarray(8, 8 + headerLength).toString();
const data = good.subarray(8 + headerLength);

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}
type Header = Record<string, Entry>;

const NORM = "model.layers.0.input_layernorm.weight";
const UP = "model.layers.1.mlp.up_proj.weight";

/** A file of the given header; `length` is what it claims the header to be. */
function assemble(header: string | Buffer, body: Uint8Array = data, length: bigint = BigInt(Buffer.byteLength(header))): Buffer {
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(length);
  return Buffer.concat([start, Buffer.from(header), body]);
}

function edited(edit: (header: Header) => void): Buffer {
  const header = JSON.parse(headerText) as Header;
  edit(header);
  return assemble(JSON.stringify(header));
}

function entry(header: Header, name: string): Entry {
  return header[name] as Entry;
}

async function logits(): Promise<Float32Array> {
  const t2 = await Transformer2.load(folder);
  try {
    return (await t2.logits([Int32Array.of(1, 2, 3)]))[0] as Float32Array;
  } finally {
    await t2[Symbol.asyncDispose]();
  }
}

async function refused(t: Test, bytes: Buffer, detail: object, label: string): Promise<void> {
  writeFileSync(file, bytes);
  await t.rejects(
    logits(),
    { name: "Transformer2Error", code: "ERR_T2_INVALID_CHECKPOINT", message: /model\.safetensors|[Tt]ensor/, detail },
    label,
  );
}

t.afterEach(() => writeFileSync(file, good));

t.test("the header lies", async (t) => {
  const far = data.length;
  const cases: [string, Buffer, object][] = [
    ["empty file", Buffer.alloc(0), { file }],
    ["seven bytes", good.subarray(0, 7), { file }],
    ["a Git LFS pointer", Buffer.from("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"), { file }],
    ["header longer than the file", assemble(headerText, data, BigInt(good.length)), { file, offset: 0 }],
    ["header of 2⁶⁴ − 1 bytes", assemble(headerText, data, 2n ** 64n - 1n), { file, offset: 0 }],
    ["header of 2⁶³ bytes", assemble(headerText, data, 2n ** 63n), { file, offset: 0 }],
    ["header of no bytes", assemble("", data), { file }],
    ["header cut short", assemble(headerText, data, BigInt(headerLength - 40)), { file }],
    ["not JSON", assemble("x".repeat(headerLength)), { file, offset: 8 }],
    ["a list", assemble("[]"), { file, offset: 8 }],
    ["nested a million times", assemble(`{"__metadata__":${"[".repeat(1e6)}`), { file }],
    [
      "a name twice",
      assemble(headerText.trimEnd().replace("{", `{"${NORM}":${JSON.stringify(entry(JSON.parse(headerText), NORM))},`)),
      { file },
    ],
    ["text behind the header", assemble(`${headerText} {}`), { file }],
    ["one byte of data missing", good.subarray(0, good.length - 1), { file, tensor: "model.norm.weight" }],
    ["all data missing", good.subarray(0, 8 + headerLength), { file }],
    ["data nobody describes", Buffer.concat([good, Buffer.alloc(4)]), { file }],
    ["tensor ends behind the file", edited((h) => (entry(h, UP).data_offsets[1] = far + 4)), { file, tensor: UP }],
    ["tensor at 2⁵³", edited((h) => (entry(h, UP).data_offsets = [2 ** 53, 2 ** 53 + 4])), { file, tensor: UP }],
    ["offsets beyond 64 bits", assemble(headerText.replace(/"data_offsets":\[0,/, '"data_offsets":[99999999999999999999,')), { file }],
    ["negative offset", edited((h) => (entry(h, UP).data_offsets[0] = -4)), { file }],
    ["tensor ends before it begins", edited((h) => entry(h, UP).data_offsets.reverse()), { file, tensor: UP }],
    ["tensors overlap", edited((h) => (entry(h, UP).data_offsets[0] -= 4)), { file, tensor: UP }],
    ["a hole", edited((h) => (entry(h, UP).data_offsets[0] += 4)), { file, tensor: UP }],
    ["shape larger than its bytes", edited((h) => entry(h, UP).shape[0]!++), { file, tensor: UP }],
    ["dtype narrower than its bytes", edited((h) => (entry(h, UP).dtype = "BF16")), { file, tensor: UP }],
    ["a product of dimensions that overflows", edited((h) => (entry(h, UP).shape = [2 ** 40, 2 ** 40, 4])), { file, tensor: UP }],
    ["a negative dimension", edited((h) => (entry(h, UP).shape = [-24, -16])), { file }],
    ["a fraction of a dimension", edited((h) => (entry(h, UP).shape[0] = 24.5)), { file }],
    ["a shape that is no list", edited((h) => (entry(h, UP).shape = {} as number[])), { file }],
    ["three offsets", edited((h) => (entry(h, UP).data_offsets as number[]).push(9)), { file }],
    ["no dtype", edited((h) => delete (h[UP] as Partial<Entry>).dtype), { file }],
    ["a dtype that is a number", edited((h) => (entry(h, UP).dtype = 3 as unknown as string)), { file }],
  ];
  for (const [label, bytes, detail] of cases) await refused(t, bytes, detail, label);
});

t.test("tensors that are not what the model needs", async (t) => {
  const rename = (from: string, to: string) =>
    edited((h) => {
      h[to] = entry(h, from);
      delete h[from];
    });
  await refused(t, rename(UP, "model.layers.9.mlp.up_proj.weight"), {}, "a tensor is missing");
  await refused(
    t,
    edited((h) => entry(h, UP).shape.reverse()),
    {},
    "a tensor of the wrong shape",
  );
  await refused(
    t,
    edited((h) => (entry(h, UP).dtype = "I32")),
    {},
    "integers for weights",
  );
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const bytes = Buffer.from(good);
    const at = 8 + headerLength + entry(JSON.parse(headerText) as Header, UP).data_offsets[0];
    bytes.writeFloatLE(bad, at + 4 * 19);
    await refused(t, bytes, {}, `a weight is ${bad}`);
  }
});

t.test("what may differ from file to file is read", async (t) => {
  const expected = await logits();
  const metadata = (h: Header) => Object.assign(h, { __metadata__: { format: "pt", 'quo"te': "\u00e9\n\ud83d\ude00" } });
  const header = JSON.parse(headerText) as Header;
  const extra = { ...header, "model.layers.0.rotary.steps": { dtype: "I64", shape: [2], data_offsets: [data.length, data.length + 16] } };
  const future = { ...header, later: { dtype: "F4_E2M1", shape: [3], data_offsets: [data.length, data.length + 2] } };
  const odd = JSON.stringify(header).length % 2 === 0 ? " " : "";
  for (const [label, bytes] of [
    ["other metadata", edited(metadata)],
    ["names in escapes", assemble(headerText.replaceAll("model.", "\\u006dodel."))],
    ["a tensor of another type", assemble(JSON.stringify(extra), Buffer.concat([data, Buffer.alloc(16)]))],
    ["a tensor of an unknown type", assemble(JSON.stringify(future), Buffer.concat([data, Buffer.alloc(2)]))],
    ["data at an odd address", assemble(JSON.stringify(header) + odd)],
    ["blanks", assemble(JSON.stringify(header, undefined, "\t\r\n "))],
  ] as const) {
    writeFileSync(file, bytes);
    t.same(await logits(), expected, label);
  }
});

t.test("the folder", async (t) => {
  const sharded = join(t.testdir(), "sharded");
  mkdirSync(sharded);
  for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json"])
    writeFileSync(join(sharded, name), readFileSync(join(folder, name)));
  const shard = (i: number) => join(sharded, `model-0000${i}-of-00002.safetensors`);
  const names = Object.keys(JSON.parse(headerText) as Header).filter((name) => name !== "__metadata__");
  const map = Object.fromEntries(names.map((name, i) => [name, `model-0000${i % 2 === 0 ? 1 : 2}-of-00002.safetensors`]));
  writeFileSync(join(sharded, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
  writeFileSync(shard(1), good);
  await t.rejects(Transformer2.load(sharded), { code: "ERR_T2_MODEL_NOT_FOUND", message: /00002-of-00002/ }, "a shard is missing");
  writeFileSync(shard(2), good);
  await t.rejects(
    Transformer2.load(sharded),
    { code: "ERR_T2_INVALID_CHECKPOINT", detail: { file: shard(2), tensor: String }, message: /another shard/ },
    "a tensor in two shards",
  );
  writeFileSync(shard(2), good.subarray(0, good.length >> 1));
  await t.rejects(Transformer2.load(sharded), { code: "ERR_T2_INVALID_CHECKPOINT", detail: { file: shard(2) } }, "a truncated shard");
  rmSync(shard(2));
  mkdirSync(shard(2));
  await t.rejects(Transformer2.load(sharded), { code: /^ERR_T2_(IO|MODEL_NOT_FOUND)$/ }, "a folder for a shard");
  await t.rejects(Transformer2.load(join(sharded, "none")), { code: "ERR_T2_MODEL_NOT_FOUND" });
});

t.test("a thousand damaged headers", async (t) => {
  const random = new Random(1, "damage");
  const spec = await specOf(folder);
  const outcomes = new Map<string, number>();
  for (let i = 0; i < 1000; i++) {
    const header = Buffer.from(headerText);
    for (let n = 1 + random.int(3); n > 0; n--) {
      const at = random.int(header.length);
      header[at] = random.int(2) === 0 ? random.int(256) : '0123456789{}[],:"\\-.eE'.charCodeAt(random.int(22));
    }
    writeFileSync(file, assemble(header));
    let outcome = "loads"; // a letter of an unused name or of the metadata changed
    try {
      await addon().modelClose(await addon().modelOpen(spec, openOptions, null, null));
    } catch (error) {
      outcome = (error as { code?: string }).code ?? String(error);
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  t.same(
    [...outcomes.keys()].filter((outcome) => outcome !== "loads"),
    ["ERR_T2_INVALID_CHECKPOINT"],
  );
});
