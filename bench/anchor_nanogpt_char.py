#!/usr/bin/env python3
"""The anchor for shakespeare-char: nanoGPT's CPU configuration on PyTorch, eager fp32.

    python=$(bench/venv.sh build/anchor-venv torch numpy)
    $python bench/anchor_nanogpt_char.py shakespeare.txt [--target 1.88] [--json FILE]

The configuration is the one that nanoGPT's README gives for the CPU: 4 layers, 4 heads, 128 wide, context 64,
batch 12, 2000 iterations, AdamW. The first nine tenths of the characters are trained on. Validation runs over all
of the rest in windows of 64 that do not overlap, so each held-out character but the first is predicted once.
Seconds are training seconds: reading the text, building the model and validation are outside.
"""

import argparse
import json
import math
import pathlib
import statistics
import sys
import time

import numpy
import torch

from anchor_model import Gpt, Shape, adamw, environment, peak_bytes

LAYERS, HEADS, WIDTH, CONTEXT, BATCH = 4, 4, 128, 64, 12
PEAK_RATE, FINAL_RATE, WARMUP, DECAY_ITERS = 1e-3, 1e-4, 100, 2000
BETAS, WEIGHT_DECAY, CLIP = (0.9, 0.99), 0.1, 1.0


def learning_rate(step):
    if step < WARMUP:
        return PEAK_RATE * (step + 1) / (WARMUP + 1)
    progress = min(1.0, (step - WARMUP) / (DECAY_ITERS - WARMUP))
    return FINAL_RATE + (PEAK_RATE - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * progress))


def read_characters(path):
    """(train, held out, vocabulary size): i64 character numbers, cut at nine tenths."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    number = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([number[character] for character in text])
    cut = int(len(ids) * 0.9)
    return ids[:cut], ids[cut:], len(number)


def random_batch(ids, random):
    starts = torch.from_numpy(random.integers(0, len(ids) - CONTEXT, BATCH))
    windows = ids[starts[:, None] + torch.arange(CONTEXT + 1)]
    return windows[:, :-1], windows[:, 1:]


@torch.no_grad()
def validation_loss(model, ids):
    predicted = len(ids) - 1
    whole = predicted // CONTEXT * CONTEXT
    inputs, targets = ids[:whole].view(-1, CONTEXT), ids[1 : whole + 1].view(-1, CONTEXT)
    chunks = list(zip(inputs.split(128), targets.split(128)))
    if whole < predicted:
        chunks.append((ids[None, whole:-1], ids[None, whole + 1 :]))
    return sum(model(x, y, reduction="sum").item() for x, y in chunks) / predicted


def train(options):
    train_ids, held_out, vocab = read_characters(options.text)
    torch.manual_seed(options.seed)
    random = numpy.random.default_rng(options.seed)
    model = Gpt(Shape(vocab, CONTEXT, LAYERS, HEADS, WIDTH))
    optimizer = adamw(model, PEAK_RATE, BETAS, WEIGHT_DECAY, fused=options.fused)
    evaluate_every = 100 if options.target is not None else options.iters
    validations, step_seconds, seconds, to_target = [], [], 0.0, None
    for step in range(1, options.iters + 1):
        start = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step - 1)
        loss = model(*random_batch(train_ids, random))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        train_loss = loss.item()
        step_seconds.append(time.perf_counter() - start)
        seconds += step_seconds[-1]
        if step % evaluate_every == 0 or step == options.iters:
            val_loss = validation_loss(model, held_out)
            validations.append({"step": step, "val_loss": val_loss, "train_seconds": seconds})
            print(f"step {step} train_loss={train_loss:.4f} val_loss={val_loss:.4f} train_seconds={seconds:.2f}",
                  file=sys.stderr, flush=True)  # fmt: skip
            if options.target is not None and to_target is None and val_loss <= options.target:
                to_target = seconds
    return {
        "job": "shakespeare-char",
        "iters": options.iters,
        "train_seconds": seconds,
        "val_loss": validations[-1]["val_loss"],
        "target": options.target,
        "seconds_to_target": to_target,
        "tokens_per_second": options.iters * BATCH * CONTEXT / seconds,
        "median_step_seconds": statistics.median(step_seconds),  # on a busy machine the steadier number
        "peak_bytes": peak_bytes(),
        "fused_adamw": options.fused,
        "seed": options.seed,
        "validations": validations,
        **environment(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", help="the text file")
    parser.add_argument("--iters", type=int, default=2000, help="stop earlier or later; the schedule stays")
    parser.add_argument("--target", type=float, metavar="LOSS", help="validate every 100 steps; when is LOSS reached?")
    parser.add_argument("--fused", action="store_true", help="PyTorch's fused AdamW, which nanoGPT keeps to GPUs")
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", metavar="FILE", help="write the result as one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result = train(options)
    print(f"train_seconds={result['train_seconds']:.2f} val_loss={result['val_loss']:.4f}")
    if options.target is not None:
        reached = result["seconds_to_target"]
        print(f"val_loss <= {options.target}: " + ("not reached" if reached is None else f"after {reached:.2f} s"))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
