"""Many small models of Keras in one file: built once, compared branch by branch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.formats.keras_cases import (
    Case,
    build_model,
    draw,
    keras,
)

import trimtab

__all__ = ["Group", "mask_steps"]


def mask_steps(value: np.ndarray) -> np.ndarray:
    """Zero steps at the front, at the end and in between, and one whole sequence."""
    value = value.copy()
    value[0, :2] = 0
    value[1, value.shape[1] - 2 :] = 0
    value[2, [0, 2, 3]] = 0
    if len(value) > 3:
        value[3] = 0
    return value


class Group:
    """Cases in one model, saved and loaded once, and what both make of them."""

    def __init__(self, cases: Sequence[Case], folder: Path, suffix: str = ".keras"):
        self.cases = {case.name: case for case in cases}
        assert len(self.cases) == len(cases)
        self.model = build_model(cases)
        self.path = folder / f"group{suffix}"
        self.model.save(self.path)
        self.loaded = trimtab.load_model(self.path)
        self._counts = {name: self._count(case) for name, case in self.cases.items()}

    def _count(self, case: Case) -> int:
        inputs = [keras.Input(shape) for shape in case.shapes]
        if case.values != "normal":
            inputs = [keras.Input(shape, dtype="int32") for shape in case.shapes]
        return len(keras.tree.flatten(case.build(*inputs)))

    def feeds(self, *, masked: bool = False, seed: int = 3) -> dict[str, np.ndarray]:
        """Inputs of all cases."""
        found: dict[str, np.ndarray] = {}
        for case in self.cases.values():
            drawn = draw(case, seed)
            if masked:
                first = next(iter(drawn))
                drawn[first] = mask_steps(drawn[first])
            found.update(drawn)
        return found

    def results(
        self, feeds: dict[str, np.ndarray]
    ) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
        """What trimtab and Keras compute, case by case."""
        got = list(self.loaded.run(feeds).values())
        made = self.model([feeds[x.name] for x in self.model.inputs], training=False)
        want = [keras.ops.convert_to_numpy(y) for y in keras.tree.flatten(made)]
        assert len(got) == len(want) == sum(self._counts.values())
        found: dict[str, Any] = {}
        for name, count in self._counts.items():
            found[name] = got[:count], want[:count]
            got, want = got[count:], want[count:]
        return found
