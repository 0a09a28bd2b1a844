// Text to tokens and back, for one model folder. Encoding is the tokenizer library's; decoding is ours, over the tokens' bytes.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer as Library } from "@huggingface/tokenizers";
import { invalidOption, Transformer2Error } from "../errors.js";
import type { Message } from "../types.js";
import { ChatTemplate, type ChatTemplateOptions, findChatTemplate, type SpecialTexts } from "./chat-template.js";
import { type JsonObject, readJsonFile, readTextFile } from "./json-file.js";
import { type TokenBytes, tokenBytes } from "./token-bytes.js";
import { compatible } from "./tokenizer-compatibility.js";

export interface EncodeOptions {
  /**
   * Add what tokenizer.json adds around a text, in practice BOS for models that want it. Never adds a second BOS to a text that begins
   * with it. Default false, which is right for text that went through the chat template.
   */
  addSpecialTokens?: boolean;
  /** The text goes on from other text: tokenizers that begin every text with a space (Llama 2, Mistral) do not add one. Default false. */
  continuation?: boolean;
}

export interface DecodeOptions {
  /** Leave out special tokens such as end-of-sequence. Default true. */
  skipSpecialTokens?: boolean;
}

/** The files of a tokenizer as parsed JSON, for those who have them elsewhere than in a folder. */
export interface TokenizerFiles {
  tokenizer: JsonObject;
  config?: JsonObject;
  /** Text of chat_template.jinja. */
  chatTemplate?: string;
}

/** What is used of the tokenizer library, whose own declarations do not resolve under NodeNext. */
interface LibraryTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] };
  get_vocab(withAddedTokens: boolean): Map<string | undefined, number>;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/**
 * @example
 * const tokenizer = await Tokenizer.load("models/micro");
 * const tokens = tokenizer.encode(tokenizer.applyChatTemplate([{ role: "user", content: "Hello" }]));
 * tokenizer.decode(tokens, { skipSpecialTokens: false });
 */
export class Tokenizer {
  /** Ids that exist: the highest id + 1. The model's vocabulary may be padded beyond it. */
  readonly vocabularySize: number;
  readonly bosId: number | undefined;
  /** The tokenizer's own end-of-sequence token; a model may end answers by others too, see `ModelConfig.eosTokenIds`. */
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  readonly specialIds: ReadonlySet<number>;
  /** Whether a raw text gets a BOS in front: add_bos_token of tokenizer_config.json, or else the post-processor of tokenizer.json. */
  readonly addsBos: boolean;
  readonly #library: LibraryTokenizer;
  readonly #bytes: TokenBytes;
  readonly #template: ChatTemplate | undefined;
  readonly #ids: ReadonlyMap<string | undefined, number>;

