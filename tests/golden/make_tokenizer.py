#!/usr/bin/env python3
"""Writes tokenizer.json beside this script: what the reference implementations make of some text.

  tests/golden/make_tokenizer.py     (needs tokenizers and tiktoken; the test data for "gpt2")

- "trained": for each pre-tokenizer pattern, the tokenizer.json that Hugging Face `tokenizers`
  trains on "corpus", and the ids that it gives to each of "texts".
- "gpt2": for plain text files of the test data, number and hash of their GPT-2 tokens.
"""
import json
import random
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bench"))
import tokenizer_texts  # noqa: E402
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402

CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
PATTERNS = {"gpt2": None, "cl100k": CL100K % "{1,3}", "qwen2": CL100K % ""}
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def sample_texts():
    source = random.Random(7)
    alphabet = list("abcdeAE019 \t\n\r'’.,-_é世界Ωſ१¼Ⅷ\u0300\u00a0\u2003\u3000\u0085😀") + \
        ["'s", "'LL", "'Re", "  ", "\r\n", "\n\n", "the ", " and", "123", "!!", "'ſ", "don't ",
         "THEY'VE ", "\u200b", "<|im_end|>", "한국어"]
    return ["".join(source.choices(alphabet, k=source.randint(1, 40))) for _ in range(120)]


def corpus(texts):
    """Sentences with many ties between pairs, then some of the texts."""
    source = random.Random(3)
    words = ("the there these then and sand hand band stand 12 123 1234 naïve café 世界 世间 don't "
             "we'll they've I'm aaaa aaaaaaa abab ababab x=1; {a:b} -- ...").split()
    lines = [" ".join(source.choices(words, k=12)) for _ in range(60)]
    return lines + texts[:40]


def trained(pattern, lines, texts):
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    tokenizer.pre_tokenizer = byte_level if pattern is None else pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=600, special_tokens=SPECIALS, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return {"tokenizer": json.loads(tokenizer.to_str()),
            "ids": [tokenizer.encode(text).ids for text in texts]}


def gpt2_hashes():
    tiktoken = tokenizer_texts.gpt2_of_tiktoken()
    rows = {}
    for name, text in tokenizer_texts.text_files():
        if not name.endswith(".txt") or name.startswith("tokenizers/"):
            continue
        ids = tiktoken.encode_ordinary(text)
        digest = 0
        for i in ids:
            digest = (digest * 0x100000001B3 ^ i) & 0xFFFFFFFFFFFFFFFF
        rows[name] = {"tokens": len(ids), "hash": f"{digest:016x}"}
    return rows


def main():
    texts = sample_texts()
    lines = corpus(texts)
    golden = {"corpus": lines, "texts": texts,
              "trained": {name: trained(pattern, lines, texts) for name, pattern in PATTERNS.items()},
              "gpt2": gpt2_hashes()}
    (HERE / "tokenizer.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n")


main()
