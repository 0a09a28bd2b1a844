// Our tokenizer against Python's `tokenizers` and transformers' chat templates, on recorded nasty texts (record-tokenizer.py).
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import { Tokenizer } from "../../lib/model/tokenizer.js";
import type { Message } from "../../lib/types.js";

interface Recorded {
  vocabulary: number;
  texts: { text: string; ids: number[]; special: number[]; decoded: string; plain: string }[];
  decodes: { ids: number[]; decoded: string }[];
}
interface Tiny extends Recorded {
  tokenizer: Record<string, unknown>;
  config: Record<string, unknown>;
}
interface Real extends Recorded {
  chats: { messages: Message[]; generationPrompt: boolean; text: string; ids: number[] }[];
}

const load = <T>(name: string): T => JSON.parse(readFileSync(new URL(`data/tokenizer-${name}.json`, import.meta.url), "utf8"));

function check(t: Test, tokenizer: Tokenizer, recorded: Recorded) {
  t.equal(tokenizer.vocabularySize, recorded.vocabulary);
  for (const { text, ids, special, decoded, plain } of recorded.texts) {
    const name = ascii(text);
    t.same([...tokenizer.encode(text)], ids, `ids of ${name}`);
    // The reference puts a BOS before a text that already begins with one; ours does not.
    const doubled = special.length > 1 && special[0] === special[1] && special[0] === tokenizer.bosId;
    t.same([...tokenizer.encode(text, { addSpecialTokens: true })], doubled ? special.slice(1) : special, `with BOS: ${name}`);
    t.equal(tokenizer.decode(ids, { skipSpecialTokens: false }), decoded, `text of ${name}`);
    t.equal(tokenizer.decode(ids), plain, `text without special tokens of ${name}`);
  }
  for (const { ids, decoded } of recorded.decodes) {
    t.equal(tokenizer.decode(ids, { skipSpecialTokens: false }), decoded, `text of [${ids.slice(0, 12)}]`);
    const stream = tokenizer.decodeStream({ skipSpecialTokens: false });
    const pieces = ids.map((id) => stream.push(id));
    t.ok(
      pieces.every((piece) => isWhole(piece)),
      "no piece ends inside a character",
    );
    t.equal(pieces.join("") + stream.end(), decoded, "pieces joined are the whole");
  }
}

/** For names of assertions: line separators and controls would break the TAP stream. */
const ascii = (text: string) =>
  [...text.slice(0, 40)].map((c) => (/[ -~]/.test(c) && c !== "#" ? c : `<${c.codePointAt(0)?.toString(16)}>`)).join("");

/** No lone surrogate. */
const isWhole = (text: string) => !/\p{Surrogate}/u.test(text);

const tiny = load<Record<"llama2" | "mistral" | "split" | "llama3", Tiny>>("tiny");
for (const kind of ["llama2", "mistral", "split", "llama3"] as const) {
  t.test(`a tokenizer of the kind of ${kind}`, async (t) => {
    const { tokenizer, config, ...recorded } = tiny[kind];
    const ours = new Tokenizer({ tokenizer, config });
    t.ok(ours.addsBos);
    check(t, ours, recorded);
  });
}

const micro = fileURLToPath(new URL("../../models/micro", import.meta.url));
const recorded = (name: string) => existsSync(new URL(`data/tokenizer-${name}.json`, import.meta.url));
const models = [
  { name: "smollm2", folder: process.env.T2_SMOLLM2, skip: process.env.T2_SMOLLM2 ? false : "T2_SMOLLM2 does not name the model's folder" },
  {
    name: "micro",
    folder: micro,
    skip: existsSync(`${micro}/tokenizer.json`) && recorded("micro") ? false : "no tokenizer or nothing recorded",
  },
];
for (const { name, folder, skip } of models) {
  t.test(`tokenizer and chat template of ${name}`, { skip }, async (t) => {
    const { chats, ...rest } = load<Real>(name);
    const tokenizer = await Tokenizer.load(folder as string);
    check(t, tokenizer, rest);
    t.ok(chats.length > 0);
    for (const { messages, generationPrompt, text, ids } of chats) {
      const ours = tokenizer.applyChatTemplate(messages, { addGenerationPrompt: generationPrompt });
      t.equal(ours, text);
      t.same([...tokenizer.encode(ours)], ids, "no second BOS");
    }
  });
}
