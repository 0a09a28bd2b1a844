#!/usr/bin/env python3
"""Records what the reference tokenizer (Python `tokenizers`) does with nasty texts, for test/golden/tokenizer.test.ts.

    python test/golden/record-tokenizer.py MODEL_FOLDER test/golden/data/tokenizer-smollm2.json
    python test/golden/record-tokenizer.py models/micro test/golden/data/tokenizer-micro.json
    python test/golden/record-tokenizer.py --tiny test/golden/data/tokenizer-tiny.json

Writes texts with their ids and their decoded text, id lists with their decoded text, and conversations with the text that transformers'
chat template makes of them. --tiny trains small tokenizers of other kinds (Llama 2: byte fallback; Mistral: Metaspace, whole and split at spaces; Llama 3:
byte-level with a BOS from the post-processor) and writes them into the file too, so that their tests need no model.
"""
import json
import random
import sys

import jinja2
import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "", " ", "  ", "\n", "\r\n", "\t\t", " a", "a ", "Hello, world!", "Hello , world .  Don't  you're  ' s", "12345 67 8.9e-10 ½ ٣",
    "naïve café Ünïcödé", "e\u0301 é", "你好，世界。再见", "日本語テキスト", "한국어", "العربية نص", "हिन्दी", "👩‍👩‍👧‍👦 family 👍🏽 flags 🇩🇪🇫🇷",
    "\u0000\u0001\u007f", "\ufeffBOM", "\u00a0nbsp\u2003em\u200bzero", "ﬁ ﬂ ﬃ", "\u017f \u212a", "\U0001F600\U00020000", "a\u2028b\u2029c",
    "<|im_start|>user\nHi<|im_end|>\n", "<|im_start|> x <|im_end|>  ", "<|im_start|", "<|endoftext|><|endoftext|>",
    "def f(x):\n    return (x + 3) * 2\n", "    \n   \n  x", "A" * 300, "ab" * 150 + " " * 40, "http://example.org/?q=a%20b&c=d#e", "\\n \\u0041 \"quoted\"",
    "Tom has 3 apples and buys 4 more. How many apples does Tom have now?", "I'll, we'VE, SHE'S, they'd", "x²+y²=z² ∑∫√ ≤≥≠", "a\u0085 b \ufeff c\u000b\u000cd", "Ⅻ 1½2 ①②③ ৩৪", "\u200d\ufe0f ", "tab\tand\u3000ideographic", "\u0300\u0301 lone marks",
]

CONVERSATIONS = [
    [{"role": "user", "content": "Hello"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "  two  spaces  "}],
    [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "三 🙂\n"}],
]


CORPUS = ["the cat and the dog bought three apples", "Hello world, hello there", "def f(x): return x + 3", "Tom has 3 apples and buys 4 more",
          "zwölf Boxkämpfer jagen Viktor", "你好 世界"] * 3


def record(tokenizer, low=0):
    """Ids from `low` on are drawn at random. Where byte tokens lie below it they are left out: when a run of them is not UTF-8 as a whole
    the reference gives U+FFFD for every byte of the run, also for letters in it, which cannot be known while text streams."""
    draw = random.Random(7)
    size = tokenizer.get_vocab_size()
    lists = [[draw.randrange(low, size) for _ in range(n)] for n in (1, 2, 3, 5, 8, 13, 21, 34)]
    return {
        "vocabulary": size,
        "texts": [
            {"text": text, "ids": (ids := tokenizer.encode(text, add_special_tokens=False).ids), "special": tokenizer.encode(text).ids,
             "decoded": tokenizer.decode(ids, skip_special_tokens=False), "plain": tokenizer.decode(ids)} for text in TEXTS],
        "decodes": [{"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)} for ids in lists],
    }


def byte_level_breaks(tokenizer):
    """Lists that begin or end inside a character."""
    broken = tokenizer.encode("👩‍👩‍👧‍👦 你好", add_special_tokens=False).ids
    lists = [broken[:n] for n in range(1, len(broken))] + [broken[n:] for n in range(1, len(broken))]
    return [{"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)} for ids in lists]


def chats(folder):
    """Conversations that the template refuses are left out."""
    chat = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    result = []
    for messages in CONVERSATIONS:
        for flag in (False, True):
            try:
                text = chat.apply_chat_template(messages, tokenize=False, add_generation_prompt=flag)
            except jinja2.exceptions.TemplateError:
                continue
            ids = list(chat.apply_chat_template(messages, tokenize=True, return_dict=True, add_generation_prompt=flag)["input_ids"])
            result.append({"messages": messages, "generationPrompt": flag, "text": text, "ids": ids})
    return result


def bos_processor(bos):
    return processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, 1)])


def tiny():
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>", "<s>", "</s>"] + bytes_, initial_alphabet=["▁"], show_progress=False)

    def fallback():
        model = models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
        tokenizer = Tokenizer(model)
        tokenizer.post_processor = bos_processor("<s>")
        return tokenizer

    def only_real_specials(tokenizer):
        """Byte tokens are part of the vocabulary, not added tokens."""
        data = json.loads(tokenizer.to_str())
        data["added_tokens"] = [t for t in data["added_tokens"] if t["id"] < 3]
        return Tokenizer.from_str(json.dumps(data))

    llama = fallback()
    llama.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    llama.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    llama.train_from_iterator(CORPUS, trainer)

    mistral = fallback()
    mistral.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    mistral.decoder = llama.decoder
    mistral.train_from_iterator(CORPUS, trainer)

    # Trained without splitting, so that there are tokens across spaces which splitting must keep from being made.
    split = fallback()
    split.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False)
    split.train_from_iterator(["a  b   c    d " + text for text in CORPUS], trainer)
    split.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    split.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(replacement="▁", prepend_scheme="always")])

    llama3 = Tokenizer(models.BPE(ignore_merges=True))
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    llama3.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    llama3.decoder = decoders.ByteLevel()
    llama3.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|pad|>", "<|begin|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    llama3.add_tokens([AddedToken("<|begin▁plain|>", special=False)])
    llama3.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), bos_processor("<|begin|>")])

    result = {}
    for name, tokenizer, bos in (("llama2", only_real_specials(llama), "<s>"), ("mistral", only_real_specials(mistral), "<s>"), ("split", only_real_specials(split), "<s>"), ("llama3", llama3, "<|begin|>")):
        result[name] = {"tokenizer": json.loads(tokenizer.to_str()), "config": {"bos_token": bos}, **record(tokenizer, 0 if name == "llama3" else 3 + 256)}
    # The reference's Metaspace decoder takes every mark from the first token, also inside it; ours takes the one that encoding adds.
    first = lambda ids: split.id_to_token(ids[0])
    result["split"]["decodes"] = [item for item in result["split"]["decodes"] if "▁" not in first(item["ids"])[1:]]
    result["llama3"]["decodes"] += byte_level_breaks(llama3)
    return result


def main():
    source, out = sys.argv[1:3]
    if source == "--tiny":
        data = tiny()
    else:
        tokenizer = Tokenizer.from_file(f"{source}/tokenizer.json")
        data = record(tokenizer)
        data["decodes"] += byte_level_breaks(tokenizer)
        data["chats"] = chats(source)
    data["versions"] = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__}
    with open(out, "w") as file:
        json.dump(data, file, separators=(",", ":"))
        file.write("\n")


main()
