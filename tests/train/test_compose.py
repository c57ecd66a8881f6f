"""GELU that exporters spell out is recognised, and nothing else is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.train.compose import compose_gelu

Nodes = list[tuple[str, list[str], str]]
ERF: Nodes = [
    ("Div", ["x", "root"], "a"),
    ("Erf", ["a"], "b"),
    ("Add", ["b", "1"], "c"),
]

SPELLINGS: dict[str, Nodes] = {
    "x first": [*ERF, ("Mul", ["x", "c"], "d"), ("Mul", ["d", "half"], "y")],
    "half first": [*ERF, ("Mul", ["c", "half"], "d"), ("Mul", ["d", "x"], "y")],
    "half of x": [
        ("Mul", ["half", "x"], "h"), *ERF, ("Mul", ["h", "c"], "y"),
    ],
    "times": [
        ("Mul", ["inverse", "x"], "a"), ("Erf", ["a"], "b"), ("Add", ["1", "b"], "c"),
        ("Mul", ["x", "c"], "d"), ("Mul", ["half", "d"], "y"),
    ],
}  # fmt: skip

OTHERS: dict[str, Nodes] = {
    "another factor": [*ERF, ("Mul", ["x", "c"], "d"), ("Mul", ["d", "1"], "y")],
    "another tensor": [
        ("Relu", ["x"], "z"), *ERF, ("Mul", ["z", "c"], "d"),
        ("Mul", ["d", "half"], "y"),
    ],
    "x twice": [*ERF, ("Mul", ["x", "c"], "d"), ("Mul", ["d", "x"], "y")],
    "squared": [*ERF, ("Mul", ["c", "c"], "y")],
    "half of an addition": [
        *ERF[:2], ("Add", ["b", "half"], "c"), ("Mul", ["x", "c"], "d"),
        ("Mul", ["d", "half"], "y"),
    ],
    "ends early": [*ERF, ("Mul", ["x", "c"], "y")],
}  # fmt: skip


def _model(listed: Nodes, outputs: list[str] | None = None) -> Model:
    numbers = {"root": 2**0.5, "inverse": 0.5**0.5, "half": 0.5, "1": 1.0}
    return Model(
        Graph(
            "g",
            [Value("x", "float32", (None, 8))],
            [Value(name) for name in outputs or ["y"]],
            [Node(op, inputs, [out]) for op, inputs, out in listed],
            {n: Constant.of(np.float32(v)) for n, v in numbers.items()},
        ),
        {"": 18},
    )


def _run(model: Model) -> Any:
    x = np.linspace(-4, 4, 24, dtype=np.float32).reshape(3, 8)
    with runnable(model) as found:
        return found(x)


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_spelling_becomes_one_operator(name: str) -> None:
    model = _model(SPELLINGS[name])
    before = _run(model)
    compose_gelu(model)
    made = [n for n in model.graph.nodes if n.op_type == "Gelu"]
    assert [n.outputs for n in made] == [["y"]]
    np.testing.assert_allclose(_run(model), before, atol=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_gelu_stays(name: str) -> None:
    model = _model(OTHERS[name])
    compose_gelu(model)
    assert not any(n.op_type == "Gelu" for n in model.graph.nodes)


def test_a_tensor_in_between_that_is_read_elsewhere_is_still_there() -> None:
    model = _model(SPELLINGS["x first"], ["y", "b"])
    before = _run(model)
    compose_gelu(model)
    for a, b in zip(_run(model), before, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
