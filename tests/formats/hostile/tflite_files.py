"""TFLite files whose offsets leave them; read by accessors that check nothing."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from .case import Case

FORMAT = "ModelFormatError"


def file(content: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / "model.tflite"
        path.write_bytes(content)
        return path

    return build


def root(offset: int, rest: bytes) -> bytes:
    return struct.pack("<I", offset) + b"TFL3" + rest


# A root table at 24 whose vtable at 12 has one field, which leads to `target`.
def table(target: int, tail: bytes = bytes(64)) -> bytes:
    vtable = struct.pack("<HHHHHH", 10, 8, 0, 0, 4, 0)
    return root(24, bytes(4) + vtable + struct.pack("<iI", 12, target) + tail)


FILES = [
    ("root out of the file", root(0xFFFFFFFF, bytes(64))),
    ("root at 0", root(0, bytes(64))),
    ("vtable far behind", root(8, struct.pack("<i", -(2**31)) + bytes(64))),
    ("vtable far before", root(8, struct.pack("<i", 2**31 - 1) + bytes(64))),
    ("vtable that is the table", root(8, struct.pack("<i", 0) + bytes(64))),
    ("vector out of the file", table(0x7FFFFFFF)),
    ("vector of 2**32 - 1", table(4, b"\xff" * 64)),
    ("vector of itself", table(0)),
    ("only a head", root(8, b"")),
    ("every byte the same", root(8, b"\x08" * 4096)),
]

CASES = [Case(name, file(data), FORMAT, needs="tflite") for name, data in FILES]
