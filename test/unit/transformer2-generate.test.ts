// generate, generateBatch and stream over the fake addon, whose table continues every text with the alphabet.
import t from "tap";
import { openFake, shiftExpert } from "../support/open-fake.js";
import { special } from "../support/tiny-model.js";

const end = special["<|end|>"];

t.test("one prompt, one answer", async (t) => {
  const { t2, fake } = await openFake(t);
  const answer = await t2.generate({ text: "w" });
  t.equal(answer.text, "xyz");
  t.strictSame([...answer.tokens], [..."xyz"].map((c) => c.charCodeAt(0)).concat(end), "the end-of-sequence token is among the tokens");
  t.strictSame([...answer.promptTokens], [119]);
  t.equal(answer.finishReason, "stop");
  t.strictSame(answer.usage, { promptTokens: 1, completionTokens: 4 });
  t.equal(answer.adapter, "base");
  t.equal(answer.logprobs, undefined);
  t.match(answer.cost, { promptTokens: 1, completionTokens: 4, milliseconds: { prepare: Number, prefill: 1, decode: 2 } });
  const row = fake.log.generated[0]?.rows[0];
  t.match(row, {
    n: 1,
    temperature: 0,
    topK: 0,
    topP: 1,
    minP: 0,
    repetitionPenalty: 1,
    seed: 0,
    logprobs: false,
    stream: false,
    adapter: null,
  });
  t.equal(row?.maxTokens, 127, "the default 256 is cut to what the context leaves");
  t.strictSame([...(row?.stopIds ?? [])], [end]);
});

t.test("a string goes through the chat template, a conversation too, raw text and tokens do not", async (t) => {
  const { t2 } = await openFake(t);
  const { "<|user|>": user, "<|assistant|>": assistant } = special;
  t.strictSame([...t2.encodePrompt("hi")], [user, 104, 105, assistant]);
  t.strictSame([...t2.encodePrompt("hi", "a")], [user, 104, 105, assistant, 97], "prefill stands behind the generation prompt");
  const conversation = [
    { role: "user", content: "a" },
    { role: "assistant", content: "b" },
    { role: "user", content: "c" },
  ];
  t.strictSame([...t2.encodePrompt(conversation)], [user, 97, assistant, 98, end, user, 99, assistant]);
  t.strictSame([...t2.encodePrompt({ text: "hi" })], [104, 105]);
  t.strictSame([...t2.encodePrompt({ tokens: Int32Array.of(5, 6) })], [5, 6]);
  t.strictSame([...t2.encodePrompt({ tokens: Int32Array.of(5, 6) }, "a")], [5, 6, 97]);
});

t.test("several prompts, several samples", async (t) => {
  const { t2, fake } = await openFake(t);
  const answers = await t2.generate([{ text: "x" }, "ab", { text: "y" }], { maxTokens: 2 });
  t.strictSame(
    answers.map((answer) => answer.text),
    ["yz", "ab", "z"],
  );
  t.equal(fake.log.generated.length, 1, "one native call");
  const samples = await t2.generate({ text: "x" }, { n: 3, maxTokens: 1 });
  t.strictSame(
    samples.map((answer) => answer.text),
    ["y", "y", "y"],
  );
  const conversation = await t2.generate([{ role: "user", content: "q" }], { maxTokens: 1 });
  t.equal(conversation.text, "a", "an array of messages is one prompt");
});

t.test("a prompt draws from the same stream wherever it stands", async (t) => {
  const { t2, fake } = await openFake(t);
  const sequences = () => fake.log.generated.at(-1)?.rows.map((row) => row.sequence) ?? [];
  await t2.generate({ text: "one" }, { temperature: 1, seed: 7, maxTokens: 1 });
  const [alone] = sequences();
  await t2.generate([{ text: "two" }, { text: "one" }], { temperature: 1, seed: 7, maxTokens: 1 });
  const [other, inBatch] = sequences();
  t.equal(inBatch, alone);
  t.not(other, alone, "another prompt, another stream");
  t.equal(fake.log.generated.at(-1)?.rows[0]?.seed, 7);
});

