// A tiny Engine with known mathematics: one matrix or more whose z moves the logits of a bandit. The logits of a token do not depend on
// what was written before, so probabilities, gradients and KL can be written down by hand. Token 0 ends an answer, token v is a letter.
import { setTimeout as sleep } from "node:timers/promises";
import type {
  Adapter,
  BatchItem,
  Engine,
  GenerateOptions,
  Generation,
  GradientOptions,
  Gradients,
  MatrixShape,
  Targets,
  TrainBatch,
} from "../../lib/engine.js";
import { Expert } from "../../lib/svf/expert.js";
import { selectMatrices } from "../../lib/svf/targets.js";
import type { Prompt } from "../../lib/types.js";
import { throwIfAborted } from "../../lib/util/abort.js";
import { Random } from "../../lib/util/random.js";

const VOCABULARY = 5;
const RANK = 3;
const PROMPT_TOKENS = 2;

export interface TableOptions {
  /** Milliseconds that every call takes, the signal heard. */
  delay?: number;
  layers?: number;
}

/** What tests look at afterwards. */
export interface TableLog {
  batches: { batch: TrainBatch; options: GradientOptions }[];
  generations: { items: readonly BatchItem[]; options: GenerateOptions; result: Generation[][] }[];
}

function softmax(logits: readonly number[]): number[] {
  const top = Math.max(...logits);
  const exps = logits.map((value) => Math.exp(value - top));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((value) => value / sum);
}

export class TableEngine {
  readonly info;
  readonly log: TableLog = { batches: [], generations: [] };
  readonly tokenizer = {
    eosId: 0,
    encode: (text: string) => Int32Array.from([...text].map((letter) => letter.charCodeAt(0) - 96)),
  };
  readonly #delay: number;
  /** One [VOCABULARY][RANK] table per matrix: how σ z moves the logits. */
  readonly #tables: Map<string, number[][]>;

