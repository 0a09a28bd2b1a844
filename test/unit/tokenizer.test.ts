// What the tokenizer promises beyond equal tokens (test/golden/tokenizer.test.ts): streaming, BOS, continuations, and its errors.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { Tokenizer } from "../../lib/model/tokenizer.js";
import { Random } from "../../lib/util/random.js";
import { writeTinyModel } from "../support/tiny-model.js";

type Json = Record<string, unknown>;
const tiny = JSON.parse(readFileSync(new URL("../golden/data/tokenizer-tiny.json", import.meta.url), "utf8")) as Record<
  "llama2" | "mistral" | "split" | "llama3",
  { tokenizer: Json; config: Json }
>;
const make = (kind: keyof typeof tiny, config: Json = {}) =>
  new Tokenizer({ tokenizer: tiny[kind].tokenizer, config: { ...tiny[kind].config, ...config } });

t.test("any text survives, whole and token by token", async (t) => {
  const random = new Random(Date.now(), "texts");
  const alphabet = [..."ab Z9.,!\n\té你👍🏽\u200d\ufeff½<|>", "don't ", "  ", " ."];
  for (const kind of ["llama2", "mistral", "split", "llama3"] as const) {
    const tokenizer = make(kind);
    for (let i = 0; i < 100; i++) {
      // A leading space is lost by Metaspace, in the reference too: it cannot be told from the one that is added.
      const text = `x${Array.from({ length: random.int(30) }, () => random.choice(alphabet)).join("")}`;
      const tokens = tokenizer.encode(text);
      if (tokenizer.decode(tokens) !== text) t.equal(tokenizer.decode(tokens), text, kind);
      const stream = tokenizer.decodeStream();
      let streamed = "";
      for (const token of tokens) {
        const piece = stream.push(token);
        if (/[\p{Surrogate}\ufffd]/u.test(piece)) t.fail(`"${piece}" is not whole characters`);
        streamed += piece;
      }
      streamed += stream.end();
      if (streamed !== text) t.equal(streamed, text, `${kind}, streamed`);
    }
    t.equal(tokenizer.decode([]), "");
    t.equal(tokenizer.decode(new Int32Array(0)), "");
    t.same([...tokenizer.encode("")], []);
    t.equal(tokenizer.decode([tokenizer.vocabularySize, -1, 1e9]), "", "ids that do not exist");
  }
});

t.test("characters wait until they are complete", async (t) => {
  const tokenizer = make("llama3");
  const family = tokenizer.encode("👩‍👧!");
  t.ok(family.length > 3, "a character is several tokens here");
  const stream = tokenizer.decodeStream();
  const pieces = [...family].map((token) => stream.push([token]));
  t.equal(pieces.join(""), "👩‍👧!");
  t.ok(pieces.includes(""), "some tokens complete nothing");
  const cut = tokenizer.decodeStream();
  cut.push(family.subarray(0, 1));
  t.equal(cut.end(), "\ufffd", "what never came is marked");
});

t.test("BOS: once, and only where the model wants it", async (t) => {
  const llama = make("llama2");
  const { bosId } = llama;
  t.ok(llama.addsBos && bosId !== undefined && llama.specialIds.has(bosId as number));
  t.equal(llama.encode("hello")[0] === bosId, false, "not by default");
  t.equal(llama.encode("hello", { addSpecialTokens: true }).filter((id) => id === bosId).length, 1);
  t.equal(llama.encode("<s>hello", { addSpecialTokens: true }).filter((id) => id === bosId).length, 1, "not a second one");
  t.equal(make("llama2", { add_bos_token: false }).addsBos, false, "tokenizer_config.json wins");
  const without = new Tokenizer({
    tokenizer: { ...tiny.llama2.tokenizer, post_processor: null },
    config: { bos_token: { content: "<s>" } },
  });
  t.equal(without.bosId, bosId, "a token written as an object");
  t.equal(without.addsBos, false);
  t.equal(without.encode("hello", { addSpecialTokens: true })[0] === bosId, false);
});

t.test("special tokens in decoded text", async (t) => {
  const tokenizer = make("llama2");
  const tokens = tokenizer.encode("hello</s>");
  t.equal(tokenizer.decode(tokens), "hello");
  t.equal(tokenizer.decode(tokens, { skipSpecialTokens: false }), "hello</s>");
  t.equal(tokenizer.decode(make("llama3").encode("Hello , world .")).length > 0, true);
  t.equal(make("llama3").decode(make("llama3").encode("Hello , world . 's n't")), "Hello , world . 's n't", "spaces stay");
});

t.test("a continuation has no space of its own", async (t) => {
  for (const kind of ["llama2", "mistral", "llama3"] as const) {
    const tokenizer = make(kind);
    for (const text of ["apples", " apples", "4", "你", "\n", ""]) {
      const joined = [...tokenizer.encode("hello\n"), ...tokenizer.encode(text, { continuation: true })];
      t.equal(tokenizer.decode(joined), `hello\n${text}`, `${kind} ${JSON.stringify(text)}`);
    }
  }
  const llama = make("llama2");
  t.not(llama.encode("4", { continuation: true }).length, llama.encode("4").length, "alone it begins with a space");
});

t.test("folders and files that are wrong", async (t) => {
  const folder = writeTinyModel(t.testdir());
  const tokenizer = await Tokenizer.load(folder);
  t.ok(tokenizer.hasChatTemplate);
  t.equal(tokenizer.eosId, tokenizer.idOf("<|end|>"));
  t.equal(tokenizer.applyChatTemplate([{ role: "user", content: "Hi" }]), "<|user|>Hi<|assistant|>");

  const file = join(folder, "tokenizer.json");
  const json = JSON.parse(readFileSync(file, "utf8")) as Json;
  const broken: Json = {
    "not JSON": '{"model": {',
    "a list": "[]",
    "no model": { ...json, model: undefined },
    "a model of no kind": { ...json, model: { type: "Wordlevel" } },
    "no decoder": { ...json, decoder: null },
    "a decoder of another family": { ...json, decoder: { type: "WordPiece", prefix: "##" } },
    "a pre-tokenizer read otherwise": { ...json, pre_tokenizer: { type: "Split", pattern: { String: " " }, behavior: "MergedWithNext" } },
    "an unknown pre-tokenizer": { ...json, pre_tokenizer: { type: "BertPreTokenizer" } },
    "a malformed added token": { ...json, added_tokens: [{ id: "1", content: "x" }] },
    "null as added token": { ...json, added_tokens: [null] },
  };
  for (const [name, content] of Object.entries(broken)) {
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
    await t.rejects(Tokenizer.load(folder), { name: "Transformer2Error", code: "ERR_T2_INVALID_TOKENIZER" }, name);
  }
  await t.rejects(Tokenizer.load(join(folder, "nowhere")), { code: "ERR_T2_MODEL_NOT_FOUND" });
  await t.rejects(Tokenizer.load(t.testdir({})), { code: "ERR_T2_INVALID_TOKENIZER", message: /no tokenizer\.json/ });
  t.throws(() => tokenizer.encode(3 as unknown as string), { code: "ERR_T2_INVALID_OPTION" });
});
