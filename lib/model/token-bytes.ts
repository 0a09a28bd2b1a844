// The bytes behind every token, worked out once from tokenizer.json. Decoding is then joining bytes, whole or as they come, and both
// give the same text; the tokenizer library has no incremental decoder and decodes only whole lists.
import { Transformer2Error } from "../errors.js";

/** The parts of a tokenizer.json that decoding depends on. */
export interface DecoderConfig {
  readonly type: string;
  readonly decoders?: readonly DecoderConfig[];
  readonly pattern?: { readonly String?: string };
  readonly content?: string;
  readonly start?: number;
  readonly stop?: number;
  readonly replacement?: string;
  readonly prepend_scheme?: string;
}

export interface TokenBytes {
  /** Bytes of a token; empty for ids that do not exist. */
  of(id: number): Uint8Array;
  /** How many leading spaces the decoder takes from the whole text: 1 for Llama 2 and Mistral, which begin every text with one. */
  readonly stripLeading: number;
}

interface Rules {
  byteLevel: boolean;
  byteFallback: boolean;
  replacements: [from: string, to: string][];
  stripLeading: number;
}

/**
 * @param decoder the "decoder" of tokenizer.json
 * @param vocabulary text of every id as tokenizer.json has it
 * @param literal ids of added tokens: their text is not in the decoder's alphabet but stands for itself
 * Throws `ERR_T2_INVALID_TOKENIZER` for a decoder other than byte-level, and byte-fallback or Metaspace as Llama 2 and Mistral have them.
 */
export function tokenBytes(decoder: unknown, vocabulary: ReadonlyMap<number, string>, literal: ReadonlySet<number>): TokenBytes {
  const rules: Rules = { byteLevel: false, byteFallback: false, replacements: [], stripLeading: 0 };
  readDecoder(decoder, rules);
  const bytes: (Uint8Array | undefined)[] = [];
  for (const [id, text] of vocabulary) bytes[id] = literal.has(id) ? encoder.encode(plain(text, rules)) : toBytes(text, rules);
  const none = new Uint8Array(0);
  return { of: (id) => bytes[id] ?? none, stripLeading: rules.stripLeading };
}

function readDecoder(decoder: unknown, rules: Rules): void {
  const config = decoder as DecoderConfig | null | undefined;
  switch (config?.type) {
    case "ByteLevel":
      rules.byteLevel = true;
      return;
    case "ByteFallback":
      rules.byteFallback = true;
      return;
    case "Fuse":
      return;
    case "Sequence":
      for (const part of config.decoders ?? []) readDecoder(part, rules);
      return;
    case "Replace":
      if (typeof config.pattern?.String !== "string") break;
      rules.replacements.push([config.pattern.String, config.content ?? ""]);
      return;
    case "Strip":
      if (config.content !== " " || (config.stop ?? 0) !== 0) break;
      rules.stripLeading += config.start ?? 0;
      return;
    case "Metaspace":
      rules.replacements.push([config.replacement ?? "\u2581", " "]);
      // The one space that encoding adds. The reference takes every space of the first token, also those that were in the text.
      if (config.prepend_scheme !== "never") rules.stripLeading = 1;
      return;
  }
  throw new Transformer2Error(
    "ERR_T2_INVALID_TOKENIZER",
    `The tokenizer's decoder ${JSON.stringify(decoder ?? null)} is not supported; supported are ByteLevel, and Replace, ByteFallback, Fuse, Strip and Metaspace as in Llama 2 and Mistral.`,
    { detail: { decoder } },
  );
}

function plain(text: string, rules: Rules): string {
  return rules.replacements.reduce((result, [from, to]) => result.replaceAll(from, to), text);
}

const encoder = new TextEncoder();

function toBytes(text: string, rules: Rules): Uint8Array {
  if (rules.byteLevel) return fromByteAlphabet(text) ?? encoder.encode(text);
  const byte = rules.byteFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(text) : null;
  return byte ? Uint8Array.of(Number.parseInt(byte[1] as string, 16)) : encoder.encode(plain(text, rules));
}

/** GPT-2's byte alphabet: printable bytes stand for themselves, the 68 others for characters from U+0100 on. */
const byteOfCharacter: ReadonlyMap<string, number> = (() => {
  const map = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    map.set(String.fromCharCode(printable ? byte : next++), byte);
  }
  return map;
})();

/** Undefined when a character is not of the alphabet. */
function fromByteAlphabet(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = byteOfCharacter.get(text[i] as string);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
