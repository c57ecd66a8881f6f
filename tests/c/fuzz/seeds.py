"""Writes the flat bytes of models, as seeds for fuzz_read.

python tests/c/fuzz/seeds.py model.onnx... folder
"""

from __future__ import annotations

import sys
from pathlib import Path

from trimtab.formats import read_model
from trimtab.wire import encode


def main() -> None:
    *models, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    for path in models:
        data, _ = encode(read_model(path))
        (folder / path.with_suffix(".wire").name).write_bytes(data)


if __name__ == "__main__":
    main()
