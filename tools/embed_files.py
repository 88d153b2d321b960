#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files as arrays in one C source.

usage: embed_files.py OUT.c HEADER NAME=FILE...

`const unsigned char NAME[]` and `const size_t NAME_bytes` for each, as HEADER declares them; an
empty FILE gives an array of length 0 (and one byte, which C wants).
"""
import pathlib
import sys

BYTES_A_LINE = 24


def embed(name, path):
    content = pathlib.Path(path).read_bytes() if path else b""
    lines = [",".join(str(byte) for byte in content[at:at + BYTES_A_LINE])
             for at in range(0, len(content), BYTES_A_LINE)] or ["0"]
    return (f"const size_t {name}_bytes = {len(content)};\n"
            f"const unsigned char {name}[] = {{\n" + ",\n".join(lines) + "};\n")


def main():
    out, header, *pairs = sys.argv[1:]
    parts = [f'#include "{header}"\n']
    parts += [embed(*pair.split("=", 1)) for pair in pairs]
    pathlib.Path(out).write_text("\n".join(parts))


main()
