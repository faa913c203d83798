#!/usr/bin/env python3
"""The validation loss of a Stepstone artefact through `transformers`, against the one in the artefact's run log.

    python=$(bench/venv.sh build/anchor-venv torch safetensors transformers tokenizers)
    $python tests/interop/hf_validation.py DIR TEXT

For models trained on windows of one text file, such as recipes/shakespeare-char.toml: the last tenth of the
characters, cut into windows of the model's context that do not overlap. Exit status 1 where the two losses differ.
"""

import argparse
import json
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
import transformers

from hf_generate import load


@torch.no_grad()
def mean_loss(model, ids, context):
    total = 0.0
    for start in range(0, len(ids) - 1, 64 * context):
        piece = ids[start : start + 64 * context + 1]
        whole = (len(piece) - 1) // context * context
        batches = [(piece[:whole].view(-1, context), piece[1 : whole + 1].view(-1, context))]
        batches.append((piece[None, whole:-1], piece[None, whole + 1 :]))
        for inputs, targets in batches:
            if inputs.numel() > 0:
                logits = model(inputs, use_cache=False).logits
                total += F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()
    return total / (len(ids) - 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, metavar="DIR")
    parser.add_argument("text", type=pathlib.Path, metavar="TEXT")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="relative")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    tokenizer, model = load(options.folder)
    text = options.text.read_text(encoding="utf-8")
    held_out = text[int(len(text) * 0.9) :]
    reference = mean_loss(model, torch.tensor(tokenizer.encode(held_out)), model.config.max_position_embeddings)
    entries = [json.loads(line) for line in (options.folder / "log.jsonl").read_text().splitlines()]
    losses = [entry["val_loss"] for entry in entries if "val_loss" in entry]
    if not losses:
        sys.exit(f"{options.folder / 'log.jsonl'}: no val_loss")
    print(f"transformers {reference:.8f}, Stepstone {losses[-1]:.8f}")
    sys.exit(0 if math.isclose(reference, losses[-1], rel_tol=options.tolerance) else 1)


if __name__ == "__main__":
    main()
