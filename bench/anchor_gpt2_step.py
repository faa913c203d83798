#!/usr/bin/env python3
"""The anchor for the GPT-2 124M training step: B 4 x T 256 on PyTorch, in fp32 and in bf16 (autocast).

    python=$(bench/venv.sh build/anchor-venv torch numpy)
    $python bench/anchor_gpt2_step.py [--dtype f32|bf16] [--json FILE]

A step is forward, backward, fused AdamW and clearing the gradients. Each dtype has a process of its own, so that the
peak memory is its own. tokens_per_second is that of the median step.
"""

import argparse
import json
import multiprocessing
import pathlib
import statistics
import time

import torch

from anchor_model import Gpt, Shape, adamw, environment, peak_bytes

GPT2_124M = Shape(vocab=50257, context=1024, layers=12, heads=12, width=768, bias=True, gelu="tanh")


def measure(options):
    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    before = peak_bytes()
    model = Gpt(GPT2_124M)
    optimizer = adamw(model, 3e-4, (0.9, 0.95), 0.1, fused=True)
    step_model = torch.compile(model) if options.compile else model
    seconds, losses = [], []
    for _ in range(options.warmup + options.steps):
        windows = torch.randint(0, GPT2_124M.vocab, (options.batch, options.length + 1))
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.dtype == "bf16"):
            loss = step_model(windows[:, :-1].contiguous(), windows[:, 1:].contiguous())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    step_seconds = statistics.median(seconds[options.warmup :])
    return {
        "job": "gpt2-124m-step",
        "dtype": options.dtype,
        "batch": options.batch,
        "length": options.length,
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_per_second": options.batch * options.length / step_seconds,
        "step_seconds": seconds,
        "losses": losses,
        "peak_bytes": peak_bytes(),
        "bytes_before_model": before,
        "compiled": options.compile,
        **environment(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=["f32", "bf16"], help="only this one")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="through torch.compile; needs a C++ compiler")
    parser.add_argument("--json", metavar="FILE", help="write the results as a JSON list")
    options = parser.parse_args()
    results = []
    for dtype in [options.dtype] if options.dtype else ["f32", "bf16"]:
        with multiprocessing.get_context("spawn").Pool(1) as process:
            results.append(process.apply(measure, (argparse.Namespace(**{**vars(options), "dtype": dtype}),)))
        print(f"{dtype}: {results[-1]['tokens_per_second']:.1f} tokens/s, "
              f"peak {results[-1]['peak_bytes'] / 1e9:.2f} GB", flush=True)  # fmt: skip
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
