#!/usr/bin/env python3
"""Does the best learning rate stay where it is when the model grows? Trains recipes/base.toml at several depths and rates.

    bench/depth_sweep.py CORPUS [--depths 2 4] [--factors 0.25 0.5 1 2 4] [--steps 200] [--json FILE] [key=value ...]

A factor multiplies every learning rate that the recipe gives for that depth. Prints the validation loss of each run and,
per depth, the best factor.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import side_by_side

def loss_of(options, depth, factor):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "stone"
        command = [options.stepstone, "train", options.recipe, f"model.depth={depth}", f"train.steps={options.steps}"]
        command += ["train.eval_every=0", f"optim.rate_factor={factor}", *options.overrides]
        printed, _ = side_by_side.run([*command, "--data", options.corpus, "--out", out, "--quiet", "--json"],
                                      stdout=subprocess.PIPE)  # fmt: skip
    return json.loads(printed)["val_loss"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--factors", type=float, nargs="+", default=[0.25, 0.5, 1, 2, 4])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--recipe", default=str(side_by_side.ROOT / "recipes/base.toml"))
    parser.add_argument("--stepstone", default=str(side_by_side.ROOT / "build/release/stepstone"))
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    side_by_side.require_files(parser, options.corpus, options.recipe, options.stepstone)
    losses = {}
    for depth in options.depths:
        losses[depth] = {f: loss_of(options, depth, f) for f in options.factors}
        best = min(losses[depth], key=losses[depth].get)
        row = "  ".join(f"{f}: {loss:.4f}" for f, loss in losses[depth].items())
        print(f"depth {depth}:  {row}   best factor {best}", flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(losses))


if __name__ == "__main__":
    main()
