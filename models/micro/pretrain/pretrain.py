"""Pretrains the micro model: tokenizer and Llama weights from JSON lines written by scripts/micro-documents.ts.

Restartable: the same command goes on from the last checkpoint in --work and ends with the same weights. See ../README.md.
"""

import argparse
import json
import math
import os
import random
import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIALS = ["<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"]
PAD, USER, ASSISTANT, END = range(4)
# Words, numbers and runs of signs, each with the space before it: nearly every one becomes a single token.
WORDS = r" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+"
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}{{ message['content'] + '<|end|>' }}"
    "{%- else -%}{{ '<|user|>' + message['content'] + '<|assistant|>' }}{%- endif -%}"
    "{%- endfor -%}"
)
HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, INTERMEDIATE = 192, 4, 6, 2, 32, 512
THETA, EPS, CONTEXT = 10000.0, 1e-5, 256


# Tokenizer


def build_tokenizer(documents, vocabulary):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=8,
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in SPECIALS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = (text for document in documents for text in (document["prompt"], document["completion"]))
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer, folder):
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    write_json(
        os.path.join(folder, "tokenizer_config.json"),
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": "<|pad|>",
            "eos_token": "<|end|>",
            "add_bos_token": False,
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": CONTEXT,
            "chat_template": CHAT_TEMPLATE,
        },
    )


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


# Data


def encode(tokenizer, documents):
    """Per document: tokens (prompt, completion, end), the prompt's length, and whether each completion token counts."""
    examples = []
    for start in range(0, len(documents), 10000):
        part = documents[start : start + 10000]
        prompts = tokenizer.encode_batch([d["prompt"] for d in part], add_special_tokens=False)
        completions = tokenizer.encode_batch([d["completion"] for d in part], add_special_tokens=False)
        for document, prompt, completion in zip(part, prompts, completions):
            tokens = [USER, *prompt.ids, ASSISTANT, *completion.ids, END]
            mark = document.get("learnAfter")
            if mark is None:
                counts = [True] * (len(completion.ids) + 1)
            else:
                counts = [False] + [text.lstrip("\u0120") == mark for text in completion.tokens]
            examples.append((tokens, len(prompt.ids) + 2, counts))
    return examples


def make_batches(examples, tokens_per_batch, seed):
    """Batches of similar length, in an order that depends on the seed alone."""
    order = random.Random(seed)
    batches = []
    for start in range(0, len(examples), 3000):
        part = sorted(examples[start : start + 3000], key=lambda example: len(example[0]) + order.random() * 2)
        group, batch = [], []
        for example in part:
            if batch and len(example[0]) * (len(batch) + 1) > tokens_per_batch:
                group.append(batch)
                batch = []
            batch.append(example)
        group.append(batch)
        order.shuffle(group)
        batches += group
    return batches


def to_tensors(batch):
    """ids [rows, length]; where [n], the flat positions whose next token counts; targets [n]."""
    length = max(len(tokens) for tokens, _, _ in batch)
    ids = torch.full((len(batch), length), PAD, dtype=torch.long)
    where, targets = [], []
    for row, (tokens, prompt_length, counts) in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        for offset, counted in enumerate(counts):
            if counted:
                where.append(row * length + prompt_length + offset - 1)
                targets.append(tokens[prompt_length + offset])
    return ids, torch.tensor(where), torch.tensor(targets)


# Model: a Llama under Hugging Face's tensor names, [out, in] each


