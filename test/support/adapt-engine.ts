// A fake engine for the tests of lib/adapt: its "model" is a table of functions over text, and it counts what it is asked.
import type { Adapter, BatchItem, Engine, Generation, GradientOptions, Gradients, ModelInfo, Score, TrainBatch } from "../../lib/engine.js";
import { matrixShapes } from "../../lib/model/info.js";
import type { Tokenizer } from "../../lib/model/tokenizer.js";
import { Expert } from "../../lib/svf/expert.js";
import { resolveAdapter } from "../../lib/svf/mixture.js";
import type { Prompt } from "../../lib/types.js";

export const info: ModelInfo = {
  name: "fake",
  path: "does-not-exist",
  architecture: "llama",
  parameters: 0,
  layers: 4,
  hiddenSize: 4,
  vocabularySize: 0x110000,
  contextLength: 4096,
  dtype: "F32",
  device: "cpu",
  matrices: matrixShapes({ layers: 4, hiddenSize: 4, intermediateSize: 8, heads: 2, kvHeads: 1, headDim: 2 }),
};

/** z of every matrix filled with one number: what a mixture comes to can be read off any element. */
export function expert(name: string, z: number, about: { label?: string; description?: string } = {}): Expert {
  return Expert.from(Object.fromEntries(info.matrices.map((m) => [m.name, new Float32Array(m.rank).fill(z)])), {
    name,
    base: info,
    ...about,
  });
}

const encode = (text: string) => Int32Array.from(text, (c) => c.codePointAt(0)!);
const decode = (tokens: ArrayLike<number>) => String.fromCodePoint(...Array.from(tokens));

export interface FakeModel {
  /** z as used, per matrix that is not the base's. */
  score?(prompt: string, continuation: string, adapter: { name: string; z: ReadonlyMap<string, Float32Array> }): number;
  answer?(prompt: string, adapter: { name: string; z: ReadonlyMap<string, Float32Array> }, seed: number | undefined): string;
  gradients?(batch: TrainBatch, options: GradientOptions, z: ReadonlyMap<string, Float32Array>): Pick<Gradients, "loss" | "z">;
}

export interface FakeEngine extends Engine {
  readonly calls: { kind: "generate" | "score" | "gradients"; rows: { prompt: string; adapter: string; seed: number | undefined }[] }[];
}

export function fakeEngine(model: FakeModel, experts: readonly Expert[], changes: Partial<ModelInfo> = {}): FakeEngine {
  const engineInfo = { ...info, ...changes };
  const byName = new Map(experts.map((e) => [e.name, e]));
  const calls: FakeEngine["calls"] = [];
  const resolved = new Map<Adapter, { name: string; z: ReadonlyMap<string, Float32Array> }>();
  const resolve = (adapter: Adapter = "base") => {
    let found = resolved.get(adapter);
    if (found === undefined) {
      const { name, vectors } = resolveAdapter(adapter, byName, engineInfo);
      found = { name, z: vectors };
      resolved.set(adapter, found);
    }
    return found;
  };
  const textOf = (prompt: Prompt) =>
    typeof prompt === "string" ? prompt : "tokens" in prompt ? decode(prompt.tokens) : JSON.stringify(prompt);
  const record = (kind: FakeEngine["calls"][number]["kind"], items: readonly BatchItem[]) =>
    calls.push({
      kind,
      rows: items.map((item) => ({ prompt: textOf(item.prompt), adapter: resolve(item.adapter).name, seed: item.seed })),
    });
  const missing = (): never => {
    throw new Error("not part of this fake");
  };
  return {
    info: engineInfo,
    tokenizer: { encode, decode } as unknown as Tokenizer,
    calls,
    encodePrompt: (prompt: Prompt, prefill = "") => encode(`<u>${textOf(prompt)}<a>${prefill}`),
    async generateBatch(items) {
      record("generate", items);
      return items.map((item): Generation[] => {
        const prompt = textOf(item.prompt);
        const text = (model.answer ?? missing)(prompt, resolve(item.adapter), item.seed);
        const usage = { promptTokens: prompt.length, completionTokens: text.length };
        const cost = { ...usage, milliseconds: {} };
        return [
          {
            text,
            tokens: encode(text),
            promptTokens: encode(prompt),
            finishReason: "stop",
            usage,
            adapter: resolve(item.adapter).name,
            cost,
          },
        ];
      });
    },
    async scoreBatch(items) {
      record("score", items);
      return items.map((item) =>
        item.continuations.map((continuation): Score => {
          const sum = (model.score ?? missing)(textOf(item.prompt), continuation, resolve(item.adapter));
          return { logprobs: Float32Array.of(sum), sum, mean: sum / Math.max(1, continuation.length) };
        }),
      );
    },
    async gradients(batch, options = {}) {
      calls.push({ kind: "gradients", rows: [] });
      return {
        kl: 0,
        logprobs: [],
        cost: { promptTokens: 0, completionTokens: 0, milliseconds: {} },
        ...(model.gradients ?? missing)(batch, options, resolve(options.adapter).z),
      };
    },
    generate: missing,
    score: missing,
    decompose: missing,
    select: missing,
    fingerprint: missing,
    sigma: missing,
  };
}
