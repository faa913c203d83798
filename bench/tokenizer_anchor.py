#!/usr/bin/env python3
"""GPT-2 encoding speed beside Hugging Face `tokenizers` and `tiktoken`: one run, one thread each.

  bench/tokenizer_anchor.py BUILD/bench/tokenizer/tokenizer_tool [--json FILE] [--passes N]

Each corpus is encoded document by document; the three take turns, and the fastest of the passes
counts. Needs a Python with tokenizers and tiktoken (bench/venv.sh) and the test data
(STEPSTONE_DATA).
"""
import argparse
import json
import math
import os
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizer_texts as texts  # noqa: E402


def corpora():
    for name, text in texts.text_files():
        if name.endswith((".jsonl", ".jsonl.zst", ".jsonl.gz")):
            yield name, list(texts.jsonl_strings(text))
        elif name.endswith(".txt") and not name.startswith(("tokenizers/", "LICENSES/")):
            yield name, [text]


def timed(encode, documents):
    start = time.perf_counter()
    for document in documents:
        encode(document)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool")
    parser.add_argument("--json")
    parser.add_argument("--passes", type=int, default=3)
    args = parser.parse_args()
    hugging_face = texts.gpt2_of_tokenizers()
    tiktoken = texts.gpt2_of_tiktoken()
    gpt2 = texts.data_folder() / "tokenizers/gpt2"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, documents in corpora():
            path = os.path.join(folder, "documents")
            texts.write_documents(path, documents)
            size = sum(len(document.encode()) for document in documents)
            best = [math.inf] * 3
            for _ in range(args.passes):
                out = subprocess.run([args.tool, "speed", gpt2, path, "--passes", "2"], check=True,
                                     capture_output=True, text=True).stdout
                taken = (json.loads(out)["seconds"],
                         timed(lambda text: hugging_face.encode(text).ids, documents),
                         timed(tiktoken.encode_ordinary, documents))
                best = [min(pair) for pair in zip(best, taken)]
            ours, hf, tik = (size / seconds / 1e6 for seconds in best)
            rows.append({"corpus": name, "bytes": size, "stepstone_mb_s": ours,
                         "tokenizers_mb_s": hf, "tiktoken_mb_s": tik,
                         "over_tokenizers": ours / hf, "over_tiktoken": ours / tik})
            print(f"{name:32} {size:9} B   stepstone {ours:6.1f} MB/s   tokenizers {hf:5.2f} "
                  f"({ours / hf:5.1f} x)   tiktoken {tik:5.1f} ({ours / tik:4.1f} x)", flush=True)
    total = sum(row["bytes"] for row in rows)
    overall = {}
    for key in ("stepstone", "tokenizers", "tiktoken"):
        overall[key] = total / sum(row["bytes"] / row[f"{key}_mb_s"] for row in rows)
    print(f"all {total} bytes: {overall['stepstone'] / overall['tokenizers']:.1f} x tokenizers, "
          f"{overall['stepstone'] / overall['tiktoken']:.1f} x tiktoken")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"rows": rows, "overall_mb_s": overall}, file, indent=2)


if __name__ == "__main__":
    main()
