"""Artefacts whose header lies; the table of `test_native`, as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..test_native import HEADERS
from .case import Case


def file(content: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / "model.safetensors"
        path.write_bytes(content)
        return path

    return build


CASES = [
    Case(name, file(content), "ModelFormatError")
    for name, (content, _) in HEADERS.items()
]
