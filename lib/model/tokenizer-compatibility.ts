// Where the tokenizer library differs from the reference implementation (Python `tokenizers`), tokenizer.json is rewritten into an
// equivalent form that both understand alike. test/golden/tokenizer.test.ts holds us to the reference's tokens.
import { Transformer2Error } from "../errors.js";
import { isJsonObject, type JsonObject } from "./json-file.js";

/** GPT-2's pre-tokenizer pattern, which ByteLevel uses unless told otherwise. */
const byteLevelPattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** A copy of the parsed tokenizer.json with its pre-tokenizer rewritten; the input is not touched. */
export function compatible(tokenizer: JsonObject): JsonObject {
  return { ...tokenizer, pre_tokenizer: rewrite(tokenizer.pre_tokenizer ?? null) };
}

function rewrite(config: unknown): unknown {
  if (config === null) return null;
  if (!isJsonObject(config)) throw unsupported(config);
  switch (config.type) {
    case "Sequence":
      if (!Array.isArray(config.pretokenizers)) throw unsupported(config);
      return { ...config, pretokenizers: config.pretokenizers.map(rewrite) };
    case "Digits":
      // The library takes decimal digits only; the reference all of Unicode's numbers, such as ½ and Ⅻ.
      return split(config.individual_digits ? "\\p{N}" : "\\p{N}+");
    case "ByteLevel":
      // The library matches with JavaScript's \s, which has U+FEFF and lacks U+0085; its Split has Unicode's white space.
      if (config.use_regex === false || config.add_prefix_space === true) return config;
      return { type: "Sequence", pretokenizers: [split(byteLevelPattern), { ...config, use_regex: false }] };
    case "Metaspace": {
      const mark = typeof config.replacement === "string" ? config.replacement : "\u2581";
      const metaspace = { ...config, prepend_scheme: config.prepend_scheme ?? (config.add_prefix_space === false ? "never" : "always") };
      // The library never splits; the reference does before every mark, unless told not to.
      return config.split === false ? metaspace : { type: "Sequence", pretokenizers: [metaspace, split(`${mark}[^${mark}]*`)] };
    }
    case "Split":
      // The library treats the "MergedWith…" behaviours as "Isolated", which would give other tokens without a word.
      if (config.invert !== true && (config.behavior === "Isolated" || config.behavior === "Removed")) return config;
      throw unsupported(config);
    default:
      throw unsupported(config);
  }
}

function unsupported(config: unknown): Transformer2Error {
  const shown = JSON.stringify(config)?.slice(0, 200);
  const message = `The pre-tokenizer ${shown} of tokenizer.json is not supported; supported are ByteLevel, Digits, Metaspace, and Split with behavior Isolated or Removed.`;
  return new Transformer2Error("ERR_T2_INVALID_TOKENIZER", message, { detail: { preTokenizer: config } });
}

function split(regex: string): JsonObject {
  return { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false };
}
