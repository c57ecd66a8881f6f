"""Archives of torch.export that hold what runs code, or not what they say."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

from .case import Case
from .pickles import _Evil

UNSAFE, FORMAT = "UnsafeModelError", "ModelFormatError"


def pt2(members: dict[str, bytes], model: bytes = b"{}") -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / "model.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("m/archive_format", b"pt2")
            archive.writestr("m/archive_version", b"0")
            archive.writestr("m/byteorder", b"little")
            archive.writestr("m/models/model.json", model)
            for name, content in members.items():
                archive.writestr("m/" + name, content)
        return path

    return build


EVIL = pickle.dumps(_Evil(), 2)
CASES = [
    Case("nothing in it", pt2({}), FORMAT, needs="torch"),
    Case("no JSON", pt2({}, b"\xff"), FORMAT, needs="torch"),
    Case("brackets", pt2({}, b"[" * 100_000), FORMAT, needs="torch"),
    Case(
        "objects",
        pt2({"data/constants/custom_obj_0": EVIL}),
        UNSAFE,
        needs="torch",
    ),
]
