// config.json: both generations, defaults of the families, and that nothing which changes the mathematics passes unnoticed.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { parseModelConfig, readModelConfig } from "../../lib/model/config.js";

const llama = {
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 100,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  torch_dtype: "bfloat16",
  bos_token_id: 1,
  eos_token_id: 2,
};

t.test("both generations of the format say the same", async (t) => {
  const old = parseModelConfig({ ...llama, rope_theta: 5e5, rope_scaling: { type: "linear", factor: 2 } });
  const { torch_dtype: _, ...rest } = llama;
  const recent = parseModelConfig({
    ...rest,
    dtype: "bfloat16",
    rope_parameters: { rope_type: "linear", factor: 2, rope_theta: 5e5 },
    hidden_act: "silu",
  });
  t.same(old, recent);
  t.match(old, { headDim: 16, kvHeads: 2, tiedHead: true, dtype: "BF16", contextLength: 512, prefix: "", attentionBias: false });
  t.equal(old.ropeInverseFrequencies[0], 0.5);
  t.same([...old.slidingWindow], [0, 0, 0]);
});

t.test("what a missing key means", async (t) => {
  const { num_key_value_heads: _k, rms_norm_eps: _r, tie_word_embeddings: _t, max_position_embeddings: _m, ...bare } = llama;
  t.match(parseModelConfig(bare), { kvHeads: 4, rmsNormEps: 1e-6, tiedHead: false, contextLength: 2048 });
  const mistral = { ...bare, model_type: "mistral", architectures: ["MistralForCausalLM"], num_attention_heads: 8 };
  t.match(parseModelConfig(mistral), { kvHeads: 8, contextLength: 131072, architecture: "MistralForCausalLM" });
  t.same([...parseModelConfig(mistral).slidingWindow], [4096, 4096, 4096]);
  t.same([...parseModelConfig({ ...mistral, sliding_window: null }).slidingWindow], [0, 0, 0]);
  t.same([...parseModelConfig({ ...mistral, sliding_window: 8, use_sliding_window: false }).slidingWindow], [0, 0, 0]);
  t.same(
    [...parseModelConfig({ ...mistral, sliding_window: 8, layer_types: Array(3).fill("sliding_attention") }).slidingWindow],
    [8, 8, 8],
  );
  t.equal(parseModelConfig({ ...llama, head_dim: 32 }).headDim, 32, "head_dim need not be hidden / heads");
  t.equal(parseModelConfig({ ...llama, torch_dtype: undefined }).dtype, undefined);
});

t.test("end-of-sequence ids", async (t) => {
  t.same(parseModelConfig(llama).eosTokenIds, [2]);
  t.same(parseModelConfig(llama, { eos_token_id: [7, 9, 7] }).eosTokenIds, [7, 9], "generation_config.json wins");
  t.same(parseModelConfig({ ...llama, eos_token_id: null }).eosTokenIds, []);
  t.equal(parseModelConfig(llama).bosTokenId, 1);
  t.throws(() => parseModelConfig({ ...llama, eos_token_id: "</s>" }), { code: "ERR_T2_INVALID_CHECKPOINT" });
});

const refusals: Record<string, unknown> = {
  model_type: "qwen2",
  architectures: ["LlamaForSequenceClassification"],
  hidden_act: "gelu",
  mlp_bias: true,
  attention_bias: true,
  pretraining_tp: 2,
  partial_rotary_factor: 0.5,
  quantization_config: { quant_method: "gptq", bits: 4 },
  sliding_window: 128,
  rope_scaling: { rope_type: "longrope", factor: 2 },
  rope_parameters: { rope_type: "default", mrope_section: [8, 4, 4] },
  torch_dtype: "float8_e4m3fn",
  final_logit_softcapping: 30,
  num_local_experts: 8,
  use_qk_norm: true,
  embedding_multiplier: 12,
  some_new_attention_scale: 0.5,
};
for (const [key, value] of Object.entries(refusals)) {
  t.test(`${key}: ${JSON.stringify(value)} is refused`, async (t) => {
    t.throws(() => parseModelConfig({ ...llama, [key]: value }), { code: "ERR_T2_UNSUPPORTED_MODEL", message: /support|not known|F32/ });
  });
}
t.test("parameters per layer type, nested", async (t) => {
  const nested = { full_attention: { rope_type: "default", rope_theta: 1e4 } };
  t.throws(() => parseModelConfig({ ...llama, rope_parameters: nested }), { code: "ERR_T2_UNSUPPORTED_MODEL" });
});

t.test("what says nothing about the mathematics is let through", async (t) => {
  const harmless = {
    _name_or_path: "someone/model",
    transformers_version: "5.0.0",
    use_cache: true,
    attention_dropout: 0.1,
    initializer_range: 0.02,
    mlp_bias: false,
    attention_bias: false,
    pretraining_tp: 1,
    quantization_config: null,
    logit_softcapping: false,
    unsloth_fixed: true,
    pad_token_id: 0,
  };
  t.same(parseModelConfig({ ...llama, ...harmless }), parseModelConfig(llama));
});

const malformed: Record<string, unknown> = {
  hidden_size: "64",
  num_hidden_layers: 0,
  num_attention_heads: 4.5,
  num_key_value_heads: 3,
  vocab_size: -1,
  head_dim: 15,
  rms_norm_eps: 0,
  max_position_embeddings: 1e12,
  tie_word_embeddings: "yes",
  rope_theta: 0,
  rope_scaling: { type: "linear", factor: "two" },
  rope_parameters: 3,
};
for (const [key, value] of Object.entries(malformed)) {
  t.test(`${key}: ${JSON.stringify(value)} is out of range`, async (t) => {
    t.throws(() => parseModelConfig({ ...llama, [key]: value }), { code: "ERR_T2_INVALID_CHECKPOINT", detail: { key: String } });
  });
}
t.test("missing sizes", async (t) => {
  const { intermediate_size: _, ...rest } = llama;
  t.throws(() => parseModelConfig(rest), { code: "ERR_T2_INVALID_CHECKPOINT", message: /"intermediate_size".*missing/ });
});

t.test("folders", async (t) => {
  const folder = t.testdir({ empty: {}, broken: { "config.json": '{"model_type": "lla' }, list: { "config.json": "[]" } });
  await t.rejects(readModelConfig(join(folder, "nowhere")), { code: "ERR_T2_MODEL_NOT_FOUND" });
  await t.rejects(readModelConfig(join(folder, "empty")), { code: "ERR_T2_MODEL_NOT_FOUND", message: /config\.json/ });
  await t.rejects(readModelConfig(join(folder, "broken")), { code: "ERR_T2_INVALID_CHECKPOINT" });
  await t.rejects(readModelConfig(join(folder, "list")), { code: "ERR_T2_INVALID_CHECKPOINT" });
  mkdirSync(join(folder, "good"));
  writeFileSync(join(folder, "good/config.json"), JSON.stringify(llama));
  writeFileSync(join(folder, "good/generation_config.json"), JSON.stringify({ eos_token_id: [5, 6] }));
  t.match(await readModelConfig(join(folder, "good")), { eosTokenIds: [5, 6], layers: 3 });
});
