#!/usr/bin/env python3
"""Records what transformers writes greedily with SmolLM2-135M-Instruct, for test/golden/smollm2.test.ts.

    OMP_NUM_THREADS=1 python test/golden/record-smollm2.py MODEL_FOLDER test/golden/data/smollm2-greedy.json

The weights, stored in BF16, are computed with in fp32. `lead` is how far the winner of the closest race was ahead, in logits: another order of
summation may turn a race below about 1e-3.
"""
import hashlib
import json
import sys

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

TOKENS = 48
user = lambda text: [{"role": "user", "content": text}]
PROMPTS = [
    user("Hello! Who are you?"),
    user("What is the capital of France, and what is it known for?"),
    user("Tom has 3 apples and buys 4 more. How many apples does he have? Answer with just the number."),
    user("Write a haiku about the sea."),
    user("Explain in two sentences why the sky is blue."),
    user("Give me three tips for learning to play the piano."),
    user("What is 17 times 23? Think step by step."),
    user("Is the statement 'all birds can fly' true? Why or why not?"),
    user("List the planets of the solar system in order."),
    [{"role": "system", "content": "You are a pirate. Answer every question like a pirate."}, *user("How is the weather today?")],
    [{"role": "system", "content": "Answer in one word."}, *user("Which animal says moo?")],
    [*user("My name is Ada."), {"role": "assistant", "content": "Nice to meet you, Ada! How can I help you today?"}, *user("What is my name?")],
    [*user("Name a colour."), {"role": "assistant", "content": "Blue."}, *user("Another one, please."), {"role": "assistant", "content": "Green."},
     *user("And what do you get when you mix the two?")],
    [*user("I am planning a trip to Japan."), {"role": "assistant", "content": "That sounds exciting! When do you want to go?"},
     *user("In April. What should I see?")],
    user("Write a Python function that returns the n-th Fibonacci number."),
    user("What does this do?\n\n```js\nconst f = (xs) => xs.filter((x) => x % 2 === 0).map((x) => x * x);\n```"),
    user("Fix this SQL: SELEC name FORM users WHERE age > 30 ODER BY name;"),
    user("def add(a, b):\n    return a + b\n\nWrite a test for this function."),
    user("请用中文写一首关于春天的短诗。"),
    user("把下面的句子翻译成英文：今天天气很好，我们去公园散步吧。"),
    user("Was ist die Hauptstadt von Österreich? Bitte antworte auf Deutsch."),
    user("Übersetze ins Englische: „Die Straße ist größer, als ich dachte.“"),
    user("What does 😀🎉🚀 mean? And 👩‍👩‍👧‍👦 or 🇩🇪?"),
    user("🐶 + 🦴 = ?"),
    user("Quelle heure est-il à Paris quand il est midi à New York ?"),
    user("   Extra   spaces\tand\ttabs,\n\n\nand blank lines — what do you make of them?   "),
]


def main():
    folder, out = sys.argv[1:]
    torch.set_num_threads(1)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with open(f"{folder}/model.safetensors", "rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    rows = []
    for messages in PROMPTS:
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        generated, lead, cache, step = [], float("inf"), None, torch.tensor([prompt])
        with torch.no_grad():
            while len(generated) < TOKENS and (not generated or generated[-1] != model.config.eos_token_id):
                result = model(step, past_key_values=cache, use_cache=True)
                cache, top = result.past_key_values, result.logits[0, -1].topk(2)
                lead = min(lead, (top.values[0] - top.values[1]).item())
                generated.append(top.indices[0].item())
                step = torch.tensor([[generated[-1]]])
        rows.append({"messages": messages, "prompt": prompt, "generated": generated, "lead": float(f"{lead:.3g}")})
        print(f"{lead:.4f} {tokenizer.decode(generated)!r}", flush=True)
    with open(out, "w") as f:
        f.write('{\n "weights": "%s",\n "maxTokens": %d,\n "rows": [\n' % (digest, TOKENS))
        f.write(",\n".join("  " + json.dumps(r, ensure_ascii=False) for r in rows))
        f.write("\n ]\n}\n")


main()
