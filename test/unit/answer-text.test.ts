import t from "tap";
import { AnswerText, type TokenDecoder } from "../../lib/runtime/answer-text.js";

/** One token is one byte; characters come out whole. */
function bytes(): TokenDecoder {
  const decoder = new TextDecoder();
  return { push: (tokens) => decoder.decode(Uint8Array.from(tokens), { stream: true }), end: () => decoder.decode() };
}
const tokens = (text: string) => [...new TextEncoder().encode(text)];

/** Pushes `text` in pieces of `size` tokens; returns the pieces of text given out. */
function feed(text: string, stops: string[], size: number): { pieces: string[]; answer: AnswerText; taken: number } {
  const answer = new AnswerText(bytes(), stops);
  const pieces: string[] = [];
  let taken = 0;
  const all = tokens(text);
  for (let i = 0; i < all.length; i += size) {
    const pushed = answer.push(all.slice(i, i + size));
    pieces.push(pushed.text);
    taken += pushed.taken;
  }
  pieces.push(answer.end());
  return { pieces, answer, taken };
}

t.test("no part of a stop text is given out, however it straddles tokens", async (t) => {
  for (const size of [1, 2, 3, 5, 100]) {
    const { pieces, answer, taken } = feed("one two\n\nQ: three", ["\n\nQ:"], size);
    t.equal(pieces.join(""), "one two", `pieces of ${size}`);
    t.equal(answer.text, "one two");
    t.ok(answer.stopped);
    t.equal(taken, tokens("one two\n\nQ:").length, "tokens up to the one that completes the stop");
  }
});

t.test("what only looked like a stop is given out in the end", async (t) => {
  for (const size of [1, 2, 7]) {
    const { pieces, answer } = feed("a\n\nR and \n\n", ["\n\nQ:"], size);
    t.equal(pieces.join(""), "a\n\nR and \n\n");
    t.notOk(answer.stopped);
  }
});

t.test("text is held back only while it may begin a stop", async (t) => {
  const answer = new AnswerText(bytes(), ["abac"]);
  t.equal(answer.push(tokens("xaba")).text, "x");
  t.equal(answer.push(tokens("b")).text, "ab", "'aba' + 'b': only the last 'ab' can still begin 'abac'");
  t.equal(answer.push(tokens("ac")).text, "", "and here it does");
  t.ok(answer.stopped);
  t.equal(answer.text, "xab");
});

t.test("the earliest of several stops counts", async (t) => {
  const { answer } = feed("left ### right END", ["END", "###", " right"], 100);
  t.equal(answer.text, "left ");
});

t.test("nothing is taken after a stop", async (t) => {
  const answer = new AnswerText(bytes(), ["."]);
  t.strictSame(answer.push(tokens("a.b.c")), { text: "a", taken: 2 });
  t.strictSame(answer.push(tokens("d")), { text: "", taken: 0 });
  t.equal(answer.end(), "");
});

t.test("a stop in a multi-byte character's company", async (t) => {
  const { pieces, answer } = feed("größe🙂。尾", ["。"], 1);
  t.equal(answer.text, "größe🙂");
  t.notMatch(pieces.join(""), /\ufffd/);
});

t.test("without stops tokens go through in one push", async (t) => {
  const answer = new AnswerText(bytes(), []);
  t.strictSame(answer.push(tokens("hello")), { text: "hello", taken: 5 });
  t.equal(answer.push([0xf0, 0x9f]).text, "", "half a character waits");
  t.equal(answer.end(), "\ufffd");
});
