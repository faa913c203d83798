#!/usr/bin/env python3
"""Our ids against `tokenizers` and `sentencepiece`, for tokenizers that are not byte-level BPE.

  tests/interop/subword_interop.py BUILD/bench/tokenizer/tokenizer_tool [COUNT]

The tokenizers of the test data (Llama 2, Mistral v1 and v3, InternLM2, T5 both ways, BERT English and
Chinese, CLIP; Llama 2 also as `transformers` converts it) over every text of the test data, COUNT
random Unicode strings (default 20,000), and 10 MB of one character and of letters without spaces.
Prints the speed beside the reference, one thread each, in the same run.

Needs a Python with tokenizers and sentencepiece (bench/venv.sh) and the test data (STEPSTONE_DATA).
"""
import array
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import sentencepiece  # noqa: E402
import tokenizer_texts as texts  # noqa: E402
from tokenizers import (Regex, Tokenizer, decoders, models, normalizers,  # noqa: E402
                        pre_tokenizers)

TOOL = sys.argv[1]
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
DATA = Path(os.environ.get("STEPSTONE_DATA", Path(__file__).resolve().parents[3] / "shared/data"))
KINDS = DATA / "tokenizers"
FOLDER = Path(tempfile.mkdtemp(prefix="stepstone-subword-"))
failures = 0


def our_ids(path, documents):
    texts.write_documents(FOLDER / "texts", documents)
    subprocess.run([TOOL, "encode", path, FOLDER / "texts", FOLDER / "ids"], check=True)
    ids = array.array("i", (FOLDER / "ids").read_bytes())
    out, start = [], 0
    for i, value in enumerate(ids):
        if value == -1:
            out.append(ids[start:i].tolist())
            start = i + 1
    return out


def random_texts():
    source = random.Random(5)
    blocks = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x900, 0xE00), (0x1E00, 0x2200),
              (0x2500, 0x2700), (0x3000, 0x3100), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xF900, 0xFB50),
              (0xFE00, 0xFFFE), (0x1F300, 0x1FA00), (0x20000, 0x20100)]
    for _ in range(COUNT):
        text = ""
        while len(text) < source.randint(1, 40):
            low, high = source.choice(blocks)
            text += "".join(chr(source.randrange(low, high)) for _ in range(source.randint(1, 4)))
            text += source.choice(["", " ", "  ", "\n", "▁"]) if source.random() < .3 else ""
        yield text


def wordpiece(folder, lowercase):
    vocab = {line: i for i, line in enumerate((KINDS / folder / "vocab.txt").read_text().split("\n")) if line}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def clip():
    vocab = json.loads((KINDS / "clip/vocab.json").read_text())
    merges = [tuple(line.split()) for line in (KINDS / "clip/merges.txt").read_text().splitlines()[1:]]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<|endoftext|>", end_of_word_suffix="</w>",
                                     continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed",
                             invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return tokenizer


def llama_converted(path):
    """Llama 2's model as a tokenizer.json: merges in the order of the pieces they make."""
    sp = sentencepiece.SentencePieceProcessor(model_file=str(path))
    pieces = [sp.id_to_piece(i) for i in range(sp.vocab_size())]
    vocab = {p: i for i, p in enumerate(pieces)}
    merges = []
    for piece in pieces:
        here = [(piece[:i], piece[i:]) for i in range(1, len(piece))
                if piece[:i] in vocab and piece[i:] in vocab]
        merges += [(sp.get_score(vocab[piece]), vocab[a], vocab[b], a, b) for a, b in here]
    merges = [(m[3], m[4]) for m in sorted(merges, key=lambda m: (-m[0], m[1], m[2]))]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer


def saved(tokenizer, name):
    path = FOLDER / f"{name}.json"
    tokenizer.save(str(path))
    return path


def check(name, path, encode, documents, kind):
    global failures
    start = time.perf_counter()
    reference = encode(documents)
    seconds = time.perf_counter() - start
    ours = our_ids(path, documents)
    wrong = [i for i in range(len(documents)) if ours[i] != reference[i]]
    print(f"{'ok  ' if not wrong else 'FAIL'} {name}, {kind}: {len(documents)} documents, "
          f"{sum(map(len, reference))} tokens, {len(wrong)} differ; reference {seconds:.1f} s", flush=True)
    for i in wrong[:2]:
        at = next((k for k, pair in enumerate(zip(ours[i], reference[i])) if pair[0] != pair[1]), -1)
        print(f"     document {i}, token {at}: {ours[i][at:at + 6]} != {reference[i][at:at + 6]}"
              f" in {documents[i][:60]!r}")
    failures += bool(wrong)


def main():
    kinds = {}
    for name in ("llama2", "mistral-v1", "mistral-v3", "internlm2"):
        path = KINDS / name / "tokenizer.model"
        sp = sentencepiece.SentencePieceProcessor(model_file=str(path))
        kinds[name] = (path, lambda documents, sp=sp: sp.encode(documents, num_threads=1))
    t5 = sentencepiece.SentencePieceProcessor(model_file=str(KINDS / "t5/spiece.model"))
    kinds["t5 .model"] = (KINDS / "t5/spiece.model", lambda documents: t5.encode(documents, num_threads=1))
    for name, tokenizer in {"t5": Tokenizer.from_file(str(KINDS / "t5/tokenizer.json")),
                            "bert": wordpiece("bert-base-uncased", True),
                            "bert chinese": wordpiece("bert-base-chinese", False), "clip": clip(),
                            "llama2 converted": llama_converted(KINDS / "llama2/tokenizer.model")}.items():
        kinds[name] = (saved(tokenizer, name.replace(" ", "-")), lambda documents, t=tokenizer: [
            e.ids for e in t.encode_batch_fast(documents, add_special_tokens=False)])
    data = [line for path in sorted(DATA.rglob("*.txt")) if "tokenizers" not in path.parts
            for line in path.read_text().splitlines() if line and "<unk>" not in line]  # ours never gives controls
    random_documents = list(random_texts())
    long_ones = ["a" * 10_000_000, "".join(random.Random(2).choices("etaoinshrdlu", k=10_000_000))]
    for name, (path, encode) in kinds.items():
        check(name, path, encode, data, "test data")
        check(name, path, encode, random_documents, "random")
    for name, (path, _) in kinds.items():
        for what, text in zip(("one character", "no spaces"), long_ones):
            start = time.perf_counter()
            our_ids(path, [text])
            print(f"     {name}: 10 MB of {what} {time.perf_counter() - start:.1f} s with start and files")


main()
sys.exit(failures > 0)
