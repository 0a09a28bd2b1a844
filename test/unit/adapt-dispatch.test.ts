// The strategies `prompt` and `classifier`: forced choice, free text, abstention, the user's own labels, and defects D3, D4 and D5.
import t from "tap";
import { classifierStrategy } from "../../lib/adapt/classifier.js";
import { decide, strategyOf } from "../../lib/adapt/dispatcher.js";
import { promptStrategy } from "../../lib/adapt/prompt.js";
import { Expert } from "../../lib/svf/expert.js";
import type { Prompt } from "../../lib/types.js";
import { expert, fakeEngine, info } from "../support/adapt-engine.js";

const math = expert("math", 1.1, { description: "numbers" });
const code = expert("code", 1.2, { description: "programs" });
const experts = [math, code];

/** What is asked about, out of the wordings' framing. */
const request = (prompt: string) =>
  /question:\n"(.*)"\n\nDo not|Request:\n(.*)\n\nAnswer/s
    .exec(prompt)
    ?.slice(1)
    .find((text) => text !== undefined) ?? prompt;
const EMPTY = "...";
/** Labels stand for their experts' descriptions. */
const descriptions: Record<string, string> = { numbers: "math", programs: "code" };
/** Prefers the label whose name is in the request. */
function byName(prompt: string, continuation: string): number {
  const word = continuation.trim();
  return request(prompt).includes(descriptions[word] ?? word) ? -0.1 : -9;
}

t.test("forced choice: one prefill, labels and descriptions from the experts", async (t) => {
  const engine = fakeEngine({ score: byName }, experts);
  const decision = await decide("prompt", "some code please", { engine, experts });
  t.equal(decision.strategy, "prompt");
  t.same(decision.weights, { math: 0, code: 1 });
  t.same(decision.adapter, { weights: { code: 1 }, rule: "delta" });
  t.equal(decision.abstained, false);
  t.same(Object.keys(decision.scores), ["math", "code", "other"]);
  t.ok(Math.abs(Object.values(decision.scores).reduce((a, b) => a + b) - 1) < 1e-9);
  t.ok(decision.scores.code! > 0.9);
  t.equal(decision.cost.completionTokens, 0);
  t.equal(decision.cost.promptTokens, engine.calls[1]!.rows[0]!.prompt.length);
  t.match(engine.calls[1]!.rows[0]!.prompt, /"some code please"/);
  t.match(engine.calls[1]!.rows[0]!.prompt, /<a>It is one of the$/);
  t.ok(
    engine.calls.every((call) => call.kind === "score" && call.rows.length === 1),
    "nothing is decoded",
  );
});

t.test("the content-free prompt is scored once per wording and calibrates", async (t) => {
  // The base likes "numbers" by 9 nats whatever it is asked; only the difference says something about the prompt.
  const score = (p: string, c: string) => (c === " numbers" ? 9 : 0) + (request(p) === "ask code" && c === " programs" ? 6 : 0);
  const engine = fakeEngine({ score }, experts);
  const first = await decide("prompt", "ask code", { engine, experts });
  t.same(first.weights, { math: 0, code: 1 });
  await decide("prompt", "ask code again", { engine, experts });
  const calibrations = () => engine.calls.filter((call) => request(call.rows[0]!.prompt) === EMPTY).length;
  t.equal(calibrations(), 1);
  const raw = await decide(promptStrategy({ calibrate: false }), "ask code", { engine, experts });
  t.same(raw.weights, { math: 1, code: 0 }, "without calibration the bias decides");
  await decide("prompt", "ask code", { engine, experts: [math] });
  t.equal(calibrations(), 2, "another set of labels, another calibration");
});

t.test("a label must gain enough over the content-free prompt, else it is `other`", async (t) => {
  for (const [gain, label] of [
    [2, "other"],
    [5, "math"],
  ] as const) {
    const score = (p: string, c: string) => (request(p) !== EMPTY && c === " numbers" ? gain : 0);
    const decision = await decide("prompt", "x", { engine: fakeEngine({ score }, experts), experts });
    t.equal(decision.detail.label, label);
    t.equal(decision.abstained, label === "other");
    const e = [gain, 0, 3].map(Math.exp);
    t.ok(Math.abs(decision.scores.other! - e[2]! / (e[0]! + e[1]! + e[2]!)) < 1e-9, "3 nats, by default");
  }
  const bare = [expert("math", 1.1), expert("code", 1.2)];
  const seen: string[] = [];
  await decide("prompt", "x", { engine: fakeEngine({ score: (_, c) => seen.push(c) }, bare), experts: bare });
  t.same([...new Set(seen)], [" math questions", " code questions"], "without a description the label stands for one");
});

