#!/usr/bin/env python3
"""The GPT-2 124M training step in one run: PyTorch, then Stepstone; tokens per second and peak memory.

    bench/train_124m.py [--json FILE]

B 4 x T 256, fp32 and bf16, each measured in a process of its own. Stepstone answers through
`stepstone bench train --json --dtype DTYPE`: one object with tokens_per_second, dtype and peak_bytes.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import side_by_side

DTYPES = ("f32", "bf16")


def measure_anchor(options, dtype):
    python = side_by_side.anchor_python(options.venv, "torch", "numpy")
    with tempfile.TemporaryDirectory() as folder:
        result = pathlib.Path(folder) / "anchor.json"
        script = side_by_side.BENCH / "anchor_gpt2_step.py"
        command = [python, script, "--dtype", dtype, "--threads", options.threads, "--json", result]
        side_by_side.run(command + (["--compile"] if options.compile else []), stdout=sys.stderr)
        return json.loads(result.read_text())[0]


def measure_stepstone(options, dtype):
    command = [options.stepstone, "bench", "train", "--json", "--dtype", dtype]
    environment = side_by_side.stepstone_environment(options.threads)
    answer, _ = side_by_side.run(command, stdout=subprocess.PIPE, env=environment)
    try:
        result = json.loads(answer)
        missing = [field for field in ("tokens_per_second", "dtype", "peak_bytes") if field not in result]
    except ValueError as problem:
        sys.exit(f"stepstone bench train --json: {problem}")
    if missing or result["dtype"] != dtype:
        sys.exit(f"stepstone bench train --json: wanted {dtype}, missing {missing}, got {answer.strip()}")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compile", action="store_true", help="the anchor through torch.compile")
    side_by_side.add_options(parser)
    options = parser.parse_args()
    side_by_side.require_files(parser, options.stepstone)
    load = side_by_side.load_before()
    results = []
    print(f"{'dtype':6} {'PyTorch':>12} {'Stepstone':>12} {'ratio':>6}   {'peak GB':>8} {'ours':>6}")
    for dtype in DTYPES:
        anchor = measure_anchor(options, dtype)
        ours = measure_stepstone(options, dtype)
        ratio = ours["tokens_per_second"] / anchor["tokens_per_second"]
        results.append({"dtype": dtype, "ratio": ratio, "anchor": anchor, "stepstone": ours})
        print(f"{dtype:6} {anchor['tokens_per_second']:8.1f} t/s {ours['tokens_per_second']:8.1f} t/s {ratio:6.2f}   "
              f"{anchor['peak_bytes'] / 1e9:8.2f} {ours['peak_bytes'] / 1e9:6.2f}", flush=True)  # fmt: skip
    side_by_side.write_json(options.json, {
        "job": "gpt2-124m-step",
        "processor": side_by_side.processor(),
        "threads": options.threads,
        "load_before": load,
        "results": results,
    })  # fmt: skip


if __name__ == "__main__":
    main()
