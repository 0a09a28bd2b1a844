import t from "tap";
import { Transformer2Error } from "../../lib/errors.js";
import {
  adaptOptions,
  batchItem,
  checkOptions,
  decomposeOptions,
  generateOptions,
  gradientOptions,
  loadOptions,
  memoryPlanOptions,
  scoreOptions,
} from "../../lib/options.js";

type Schema = Parameters<typeof checkOptions>[0];

/** What checkOptions throws, or undefined. */
function refusal(schema: Schema, value: unknown, prefix?: string): Transformer2Error | undefined {
  try {
    checkOptions(schema, value as object, prefix);
    return undefined;
  } catch (error) {
    if (error instanceof Transformer2Error && error.code === "ERR_T2_INVALID_OPTION") return error;
    throw error;
  }
}

t.test("every wrong value is refused with the option's name, its range and the value", async (t) => {
  const cases: [string, Schema, object, string, RegExp][] = [
    ["maxTokens 0", generateOptions, { maxTokens: 0 }, "maxTokens", /whole number ≥ 1/],
    ["maxTokens 1.5", generateOptions, { maxTokens: 1.5 }, "maxTokens", /whole number ≥ 1/],
    ["maxTokens text", generateOptions, { maxTokens: "9" }, "maxTokens", /whole number/],
    ["temperature below 0", generateOptions, { temperature: -0.1 }, "temperature", /from 0 to 100/],
    ["temperature NaN", generateOptions, { temperature: Number.NaN }, "temperature", /from 0 to 100/],
    ["temperature ∞", generateOptions, { temperature: Number.POSITIVE_INFINITY }, "temperature", /from 0 to 100/],
    ["topP 0", generateOptions, { topP: 0 }, "topP", /\(0, 1\]/],
    ["topP 1.1", generateOptions, { topP: 1.1 }, "topP", /\(0, 1\]/],
    ["topK −1", generateOptions, { topK: -1 }, "topK", /from 0 to/],
    ["minP 1", generateOptions, { minP: 1 }, "minP", /\[0, 1\)/],
    ["repetitionPenalty 0", generateOptions, { repetitionPenalty: 0 }, "repetitionPenalty", /from 0.001 to 1000/],
    ["seed −1", generateOptions, { seed: -1 }, "seed", /≥ 0/],
    ["seed 2**53", generateOptions, { seed: 2 ** 53 }, "seed", /≥ 0/],
    ["stop is a text", generateOptions, { stop: "\n" }, "stop", /list of texts/],
    ["stop has an empty text", generateOptions, { stop: ["a", ""] }, "stop[1]", /not empty/],
    ["ignoreEos 1", generateOptions, { ignoreEos: 1 }, "ignoreEos", /true or false/],
    ["logprobs text", generateOptions, { logprobs: "yes" }, "logprobs", /true or false/],
    ["n 0", generateOptions, { n: 0 }, "n", /from 1 to 4096/],
    ["adapter number", generateOptions, { adapter: 3 }, "adapter", /Expert or a Mixture/],
    ["mode", generateOptions, { mode: "fast" }, "mode", /"auto", "merged", "factored"/],
    ["signal", generateOptions, { signal: {} }, "signal", /AbortSignal/],
    ["prefill", scoreOptions, { prefill: 1 }, "prefill", /a text/],
    ["device", loadOptions, { device: "gpu" }, "device", /"auto", "cpu", "cuda"/],
    ["device number", loadOptions, { device: 0 }, "device", /"auto", "cpu", "cuda"/],
    ["experts text", loadOptions, { experts: "math" }, "experts", /list of experts/],
    ["experts item", loadOptions, { experts: ["math", {}] }, "experts[1]", /an Expert/],
    ["strategy", loadOptions, { strategy: {} }, "strategy", /`choose`/],
    ["factors", loadOptions, { factors: "" }, "factors", /not empty/],
    ["maxThreads", loadOptions, { maxThreads: 0 }, "maxThreads", /from 1 to 1024/],
    ["maxMemory", loadOptions, { maxMemory: -5 }, "maxMemory", /≥ 1/],
    ["contextLength", loadOptions, { contextLength: 0 }, "contextLength", /≥ 1/],
    ["deterministic", loadOptions, { deterministic: "no" }, "deterministic", /true or false/],
    ["onProgress", loadOptions, { onProgress: true }, "onProgress", /a function/],
    ["loss", gradientOptions, { loss: "ppo" }, "loss", /"policy-gradient", "next-token"/],
    ["reduction", gradientOptions, { reduction: "sum" }, "reduction", /"sequence-mean", "token-mean"/],
    ["kl number", gradientOptions, { kl: 0.1 }, "kl", /\{ weight, direction \}/],
    ["kl.weight", gradientOptions, { kl: { weight: -1, direction: "policy-reference" } }, "kl.weight", /≥ 0/],
    ["kl.direction", gradientOptions, { kl: { weight: 1, direction: "forward" } }, "kl.direction", /"policy-reference"/],
    ["dtype", decomposeOptions, { dtype: "BF16" }, "dtype", /"F16", "F32"/],
    ["driver", decomposeOptions, { driver: "qr" }, "driver", /"gesdd"/],
    ["sequences", memoryPlanOptions, { sequences: 0 }, "sequences", /≥ 1/],
    ["strategy number", adaptOptions, { strategy: 1 }, "strategy", /name of a strategy/],
    ["item seed", batchItem, { prompt: "x", seed: "1" }, "seed", /≥ 0/],
  ];
  for (const [name, schema, value, option, expected] of cases) {
    const error = refusal(schema, value);
    t.ok(error, name);
    t.equal(error?.detail?.option, option, `${name}: the option's name`);
    t.match(error?.message, expected, `${name}: what was expected`);
    t.match(error?.message, `"${option}"`, `${name}: named in the message`);
  }
});

t.test("an option that does not exist is refused, with the list of those that do", async (t) => {
  const error = refusal(generateOptions, { max_tokens: 5 });
  t.match(error?.message, /"max_tokens" does not exist.*maxTokens/);
  t.equal(error?.detail?.option, "max_tokens");
  t.equal(error?.detail?.actual, 5);
  t.match(
    refusal(gradientOptions, { kl: { weight: 1, direction: "policy-reference", lambda: 2 } })?.message,
    /"kl\.lambda" does not exist/,
  );
});

t.test("options must be an object", async (t) => {
  for (const value of [null, 5, "x", [1]]) t.match(refusal(generateOptions, value)?.message, /"options" must be an object/);
  t.match(refusal(batchItem, 5, "items[2]")?.message, /"items\[2\]" must be an object/);
});

t.test("a prefix names items of a list", async (t) => {
  t.equal(refusal(batchItem, { seed: -1 }, "items[3]")?.detail?.option, "items[3].seed");
});

t.test("right values pass unchanged", async (t) => {
  const { signal } = new AbortController();
  const value = { maxTokens: 1, temperature: 0, topP: 1, topK: 0, minP: 0, seed: 2 ** 53 - 1, stop: [], n: 4096, signal, adapter: "math" };
  t.equal(checkOptions(generateOptions, value), value, "the same object, nothing is copied");
  t.strictSame(checkOptions(generateOptions, undefined), {});
  t.strictSame(checkOptions(generateOptions, { maxTokens: undefined, signal: undefined }), { maxTokens: undefined, signal: undefined });
  for (const device of ["auto", "cpu", "cuda", "cuda:0", "cuda:15"]) t.equal(refusal(loadOptions, { device }), undefined, device);
  t.equal(refusal(gradientOptions, { kl: { weight: 0, direction: "reference-policy" }, targets: "mlp" }), undefined);
});
