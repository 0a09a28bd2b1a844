#!/usr/bin/env python3
"""Records the rotary inverse frequencies that transformers computes, for test/golden/rope.test.ts.

    python test/golden/record-rope.py test/golden/data/rope.json

Configurations are written the way a user's config.json has them (both generations of the format), with the frequencies of the model that
transformers builds from them.
"""
import json
import sys

import transformers
from transformers import LlamaConfig, MistralConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.mistral.modeling_mistral import MistralRotaryEmbedding

SIZES = {"hidden_size": 256, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
CASES = [
    ("llama", {"max_position_embeddings": 2048}),
    ("llama", {"rope_theta": 100000.0, "rope_scaling": None, "max_position_embeddings": 8192}),
    ("llama", {"rope_theta": 500000.0, "head_dim": 128, "max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3", **LLAMA3}}),
    ("llama", {"head_dim": 64, "max_position_embeddings": 131072,
               "rope_parameters": {"rope_theta": 500000.0, "rope_type": "llama3", **LLAMA3, "factor": 32.0}}),
    ("llama", {"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.5}, "max_position_embeddings": 4096}),
    ("llama", {"rope_parameters": {"rope_theta": 25000.0, "rope_type": "default"}, "max_position_embeddings": 4096, "head_dim": 20}),
    ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 4.0}, "rope_theta": 10000.0, "max_position_embeddings": 4096}),
    ("llama", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}, "rope_theta": 10000.0,
               "max_position_embeddings": 4096}),
    ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 256, "rope_theta": 150000.0, "truncate": False,
                                   "beta_fast": 24.0, "beta_slow": 2.0, "mscale": 1.0, "mscale_all_dim": 0.8}, "max_position_embeddings": 4096}),
    ("mistral", {"rope_theta": 1000000.0, "max_position_embeddings": 32768, "sliding_window": None, "num_key_value_heads": 2, "head_dim": 128}),
]


def main():
    cases = []
    for kind, extra in CASES:
        config = {"model_type": kind, **SIZES, **extra}
        cls, rotary = (LlamaConfig, LlamaRotaryEmbedding) if kind == "llama" else (MistralConfig, MistralRotaryEmbedding)
        embedding = rotary(cls(**json.loads(json.dumps(config))))
        # fp32 bit patterns: decimal text would need care to come back exactly
        bits = embedding.inv_freq.float().numpy().view("uint32").tolist()
        cases.append({"config": config, "bits": bits, "attention": float(embedding.attention_scaling)})
    with open(sys.argv[1], "w") as file:
        json.dump({"transformers": transformers.__version__, "cases": cases}, file, separators=(",", ":"))
        file.write("\n")


main()
