#!/usr/bin/env python3
"""Makes small random checkpoints and records what transformers computes with them, for test/golden/models.test.ts.

    OMP_NUM_THREADS=1 python test/golden/record-models.py test/golden/fixtures

Each folder of fixtures/ is a model as a user would have it (config.json in one of its two generations, safetensors, a tokenizer of single
characters) with expected.safetensors and expected.json: logits, log-probs, greedy tokens, losses, KL, and the gradient of z for every matrix,
by autograd through U diag(sigma z) Vh at a random z near 1. Everything is fp32 on one thread; stored weights are taken as they are.
Made with torch 2.15 and transformers 5.23; another version changes the expected numbers in their last bits, not the checkpoints.
"""
import json
import os
import shutil
import sys

import torch
from safetensors.torch import save_file
from torch.func import functional_call
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY, EOS = 96, 95
LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
MISTRAL = {"architectures": ["MistralForCausalLM"], "model_type": "mistral"}
COMMON = {"hidden_act": "silu", "num_hidden_layers": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "vocab_size": VOCABULARY,
          "eos_token_id": EOS, "use_cache": True}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
OLD, NEW = {"torch_dtype": "float32"}, {"dtype": "float32"}

# name: (config.json, torch dtype of the stored weights, number of shards)
MODELS = {
    "llama-tied": ({**LLAMA, **COMMON, **OLD, "hidden_size": 48, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4,
                    "rope_theta": 10000.0, "rope_scaling": None, "tie_word_embeddings": True}, torch.float32, 1),
    "llama-head-dim": ({**LLAMA, **COMMON, **NEW, "hidden_size": 40, "intermediate_size": 56, "num_attention_heads": 4, "num_key_value_heads": 2,
                        "head_dim": 14, "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
                        "tie_word_embeddings": False}, torch.float32, 1),
    "llama3-scaling": ({**LLAMA, **COMMON, **OLD, "hidden_size": 64, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 1,
                        "rope_theta": 500000.0, "rope_scaling": LLAMA3, "tie_word_embeddings": True}, torch.float32, 1),
    "linear-scaling-sharded": ({**LLAMA, **COMMON, **NEW, "hidden_size": 32, "intermediate_size": 60, "num_attention_heads": 4,
                                "num_key_value_heads": 2, "num_hidden_layers": 3,
                                "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0},
                                "tie_word_embeddings": False}, torch.float32, 2),
    "mistral-window": ({**MISTRAL, **COMMON, **OLD, "hidden_size": 48, "intermediate_size": 40, "num_attention_heads": 6,
                        "num_key_value_heads": 3, "head_dim": 10, "rope_theta": 10000.0, "sliding_window": 7,
                        "tie_word_embeddings": False}, torch.float32, 1),
    "mistral-window-new": ({**MISTRAL, **COMMON, **NEW, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4,
                            "num_key_value_heads": 1, "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0}, "sliding_window": 5,
                            "tie_word_embeddings": True}, torch.float32, 1),
    "llama-bf16": ({**LLAMA, **COMMON, "torch_dtype": "bfloat16", "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4,
                    "num_key_value_heads": 2, "rope_theta": 10000.0, "tie_word_embeddings": True}, torch.bfloat16, 1),
    "llama-f16": ({**LLAMA, **COMMON, "dtype": "float16", "hidden_size": 48, "intermediate_size": 72, "num_attention_heads": 4,
                   "num_key_value_heads": 2, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
                   "tie_word_embeddings": False}, torch.float16, 1),
}
KL_WEIGHT = 0.3


