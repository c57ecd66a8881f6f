"""Paths that are no regular file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .case import Case

FORMAT, UNSAFE = "ModelFormatError", "UnsafeModelError"


def folder_of(*names: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        for name in names:
            (folder / name).write_bytes(b"")
        return folder

    return build


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "model.onnx")
    return folder / "model.onnx"


def _to_device(folder: Path) -> Path:
    (folder / "model.onnx").symlink_to("/dev/zero")
    return folder / "model.onnx"


CASES = [
    Case("empty folder", folder_of(), FORMAT),
    Case("folder of text", folder_of("a.txt", "b.txt"), FORMAT),
    Case("FIFO", _fifo, UNSAFE),
    Case("link to /dev/zero", _to_device, UNSAFE),
]
