"""Layers of Keras to be compared with Keras itself, on its torch backend."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="Keras is the reference here")
pytest.importorskip("h5py", reason="weights of Keras are in HDF5 files")

import trimtab  # noqa: E402


@dataclass(frozen=True)
class Case:
    """A model of one or a few layers.

    ``build`` takes the symbolic inputs, one after the other; ``values`` says what the
    inputs hold: "normal", or the number below which whole ones are drawn.
    """

    name: str
    build: Callable[..., Any]
    shapes: Sequence[tuple[int | None, ...]]
    values: Any = "normal"
    tolerance: float = 1e-5
    batch: int = 3
    sizes: dict[int, int] = field(default_factory=dict)


def build_model(cases: Sequence[Case], name: str = "cases") -> Any:
    """Build one model with a branch for each case, its weights random."""
    keras.utils.set_random_seed(7)
    inputs, outputs = {}, []
    for case in cases:
        dtype = "float32" if case.values == "normal" else "int32"
        own = [
            keras.Input(shape, dtype=dtype, name=f"{case.name}_{i}")
            for i, shape in enumerate(case.shapes)
        ]
        inputs.update({x.name: x for x in own})
        found = case.build(*own)
        outputs.extend(found if isinstance(found, list | tuple) else [found])
    model = keras.Model(list(inputs.values()), outputs, name=name)
    randomize(model)
    return model


def randomize(model: Any, seed: int = 5) -> None:
    """Give every weight values that matter: no zeros, no ones, positive variances."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if "variance" in weight.path:
            value = rng.uniform(0.5, 2.0, shape)
        else:
            value = rng.normal(0.0, 0.4, shape)
        if "float" in str(weight.dtype):
            weight.assign(value.astype(np.float32))


def draw(case: Case, seed: int = 3) -> dict[str, np.ndarray]:
    """Draw the inputs of a case."""
    rng = np.random.default_rng(seed)
    found = {}
    for i, shape in enumerate(case.shapes):
        sizes = [5 + axis if d is None else d for axis, d in enumerate(shape)]
        full = (case.batch, *sizes)
        if case.values == "normal":
            value = rng.normal(0.0, 1.5, full).astype(np.float32)
        else:
            value = rng.integers(0, case.values, full).astype(np.int32)
        found[f"{case.name}_{i}"] = value
    return found


def reference(model: Any, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What Keras computes."""
    found = model(list(feeds.values()), training=False)
    found = found if isinstance(found, list | tuple) else [found]
    return [keras.ops.convert_to_numpy(y) for y in found]


def computed(source: Any, feeds: Any) -> list[np.ndarray]:
    """What trimtab computes."""
    return list(trimtab.load_model(source).run(feeds).values())


def assert_close(
    got: Sequence[np.ndarray], want: Sequence[np.ndarray], tolerance: float = 1e-5
) -> None:
    """Compare relative to the largest element: float32 sums in another order."""
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        assert one.shape == other.shape
        scale = max(1.0, float(np.abs(other).max(initial=0.0)))
        error = float(np.abs(one.astype(np.float64) - other).max(initial=0.0)) / scale
        assert error <= tolerance, error
