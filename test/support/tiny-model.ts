// Writes a Llama checkpoint of a few kilobytes in Hugging Face format: random weights, one token per byte, a chat template.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../../lib/util/random.js";

export interface TinyOptions {
  hiddenSize?: number;
  intermediateSize?: number;
  layers?: number;
  heads?: number;
  kvHeads?: number;
  contextLength?: number;
  seed?: number;
  chatTemplate?: boolean;
}

/** Ids 0–255 are bytes, then these. */
export const special = { "<|user|>": 256, "<|assistant|>": 257, "<|end|>": 258 } as const;
export const vocabularySize = 264;

/** GPT-2's map from bytes to printable characters. */
function byteCharacters(): string[] {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

function tokenizerJson(): object {
  const vocab: Record<string, number> = {};
  byteCharacters().forEach((character, byte) => {
    vocab[character] = byte;
  });
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: Object.entries(special).map(([content, id]) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges: [],
    },
  };
}

/** Makes `folder` with config.json, generation_config.json, tokenizer.json, tokenizer_config.json and model.safetensors (F32). */
export function writeTinyModel(folder: string, options: TinyOptions = {}): string {
  const { hiddenSize = 16, intermediateSize = 24, layers = 2, heads = 2, kvHeads = 1, contextLength = 128, seed = 1 } = options;
  const headDim = hiddenSize / heads;
  mkdirSync(folder, { recursive: true });
  const json = (name: string, value: object) => writeFileSync(join(folder, name), JSON.stringify(value));
  json("config.json", {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: hiddenSize,
    intermediate_size: intermediateSize,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    max_position_embeddings: contextLength,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    rope_scaling: null,
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: true,
    torch_dtype: "float32",
    vocab_size: vocabularySize,
    eos_token_id: special["<|end|>"],
    pad_token_id: special["<|end|>"],
  });
  json("generation_config.json", { eos_token_id: special["<|end|>"] });
  json("tokenizer.json", tokenizerJson());
  json("tokenizer_config.json", {
    tokenizer_class: "PreTrainedTokenizerFast",
    eos_token: "<|end|>",
    clean_up_tokenization_spaces: false,
    ...(options.chatTemplate === false
      ? {}
      : {
          chat_template:
            "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}" +
            "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}" +
            "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
        }),
  });

  const random = new Random(seed, "tiny-model");
  const tensors: [string, number[]][] = [["model.embed_tokens.weight", [vocabularySize, hiddenSize]]];
  for (let layer = 0; layer < layers; layer++) {
    const name = (tail: string) => `model.layers.${layer}.${tail}.weight`;
    tensors.push(
      [name("input_layernorm"), [hiddenSize]],
      [name("self_attn.q_proj"), [heads * headDim, hiddenSize]],
      [name("self_attn.k_proj"), [kvHeads * headDim, hiddenSize]],
      [name("self_attn.v_proj"), [kvHeads * headDim, hiddenSize]],
      [name("self_attn.o_proj"), [hiddenSize, heads * headDim]],
      [name("post_attention_layernorm"), [hiddenSize]],
      [name("mlp.gate_proj"), [intermediateSize, hiddenSize]],
      [name("mlp.up_proj"), [intermediateSize, hiddenSize]],
      [name("mlp.down_proj"), [hiddenSize, intermediateSize]],
    );
  }
  tensors.push(["model.norm.weight", [hiddenSize]]);

  const header: Record<string, object> = { __metadata__: { format: "pt" } };
  let offset = 0;
  const parts: Float32Array[] = [];
  // Large models repeat a block of numbers: drawing every one takes longer than the test.
  const block = Float32Array.from({ length: 1 << 14 }, () => random.normal());
  for (const [name, shape] of tensors) {
    const size = shape.reduce((a, b) => a * b, 1);
    const scale = shape.length === 1 ? 0.1 : 0.6 / Math.sqrt(shape[1] ?? 1);
    const [shift, step] = [random.int(block.length), 2 * random.int(block.length / 2) + 1];
    const data = new Float32Array(size);
    const base = shape.length === 1 ? 1 : 0;
    for (let i = 0; i < size; i++) {
      const turn = Math.floor(i / block.length) * 7919; // rows of a matrix must not repeat
      data[i] = base + scale * (block[(shift + i * step + turn) % block.length] as number);
    }
    header[name] = { dtype: "F32", shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
    parts.push(data);
  }
  const text = JSON.stringify(header);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  writeFileSync(
    join(folder, "model.safetensors"),
    Buffer.concat([length, padded, ...parts.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength))]),
  );
  return folder;
}