t.test("abstains under the margin", async (t) => {
  const score = (p: string, c: string) => (request(p) === EMPTY ? 0 : c === " numbers" ? 8.1 : 8);
  const engine = fakeEngine({ score }, experts);
  const decision = await decide("prompt", "unclear", { engine, experts });
  t.equal(decision.abstained, true);
  t.equal(decision.adapter, "base");
  t.same(decision.weights, { math: 0, code: 0 });
  t.ok(decision.scores.math! > decision.scores.code!, "the scores still say what was seen");
  t.same((await decide(promptStrategy({ margin: 0 }), "unclear", { engine, experts })).weights, { math: 1, code: 0 });
});

t.test("soft mixture: probabilities as weights, `other` to the base", async (t) => {
  const engine = fakeEngine({ score: (p, c) => (request(p) === EMPTY ? 0 : c === " numbers" ? 3 + Math.log(2) : 3) }, experts);
  const decision = await decide(promptStrategy({ mix: "soft" }), "x", { engine, experts });
  t.ok(Math.abs(decision.weights.math! - 0.5) < 1e-9);
  t.ok(Math.abs(decision.weights.code! - 0.25) < 1e-9);
  t.same(decision.adapter, { weights: decision.weights, rule: "delta" });
});

t.test("D3: `other` means base, also right after an expert was used", async (t) => {
  const engine = fakeEngine({ score: byName }, experts);
  const strategy = promptStrategy();
  t.same((await strategy.choose("math", { engine, experts })).weights, { math: 1, code: 0 });
  const other = await strategy.choose("something other", { engine, experts });
  t.equal(other.adapter, "base");
  t.same(other.weights, { math: 0, code: 0 });
  t.equal(other.detail.label, "other");
});

t.test("D4: the first pass runs on the base, whatever was chosen before", async (t) => {
  const engine = fakeEngine({ score: byName }, experts);
  const strategy = promptStrategy();
  const prompts = ["math", "code", "math code", "neither"];
  const before = await strategy.choose("code", { engine, experts });
  for (const prompt of prompts) await strategy.choose(prompt, { engine, experts });
  t.ok(engine.calls.every((call) => call.rows.every((row) => row.adapter === "base")));
  t.same({ ...(await strategy.choose("code", { engine, experts })), cost: before.cost }, before, "a decision depends on its prompt alone");
});

t.test("D5: an expert listed twice is refused, by name and by content", async (t) => {
  const engine = fakeEngine({ score: byName }, experts);
  await t.rejects(decide("prompt", "x", { engine, experts: [math, code, math] }), { code: "ERR_T2_INVALID_OPTION", message: /"math"/ });
  await t.rejects(decide("prompt", "x", { engine, experts: [math, math.with({ name: "arithmetic", label: "arithmetic" })] }), {
    code: "ERR_T2_INVALID_OPTION",
    message: /same vectors as "math".*"arithmetic"/,
  });
  await t.rejects(decide("prompt", "x", { engine, experts: [math, expert("maths", 1.3, { label: "math" })] }), {
    message: /different labels/,
  });
  await t.rejects(decide("prompt", "x", { engine, experts: [expert("other", 1.3)] }), { message: /means the base/ });
  t.equal(engine.calls.length, 0);
});

t.test("no experts: base, without asking the model", async (t) => {
  const engine = fakeEngine({}, []);
  const decision = await decide("prompt", "x", { engine, experts: [] });
  t.equal(decision.adapter, "base");
  t.equal(decision.abstained, true);
  t.equal(engine.calls.length, 0);
  const alone = expert("classifier", 1.5);
  t.equal((await decide("classifier", "x", { engine, experts: [alone] })).adapter, "base");
});

