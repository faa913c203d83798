#!/usr/bin/env python3
"""Greedy text from a Stepstone artefact through `transformers`, to compare with `stepstone generate --temp 0`.

    python=$(bench/venv.sh build/anchor-venv torch safetensors transformers tokenizers)
    $python tests/interop/hf_generate.py DIR PROMPT [-n N] [--stepstone PATH]

Prints the continuation alone on standard output. With --stepstone the program runs on the same folder and prompt,
and the exit status is 1 where the two texts differ; the first difference is shown with the gap between the two best
logits there, since a near-tie may fall either way between implementations.
"""

import argparse
import pathlib
import subprocess
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast


def load(folder):
    # The loader reports what it cannot place; a missing or left-over tensor is a failure here.
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    problems = {key: sorted(value) for key, value in info.items() if value}
    if problems:
        sys.exit(f"{folder}: transformers loads it with {problems}")
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json")), model.eval()


def stop_tokens(model):
    stop = model.generation_config.eos_token_id
    return set() if stop is None else {stop} if isinstance(stop, int) else set(stop)


@torch.no_grad()
def greedy(model, prompt_ids, count):
    """([next ids], [gap between the two best logits]); without a cache: each step is one plain forward pass."""
    ids, gaps, stop = list(prompt_ids), [], stop_tokens(model)
    while len(gaps) < count:
        best = model(torch.tensor([ids]), use_cache=False).logits[0, -1].topk(2)
        if best.indices[0].item() in stop:
            break
        ids.append(best.indices[0].item())
        gaps.append((best.values[0] - best.values[1]).item())
    return ids[len(prompt_ids) :], gaps


def compare(ours, reference, tokenizer, ids, gaps):
    if ours == reference:
        return 0
    at = next((i for i, (a, b) in enumerate(zip(ours, reference)) if a != b), min(len(ours), len(reference)))
    texts = (tokenizer.decode(ids[: i + 1], clean_up_tokenization_spaces=False) for i in range(len(ids)))
    token = next((i for i, text in enumerate(texts) if len(text) > at), None)
    where = f"differs at character {at}"
    print(f"{where}: {ours[at : at + 40]!r}, transformers {reference[at : at + 40]!r}", file=sys.stderr)
    if token is not None:
        print(f"token {token}: the two best logits there are {gaps[token]:.2e} apart", file=sys.stderr)
    return 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, metavar="DIR")
    parser.add_argument("prompt", metavar="PROMPT")
    parser.add_argument("-n", type=int, default=64, help="tokens at most")
    parser.add_argument("--stepstone", metavar="PATH", help="compare with this program")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    tokenizer, model = load(options.folder)
    prompt_ids = tokenizer.encode(options.prompt)  # with what the post-processor of tokenizer.json adds
    ids, gaps = greedy(model, prompt_ids, options.n)
    reference = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    print(reference)
    if options.stepstone:
        command = [options.stepstone, "generate", "-m", str(options.folder), "-p", options.prompt]
        command += ["-n", str(options.n), "--temp", "0"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"stepstone generate: exit status {done.returncode}\n{done.stderr}")
        sys.exit(compare(done.stdout.removesuffix("\n"), reference.removesuffix("\n"), tokenizer, ids, gaps))


if __name__ == "__main__":
    main()