t.test("rows of a batch carry their own adapter, seed and prefill", async (t) => {
  const { t2, fake } = await openFake(t);
  await t2.experts.add(shiftExpert(t2, "skip", 1));
  const rows = await t2.generateBatch(
    [
      { prompt: { text: "a" } },
      { prompt: { text: "a" }, adapter: "skip", seed: 5 },
      { prompt: { text: "a" }, adapter: { weights: { skip: 2 } }, prefill: "c" },
      { prompt: { text: "a" }, adapter: { weights: { skip: 0 } } },
    ],
    { maxTokens: 2, seed: 1, n: 2 },
  );
  t.strictSame(
    rows.map((row) => row.map((answer) => answer.text)),
    [
      ["bc", "bc"],
      ["ce", "ce"],
      ["fi", "fi"],
      ["bc", "bc"],
    ],
  );
  t.strictSame(
    rows.map((row) => row[0]?.adapter),
    ["base", "skip", "skip=2", "base"],
  );
  const native = fake.log.generated[0]?.rows ?? [];
  t.strictSame(
    native.map((row) => row.seed),
    [1, 5, 1, 1],
  );
  t.equal(native[0]?.adapter, null);
  t.equal(native[3]?.adapter, null, "weights of 0 are the base");
  t.strictSame(await t2.generateBatch([]), []);
});

t.test("log-probs come on request, one per token", async (t) => {
  const { t2 } = await openFake(t);
  const answer = await t2.generate({ text: "x" }, { logprobs: true });
  t.equal(answer.logprobs?.length, answer.tokens.length);
});

t.test("stop texts end the answer and are not part of it", async (t) => {
  const { t2, fake } = await openFake(t);
  const answer = await t2.generate({ text: "a" }, { stop: ["fgh", "zzz"], logprobs: true });
  t.equal(answer.text, "bcde");
  t.equal(answer.finishReason, "stop");
  t.equal(String.fromCharCode(...answer.tokens), "bcdefgh", "tokens up to the one that completes the stop");
  t.equal(answer.logprobs?.length, 7);
  t.strictSame(fake.log.cancelled, [[0, 0]], "the sample is ended natively");
  fake.eventTokens = 10;
  const late = await t2.generate({ text: "a" }, { stop: ["fgh"] });
  t.strictSame([...late.tokens], [...answer.tokens], "also when the engine had run ahead");
  t.equal(late.text, "bcde");
});

t.test("a sample that stops does not end the others", async (t) => {
  const { t2, fake } = await openFake(t);
  const [first, second] = await t2.generate([{ text: "a" }, { text: "n" }], { stop: ["e"], maxTokens: 6 });
  t.match(first, { text: "bcd", finishReason: "stop" });
  t.match(second, { text: "opqrst", finishReason: "length" });
  t.strictSame(fake.log.cancelled, [[0, 0]]);
});

t.test("ignoreEos goes on past the end", async (t) => {
  const { t2, fake } = await openFake(t);
  const answer = await t2.generate({ text: "y" }, { ignoreEos: true, maxTokens: 4 });
  t.equal(answer.text, "zab");
  t.equal(answer.finishReason, "length");
  t.equal(fake.log.generated[0]?.rows[0]?.stopIds.length, 0);
});

t.test("a stream gives text as it is written, and the result", async (t) => {
  const { t2 } = await openFake(t);
  const stream = t2.stream({ text: "u" });
  const pieces: string[] = [];
  for await (const piece of stream) pieces.push(piece);
  t.strictSame(pieces, ["v", "w", "x", "y", "z"]);
  t.match(await stream.result, { text: "vwxyz", finishReason: "stop" });
});

t.test("a stream never has a part of a stop text or of a character", async (t) => {
  const { t2, fake } = await openFake(t);
  const bytes = [...Buffer.from("ä🙂#!#-#!!END and more")];
  fake.next = (tokens) => bytes[tokens.length - 1] ?? end;
  const pieces: string[] = [];
  for await (const piece of t2.stream({ text: "a" }, { stop: ["#!!"] })) pieces.push(piece);
  t.strictSame(pieces, ["ä", "🙂", "#!", "#-"]);
});

t.test("leaving the loop ends the generation", async (t) => {
  const { t2, fake } = await openFake(t);
  fake.delays.step = 5;
  const stream = t2.stream({ text: "a" }, { ignoreEos: true, maxTokens: 100 });
  for await (const piece of stream) if (piece === "c") break;
  const result = await stream.result;
  t.equal(result.finishReason, "aborted");
  t.match(result.text, /^bc/);
  t.ok(result.tokens.length < 10, `ended after ${result.tokens.length} tokens`);
  t.strictSame(fake.log.cancelled, [[-1, -1]]);
});

t.test("a stream that is left before it began costs nothing", async (t) => {
  const { t2 } = await openFake(t);
  const stream = t2.stream({ text: "a" });
  await stream.return?.();
  t.match(await stream.result, { finishReason: "aborted" });
  t.strictSame(await stream.next(), { done: true, value: undefined });
});

