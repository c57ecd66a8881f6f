"""Pickles under any name, and files of formats that nobody reads here."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .case import Case

UNSAFE, FORMAT = "UnsafeModelError", "ModelFormatError"


class _Evil:
    def __reduce__(self):
        return os.system, ("touch trimtab-was-here",)


def file(name: str, content: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return build


def _object_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([_Evil()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


CASES = [
    *(
        Case(f"protocol {n}", file("m.pt", pickle.dumps(_Evil(), n)), UNSAFE)
        for n in range(2, 6)
    ),
    Case("protocol 0", file("m.pkl", pickle.dumps(_Evil(), 0)), UNSAFE),
    Case("pickle named .onnx", file("m.onnx", pickle.dumps(_Evil(), 4)), UNSAFE),
    Case("pickle named .h5", file("m.h5", pickle.dumps(_Evil(), 4)), UNSAFE),
    Case("objects in .npy", file("m.npy", _object_array()), FORMAT),
    Case("ort", file("m.ort", b"\x20\0\0\0ORTM" + bytes(100)), FORMAT),
    Case("gif", file("m.onnx.gif", b"GIF89a" + bytes(100)), FORMAT),
    Case("empty file", file("m.bin", b""), FORMAT),
    Case("text", file("m.txt", b"Lorem ipsum"), FORMAT),
]
