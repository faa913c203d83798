"""Exchanges files with the official safetensors reader and writer (with PyTorch, for bf16).

safetensors_interop.py make FILE       write the sample file
safetensors_interop.py check FILE      compare a file with the sample
safetensors_interop.py check-folder D  the same for a sharded folder, by its index
Run by src/io/interop_test.cpp when STEPSTONE_PYTHON names a Python that has the packages.
"""

import json
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file

METADATA = {"format": "pt", "note": "中文"}


def sample():
    ramp = torch.arange(24, dtype=torch.float32) * 0.5 - 3
    return {
        "f32": ramp.reshape(2, 3, 4),
        "bf16": ramp.to(torch.bfloat16).reshape(4, 6),
        "i32": torch.arange(-2, 3, dtype=torch.int32),
        "i64": torch.tensor([-(2**62), 0, 2**62]),
        "u8": torch.tensor([0, 1, 255], dtype=torch.uint8),
        "scalar": torch.tensor(1.25),
        "empty": torch.zeros(0, 4),
        "名": torch.ones(1),
    }


def check(found):
    expected = sample()
    assert sorted(found) == sorted(expected), sorted(found)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].shape == tensor.shape, name
        assert torch.equal(found[name], tensor), name


def load(path):
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == METADATA, file.metadata()
        return {name: file.get_tensor(name) for name in file.keys()}


def main():
    verb, path = sys.argv[1], pathlib.Path(sys.argv[2])
    if verb == "make":
        tensors = sample()
        tensors["f16"] = tensors["f32"].to(torch.float16)
        tensors["bool"] = torch.tensor([True, False, True])
        save_file(tensors, path, metadata=METADATA)
    elif verb == "check":
        check(load(path))
    elif verb == "check-folder":
        index = json.loads((path / "model.safetensors.index.json").read_text())
        shards = {name: load(path / name) for name in set(index["weight_map"].values())}
        assert len(shards) > 1
        check({name: shards[shard][name] for name, shard in index["weight_map"].items()})
        total = sum(t.numel() * t.element_size() for t in sample().values())
        assert index["metadata"]["total_size"] == total
    else:
        sys.exit(__doc__)


main()
