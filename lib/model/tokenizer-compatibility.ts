// Where the tokenizer library differs from the reference implementation (Python `tokenizers`), tokenizer.json is rewritten into an
// equivalent form that both understand alike. test/golden/tokenizer.test.ts holds us to the reference's tokens.
import { isJsonObject, type JsonObject } from "./json-file.js";

/** GPT-2's pre-tokenizer pattern, which ByteLevel uses unless told otherwise. */
const byteLevelPattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** A copy of the parsed tokenizer.json with its pre-tokenizer rewritten; the input is not touched. */
export function compatible(tokenizer: JsonObject): JsonObject {
  return { ...tokenizer, pre_tokenizer: rewrite(tokenizer.pre_tokenizer ?? null) };
}

function rewrite(config: unknown): unknown {
  if (!isJsonObject(config)) return config;
  switch (config.type) {
    case "Sequence":
      return Array.isArray(config.pretokenizers) ? { ...config, pretokenizers: config.pretokenizers.map(rewrite) } : config;
    case "Digits":
      // The library takes decimal digits only; the reference all of Unicode's numbers, such as ½ and Ⅻ.
      return split(config.individual_digits ? "\\p{N}" : "\\p{N}+");
    case "ByteLevel":
      // The library matches with JavaScript's \s, which has U+FEFF and lacks U+0085; its Split has Unicode's white space.
      if (config.use_regex === false || config.add_prefix_space === true) return config;
      return { type: "Sequence", pretokenizers: [split(byteLevelPattern), { ...config, use_regex: false }] };
    default:
      return config;
  }
}

function split(regex: string): JsonObject {
  return { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false };
}
