// The types a user sees, checked by tsc in `npm run lint`: what calls give, what they refuse, and that no `any` leaks out.
import t from "tap";
import type {
  Adapted,
  Adapter,
  Engine,
  Generation,
  LoadOptions,
  Message,
  Mixture,
  Prompt,
  Shot,
  TextStream,
  Transformer2,
} from "../../lib/index.js";
import * as api from "../../lib/index.js";

type IsAny<T> = 0 extends 1 & T ? true : false;
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Compiles only when T is true. */
function holds<T extends true>(): T | undefined {
  return undefined;
}

/** Never called: it is read by the compiler. */
export async function calls(t2: Transformer2, shots: Shot[], messages: Message[], signal: AbortSignal): Promise<void> {
  const one = await t2.generate("hi", { maxTokens: 5, signal });
  holds<Equal<typeof one, Generation>>();
  const conversation = await t2.generate(messages);
  holds<Equal<typeof conversation, Generation>>();
  const raw = await t2.generate({ text: "x" });
  holds<Equal<typeof raw, Generation>>();
  const many = await t2.generate(["a", messages, { tokens: Int32Array.of(1) }]);
  holds<Equal<typeof many, Generation[]>>();
  const samples = await t2.generate("hi", { n: 4 });
  holds<Equal<typeof samples, Generation[]>>();

  const stream = t2.stream("hi");
  holds<Equal<typeof stream, TextStream<Generation>>>();
  for await (const text of stream) holds<Equal<typeof text, string>>();

  const adapted = await t2.adapt("hi", { strategy: "prompt" });
  holds<Equal<typeof adapted, Adapted>>();
  holds<Equal<typeof adapted.weights, Record<string, number>>>();
  const fromShots = await t2.adapt(shots, { strategy: "few-shot" });
  holds<Equal<typeof fromShots, Adapted>>();

  const engine: Engine = t2;
  const adapters: Adapter[] = ["base", "math", { weights: { math: 0.5, code: [1, 0] } }, t2.experts.get("math") ?? "base"];
  await engine.generateBatch(adapters.map((adapter) => ({ prompt: "x", adapter })));
  await using scoped = t2;
  holds<Equal<typeof scoped, Transformer2>>();

  // @ts-expect-error a prompt is no number
  await t2.generate(5);
  // @ts-expect-error there is no such option
  await t2.generate("hi", { max_tokens: 5 });
  // @ts-expect-error nor such a device
  const options: LoadOptions = { device: "gpu" };
  // @ts-expect-error weights are numbers
  const mixture: Mixture = { weights: { math: "1" } };
  // @ts-expect-error a message needs a content
  const prompt: Prompt = [{ role: "user" }];
  holds<IsAny<typeof options> extends false ? true : false>();
  holds<IsAny<typeof mixture> extends false ? true : false>();
  holds<IsAny<typeof prompt> extends false ? true : false>();
}

type Surface = typeof api;
type AnyExports = { [K in keyof Surface]: IsAny<Surface[K]> extends true ? K : never }[keyof Surface];
holds<Equal<AnyExports, never>>();
type AnyMembers = { [K in keyof Transformer2]: IsAny<Transformer2[K]> extends true ? K : never }[keyof Transformer2];
holds<Equal<AnyMembers, never>>();

t.test("the package exports what the documentation names", async (t) => {
  const names = [
    "Transformer2",
    "Expert",
    "Transformer2Error",
    "train",
    "evaluate",
    "defineTask",
    "cem",
    "cmaEs",
    "loadJsonlTask",
    "wilson",
    "mcnemar",
  ];
  for (const name of names) t.type((api as Record<string, unknown>)[name], "function", name);
});