  /** Throws `ERR_T2_INVALID_TOKENIZER`. */
  constructor(files: TokenizerFiles) {
    const { tokenizer, config = {}, chatTemplate } = files;
    // remove_space and lower-casing are settings of other tokenizer classes; tokenizer.json alone says how text is normalised.
    this.#library = open(compatible(tokenizer), { clean_up_tokenization_spaces: false });
    const added = addedTokens(tokenizer);
    this.#ids = this.#library.get_vocab(true);
    const texts = new Map<number, string>();
    let highest = -1;
    for (const [text, id] of this.#ids) {
      if (text === undefined) continue; // a hole in the vocabulary
      texts.set(id, text);
      highest = Math.max(highest, id);
    }
    for (const token of added) texts.set(token.id, token.content);
    this.vocabularySize = added.reduce((most, token) => Math.max(most, token.id), highest) + 1;
    this.#bytes = tokenBytes(tokenizer.decoder, texts, new Set(added.map((token) => token.id)));
    this.specialIds = new Set(added.filter((token) => token.special).map((token) => token.id));
    const special = specialTexts(config);
    this.bosId = this.#idOf(special.bos_token);
    this.eosId = this.#idOf(special.eos_token);
    this.padId = this.#idOf(special.pad_token);
    this.addsBos =
      this.bosId !== undefined && (typeof config.add_bos_token === "boolean" ? config.add_bos_token : this.#postProcessorAddsBos());
    const template = findChatTemplate(config, chatTemplate);
    this.#template = template === undefined ? undefined : new ChatTemplate(template, special);
  }

  /**
   * Reads tokenizer.json, tokenizer_config.json and chat_template.jinja of a model folder (the latter two may be missing).
   * Throws `ERR_T2_MODEL_NOT_FOUND` without a folder, `ERR_T2_INVALID_TOKENIZER` for a missing or malformed file, `ERR_T2_IO`.
   */
  static async load(folder: string): Promise<Tokenizer> {
    const isFolder = await stat(folder).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (!isFolder)
      throw new Transformer2Error("ERR_T2_MODEL_NOT_FOUND", `There is no model folder "${folder}".`, { detail: { path: folder } });
    const [tokenizer, config, chatTemplate] = await Promise.all([
      readJsonFile(join(folder, "tokenizer.json"), "ERR_T2_INVALID_TOKENIZER"),
      readJsonFile(join(folder, "tokenizer_config.json"), "ERR_T2_INVALID_TOKENIZER"),
      readTextFile(join(folder, "chat_template.jinja")),
    ]);
    if (!tokenizer) {
      throw new Transformer2Error(
        "ERR_T2_INVALID_TOKENIZER",
        `"${folder}" has no tokenizer.json; save the tokenizer as a fast tokenizer first.`,
        {
          detail: { path: join(folder, "tokenizer.json") },
        },
      );
    }
    return new Tokenizer({ tokenizer, config: config ?? {}, ...(chatTemplate === undefined ? {} : { chatTemplate }) });
  }

  /** Whether `applyChatTemplate` works. */
  get hasChatTemplate(): boolean {
    return this.#template !== undefined;
  }

  /** The id of a token by its text as tokenizer.json has it; undefined when there is none. */
  idOf(token: string): number | undefined {
    return this.#idOf(token);
  }

  /** Tokens of a text; "" has none. Special tokens written out in the text become those tokens. */
  encode(text: string, options: EncodeOptions = {}): Int32Array {
    if (typeof text !== "string") throw invalidOption("text", "a string", text);
    const { addSpecialTokens = false, continuation = false } = options;
    const ids = continuation ? this.#encodeContinuation(text) : this.#encodePlain(text);
    if (!addSpecialTokens || continuation || !this.addsBos || ids[0] === this.bosId) return Int32Array.from(ids);
    return Int32Array.from([this.bosId as number, ...ids]);
  }

  /** Text of tokens; ids that do not exist are left out, bytes that are no UTF-8 become U+FFFD, spaces stay as they are. */
  decode(tokens: ArrayLike<number>, options: DecodeOptions = {}): string {
    const stream = this.decodeStream(options);
    return stream.push(tokens) + stream.end();
  }

  /** A decoder for tokens as they come. Its pieces joined are what `decode` gives for all tokens at once. */
  decodeStream({ skipSpecialTokens = true }: DecodeOptions = {}): DecodeStream {
    return new DecodeStream(this.#bytes, skipSpecialTokens ? this.specialIds : new Set());
  }

  /**
   * A conversation as text, BOS included where the template writes it: encode it without special tokens.
   * Throws `ERR_T2_NO_CHAT_TEMPLATE` when the model has none, `ERR_T2_INVALID_PROMPT` when the template refuses the messages.
   */
  applyChatTemplate(messages: readonly Message[], options: ChatTemplateOptions = {}): string {
    if (this.#template) return this.#template.render(messages, options);
    throw new Transformer2Error(
      "ERR_T2_NO_CHAT_TEMPLATE",
      "The model has no chat template (neither chat_template.jinja nor chat_template in tokenizer_config.json). Use a raw prompt, { text }, or add a template.",
    );
  }

  #encodePlain(text: string): number[] {
    const { ids } = this.#library.encode(text, { add_special_tokens: false });
    // The library gives undefined for a piece that is neither in the vocabulary nor replaced by an unknown token; the reference drops it.
    return ids.filter((id) => id !== undefined);
  }

  /** A newline never merges with what follows it, so what is encoded behind one is encoded without an added space. */
  #encodeContinuation(text: string): number[] {
    if (this.#bytes.stripLeading === 0) return this.#encodePlain(text);
    const before = this.#encodePlain("\n");
    const both = this.#encodePlain(`\n${text}`);
    return before.every((id, i) => both[i] === id) ? both.slice(before.length) : this.#encodePlain(text);
  }

  #postProcessorAddsBos(): boolean {
    const { ids } = this.#library.encode("a", { add_special_tokens: true });
    return ids[0] === this.bosId && this.#encodePlain("a")[0] !== this.bosId;
  }

  #idOf(token: string | undefined): number | undefined {
    return token === undefined ? undefined : this.#ids.get(token);
  }
}

