#!/usr/bin/env python3
"""Writes quant/golden.safetensors: what the reference implementations make of block formats.

    python=$(bench/venv.sh build/anchor-venv numpy safetensors gguf)
    $python tests/golden/make_quant_goldens.py LIBGGML_BASE [--out tests/golden]

LIBGGML_BASE is libggml-base.so of a llama.cpp build. For every TYPE:

    TYPE.blocks    u8   random blocks with sensible scales
    TYPE.values    f32  what the package gguf dequantises them to
    TYPE.error     f32  [4] sum of squared errors of ggml's quantize_row_TYPE_ref, for each row of `x`
    x              f32  [4, 1024] rows: normal, heavy-tailed, positive, small and Laplacian
"""

import argparse
import ctypes
import pathlib

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from safetensors.numpy import save_file

TYPES = "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL MXFP4".split()
# Where the binary16 scales stand in a block: any bits elsewhere are a valid block.
HALVES = dict(Q4_0=[0], Q4_1=[0, 2], Q5_0=[0], Q5_1=[0, 2], Q8_0=[0], Q2_K=[80, 82], Q3_K=[108], Q4_K=[0, 2],
              Q5_K=[0, 2], Q6_K=[208], IQ4_NL=[0], MXFP4=[])  # fmt: skip


def random_blocks(name, random, count):
    elements, size = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    count *= max(1, 64 // elements)
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    for at in HALVES[name]:
        blocks[:, at : at + 2] = random.normal(0, 0.1, count).astype(np.float16).view(np.uint8).reshape(count, 2)
    if name == "MXFP4":
        blocks[:, 0] = random.integers(110, 140, count)
        blocks[:2, 0] = [0, 1]  # scales below the smallest normal float
    return blocks


def samples(random):
    return np.stack(
        [
            random.normal(0, 1, 1024),
            random.standard_t(3, 1024),
            random.uniform(0.5, 2, 1024),
            random.laplace(0, 1e-3, 1024),
        ]
    ).astype(np.float32)


def reference_error(library, name, x):
    quantise = getattr(library, f"quantize_row_{name.lower().replace('_k', '_K')}_ref")
    elements, size = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    out = np.zeros(x.size // elements * size, dtype=np.uint8)
    quantise(x.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(x.size))
    values = gguf.quants.dequantize(out, GGMLQuantizationType[name])
    return np.sum((values.astype(np.float64) - x) ** 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    arguments = parser.parse_args()
    library = ctypes.CDLL(arguments.library)
    random = np.random.default_rng(1)
    x = samples(random)
    golden = {"x": x}
    for name in TYPES:
        blocks = random_blocks(name, random, 2)
        golden[f"{name}.blocks"] = blocks
        values = gguf.quants.dequantize(blocks.reshape(-1), GGMLQuantizationType[name])
        golden[f"{name}.values"] = values.astype(np.float32).reshape(-1)
        golden[f"{name}.error"] = np.array([reference_error(library, name, row) for row in x], dtype=np.float32)
    folder = arguments.out / "quant"
    folder.mkdir(exist_ok=True)
    save_file(golden, folder / "golden.safetensors", metadata={"made_with": "gguf 0.19.0, ggml 0.25.3"})


if __name__ == "__main__":
    main()
