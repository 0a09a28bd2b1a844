// Files appear whole or not at all: written beside their final place, flushed to the disk, then renamed. A crash or a full disk in
// between leaves the old file as it was.
import { randomBytes } from "node:crypto";
import { mkdir, open, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Transformer2Error } from "../errors.js";

/** What can be written: a text (UTF-8), bytes, or pieces that are made while the file is written. */
export type FileContent = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Large arrays are written in pieces, so that no single write keeps a signal waiting. */
const PIECE = 4 * 1024 * 1024;

/** Temporary files of this module end like this; whoever owns a folder may delete old ones. */
export const temporarySuffix = ".t2-tmp";

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission was denied; check the owner and mode of the file and its folder",
  EPERM: "the operation is not permitted; check the owner and mode of the file and its folder",
  EROFS: "the file system is read-only; choose another folder",
  ENOSPC: "the disk is full; free some space or choose another folder",
  EDQUOT: "the disk quota is used up; free some space or choose another folder",
  EFBIG: "the file would exceed the allowed size; raise the limit or choose another folder",
  EEXIST: "a part of the path is a file, not a folder",
  ENOTDIR: "a part of the path is a file, not a folder",
  EISDIR: "the path is a folder, not a file",
  ENOENT: "the file or its folder does not exist",
  EMFILE: "too many files are open; close some or raise the limit",
  ENFILE: "too many files are open on this machine; close some or raise the limit",
  EIO: "the disk reported an error",
};

/** Whether `error` comes from the operating system (it has a code such as "ENOENT"). */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && !(error instanceof Transformer2Error) && typeof (error as NodeJS.ErrnoException).syscall === "string";
}

/** A failed file operation as `ERR_T2_IO`: what was tried, where, why, and the system's error as its cause. */
export function ioError(action: "read" | "write" | "create" | "delete" | "list", path: string, cause: unknown): Transformer2Error {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  const reason = (code && reasons[code]) ?? (cause instanceof Error ? cause.message : String(cause));
  return new Transformer2Error("ERR_T2_IO", `Cannot ${action} "${path}": ${reason}.`, { detail: { action, path, code }, cause });
}

/**
 * Writes a file whole or not at all; missing folders are made. An existing file is replaced in one step.
 * Throws `ERR_T2_IO` (permission, full disk, read-only, …) and `ERR_T2_ABORTED`; in both cases nothing is left behind.
 */
export async function writeFileAtomic(path: string, content: FileContent, options: { signal?: AbortSignal } = {}): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${process.pid}.${randomBytes(6).toString("hex")}${temporarySuffix}`);
  let made = false;
  try {
    await mkdir(folder, { recursive: true });
    const file = await open(temporary, "wx", 0o644);
    made = true;
    try {
      for await (const piece of pieces(content)) {
        throwIfAborted(options.signal);
        await file.writeFile(piece);
      }
      throwIfAborted(options.signal);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    if (made) await unlink(temporary).catch(() => {});
    throw isSystemError(error) ? ioError("write", path, error) : error;
  }
  await syncFolder(folder);
}

/** JSON with two spaces of indentation and a final newline, whole or not at all. */
export function writeJsonAtomic(path: string, value: unknown): Promise<void> {
  return writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
}

function* split(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.byteLength; start += PIECE) yield bytes.subarray(start, start + PIECE);
}

async function* pieces(content: FileContent): AsyncGenerator<Uint8Array> {
  if (typeof content === "string") yield* split(new TextEncoder().encode(content));
  else if (content instanceof Uint8Array) yield* split(content);
  else for await (const piece of content) yield* split(piece);
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new Transformer2Error("ERR_T2_ABORTED", "Writing a file was aborted.", { cause: signal.reason });
}

/** Makes the rename itself survive a power cut. Some systems cannot flush folders; the file is whole either way. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {}
}