def character_tokenizer():
    """One token per printable character (id = code - 32, so that text and tokens are the same thing), and the end token."""
    letters = {("\u0120" if code == 32 else chr(code)): code - 32 for code in range(32, 127)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    end = {"id": EOS, "content": "<end>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [end], "normalizer": None, "pre_tokenizer": byte_level,
            "post_processor": None, "decoder": byte_level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": {**letters, "<end>": EOS}, "merges": []}}


def write_json(path, value):
    with open(path, "w") as f:
        json.dump(value, f, ensure_ascii=False, indent=1)
        f.write("\n")


def random_weights(model, generator):
    """Larger than transformers' own start values, so that attention is not uniform and logits differ by some units."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            x = torch.randn(p.shape, generator=generator)
            if "norm" in name:
                p.copy_(1 + 0.2 * x)
            elif "embed" in name or "lm_head" in name:
                p.copy_(0.5 * x)
            else:
                p.copy_(1.2 * x / p.shape[1] ** 0.5)


def save(model, folder, config, dtype, shards):
    os.makedirs(folder)
    write_json(f"{folder}/config.json", config)
    write_json(f"{folder}/generation_config.json", {"eos_token_id": EOS})
    write_json(f"{folder}/tokenizer.json", character_tokenizer())
    write_json(f"{folder}/tokenizer_config.json",
               {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>", "clean_up_tokenization_spaces": False})
    tensors = {n: p.detach().to(dtype).contiguous() for n, p in model.named_parameters()}
    if shards == 1:
        save_file(tensors, f"{folder}/model.safetensors", metadata={"format": "pt"})
        return
    names, where = list(tensors), {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = names[i * len(names) // shards:(i + 1) * len(names) // shards]
        save_file({n: tensors[n] for n in part}, f"{folder}/{file}", metadata={"format": "pt"})
        where.update({n: file for n in part})
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    write_json(f"{folder}/model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})


def load(folder, dtype):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def greedy(logits_of, prompt, count):
    """Tokens and the smallest lead of a winner: a test may only ask for equality where no tie is near."""
    tokens, lead = list(prompt), float("inf")
    for _ in range(count):
        top = logits_of(tokens)[-1].topk(2)
        lead = min(lead, (top.values[0] - top.values[1]).item())
        tokens.append(top.indices[0].item())
        if tokens[-1] == EOS:
            break
    return tokens[len(prompt):], lead


class Adapted:
    """The model with W' = U diag(sigma z) Vh in its matrices, differentiable in z."""

    def __init__(self, model, generator):
        self.model, self.factors, self.z = model, {}, {}
        for name, p in model.named_parameters():
            if p.dim() == 2 and "proj" in name:
                u, s, vh = torch.linalg.svd(p.detach().double(), full_matrices=False)
                assert ((s[:-1] - s[1:]) / s[0]).min() > 1e-6, f"{name}: singular values too close to be told apart"
                matrix = name.removesuffix(".weight")
                self.factors[matrix] = (u, s, vh)
                self.z[matrix] = (1 + 0.1 * torch.randn(s.shape, generator=generator)).float().requires_grad_()

    def logits(self, tokens):
        weights = {f"{n}.weight": ((u * (s * self.z[n].double())) @ vh).float() for n, (u, s, vh) in self.factors.items()}
        return functional_call(self.model, weights, (torch.tensor([tokens]),)).logits[0]


def batch(generator):
    """Four sequences, two of them of one prompt; the first is longer than any window and than llama3's original context."""
    draw = lambda n: torch.randint(0, EOS, (n,), generator=generator).tolist()
    shared = draw(9)
    parts = [(draw(23), draw(11)), (shared, draw(6)), (shared, draw(4)), (draw(1), draw(3))]
    advantages = [0.75, -1.25, 1.5, -0.5]
    return [{"tokens": p + c, "promptLength": len(p), "advantage": a} for (p, c), a in zip(parts, advantages)]


def losses(adapted, reference, sequences, loss, reduction, direction):
    """As GradientOptions says; KL per completion token over the whole vocabulary."""
    objective, kl_objective, kl_sum, count, logprobs = 0.0, 0.0, 0.0, 0, []
    for s in sequences:
        n = s["promptLength"]
        policy = adapted.logits(s["tokens"])[n - 1:-1].log_softmax(-1)
        with torch.no_grad():
            base = reference(s["tokens"])[n - 1:-1].log_softmax(-1)
        chosen = policy.gather(1, torch.tensor(s["tokens"][n:])[:, None])[:, 0]
        kl = (policy.exp() * (policy - base)).sum(-1) if direction == "policy-reference" else (base.exp() * (base - policy)).sum(-1)
        objective = objective - (s["advantage"] if loss == "policy-gradient" else 1.0) * chosen.sum()
        kl_objective = kl_objective + kl.sum()
        count += len(chosen)
        logprobs.append(chosen.detach())
    over = len(sequences) if reduction == "sequence-mean" else count
    return objective / over, kl_objective / over, kl_objective.item() / count, logprobs


def record(name, root):
    config, dtype, shards = MODELS[name]
    folder = f"{root}/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    for seed in range(100):
        g = torch.Generator().manual_seed(1000 * list(MODELS).index(name) + seed)
        os.makedirs(folder)
        write_json(f"{folder}/config.json", config)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32, attn_implementation="eager")
        shutil.rmtree(folder)
        random_weights(model, g)
        save(model, folder, config, dtype, shards)
        model = load(folder, torch.float32)  # through the files, so that config.json is read as a user's is
        base = lambda tokens: model(torch.tensor([tokens])).logits[0]
        sequences = batch(g)
        adapted = Adapted(model, g)
        with torch.no_grad():
            runs = []
            for s in sequences:
                prompt = s["tokens"][:s["promptLength"]]
                for logits_of in (base, adapted.logits):
                    runs.append(greedy(logits_of, prompt, 24))
        if min(lead for _, lead in runs) > 5e-3:
            break
        shutil.rmtree(folder)
    else:
        raise SystemExit(f"{name}: a near tie in every draw")

    tensors, cases = {}, []
    with torch.no_grad():
        for i, s in enumerate(sequences):
            tensors[f"logits.{i}"] = base(s["tokens"])
            tensors[f"logits_z.{i}"] = adapted.logits(s["tokens"])
            tensors[f"logprobs_base.{i}"] = tensors[f"logits.{i}"].log_softmax(-1)[:-1].gather(1, torch.tensor(s["tokens"][1:])[:, None])[:, 0]
    for matrix, z in adapted.z.items():
        tensors[f"z.{matrix}"] = z.detach().clone()
    kinds = [("policy-gradient", "sequence-mean", None), ("next-token", "token-mean", None),
             ("policy-gradient", "sequence-mean", "policy-reference"), ("policy-gradient", "token-mean", "reference-policy")]
    for i, (loss, reduction, direction) in enumerate(kinds):
        value, kl_value, kl, logprobs = losses(adapted, base, sequences, loss, reduction, direction)
        total = value + KL_WEIGHT * kl_value if direction else value
        gradient = torch.autograd.grad(total, list(adapted.z.values()))
        for matrix, dz in zip(adapted.z, gradient):
            tensors[f"dz.{i}.{matrix}"] = dz
        case = {"loss": loss, "reduction": reduction, "value": value.item()}
        cases.append({**case, "kl": {"weight": KL_WEIGHT, "direction": direction, "value": kl}} if direction else case)
    for j, lp in enumerate(logprobs):
        tensors[f"logprobs_z.{j}"] = lp

    expected = {"sequences": sequences, "greedy": [tokens for tokens, _ in runs[0::2]], "greedyZ": [tokens for tokens, _ in runs[1::2]],
                "cases": cases}
    if dtype != torch.float32:
        # What storing weights in 16 bits costs PyTorch, which then computes in 16 bits too: largest difference over largest logit.
        low = load(folder, dtype)
        with torch.no_grad():
            expected["ownError"] = [((low(torch.tensor([s["tokens"]])).logits[0].float() - tensors[f"logits.{i}"]).abs().max()
                                     / tensors[f"logits.{i}"].abs().max()).item() for i, s in enumerate(sequences)]
    save_file({n: t.detach().float().contiguous() for n, t in tensors.items()}, f"{folder}/expected.safetensors")
    write_json(f"{folder}/expected.json", expected)
    print(f"{name}: seed {seed}, logits up to {tensors['logits.0'].abs().max():.1f}, std {tensors['logits.0'].std():.2f}, own error {expected.get('ownError')}")


def main():
    torch.set_num_threads(1)
    os.makedirs(sys.argv[1], exist_ok=True)
    for name in MODELS:
        record(name, sys.argv[1])


main()
