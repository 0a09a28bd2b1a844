// Reads and writes small safetensors files (experts, factors) in TypeScript; model weights are mapped by the native core instead.
// The header is untrusted input: every length, offset and shape is checked before it is used.
import { type FileHandle, open } from "node:fs/promises";
import { type ErrorCode, Transformer2Error } from "../errors.js";
import { ioError, isSystemError, writeFileAtomic } from "../util/atomic-file.js";

const dtypeBytes = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1 } as const;

export type Dtype = keyof typeof dtypeBytes;

export interface TensorInfo {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** First byte in the file, and how many. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Where the tensors' bytes begin, and the size of the whole file. */
  readonly dataOffset: number;
  readonly fileSize: number;
}

/** A tensor to write: row-major, `data` has exactly the bytes of shape and dtype (little-endian). */
export interface TensorData {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView | ArrayBuffer;
}

export interface ReadOptions {
  /** Which code a damaged file gets. Default `ERR_T2_INVALID_CHECKPOINT`. */
  code?: ErrorCode;
  /** Larger files are refused before they are read. Default: no limit. */
  maxBytes?: number;
  /** Names of the tensors whose bytes are wanted; others are left out. Default: all. */
  only?: readonly string[];
}

/** Longest header that the reference implementation accepts. */
const MAX_HEADER = 100_000_000;
/** Where the tensors begin is a multiple of this, so that mapped files can be read with aligned vector loads. */
const ALIGNMENT = 64;

/**
 * Reads and checks the header of a safetensors file.
 * Throws `ERR_T2_IO` when the file cannot be read, `options.code` when it is malformed.
 */
export async function readSafetensorsHeader(path: string, options: ReadOptions = {}): Promise<SafetensorsHeader> {
  return withFile(path, (file) => readHeader(file, path, options));
}

/** A whole file: its metadata and the bytes of every tensor. Errors as `readSafetensorsHeader`. */
export async function readSafetensors(
  path: string,
  options: ReadOptions = {},
): Promise<SafetensorsHeader & { readonly data: ReadonlyMap<string, Uint8Array> }> {
  return withFile(path, async (file) => {
    const header = await readHeader(file, path, options);
    const data = new Map<string, Uint8Array>();
    for (const { name, offset, byteLength } of header.tensors.values()) {
      if (options.only?.includes(name) ?? true) data.set(name, await readExactly(file, path, offset, byteLength));
    }
    return { ...header, data };
  });
}

/**
 * Writes a safetensors file whole or not at all; tensors are stored in the given order.
 * Throws `ERR_T2_IO` and `ERR_T2_ABORTED`; a TypeError when `data` does not fit dtype and shape (a bug of the caller).
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  const views = tensors.map((tensor) => bytesOf(tensor.data));
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) entries.push(["__metadata__", metadata]);
  let end = 0;
  tensors.forEach((tensor, index) => {
    const size = (views[index] as Uint8Array).byteLength;
    if (size !== elements(tensor.shape) * dtypeBytes[tensor.dtype]) {
      throw new TypeError(`Tensor "${tensor.name}" of shape [${tensor.shape}] and type ${tensor.dtype} cannot have ${size} bytes.`);
    }
    entries.push([tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [end, end + size] }]);
    end += size;
  });
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const padded = Math.ceil((8 + json.byteLength) / ALIGNMENT) * ALIGNMENT;
  const head = new Uint8Array(padded).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(padded - 8), true);
  head.set(json, 8);
  await writeFileAtomic(path, [head, ...views], options);
}

/** Little-endian F32 bytes as numbers, copied so that alignment does not matter. */
export function toFloat32(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer);
}

async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    return await use(file);
  } catch (error) {
    throw isSystemError(error) ? ioError("read", path, error) : error;
  } finally {
    await file?.close();
  }
}

async function readHeader(file: FileHandle, path: string, options: ReadOptions): Promise<SafetensorsHeader> {
  const fail = (what: string): Transformer2Error =>
    new Transformer2Error(options.code ?? "ERR_T2_INVALID_CHECKPOINT", `"${path}" is not a sound safetensors file: ${what}.`, {
      detail: { path },
    });
  const stat = await file.stat();
  if (!stat.isFile()) throw fail("it is not a regular file");
  const { size } = stat;
  if (options.maxBytes !== undefined && size > options.maxBytes)
    throw fail(`it has ${size} bytes, at most ${options.maxBytes} are expected`);
  if (size < 10) throw fail(`it has ${size} bytes, too few for a header`);
  const lengthBytes = await readExactly(file, path, 0, 8);
  const length = new DataView(lengthBytes.buffer).getBigUint64(0, true);
  if (length > BigInt(Math.min(MAX_HEADER, size - 8))) throw fail(`its header claims ${length} bytes, but the file has ${size}`);
  const dataOffset = 8 + Number(length);
  const json = parseHeader(await readExactly(file, path, 8, Number(length)), fail);

  const tensors = new Map<string, TensorInfo>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") metadata = checkMetadata(value, fail);
    else tensors.set(name, checkTensor(name, value, dataOffset, size, fail));
  }
  checkLayout([...tensors.values()], dataOffset, size, fail);
  return { metadata, tensors, dataOffset, fileSize: size };
}

type Fail = (what: string) => Transformer2Error;

function parseHeader(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw fail("its header is not JSON");
  }
  if (!isObject(json)) throw fail("its header is not a JSON object");
  return json;
}

function checkMetadata(value: unknown, fail: Fail): Record<string, string> {
  if (!isObject(value)) throw fail("__metadata__ is not an object");
  for (const [key, text] of Object.entries(value)) if (typeof text !== "string") throw fail(`metadata "${key}" is not a text`);
  return value as Record<string, string>;
}

function checkTensor(name: string, value: unknown, dataOffset: number, fileSize: number, fail: Fail): TensorInfo {
  if (!isObject(value)) throw fail(`the entry of tensor "${name}" is not an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(dtypeBytes, dtype))
    throw fail(`tensor "${name}" has the unknown type ${JSON.stringify(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isCount)) throw fail(`tensor "${name}" has the malformed shape ${JSON.stringify(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw fail(`tensor "${name}" has malformed offsets ${JSON.stringify(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > fileSize - dataOffset) throw fail(`tensor "${name}" lies outside the file (${begin} to ${end})`);
  const expected = elements(shape) * dtypeBytes[dtype as Dtype];
  if (end - begin !== expected)
    throw fail(`tensor "${name}" of shape [${shape}] and type ${dtype} needs ${expected} bytes, but has ${end - begin}`);
  return { name, dtype: dtype as Dtype, shape, offset: dataOffset + begin, byteLength: end - begin };
}

/** The format allows no overlaps, no holes and nothing behind the last tensor; a truncated file shows here too. */
function checkLayout(tensors: TensorInfo[], dataOffset: number, fileSize: number, fail: Fail): void {
  let end = dataOffset;
  for (const tensor of tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength)) {
    if (tensor.offset !== end) throw fail(`tensor "${tensor.name}" ${tensor.offset < end ? "overlaps another" : "has a hole before it"}`);
    end += tensor.byteLength;
  }
  if (end !== fileSize) throw fail(`its tensors end at byte ${end}, but the file has ${fileSize}`);
}

async function readExactly(file: FileHandle, path: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) throw ioError("read", path, new Error("the file became shorter while it was read"));
    done += bytesRead;
  }
  return bytes;
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function bytesOf(data: ArrayBufferView | ArrayBuffer): Uint8Array {
  return data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