t.test("free text, the paper's way", async (t) => {
  const answers: Record<string, string> = {
    a: "It is about numbers. \\boxed{math} or \\boxed{code}",
    b: "Category: \\boxed{ Code }",
    c: "math, surely",
    d: "\\boxed{poetry}",
    e: "\\boxed{\\text{code}}",
    f: "",
  };
  const engine = fakeEngine({ answer: (p) => answers[/Question:\n(.)/.exec(p)![1]!]! }, experts);
  const strategy = promptStrategy({ way: "generate" });
  const weights = async (prompt: string) => (await strategy.choose(prompt, { engine, experts })).weights;
  t.same(await weights("a"), { math: 1, code: 0 }, "the first box counts");
  t.same(await weights("b"), { math: 0, code: 1 });
  for (const prompt of ["c", "d", "f"]) {
    const decision = await strategy.choose(prompt, { engine, experts });
    t.equal(decision.adapter, "base", `${prompt}: nothing is guessed`);
    t.equal(decision.detail.label, "other");
  }
  t.same(await weights("e"), { math: 0, code: 1 });
  const { cost, detail } = await strategy.choose("b", { engine, experts });
  t.equal(cost.completionTokens, answers.b!.length);
  t.equal(detail.text, answers.b);
});

t.test("dispatch.json: the model's own wording", async (t) => {
  const dispatch = JSON.stringify({
    prompt: "Which? {prompt}",
    prefix: " Skill:",
    labels: { math: " m", code: " c", reasoning: " r" },
    contentFree: null,
  });
  const path = t.testdir({ "dispatch.json": dispatch });
  const seen: string[] = [];
  const score = (p: string, c: string) => {
    seen.push(`${p}|${c}`);
    return p.includes(`want${c}`) ? 0 : -4;
  };
  const own = expert("sorting", 1.4);
  const engine = fakeEngine({ score, answer: (p) => ` ${/want (\w)/.exec(p)![1]}\n` }, [...experts, own], { path });
  const context = { engine, experts: [...experts, own] };
  t.same((await decide("prompt", "want c $& {prompt}", context)).weights, { math: 0, code: 1, sorting: 0 });
  t.equal(seen[0], "<u>Which? want c $& {prompt}<a> Skill:| m", "the prompt is put in as it stands");
  t.equal(engine.calls.length, 1, "contentFree null: no calibration");
  t.same(
    (await decide("prompt", "want sorting", context)).weights,
    { math: 0, code: 0, sorting: 1 },
    "an expert of the user's own works beside it",
  );
  const unloaded = await decide("prompt", "want r", context);
  t.equal(unloaded.adapter, "base", "a label without an expert is the base's");
  t.equal(unloaded.detail.label, "reasoning");
  const free = await decide(promptStrategy({ way: "generate" }), "want m", context);
  t.same(free.weights, { math: 1, code: 0, sorting: 0 }, "free text continues the prefix");
  for (const bad of ["{", '{"prompt":"no place","labels":{}}', '{"prompt":"{prompt}","labels":{},"lables":{}}']) {
    const wrong = fakeEngine({ score }, experts, { path: t.testdir({ "dispatch.json": bad }) });
    await t.rejects(decide("prompt", "x", { engine: wrong, experts }), { code: "ERR_T2_INVALID_CHECKPOINT", message: /dispatch\.json/ });
  }
});

t.test("classifier: the classification expert is on in the first pass and never answers", async (t) => {
  const judge = expert("judge", 0.9);
  const named = expert("classifier", 0.8);
  const score = (p: string, c: string, a: { name: string }) => (a.name === "base" ? 0 : byName(p, c));
  const engine = fakeEngine({ score }, [...experts, judge, named]);
  const decision = await decide("classifier", "code", { engine, experts: [named, ...experts] });
  t.equal(decision.strategy, "classifier");
  t.same(decision.weights, { math: 0, code: 1 }, "the classifier is no candidate");
  t.equal(decision.detail.classifier, "classifier");
  t.ok(engine.calls.every((call) => call.rows.every((row) => row.adapter === "classifier")));
  engine.calls.length = 0;
  const other = await decide(classifierStrategy({ classifier: "judge" }), "math", { engine, experts: [...experts, judge] });
  t.same(other.weights, { math: 1, code: 0 });
  t.ok(engine.calls.every((call) => call.rows.every((row) => row.adapter === "judge")));
  t.same(
    (await decide("prompt", "math", { engine, experts: [named, ...experts] })).weights,
    { math: 0, code: 0 },
    "`prompt` leaves it alone",
  );
  await t.rejects(decide("classifier", "x", { engine, experts }), { code: "ERR_T2_EXPERT_NOT_FOUND", message: /math, code/ });
  await t.rejects(decide(classifierStrategy({ classifier: "nobody" }), "x", { engine, experts }), { code: "ERR_T2_EXPERT_NOT_FOUND" });
});

