#!/usr/bin/env python3
"""What quantising costs: Stepstone's `quantize` beside `llama-quantize`, both judged by `llama-perplexity`.

    bench/vs_llama_quantize.py --llama DIR --model MODEL --text FILE [--types Q8_0,…] [-c 256] [--json FILE]

DIR holds llama-quantize and llama-perplexity. MODEL (a folder or a GGUF file, trained: random weights show
nothing) is exported as F32 once. Prints, per type: size, perplexity of the text, and the mean Kullback-Leibler
divergence of the predictions from those of the F32 file; a ratio below 1 is for Stepstone.
"""

import argparse
import os
import pathlib
import re
import tempfile

import side_by_side

TYPES = "Q8_0,Q6_K,Q5_K_M,Q5_K_S,Q5_1,Q5_0,Q4_K_M,Q4_K_S,Q4_1,Q4_0,IQ4_NL,Q3_K_L,Q3_K_M,Q3_K_S,Q2_K"


def perplexity(options, model, logits, *more):
    """Numbers that llama-perplexity prints about `model`, by their names."""
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{options.llama}:{os.environ.get('LD_LIBRARY_PATH', '')}"}
    command = [options.llama / "llama-perplexity", "-m", model, "-f", options.text, "-c", options.context, "-t",
               options.threads, "--kl-divergence-base", logits, *more]  # fmt: skip
    for _ in range(5):  # now and then it ends before it has written its last lines
        output, _ = side_by_side.run(command, stdout=-1, stderr=-2, env=environment)
        found = dict(re.findall(r"(Final estimate: PPL|Mean PPL\(Q\)|Mean    KLD)\s*[:=]\s*([-0-9.e]+)", output))
        if found:
            return {name: float(value) for name, value in found.items()}
    raise SystemExit(f"llama-perplexity gave no result:\n{output[-2000:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--llama", required=True, type=pathlib.Path, metavar="DIR")
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--types", default=TYPES)
    parser.add_argument("-c", "--context", type=int, default=256)
    side_by_side.add_options(parser)
    options = parser.parse_args()
    side_by_side.require_files(parser, options.stepstone, options.text, options.llama / "llama-quantize",
                               options.llama / "llama-perplexity")  # fmt: skip
    quiet = {"stdout": -3, "stderr": -3}
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        whole, logits, ours, theirs = (work / name for name in ("f32.gguf", "logits", "ours.gguf", "theirs.gguf"))
        side_by_side.run([options.stepstone, "export", "-m", options.model, "-o", whole, "--type", "F32"], **quiet)
        base = perplexity(options, whole, logits)["Final estimate: PPL"]
        rows = []
        for kind in options.types.split(","):
            row = {"type": kind}
            environment = {**os.environ, "LD_LIBRARY_PATH": str(options.llama)}
            side_by_side.run([options.stepstone, "quantize", whole, ours, kind], **quiet)
            side_by_side.run([options.llama / "llama-quantize", whole, theirs, kind], env=environment, **quiet)
            for side, file in (("stepstone", ours), ("llama", theirs)):
                found = perplexity(options, file, logits, "--kl-divergence")
                row[side] = {"bytes": file.stat().st_size, "perplexity": found["Mean PPL(Q)"],
                             "divergence": found["Mean    KLD"]}  # fmt: skip
                file.unlink()
            rows.append(row)
    print(f"F32: perplexity {base:.4f}\n")
    print("| type | size, Stepstone / llama.cpp | perplexity | perplexity over F32's, ratio | KL divergence | ratio |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        ours, theirs = row["stepstone"], row["llama"]
        print(f"| {row['type']} | {ours['bytes'] / theirs['bytes']:.3f} "
              f"| {ours['perplexity']:.4f} / {theirs['perplexity']:.4f} "
              f"| {ours['perplexity'] / theirs['perplexity']:.5f} "
              f"| {ours['divergence']:.6f} / {theirs['divergence']:.6f} "
              f"| {ours['divergence'] / theirs['divergence']:.3f} |")  # fmt: skip
    side_by_side.write_json(options.json, {"f32": base, "types": rows})


main()
