#!/usr/bin/env python3
"""shakespeare-char in one run: the PyTorch anchor, then Stepstone; how much sooner is the validation loss reached?

    bench/speedrun_char.py shakespeare.txt [--target 1.88] [--json FILE]

Both train on the first nine tenths of the text with context 64 and are validated on all of the rest; seconds are
training seconds without validation (the JSON also has wall_seconds, those of the whole processes). An anchor that
ends above the target counts with its whole training time, which makes the ratio a lower bound. Stepstone's numbers
are those of its run log, log.jsonl in its output folder.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import side_by_side


def validations_of(log):
    """The validations in a run log: [{step, val_loss, train_seconds}]."""
    try:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as problem:
        sys.exit(f"{log}: {problem}")
    fields = ("step", "val_loss", "train_seconds")
    validations = [{field: line[field] for field in fields} for line in lines if all(f in line for f in fields)]
    if not validations:
        sys.exit(f"{log}: no line with {', '.join(fields)}")
    return validations


def seconds_to(target, validations):
    return next((v["train_seconds"] for v in validations if v["val_loss"] <= target), None)


def run_anchor(options, folder):
    python = side_by_side.anchor_python(options.venv, "torch", "numpy")
    result = folder / "anchor.json"
    command = [python, side_by_side.BENCH / "anchor_nanogpt_char.py", options.text, "--target", options.target]
    command += ["--threads", options.threads, "--json", result] + (["--fused"] if options.fused else [])
    _, wall_seconds = side_by_side.run(command, stdout=sys.stderr)
    return {**json.loads(result.read_text()), "wall_seconds": wall_seconds}


def run_stepstone(options, folder):
    out = folder / "stone"
    command = [options.stepstone, "train", options.recipe, *options.overrides, "--data", options.text, "--out", out]
    environment = side_by_side.stepstone_environment(options.threads)
    _, wall_seconds = side_by_side.run(command, stdout=sys.stderr, env=environment)
    validations = validations_of(out / "log.jsonl")
    return {
        "train_seconds": validations[-1]["train_seconds"],
        "wall_seconds": wall_seconds,
        "val_loss": validations[-1]["val_loss"],
        "seconds_to_target": seconds_to(options.target, validations),
        "validations": validations,
    }


def report(target, anchor, ours):
    """Prints the comparison; returns the ratio of times, None where Stepstone missed the target."""
    for name, result in [("PyTorch", anchor), ("Stepstone", ours)]:
        reached = result["seconds_to_target"]
        print(f"{name:9}  to val_loss <= {target}: " + ("not reached" if reached is None else f"{reached:.1f} s") +
              f";  whole run {result['train_seconds']:.1f} s, val_loss {result['val_loss']:.4f}")  # fmt: skip
    if ours["seconds_to_target"] is None:
        print("ratio: none, Stepstone did not reach the target")
        return None
    complete = anchor["seconds_to_target"] is not None
    ratio = (anchor["seconds_to_target"] if complete else anchor["train_seconds"]) / ours["seconds_to_target"]
    print(f"ratio: {'' if complete else 'more than '}{ratio:.1f}")
    return ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", help="the text file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="passed on to stepstone train")
    parser.add_argument("--recipe", default=str(side_by_side.ROOT / "recipes/shakespeare-char.toml"))
    parser.add_argument("--target", type=float, default=1.88)
    parser.add_argument("--fused", action="store_true", help="let the anchor use PyTorch's fused AdamW")
    parser.add_argument("--keep", metavar="DIR", help="leave both results here instead of in a throw-away folder")
    side_by_side.add_options(parser)
    options = parser.parse_args()
    side_by_side.require_files(parser, options.text, options.recipe, options.stepstone)
    load = side_by_side.load_before()
    with tempfile.TemporaryDirectory() as throw_away:
        folder = pathlib.Path(options.keep or throw_away)
        folder.mkdir(parents=True, exist_ok=True)
        anchor = run_anchor(options, folder)
        ours = run_stepstone(options, folder)
    ratio = report(options.target, anchor, ours)
    side_by_side.write_json(options.json, {
        "job": "shakespeare-char",
        "processor": side_by_side.processor(),
        "threads": options.threads,
        "load_before": load,
        "target": options.target,
        "ratio": ratio,
        "ratio_is_lower_bound": anchor["seconds_to_target"] is None,
        "anchor": anchor,
        "stepstone": ours,
    })  # fmt: skip
    sys.exit(0 if ratio is not None else 1)


if __name__ == "__main__":
    main()