t.test("many prompts share batches and decide as they would alone", async (t) => {
  const engine = fakeEngine({ score: byName }, experts);
  const prompts = Array.from({ length: 150 }, (_, i) => ["math", "code", "nothing"][i % 3]!);
  const decisions = await promptStrategy().chooseAll!(prompts, { engine, experts });
  t.same(
    decisions.map((d) => d.weights.code),
    prompts.map((p) => (p === "code" ? 1 : 0)),
  );
  t.same(
    engine.calls.map((call) => call.rows.length),
    [1, 64, 64, 22],
  );
});

t.test("every form of prompt is classified by its text", async (t) => {
  const engine = fakeEngine({ score: byName }, experts);
  const forms: Prompt[] = [
    "code",
    { text: "code" },
    { tokens: Int32Array.from("code", (c) => c.codePointAt(0)!) },
    [
      { role: "system", content: "math" },
      { role: "user", content: "math" },
      { role: "assistant", content: "math" },
      { role: "user", content: "code" },
    ],
  ];
  for (const form of forms) t.same((await decide("prompt", form, { engine, experts })).weights, { math: 0, code: 1 });
  for (const empty of ["", "  ", { text: "" }, { tokens: new Int32Array() }, [{ role: "system", content: "x" }]] as Prompt[]) {
    await t.rejects(decide("prompt", empty, { engine, experts }), { code: "ERR_T2_INVALID_PROMPT" });
  }
});

t.test("a prompt longer than the context keeps its beginning and end; a context too short for the wording is an error", async (t) => {
  const engine = fakeEngine({ score: byName }, experts, { contextLength: 400 });
  const long = `code ${"x".repeat(3000)} math`;
  const decision = await decide("prompt", long, { engine, experts });
  t.equal(decision.abstained, true, "both ends were seen");
  const { prompt } = engine.calls.at(-1)!.rows[0]!;
  t.ok(prompt.length <= 400);
  t.match(prompt, /code x+ … x+ math/);
  const tiny = fakeEngine({ score: byName }, experts, { contextLength: 60 });
  await t.rejects(decide("prompt", "code", { engine: tiny, experts }), { code: "ERR_T2_PROMPT_TOO_LONG" });
});

t.test("aborts, wrong options, wrong inputs", async (t) => {
  const engine = fakeEngine({ score: byName }, experts);
  await t.rejects(decide("prompt", "x", { engine, experts, signal: AbortSignal.abort(new Error("stop")) }), { code: "ERR_T2_ABORTED" });
  t.equal(engine.calls.length, 0);
  t.throws(() => strategyOf("guess" as "prompt"), { code: "ERR_T2_INVALID_OPTION", detail: { option: "strategy" } });
  t.throws(() => promptStrategy({ margin: 2 }), { code: "ERR_T2_INVALID_OPTION", detail: { option: "margin" } });
  t.throws(() => promptStrategy({ way: "x" as "forced" }), { code: "ERR_T2_INVALID_OPTION", detail: { option: "way" } });
  t.throws(() => promptStrategy({ mix: "x" as "best" }), { code: "ERR_T2_INVALID_OPTION", detail: { option: "mix" } });
  t.throws(() => promptStrategy({ maxTokens: 0 }), { code: "ERR_T2_INVALID_OPTION", detail: { option: "maxTokens" } });
  t.throws(() => classifierStrategy({ classifier: "" }), { code: "ERR_T2_INVALID_OPTION", detail: { option: "classifier" } });
  await t.rejects(decide("prompt", [{ prompt: "1", answer: "1" }], { engine, experts }), {
    code: "ERR_T2_INVALID_OPTION",
    detail: { option: "strategy" },
  });
  await t.rejects(promptStrategy().choose([{ prompt: "1", answer: "1" }], { engine, experts }), {
    code: "ERR_T2_INVALID_OPTION",
    detail: { option: "strategy" },
  });
  await t.rejects(decide("few-shot", "one prompt", { engine, experts }), { code: "ERR_T2_INVALID_OPTION", detail: { option: "strategy" } });
});

t.test("a strategy of one's own", async (t) => {
  const engine = fakeEngine({}, experts);
  const always = { name: "always", input: "prompt" as const, choose: async () => ({ marked: true }) as never };
  t.same(await decide(always, "x", { engine, experts }), { marked: true });
  t.equal(Expert.from({ [info.matrices[0]!.name]: new Float32Array(4).fill(2) }, { name: "x", base: info }).hash.length, 64);
});
