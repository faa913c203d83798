#!/usr/bin/env python3
"""Training 8,192 merges on the stories corpus beside Hugging Face `tokenizers`, two threads each.

  bench/tokenizer_train_anchor.py BUILD/bench/tokenizer/tokenizer_tool [--corpus NAME] [--threads N]

Prints both times, the memory that ours took, and whether vocabulary and merges are the same. Needs
a Python with tokenizers (bench/venv.sh) and the test data (STEPSTONE_DATA).
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = 8192


def train_ours(tool, documents, out, threads, memory_mib):
    command = [tool, "train", documents, out, "--vocab-size", str(MERGES + 256 + len(SPECIALS)),
               "--threads", str(threads), "--memory-bytes", str(memory_mib << 20)]
    for special in SPECIALS:
        command += ["--special", special]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    result["peak_mib"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return result


def train_theirs(texts, out):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=MERGES + 256 + len(SPECIALS), special_tokens=SPECIALS,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    start = time.perf_counter()
    tokenizer.train_from_iterator(texts, trainer)
    seconds = time.perf_counter() - start
    tokenizer.save(out)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool")
    parser.add_argument("--corpus", default="stories/stories.jsonl.zst")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-mib", type=int, default=1024)
    args = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    import tokenizer_texts

    lines = tokenizer_texts.unpacked(tokenizer_texts.data_folder() / args.corpus).decode()
    texts = [json.loads(line)["text"] for line in lines.splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        documents, ours, theirs = (os.path.join(folder, n) for n in ("documents", "ours", "theirs"))
        tokenizer_texts.write_documents(documents, texts)
        result = train_ours(args.tool, documents, ours, args.threads, args.memory_mib)
        seconds = train_theirs(texts, theirs)
        models = [json.load(open(path, encoding="utf-8"))["model"] for path in (ours, theirs)]
    same = all(models[0][part] == models[1][part] for part in ("vocab", "merges"))
    print(json.dumps({"corpus": args.corpus, "threads": args.threads, **result,
                      "tokenizers_seconds": seconds, "ratio": seconds / result["seconds"],
                      "same": same}, indent=2))
    sys.exit(not same)


if __name__ == "__main__":
    main()