/** Turns tokens into text as they come, without ever splitting a character. Made by `Tokenizer.decodeStream`. */
export class DecodeStream {
  readonly #bytes: TokenBytes;
  readonly #skip: ReadonlySet<number>;
  /** Keeps the bytes of an incomplete character until the rest comes; ignoreBOM: a U+FEFF is text like any other. */
  readonly #decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });
  #strip: number;

  constructor(bytes: TokenBytes, skip: ReadonlySet<number>) {
    this.#bytes = bytes;
    this.#skip = skip;
    this.#strip = bytes.stripLeading;
  }

  /** Text that became complete with this token or these tokens; often "". */
  push(tokens: number | ArrayLike<number>): string {
    let text = "";
    const list = typeof tokens === "number" ? [tokens] : tokens;
    for (let i = 0; i < list.length; i++) {
      const id = list[i] as number;
      if (!this.#skip.has(id)) text += this.#decoder.decode(this.#bytes.of(id), { stream: true });
    }
    return this.#stripped(text);
  }

  /** The rest; an incomplete character becomes U+FFFD. The stream must not be used afterwards. */
  end(): string {
    return this.#stripped(this.#decoder.decode());
  }

  #stripped(text: string): string {
    let start = 0;
    while (this.#strip > 0 && start < text.length) {
      if (text[start] === " ") {
        start++;
        this.#strip--;
      } else this.#strip = 0;
    }
    return text.slice(start);
  }
}

function open(tokenizer: JsonObject, config: JsonObject): LibraryTokenizer {
  try {
    return new Library(tokenizer, config) as LibraryTokenizer;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Transformer2Error("ERR_T2_INVALID_TOKENIZER", `tokenizer.json is malformed or uses something unsupported: ${reason}`, {
      cause,
    });
  }
}

function addedTokens(tokenizer: JsonObject): AddedToken[] {
  const list = Array.isArray(tokenizer.added_tokens) ? tokenizer.added_tokens : [];
  return list.map((token) => {
    if (Number.isSafeInteger(token?.id) && token.id >= 0 && typeof token.content === "string") {
      return { id: token.id, content: token.content, special: token.special === true };
    }
    throw new Transformer2Error("ERR_T2_INVALID_TOKENIZER", `tokenizer.json has the malformed added token ${JSON.stringify(token)}.`);
  });
}

/** bos_token, eos_token, … of tokenizer_config.json; each a text or an object with `content`. */
function specialTexts(config: JsonObject): SpecialTexts {
  const texts: Record<string, string> = {};
  for (const key of ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"]) {
    const value = config[key];
    const text = typeof value === "object" && value !== null && "content" in value ? value.content : value;
    if (typeof text === "string") texts[key] = text;
  }
  return texts;
}
