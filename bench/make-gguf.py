#!/usr/bin/env python3
"""Writes a Llama-family Hugging Face folder as a GGUF file with the same BF16 weights, for the peers of `npm run bench`.

    python3 -m venv .venv && .venv/bin/pip install numpy gguf
    .venv/bin/python bench/make-gguf.py MODEL_FOLDER bench/peers/NAME.gguf
"""
import json, struct, sys
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter

folder, out = sys.argv[1:3]
config = json.load(open(f"{folder}/config.json"))
tokenizer = json.load(open(f"{folder}/tokenizer.json"))
heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]

w = GGUFWriter(out, "llama")
w.add_context_length(config["max_position_embeddings"])
w.add_embedding_length(config["hidden_size"])
w.add_block_count(config["num_hidden_layers"])
w.add_feed_forward_length(config["intermediate_size"])
w.add_head_count(heads)
w.add_head_count_kv(kv_heads)
w.add_layer_norm_rms_eps(config["rms_norm_eps"])
w.add_rope_freq_base(config["rope_theta"])
w.add_rope_dimension_count(config["hidden_size"] // heads)
w.add_vocab_size(config["vocab_size"])
w.add_file_type(32)  # mostly BF16

vocab = {i: t for t, i in tokenizer["model"]["vocab"].items()}
special = {t["id"]: t["content"] for t in tokenizer["added_tokens"]}
w.add_tokenizer_model("gpt2")
w.add_tokenizer_pre("smollm")
w.add_token_list([special.get(i) or vocab.get(i) or f"[unused{i}]" for i in range(config["vocab_size"])])
w.add_token_types([3 if i in special else 1 for i in range(config["vocab_size"])])
w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])
w.add_bos_token_id(config["bos_token_id"])
w.add_eos_token_id(config["eos_token_id"])

NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_name(name):
    if name == "model.embed_tokens.weight": return "token_embd.weight"
    if name == "model.norm.weight": return "output_norm.weight"
    if name == "lm_head.weight": return "output.weight"
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{NAMES[part]}.weight"


def permute(x, n):
    """Hugging Face keeps a head's rotary halves apart; GGUF interleaves them."""
    return x.reshape(n, 2, x.shape[0] // n // 2, x.shape[1]).swapaxes(1, 2).reshape(x.shape)


with open(f"{folder}/model.safetensors", "rb") as f:
    header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    start = f.tell()
    for name, t in header.items():
        if name == "__metadata__": continue
        assert t["dtype"] == "BF16", "only BF16 checkpoints"
        f.seek(start + t["data_offsets"][0])
        x = np.frombuffer(f.read(t["data_offsets"][1] - t["data_offsets"][0]), np.uint16).reshape(t["shape"])
        if ".q_proj." in name: x = permute(x, heads)
        if ".k_proj." in name: x = permute(x, kv_heads)
        if x.ndim == 1:
            w.add_tensor(gguf_name(name), (x.astype(np.uint32) << 16).view(np.float32))
        else:
            x = np.ascontiguousarray(x)
            w.add_tensor(gguf_name(name), x.view(np.uint8), raw_shape=(x.shape[0], x.shape[1] * 2), raw_dtype=GGMLQuantizationType.BF16)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
print(out)
