#!/usr/bin/env python3
"""Exchanges GGUF files with the official reader and writer (package gguf). Called by src/io/interop_test.cpp.

    gguf_interop.py make FILE     writes what the test expects to read
    gguf_interop.py check FILE    reads what the test has written
"""

import sys

import numpy as np
from gguf import GGUFReader, GGUFWriter
from gguf.constants import GGMLQuantizationType, GGUFValueType

RAMP = (np.arange(64, dtype=np.float32) * 0.5 - 3).reshape(2, 32)
WORDS = ["a", "", "名", "two words"]


def make(path):
    writer = GGUFWriter(path, "llama")
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -100)
    writer.add_uint16("u16", 60000)
    writer.add_int16("i16", -30000)
    writer.add_uint32("u32", 4_000_000_000)
    writer.add_int32("i32", -2_000_000_000)
    writer.add_uint64("u64", 1 << 62)
    writer.add_int64("i64", -(1 << 62))
    writer.add_float32("f32", 0.5)
    writer.add_float64("f64", 0.1)
    writer.add_bool("bool", True)
    writer.add_string("string", "中文")
    writer.add_array("words", WORDS)
    writer.add_array("ints", [1, -2, 3])
    writer.add_array("floats", [0.5, -1.0])
    writer.add_tensor("f32", RAMP)
    writer.add_tensor("f16", RAMP.astype(np.float16))
    writer.add_tensor("one", np.ones(1, dtype=np.float32))
    blocks = np.frombuffer(np.float16(0.5).tobytes() + bytes(range(32)), dtype=np.uint8).reshape(1, 34)
    writer.add_tensor("q8_0", blocks, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check(path):
    reader = GGUFReader(path)
    fields = reader.fields

    def expect(key, kind, value):
        field = fields[key]
        assert field.types[0] == kind, (key, field.types)
        assert field.contents() == value, (key, field.contents())

    expect("general.architecture", GGUFValueType.STRING, "llama")
    expect("true", GGUFValueType.BOOL, True)
    expect("u32", GGUFValueType.UINT32, 7)
    expect("i32", GGUFValueType.INT32, -7)
    expect("u64", GGUFValueType.UINT64, 1 << 63)
    expect("f32", GGUFValueType.FLOAT32, 0.25)
    expect("words", GGUFValueType.ARRAY, WORDS)
    expect("ints", GGUFValueType.ARRAY, [1, -2, 3])
    tensors = {t.name: t for t in reader.tensors}
    assert list(tensors) == ["f32", "odd", "q8_0"], list(tensors)
    assert tensors["f32"].tensor_type == GGMLQuantizationType.F32
    assert np.array_equal(tensors["f32"].data, RAMP)
    assert np.array_equal(tensors["odd"].data, np.array([7], dtype=np.float32))
    assert tensors["q8_0"].tensor_type == GGMLQuantizationType.Q8_0
    assert list(tensors["q8_0"].shape) == [32, 1]
    assert tensors["q8_0"].data.tobytes() == bytes(range(34))


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](sys.argv[2])
