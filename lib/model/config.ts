// config.json and generation_config.json of a Hugging Face folder → what the engine needs to know. Both generations of the format are
// read. Whatever would change the mathematics in a way the engine does not have is an error, never a silently wrong answer.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { ModelSpec } from "../../typings/addon.js";
import { Transformer2Error } from "../errors.js";
import { ConfigReader, invalid, unsupported } from "./config-reader.js";
import type { WeightDtype } from "./info.js";
import { isJsonObject, type JsonObject, readJsonFile } from "./json-file.js";
import { readRope } from "./rope-config.js";

/** Everything but the files and their prefix, which lib/model/checkpoint.ts finds. */
export interface ModelConfig extends Omit<ModelSpec, "files"> {
  readonly modelType: ModelType;
  /** e.g. "LlamaForCausalLM" */
  readonly architecture: string;
  readonly bosTokenId: number | undefined;
  /** Tokens that end an answer: of generation_config.json, or else of config.json; empty when neither names one. */
  readonly eosTokenIds: readonly number[];
  /** What config.json says; tensors may differ. Undefined when it says nothing or "auto". */
  readonly dtype: WeightDtype | undefined;
}

export const modelTypes = ["llama", "mistral"] as const;

export type ModelType = (typeof modelTypes)[number];

const architectures: Readonly<Record<ModelType, string>> = { llama: "LlamaForCausalLM", mistral: "MistralForCausalLM" };

/** What a missing key means, as in transformers; other keys must be there. */
const defaults: Readonly<Record<ModelType, JsonObject>> = {
  llama: { rms_norm_eps: 1e-6, max_position_embeddings: 2048, hidden_act: "silu", tie_word_embeddings: false, sliding_window: null },
  mistral: {
    rms_norm_eps: 1e-6,
    max_position_embeddings: 131072,
    hidden_act: "silu",
    tie_word_embeddings: false,
    sliding_window: 4096,
    num_key_value_heads: 8,
  },
};

/** Keys that change the mathematics, with the values at which they do not. */
const neutral: Readonly<Record<string, readonly unknown[]>> = {
  hidden_act: ["silu", "swish"],
  mlp_bias: [false],
  attention_bias: [false],
  qkv_bias: [false],
  pretraining_tp: [1, 0],
  partial_rotary_factor: [1],
  rope_interleaved: [false],
  use_qk_norm: [false],
  qk_layernorm: [false],
  parallel_residual: [false],
  use_parallel_residual: [false],
  tie_encoder_decoder: [false],
  is_encoder_decoder: [false],
  add_cross_attention: [false],
  is_decoder: [false, true],
  position_embedding_type: ["rope", "rotary"],
  embedding_multiplier: [1],
  residual_multiplier: [1],
  logits_scaling: [1],
  logit_scale: [1],
  alibi: [false],
};

/** Keys that name things, or matter only to training or to other programs, though they look like the ones above. */
const harmless = new Set([
  "attention_dropout", // only in training, and transformers trains SVF without it too
  "residual_dropout",
  "initializer_range",
  "scale_attn_weights",
  "use_cache",
  "use_bfloat16",
  "max_window_layers",
  "attn_implementation",
  "_attn_implementation",
  "_attn_implementation_autoset",
  "_attn_implementation_internal",
  "original_max_position_embeddings",
  "output_attentions",
  "output_router_logits",
  "transformers.js_config",
  "experts_implementation",
  "_experts_implementation",
]);

/** An unknown key that looks like this, with a value that switches something on, is refused. */
const suspicious =
  /norm|rope|rotary|bias|scal|cap$|capping|clip|expert|multiplier|window|moe|lora|quant|alibi|residual|attn|attention|temperature|_act|mtp/i;

/**
 * Reads a model folder's configuration.
 * Throws `ERR_T2_MODEL_NOT_FOUND` without folder or config.json, `ERR_T2_INVALID_CHECKPOINT` when a file is malformed or a value is out of
 * range, `ERR_T2_UNSUPPORTED_MODEL` for an architecture or a setting that the engine does not have, `ERR_T2_IO`.
 */
export async function readModelConfig(folder: string): Promise<ModelConfig> {
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw notFound(`There is no model folder "${folder}".`, folder);
  const [config, generation] = await Promise.all([
    readJsonFile(join(folder, "config.json"), "ERR_T2_INVALID_CHECKPOINT"),
    readJsonFile(join(folder, "generation_config.json"), "ERR_T2_INVALID_CHECKPOINT"),
  ]);
  if (!config) throw notFound(`"${folder}" has no config.json, so it is not a Hugging Face model folder.`, join(folder, "config.json"));
  return parseModelConfig(config, generation ?? {});
}

