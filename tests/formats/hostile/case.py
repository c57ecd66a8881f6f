"""What a hostile file is, and the list of all of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: Modules of this folder with a list ``CASES``.
FAMILIES = [
    "onnx_external",
    "archives",
    "pickles",
    "folders",
    "keras_configs",
    "hdf5_files",
    "artefacts",
    "tflite_files",
    "torch_archives",
]


@dataclass(frozen=True)
class Case:
    """One hostile file.

    `build` writes it into an empty folder and gives the path to load. `error` is the
    exact class that loading it must raise. `needs` names a package without which the
    case cannot be tried.
    """

    name: str
    build: Callable[[Path], Path]
    error: str
    needs: str = ""


def all_cases() -> list[Case]:
    """Cases of all families, with the family's name before their own."""
    cases = []
    for family in FAMILIES:
        module = importlib.import_module(f"{__package__}.{family}")
        cases += [
            Case(f"{family}: {case.name}", case.build, case.error, case.needs)
            for case in module.CASES
        ]
    return cases
