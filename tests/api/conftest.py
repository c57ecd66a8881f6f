"""Small models for the tests of the Python API."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import trimtab

RNG = np.random.default_rng(5)
W = RNG.standard_normal((4, 3)).astype(np.float32)


def serialize(nodes, inputs, outputs, constants=None, opset: int = 17) -> bytes:
    """A model of ai.onnx nodes."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(a, name) for name, a in (constants or {}).items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    )
    return model.SerializeToString()


@pytest.fixture(scope="session")
def content() -> bytes:
    """y = softmax(relu(x W)), x of shape (n, 4)."""
    return serialize(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], name="linear"),
            helper.make_node("Relu", ["h"], ["a"], name="relu"),
            helper.make_node("Softmax", ["a"], ["y"], name="softmax", axis=-1),
        ],
        [("x", TensorProto.FLOAT, ("n", 4))],
        ["y"],
        {"w": W},
    )


@pytest.fixture
def path(content: bytes, tmp_path: Path) -> Path:
    """The model as a file."""
    file = tmp_path / "tiny.onnx"
    file.write_bytes(content)
    return file


@pytest.fixture
def model(path: Path) -> trimtab.Model:
    """The model, loaded from the file."""
    return trimtab.load_model(path, threads=1)


@pytest.fixture(scope="session")
def rare() -> bytes:
    """y = 2 x, with a detour by texts, which the engine leaves to the fallback."""
    text, number = TensorProto.STRING, TensorProto.FLOAT
    return serialize(
        [
            helper.make_node("Cast", ["x"], ["t"], name="to_text", to=text),
            helper.make_node("Cast", ["t"], ["d"], name="to_number", to=number),
            helper.make_node("Add", ["d", "d"], ["y"], name="double"),
        ],
        [("x", TensorProto.FLOAT, ("n", "m", "m"))],
        ["y"],
    )


def reference(x: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of `content` in float64."""
    h = x.astype(np.float64) @ W
    a = np.maximum(h, 0)
    e = np.exp(a - a.max(-1, keepdims=True))
    return {"h": h, "a": a, "y": e / e.sum(-1, keepdims=True)}


@pytest.fixture
def x() -> np.ndarray:
    """An input for `content`."""
    return np.random.default_rng(7).standard_normal((5, 4)).astype(np.float32)