/** As `readModelConfig`, from parsed files. */
export function parseModelConfig(config: JsonObject, generation: JsonObject = {}): ModelConfig {
  const modelType = checkModelType(config);
  checkMathematics(config);
  const read = new ConfigReader({ ...defaults[modelType], ...config });
  const hiddenSize = read.count("hidden_size");
  const layers = read.count("num_hidden_layers");
  const heads = read.count("num_attention_heads");
  const kvHeads = read.isSet("num_key_value_heads") ? read.count("num_key_value_heads") : heads;
  if (kvHeads > heads || heads % kvHeads !== 0) throw invalid("num_key_value_heads", `a divisor of the ${heads} attention heads`, kvHeads);
  if (!read.isSet("head_dim") && hiddenSize % heads !== 0)
    throw invalid("hidden_size", `a multiple of the ${heads} attention heads`, hiddenSize);
  const headDim = read.isSet("head_dim") ? read.count("head_dim") : hiddenSize / heads;
  if (headDim % 2 !== 0) throw invalid("head_dim", "even, for rotary embedding", headDim);
  const contextLength = read.count("max_position_embeddings");
  const vocabularySize = read.count("vocab_size");
  const rope = readRope(config, headDim, contextLength);
  return {
    modelType,
    architecture: architectures[modelType],
    prefix: "",
    hiddenSize,
    intermediateSize: read.count("intermediate_size"),
    layers,
    heads,
    kvHeads,
    headDim,
    vocabularySize,
    rmsNormEps: read.positive("rms_norm_eps"),
    tiedHead: read.flag("tie_word_embeddings"),
    ropeInverseFrequencies: rope.inverseFrequencies,
    ropeAttentionFactor: rope.attentionFactor,
    slidingWindow: new Int32Array(layers).fill(modelType === "mistral" ? slidingWindow(read, layers) : 0),
    attentionBias: false,
    contextLength,
    bosTokenId: tokenIds("bos_token_id", generation.bos_token_id ?? config.bos_token_id)[0],
    eosTokenIds: tokenIds("eos_token_id", generation.eos_token_id ?? config.eos_token_id),
    dtype: weightDtype(config.dtype ?? config.torch_dtype),
  };
}

function checkModelType(config: JsonObject): ModelType {
  const { model_type: type, architectures: names } = config;
  const supported = `Supported are the model types ${modelTypes.join(" and ")}, as ${Object.values(architectures).join(" and ")}.`;
  const modelType = modelTypes.find((known) => known === type);
  if (!modelType) throw unsupported(`The model type ${JSON.stringify(type ?? null)} is not supported. ${supported}`, "model_type", type);
  const architecture = architectures[modelType];
  if (names !== undefined && names !== null && !(Array.isArray(names) && names.includes(architecture))) {
    throw unsupported(`The architecture ${JSON.stringify(names)} is not supported. ${supported}`, "architectures", names);
  }
  return modelType;
}

/** Keys that this file or lib/model/rope-config.ts reads. */
const used = new Set([
  ...["model_type", "architectures", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"],
  ...["head_dim", "vocab_size", "rms_norm_eps", "tie_word_embeddings", "max_position_embeddings", "sliding_window", "use_sliding_window"],
  ...["layer_types", "rope_theta", "rope_scaling", "rope_parameters", "bos_token_id", "eos_token_id", "dtype", "torch_dtype"],
]);

function checkMathematics(config: JsonObject): void {
  for (const [key, value] of Object.entries(config)) {
    if (used.has(key) || harmless.has(key) || value === null) continue;
    const allowed = Object.hasOwn(neutral, key) ? neutral[key] : undefined;
    if (allowed) {
      if (!allowed.includes(value))
        throw unsupported(`${refused(key, value)}; supported is ${allowed.map((v) => JSON.stringify(v)).join(" or ")}.`, key, value);
    } else if (key === "quantization_config") {
      const method = isJsonObject(value) ? value.quant_method : undefined;
      throw unsupported(
        `The checkpoint is quantised (${JSON.stringify(method ?? "unknown method")}). Use one in F32, F16 or BF16.`,
        key,
        value,
      );
    } else if (suspicious.test(key) && switchesOn(value)) {
      throw unsupported(`${refused(key, value)}; this key is not known, and it may change what the model computes.`, key, value);
    }
  }
  if (config.model_type === "llama" && config.sliding_window && config.use_sliding_window !== false) {
    throw unsupported(
      `${refused("sliding_window", config.sliding_window)} for a llama; supported is null.`,
      "sliding_window",
      config.sliding_window,
    );
  }
}

function refused(key: string, value: unknown): string {
  return `config.json sets "${key}" to ${JSON.stringify(value)}`;
}

function switchesOn(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return value !== false && value !== "";
}

/** Tokens a query looks back, itself included, in every layer; 0: all. */
function slidingWindow(read: ConfigReader, layers: number): number {
  const types = read.value("layer_types");
  const window = read.isSet("sliding_window") && read.value("use_sliding_window") !== false ? read.count("sliding_window") : 0;
  if (types === undefined || types === null) return window;
  if (!Array.isArray(types) || types.length !== layers) throw invalid("layer_types", `a list of ${layers} types, one per layer`, types);
  const expected = window > 0 ? "sliding_attention" : "full_attention";
  // transformers' Mistral ignores the list and uses the window in every layer, so a mixed list is a model it cannot run either.
  if (types.some((type) => type !== expected)) {
    throw unsupported(
      `config.json mixes layer types or contradicts sliding_window; supported is "${expected}" in every layer.`,
      "layer_types",
      types,
    );
  }
  return window;
}

function weightDtype(value: unknown): WeightDtype | undefined {
  if (value === undefined || value === null || value === "auto") return undefined;
  const name = String(value).replace(/^torch\./, "");
  const dtype = ({ float32: "F32", float16: "F16", bfloat16: "BF16" } as const)[name];
  if (!dtype)
    throw unsupported(`The dtype ${JSON.stringify(value)} is not supported; supported are float32, float16 and bfloat16.`, "dtype", value);
  return dtype;
}

function tokenIds(key: string, value: unknown): number[] {
  if (value === undefined || value === null) return [];
  const list = Array.isArray(value) ? value : [value];
  for (const id of list)
    if (!Number.isSafeInteger(id) || id < 0 || id > 0x7fffffff) throw invalid(key, "a token id or a list of token ids", value);
  return [...new Set(list as number[])];
}

function notFound(message: string, path: string): Transformer2Error {
  return new Transformer2Error("ERR_T2_MODEL_NOT_FOUND", message, { detail: { path } });
}