t.test("an abort rejects stream and result with the signal's reason", async (t) => {
  const { t2, fake } = await openFake(t);
  fake.delays.step = 5;
  const controller = new AbortController();
  const stream = t2.stream({ text: "a" }, { ignoreEos: true, maxTokens: 100, signal: controller.signal });
  const reason = new Error("enough");
  const read = async () => {
    for await (const piece of stream) if (piece === "c") controller.abort(reason);
  };
  await t.rejects(read(), { code: "ERR_T2_ABORTED", cause: reason });
  await t.rejects(stream.result, { code: "ERR_T2_ABORTED", cause: reason });
  t.strictSame(fake.log.cancelled, [[-1, -1]]);
});

t.test("a failing stream without a reader is no unhandled rejection", async (t) => {
  const { t2 } = await openFake(t);
  t2.stream("");
  t2.stream({ text: "a" }, { n: 2 });
  t2.stream({ text: "a" }, { maxTokens: -1 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  await t.rejects(t2.stream({ text: "a" }, { n: 2 }).result, { code: "ERR_T2_INVALID_OPTION", detail: { option: "n" } });
  await t.rejects(t2.stream("").next(), { code: "ERR_T2_INVALID_PROMPT" });
});

t.test("an abort of generate rejects at once and ends the rows", async (t) => {
  const { t2, fake } = await openFake(t);
  fake.delays.step = 5;
  const controller = new AbortController();
  const run = t2.generate({ text: "a" }, { ignoreEos: true, maxTokens: 100, signal: controller.signal });
  let at = 0;
  setTimeout(() => {
    at = performance.now();
    controller.abort("stop it");
  }, 20);
  await t.rejects(run, { code: "ERR_T2_ABORTED", cause: "stop it" });
  t.ok(performance.now() - at < 100);
  t.strictSame(fake.log.cancelled, [[-1, -1]]);
  await t.rejects(t2.generate({ text: "a" }, { signal: AbortSignal.abort() }), { code: "ERR_T2_ABORTED", cause: { name: "AbortError" } });
});

t.test("prompts that cannot be", async (t) => {
  const { t2 } = await openFake(t);
  const empty: unknown[] = ["", [], { text: "" }, { tokens: new Int32Array(0) }];
  const strange: unknown[] = [
    5,
    null,
    undefined,
    {},
    { tokens: [1, 2] },
    { text: 5 },
    [{ role: "user" }],
    [{ content: "x" }],
    [{ role: "", content: "x" }],
  ];
  const outside: unknown[] = [{ tokens: Int32Array.of(264) }, { tokens: Int32Array.of(-1) }];
  for (const prompt of [...empty, ...strange, ...outside]) {
    await t.rejects(t2.generate(prompt as string), { code: "ERR_T2_INVALID_PROMPT" }, JSON.stringify(prompt) ?? "undefined");
  }
  const bare = await openFake(t, {}, { chatTemplate: false });
  await t.rejects(bare.t2.generate("hi"), { code: "ERR_T2_NO_CHAT_TEMPLATE" });
  t.equal((await bare.t2.generate({ text: "y" })).text, "z");
});

t.test("prompts that do not fit the context", async (t) => {
  const { t2 } = await openFake(t, { contextLength: 20 });
  t.equal(t2.info.contextLength, 20);
  await t.rejects(t2.generate({ text: "x".repeat(20) }), {
    code: "ERR_T2_PROMPT_TOO_LONG",
    message: /20 tokens.*context has 20/,
    detail: { promptTokens: 20, contextLength: 20 },
  });
  await t.rejects(t2.generate({ text: "x".repeat(10) }, { maxTokens: 11 }), { code: "ERR_T2_PROMPT_TOO_LONG", detail: { maxTokens: 11 } });
  t.equal((await t2.generate({ text: "x".repeat(19) })).tokens.length, 1, "by default as many as fit");
  t.equal((await t2.generate({ text: "x".repeat(10) }, { maxTokens: 10, ignoreEos: true })).tokens.length, 10);
});

t.test("a large batch leaves the event loop its turns", async (t) => {
  const { t2 } = await openFake(t);
  let worst = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    worst = Math.max(worst, performance.now() - last);
    last = performance.now();
  }, 1);
  const prompts = Array.from({ length: 3000 }, (_, i) => `Prompt number ${i}: ${"word ".repeat(10)}`);
  const began = performance.now();
  await t2.generate(prompts, { maxTokens: 1 }).finally(() => clearInterval(timer));
  const total = performance.now() - began;
  // The fake itself works on the event loop, so the bound is loose; all tokenising in one go would be most of the time.
  t.ok(worst < Math.max(60, total / 2), `longest turn ${worst.toFixed(0)} ms of ${total.toFixed(0)} ms`);
});
