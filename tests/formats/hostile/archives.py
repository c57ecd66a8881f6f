"""Zip archives that leave their folder, lie about sizes, or hold what runs code."""

from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from .case import Case

UNSAFE, FORMAT, LIMIT = "UnsafeModelError", "ModelFormatError", "ModelLimitError"

CONFIG = json.dumps(
    {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "s", "layers": []},
        "registered_name": None,
    }
)


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """An archive that looks like a Keras file and has these members too."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.0.0"}')
        archive.writestr("config.json", CONFIG)
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def archive(content: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / "model.keras"
        path.write_bytes(content)
        return path

    return build


def _linked() -> bytes:
    info = zipfile.ZipInfo("model.weights.h5")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zip_of((info, b"/etc/passwd"))


def _device() -> bytes:
    info = zipfile.ZipInfo("model.weights.h5")
    info.external_attr = (stat.S_IFCHR | 0o666) << 16
    return zip_of((info, b""))


def _twice() -> bytes:
    content = zip_of(("model.weights.h5", b"a"), ("model.weights.hX", b"b"))
    return content.replace(b"model.weights.hX", b"model.weights.h5")


def _encrypted() -> bytes:
    """Set the flag of encryption in both headers of the last member."""
    content = bytearray(zip_of(("model.weights.h5", b"abc")))
    local = content.rindex(b"PK\x03\x04")
    central = content.rindex(b"PK\x01\x02")
    content[local + 6] |= 1
    content[central + 8] |= 1
    return bytes(content)


def _lying_size(size: int) -> bytes:
    """Declare another unpacked size for the last member."""
    content = bytearray(zip_of(("model.weights.h5", bytes(1000))))
    central = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, central + 24, size)
    local = content.rindex(b"PK\x03\x04")
    struct.pack_into("<I", content, local + 22, size)
    return bytes(content)


def _many() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("config.json", CONFIG)
        for i in range(100_001):
            out.writestr(f"{i}", b"")
    return buffer.getvalue()


def _damaged() -> bytes:
    content = bytearray(zip_of(("model.weights.h5", bytes(range(256)) * 64)))
    at = content.index(b"config.json") + len("config.json") + 8
    content[at : at + 8] = b"\xff" * 8
    return bytes(content)


def _pickled(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr(name, b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01.")
        out.writestr("archive/version", b"3")
    return buffer.getvalue()


CASES = [
    Case("slip by ..", archive(zip_of(("../evil", b"x"))), UNSAFE),
    Case("slip in the middle", archive(zip_of(("a/../../evil", b"x"))), UNSAFE),
    Case("absolute member", archive(zip_of(("/etc/evil", b"x"))), UNSAFE),
    Case("drive letter", archive(zip_of(("C:/evil", b"x"))), UNSAFE),
    Case("backslash", archive(zip_of(("..\\evil", b"x"))), UNSAFE),
    Case("link member", archive(_linked()), UNSAFE),
    Case("device member", archive(_device()), UNSAFE),
    Case("one name twice", archive(_twice()), UNSAFE),
    Case("encrypted", archive(_encrypted()), UNSAFE),
    Case("bomb", archive(zip_of(("model.weights.h5", bytes(64 << 20)))), LIMIT),
    Case("config bomb", archive(zip_of(("assets/a", b"[" * (64 << 20)))), LIMIT),
    Case("declares a terabyte", archive(_lying_size(0xFFFFFFF0)), LIMIT),
    Case("too many members", archive(_many()), LIMIT),
    Case("no end", archive(zip_of()[:-30]), FORMAT),
    Case("only a head", archive(b"PK\x03\x04" + bytes(60)), FORMAT),
    Case("torch.save", archive(_pickled("archive/data.pkl")), UNSAFE),
    Case("TorchScript", archive(_pickled("net/constants.pkl")), UNSAFE),
]
