#!/usr/bin/env python3
"""Writes unicode_classes.inc: which code points are letters, numbers and white space.

The classes are read off the reference implementation (Hugging Face `tokenizers`, whose regular
expressions follow Unicode 16.0), so that segmentation matches it and never depends on the Unicode
version of an installed library. Run: make_unicode_classes.py > unicode_classes.inc
"""
from tokenizers import Regex, pre_tokenizers


def members(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    surrogates = range(0xD800, 0xE000)
    return [c for c in range(0x110000) if c not in surrogates and split.pre_tokenize_str(chr(c))]


def ranges(code_points):
    out = []
    for c in code_points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


print("// Written by make_unicode_classes.py: {first, last, class}. Do not edit.")
for name, pattern in (("letter", r"\p{L}"), ("number", r"\p{N}"), ("space", r"\s")):
    line = ""
    for first, last in ranges(members(pattern)):
        item = f"{{{first:#x}, {last:#x}, CharClass::{name}}}, "
        if len(line) + len(item) > 100:
            print(line.rstrip())
            line = ""
        line += item
    print(line.rstrip())