  constructor({ delay = 0, layers = 1 }: TableOptions = {}) {
    this.#delay = delay;
    const matrices: MatrixShape[] = [];
    for (let layer = 0; layer < layers; layer++) {
      for (const [role, module] of [
        ["q", "self_attn.q_proj"],
        ["up", "mlp.up_proj"],
      ] as const)
        matrices.push({ name: `model.layers.${layer}.${module}`, layer, role, rows: 4, columns: RANK, rank: RANK });
    }
    this.info = {
      name: "table",
      path: "",
      architecture: "table",
      parameters: 0,
      layers,
      hiddenSize: RANK,
      vocabularySize: VOCABULARY,
      contextLength: 64,
      dtype: "F32" as const,
      device: "cpu",
      matrices,
    };
    this.#tables = new Map(
      matrices.map(({ name }) => {
        const random = new Random(7, name);
        return [name, Array.from({ length: VOCABULARY }, () => Array.from({ length: RANK }, () => random.normal()))];
      }),
    );
  }

  /** As the interface that train() and evaluate() want. */
  asEngine(): Engine {
    return this as unknown as Engine;
  }

  sigmaOf(): number[] {
    return [2, 1, 0.5];
  }

  z(adapter: Adapter | undefined, name: string): Float32Array {
    const vector = adapter instanceof Expert ? adapter.vectors.get(name) : undefined;
    return vector ?? new Float32Array(RANK).fill(1);
  }

  /** Probabilities of the next token. */
  probabilities(adapter: Adapter | undefined): number[] {
    const logits = Array.from({ length: VOCABULARY }, (_, v) => (v === 1 ? 1 : 0));
    for (const [name, table] of this.#tables) {
      const z = this.z(adapter, name);
      // Relative to z = 1: the base prefers the letter a and has no other preference.
      table.forEach((row, v) => {
        row.forEach((weight, i) => {
          logits[v]! += weight * this.sigmaOf()[i]! * (z[i]! - 1);
        });
      });
    }
    return softmax(logits);
  }

  async #wait(signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal, "The table");
    if (this.#delay > 0) await sleep(this.#delay, undefined, { signal }).catch(() => {});
    throwIfAborted(signal, "The table");
  }

  encodePrompt(prompt: Prompt): Int32Array {
    return Int32Array.from([1, 1 + (String(prompt).length % (VOCABULARY - 1))]);
  }

  async generateBatch(items: readonly BatchItem[], options: GenerateOptions = {}): Promise<Generation[][]> {
    await this.#wait(options.signal);
    const { n = 1, maxTokens = 4, temperature = 0 } = options;
    const result = items.map((item) => {
      const adapter = item.adapter ?? options.adapter;
      const p = this.probabilities(adapter);
      return Array.from({ length: n }, (_, k): Generation => {
        const random = new Random(item.seed ?? options.seed ?? 0, `sample/${k}`);
        const tokens: number[] = [];
        while (tokens.length < maxTokens && tokens.at(-1) !== 0) {
          let token = p.indexOf(Math.max(...p));
          if (temperature > 0) {
            const draw = random.float();
            let sum = 0;
            for (token = 0; token < VOCABULARY - 1; token++) {
              sum += p[token]!;
              if (draw < sum) break;
            }
          }
          tokens.push(token);
        }
        const text = tokens
          .filter((token) => token !== 0)
          .map((token) => String.fromCharCode(96 + token))
          .join("");
        return {
          text,
          tokens: Int32Array.from(tokens),
          promptTokens: this.encodePrompt(item.prompt),
          finishReason: tokens.at(-1) === 0 ? "stop" : "length",
          usage: { promptTokens: PROMPT_TOKENS, completionTokens: tokens.length },
          adapter: adapter instanceof Expert ? adapter.name : "base",
          cost: { promptTokens: PROMPT_TOKENS, completionTokens: tokens.length, milliseconds: {} },
        };
      });
    });
    this.log.generations.push({ items, options, result });
    return result;
  }

  async gradients(batch: TrainBatch, options: GradientOptions = {}): Promise<Gradients> {
    await this.#wait(options.signal);
    this.log.batches.push({ batch: structuredClone(batch), options });
    const p = this.probabilities(options.adapter);
    const reference = this.probabilities("base");
    const tokens = batch.sequences.map((sequence) => [...sequence.tokens.slice(sequence.promptLength)]);
    const total = tokens.reduce((sum, list) => sum + list.length, 0);
    const divisor = options.reduction === "token-mean" ? total : batch.sequences.length;
    const direction = options.kl?.direction ?? "policy-reference";
    const kl =
      direction === "policy-reference"
        ? p.reduce((sum, value, v) => sum + value * Math.log(value / reference[v]!), 0)
        : reference.reduce((sum, value, v) => sum + value * Math.log(value / p[v]!), 0);
    // dL/dlogits, the same for every token but for the token itself.
    const slope = new Array<number>(VOCABULARY).fill(0);
    let loss = 0;
    tokens.forEach((list, s) => {
      const advantage = options.loss === "next-token" ? 1 : batch.sequences[s]!.advantage;
      for (const token of list) {
        loss -= (advantage * Math.log(p[token]!)) / divisor;
        p.forEach((value, v) => {
          slope[v]! += (advantage * (value - (v === token ? 1 : 0))) / divisor;
          if (!options.kl) return;
          const pull = direction === "policy-reference" ? value * (Math.log(value / reference[v]!) - kl) : value - reference[v]!;
          slope[v]! += (options.kl.weight * pull) / divisor;
        });
      }
    });
    const z: Record<string, Float32Array> = {};
    for (const [name, table] of this.#tables) {
      if (options.targets && !options.targets.includes(name)) continue;
      z[name] = Float32Array.from(this.sigmaOf(), (sigma, i) => slope.reduce((sum, value, v) => sum + value * sigma * table[v]![i]!, 0));
    }
    return {
      loss,
      kl: options.kl ? kl : 0,
      z,
      logprobs: tokens.map((list) => Float32Array.from(list, (token) => Math.log(p[token]!))),
      cost: { promptTokens: 0, completionTokens: total, milliseconds: {} },
    };
  }

  select(targets: Targets): MatrixShape[] {
    return selectMatrices(this.info.matrices, targets);
  }

  async decompose(options: { signal?: AbortSignal } = {}): Promise<unknown> {
    throwIfAborted(options.signal, "The table");
    return {};
  }

  async fingerprint(): Promise<string> {
    return "0".repeat(64);
  }

  async sigma(): Promise<Float32Array> {
    return Float32Array.from(this.sigmaOf());
  }
}
