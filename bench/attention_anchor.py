#!/usr/bin/env python3
"""Attention forward and backward beside PyTorch's scaled_dot_product_attention, in one run.

  bench/attention_anchor.py BUILD/bench/attention/attention_bench [--rounds N] [--threads N] [--json FILE]

Both take turns on every problem; the fastest run counts. Needs a Python with torch
(bench/venv.sh). On a busy machine, --threads 1 and problems of a millisecond (--problem) still give
undisturbed runs. PyTorch gets the same packed qkv and gives the same packed gradient.
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import time

TRAIN = [  # dtype, batch, rows, heads, kv_heads, head_dim
    ("f32", 4, 256, 12, 12, 64),
    ("bf16", 4, 256, 12, 12, 64),
    ("f32", 12, 64, 4, 4, 32),
    ("f32", 64, 256, 6, 6, 64),
    ("f32", 1, 1024, 12, 12, 64),
    ("bf16", 2, 512, 16, 4, 128),
]
DECODE = [("f32", 8191, 12, 12, 64), ("bf16", 8191, 12, 12, 64), ("bf16", 4095, 32, 8, 128)]
SECONDS = 0.25


def fastest_ms(step):
    """step() returns the seconds of each of its parts."""
    parts = [step()]
    while len(parts) < 5 or sum(map(sum, parts)) < SECONDS:
        parts.append(step())
    return [min(p) * 1e3 for p in zip(*parts)]


def torch_train(torch, dtype, batch, rows, heads, kv_heads, head_dim):
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    widths = [heads * head_dim, kv_heads * head_dim, kv_heads * head_dim]
    qkv = (torch.rand(batch, rows, sum(widths)) * 2 - 1).to(kind).requires_grad_()
    dy = (torch.rand(batch, rows, widths[0]) * 2 - 1).to(kind)

    def step():
        qkv.grad = None
        start = time.perf_counter()
        q, k, v = (x.view(batch, rows, -1, head_dim).transpose(1, 2) for x in qkv.split(widths, 2))
        y = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, enable_gqa=heads != kv_heads)
        y = y.transpose(1, 2).reshape(batch, rows, -1)
        middle = time.perf_counter()
        y.backward(dy)
        return middle - start, time.perf_counter() - middle

    return fastest_ms(step)


def torch_decode(torch, dtype, past, heads, kv_heads, head_dim):
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    k, v = ((torch.rand(1, kv_heads, past + 1, head_dim) * 2 - 1).to(kind) for _ in "kv")
    new = (torch.rand(1, heads + 2 * kv_heads, 1, head_dim) * 2 - 1).to(kind)

    def step():
        start = time.perf_counter()
        k[:, :, past:] = new[:, heads : heads + kv_heads]
        v[:, :, past:] = new[:, heads + kv_heads :]
        torch.nn.functional.scaled_dot_product_attention(
            new[:, :heads], k, v, enable_gqa=heads != kv_heads)
        return (time.perf_counter() - start,)

    with torch.no_grad():
        return fastest_ms(step)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--problem", action="append", metavar="'train f32 1 256 2 2 64'",
                        help="instead of the usual ones; as attention_bench.cpp explains")
    parser.add_argument("--json")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import torch

    torch.set_num_threads(args.threads)
    ours = subprocess.Popen([args.bench], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(kind, problem):
        print(kind, *problem, file=ours.stdin, flush=True)
        return [float(x) for x in ours.stdout.readline().split()]

    rows = []
    anchors = {"train": torch_train, "decode": torch_decode}
    problems = [("train", *p) for p in TRAIN] + [("decode", *p) for p in DECODE]
    if args.problem:
        problems = [(k, d, *map(int, n)) for k, d, *n in (p.split() for p in args.problem)]
    for kind, *problem in problems:
        pairs = [(ask(kind, problem), anchors[kind](torch, *problem)) for _ in range(args.rounds)]
        mine, theirs = ([min(x) for x in zip(*side)] for side in zip(*pairs))
        row = {"kind": kind, "problem": problem, "ms": mine, "torch_ms": theirs}
        row["ratio"] = sum(theirs) / sum(mine)
        text = f"{kind:6} {' '.join(map(str, problem)):28}"
        if kind == "train":
            _, batch, t, heads, _, d = problem
            flops = 4 * batch * heads * d * t * (t + 1) / 2
            row["gflops"] = [flops / mine[0] / 1e6, 2.5 * flops / mine[1] / 1e6]
            text += "  GFLOP/s {:4.0f} {:4.0f}".format(*row["gflops"])
        else:
            dtype, past, _, kv_heads, d = problem
            size = 2 * (past + 1) * kv_heads * d * {"f32": 4, "bf16": 2}[dtype]
            row["gbytes"] = size / mine[0] / 1e6
            text += f"  GB/s {row['gbytes']:7.1f} "
        text += "  ms " + " ".join(f"{x:.3f}" for x in mine)
        text += "  torch ms " + " ".join(f"{x:.3f}" for x in theirs)
        print(f"{text}  ratio {row['ratio']:.2f}", flush=True)
        rows.append(row)
    ours.stdin.close()
    ours.wait()
    mean = math.exp(statistics.fmean(math.log(r["ratio"]) for r in rows))
    print(f"geometric mean of the ratios {mean:.2f} (torch {torch.__version__}, {args.threads} threads)")
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"rows": rows, "mean_ratio": mean, "threads": args.threads,
                       "torch": torch.__version__}, f, indent=1)


if __name__ == "__main__":
    main()