def initial_weights(vocabulary, seed):
    generator = torch.Generator().manual_seed(seed)

    def matrix(out, inside, scale=1.0):
        return torch.randn(out, inside, generator=generator) * (0.6 * scale / math.sqrt(inside))

    deep = 1 / math.sqrt(2 * LAYERS)
    weights = {"model.embed_tokens.weight": torch.randn(vocabulary, HIDDEN, generator=generator) * 0.02}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        weights[name + "input_layernorm.weight"] = torch.ones(HIDDEN)
        weights[name + "post_attention_layernorm.weight"] = torch.ones(HIDDEN)
        weights[name + "self_attn.q_proj.weight"] = matrix(HEADS * HEAD_DIM, HIDDEN)
        weights[name + "self_attn.k_proj.weight"] = matrix(KV_HEADS * HEAD_DIM, HIDDEN)
        weights[name + "self_attn.v_proj.weight"] = matrix(KV_HEADS * HEAD_DIM, HIDDEN)
        weights[name + "self_attn.o_proj.weight"] = matrix(HIDDEN, HEADS * HEAD_DIM, deep)
        weights[name + "mlp.gate_proj.weight"] = matrix(INTERMEDIATE, HIDDEN)
        weights[name + "mlp.up_proj.weight"] = matrix(INTERMEDIATE, HIDDEN)
        weights[name + "mlp.down_proj.weight"] = matrix(HIDDEN, INTERMEDIATE, deep)
    weights["model.norm.weight"] = torch.ones(HIDDEN)
    return weights


def rotary_tables():
    frequencies = THETA ** (-torch.arange(0, HEAD_DIM, 2).float() / HEAD_DIM)
    angles = torch.arange(CONTEXT).float()[:, None] * frequencies[None]
    return torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)  # [context, head_dim]


COS, SIN = rotary_tables()


def rotate(x):
    """x [rows, heads, length, head_dim], positions from 0."""
    half = HEAD_DIM // 2
    length = x.shape[2]
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * COS[:length] + turned * SIN[:length]


def normed(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * weight


def logits_at(weights, ids, where):
    """Logits [n, vocabulary] at the flat positions `where` of ids [rows, length]. Padding stands right, so causality hides it."""
    rows, length = ids.shape
    group = HEADS // KV_HEADS
    hide = torch.full((length, length), -1e9).triu(1).repeat(group, 1)  # [group * length, length]
    x = weights["model.embed_tokens.weight"][ids]
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."

        def linear(y, which):
            return F.linear(y, weights[name + which + ".weight"])

        h = normed(x, weights[name + "input_layernorm.weight"])
        q = linear(h, "self_attn.q_proj").view(rows, length, HEADS, HEAD_DIM).transpose(1, 2)
        k = linear(h, "self_attn.k_proj").view(rows, length, KV_HEADS, HEAD_DIM).transpose(1, 2)
        v = linear(h, "self_attn.v_proj").view(rows, length, KV_HEADS, HEAD_DIM).transpose(1, 2)
        # The query heads of one key head lie side by side: one product for all of them.
        q = rotate(q).reshape(rows, KV_HEADS, group * length, HEAD_DIM)
        scores = (q @ rotate(k).transpose(-1, -2)) * HEAD_DIM**-0.5 + hide
        mixed = (scores.softmax(-1) @ v).view(rows, HEADS, length, HEAD_DIM).transpose(1, 2).reshape(rows, length, -1)
        x = x + linear(mixed, "self_attn.o_proj")
        h = normed(x, weights[name + "post_attention_layernorm.weight"])
        x = x + linear(F.silu(linear(h, "mlp.gate_proj")) * linear(h, "mlp.up_proj"), "mlp.down_proj")
    x = x.reshape(rows * length, HIDDEN)[where]
    return F.linear(normed(x, weights["model.norm.weight"]), weights["model.embed_tokens.weight"])


# Training


@torch.no_grad()
def held_out_loss(weights, batches):
    total = count = 0
    for batch in batches:
        ids, where, targets = to_tensors(batch)
        total += F.cross_entropy(logits_at(weights, ids, where), targets, reduction="sum").item()
        count += len(targets)
    return total / count


def learning_rate(step, steps, peak):
    """Warm-up over 60 steps, constant for 30 % of all, then linear to 2 %."""
    done = step / steps
    return peak * min(1, (step + 1) / 60) * (1 if done < 0.3 else max(0.02, (1 - done) / 0.7))


def train(args, batches, check, vocabulary):
    weights = initial_weights(vocabulary, args.seed)
    for tensor in weights.values():
        tensor.requires_grad_()
    matrices = [t for name, t in weights.items() if t.dim() == 2 and "embed" not in name]
    rest = [t for name, t in weights.items() if t.dim() == 1 or "embed" in name]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98))
    checkpoint = os.path.join(args.work, "checkpoint.pt")
    step = tokens = 0
    if os.path.exists(checkpoint):
        saved = torch.load(checkpoint)
        step, tokens = saved["step"], saved["tokens"]
        optimiser.load_state_dict(saved["optimiser"])
        with torch.no_grad():
            for name, tensor in weights.items():
                tensor.copy_(saved["weights"][name])
        print(f"goes on at step {step}", flush=True)

    steps, mean, started, since = len(batches), None, time.time(), tokens
    while step < steps:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, args.lr)
        ids, where, targets = to_tensors(batches[step])
        # BF16 products, FP32 everything else: faster, and the weights get used to the rounding they are saved with.
        with torch.autocast("cpu", torch.bfloat16):
            logits = logits_at(weights, ids, where)
        loss = F.cross_entropy(logits.float(), targets)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimiser.step()
        step += 1
        tokens += ids.numel()
        mean = loss.item() if mean is None else 0.97 * mean + 0.03 * loss.item()
        if step % 100 == 0:
            speed = (tokens - since) / (time.time() - started)
            print(f"step {step}/{steps} loss {mean:.3f} tokens {tokens} tokens/s {speed:.0f} seconds {time.time() - started:.0f}", flush=True)
        if step % 500 == 0 or step == steps:
            state = {"step": step, "tokens": tokens, "weights": weights, "optimiser": optimiser.state_dict()}
            torch.save(state, checkpoint + ".new")
            os.replace(checkpoint + ".new", checkpoint)
        if step % 1000 == 0 or step == steps:
            print(f"held-out loss {held_out_loss(weights, check):.4f}", flush=True)
            save_model(weights, vocabulary, args.out)
    print(f"done: {steps} steps, {tokens} tokens", flush=True)


