"""Models whose outputs say which version they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import trimtab
from trimtab import Registry

F = TensorProto.FLOAT
#: A request: four numbers that are not zero.
X = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)


def onnx_bytes(
    nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]
) -> bytes:
    """A model of ai.onnx nodes."""
    graph = helper.make_graph(
        nodes,
        "versioned",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(a, name) for name, a in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return bytes(model.SerializeToString())


def scaling(factor: float, *, width: int = 4) -> bytes:
    """y = x * factor by way of a matrix, z = x + factor: both say which one it is."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], name="scale"),
        helper.make_node("Add", ["x", "b"], ["z"], name="shift"),
    ]
    constants = {
        "w": (np.eye(width) * factor).astype(np.float32),
        "b": np.full(width, factor, np.float32),
    }
    outputs = [("y", F, ("n", width)), ("z", F, ("n", width))]
    return onnx_bytes(nodes, [("x", F, ("n", width))], outputs, constants)


def versioned(factor: float, **options: Any) -> trimtab.Model:
    """The model of `scaling`."""
    return trimtab.load_model(scaling(factor, **options), threads=1)


def factor_of(answer: Any, x: np.ndarray = X) -> float | None:
    """Which version gave the answer; None: parts of two."""
    y, z = answer
    found = {*np.unique(np.round(y / x, 3)), *np.unique(np.round(z - x, 3))}
    return float(found.pop()) if len(found) == 1 else None


def until(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five artefacts with golden pairs; number i scales by i + 1."""
    folder = tmp_path_factory.mktemp("versions")
    paths = [folder / f"{i}.safetensors" for i in range(5)]
    for i, path in enumerate(paths):
        versioned(i + 1).save(path, golden=X)
    return paths


@pytest.fixture
def registry(tmp_path: Path, artefacts: list[Path]) -> Registry:
    """Version i of "digits" scales by i; the first is the champion."""
    found = Registry(tmp_path / "registry")
    for path in artefacts:
        found.register("digits", path)
    found.promote("digits", 1)
    return found


class Ear:
    """Keeps what a listener of traffic is told."""

    def __init__(self) -> None:
        self.compares: list[tuple[Any, ...]] = []
        self.serves: list[tuple[Any, ...]] = []
        self.failures: list[tuple[Any, ...]] = []

    def compared(self, *told: Any) -> None:
        """Keep it."""
        self.compares.append(told)

    def served(self, *told: Any) -> None:
        """Keep it."""
        self.serves.append(told)

    def failed(self, *told: Any) -> None:
        """Keep it."""
        self.failures.append(told)


@pytest.fixture
def ear() -> Ear:
    """A listener."""
    return Ear()