def save_model(weights, vocabulary, folder):
    tensors = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in weights.items()}
    path = os.path.join(folder, "model.safetensors")
    save_file(tensors, path + ".new", metadata={"format": "pt"})
    os.replace(path + ".new", path)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": EPS,
        "rope_theta": THETA,
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": END,
        "pad_token_id": PAD,
    }
    write_json(os.path.join(folder, "config.json"), config)
    write_json(os.path.join(folder, "generation_config.json"), {"do_sample": False, "eos_token_id": END, "pad_token_id": PAD})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", required=True, help="JSON lines; the last 1000 are held out")
    parser.add_argument("--work", required=True, help="folder of the checkpoint")
    parser.add_argument("--out", required=True, help="model folder to write")
    parser.add_argument("--steps", type=int, help="default: once through the documents")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--tokens-per-batch", type=int, default=2500)
    parser.add_argument("--vocabulary", type=int, default=1024, help="at most; merges stop below 8 occurrences")
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    os.makedirs(args.work, exist_ok=True)
    os.makedirs(args.out, exist_ok=True)

    with open(args.documents, encoding="utf-8") as file:
        documents = [json.loads(line) for line in file]
    tokenizer = build_tokenizer(documents[:20000], args.vocabulary)
    save_tokenizer(tokenizer, args.out)
    vocabulary = (tokenizer.get_vocab_size() + 7) // 8 * 8
    examples = encode(tokenizer, documents)
    check = make_batches(examples[-1000:], args.tokens_per_batch, 0)
    batches = make_batches(examples[:-1000], args.tokens_per_batch, args.seed)[: args.steps]
    parameters = sum(t.numel() for t in initial_weights(vocabulary, 0).values())
    mean_length = sum(len(e[0]) for e in examples) / len(examples)
    print(f"vocabulary {tokenizer.get_vocab_size()} of {vocabulary}, parameters {parameters}, documents {len(documents)}, mean length {mean_length:.1f}", flush=True)
    print(f"longest {max(len(e[0]) for e in examples)}, steps {len(batches)}", flush=True)
    train(args, batches, check, vocabulary)


if __name__ == "__main__":
    main()
