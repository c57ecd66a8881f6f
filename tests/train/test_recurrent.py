"""Gradients of LSTM, GRU and RNN against central differences and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trimtab.errors import UnsupportedOpError
from trimtab.optimize.runnable import runnable
from trimtab.train import differentiate

from .check import check_gradient, one_node, weighted_sum

Array = np.ndarray

# Operator -> gates, states.
CELLS = {"LSTM": (4, 2), "GRU": (3, 1), "RNN": (1, 1)}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def _arrays(
    op: str, directions: int, steps: int, rows: int, width: int, hidden: int
) -> list[Array | None]:
    """X, W, R, B, no lengths, the first state."""
    rng = np.random.default_rng(5)
    gates, states = CELLS[op]
    shapes: list[tuple[int, ...] | None] = [
        (steps, rows, width),
        (directions, gates * hidden, width),
        (directions, gates * hidden, hidden),
        (directions, 2 * gates * hidden),
        None,
        *[(directions, rows, hidden)] * states,
    ]
    return [None if shape is None else rng.normal(size=shape) * 0.7 for shape in shapes]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("op", "before"), [("LSTM", 0), ("GRU", 0), ("GRU", 1),
                                            ("RNN", 0)])  # fmt: skip
def test_against_differences(op: str, before: int, direction: str) -> None:
    attributes: dict[str, Any] = {"hidden_size": 3, "direction": direction}
    if before:
        attributes["linear_before_reset"] = 1
    arrays = _arrays(op, DIRECTIONS[direction], 4, 2, 3, 3)
    check_gradient(op, arrays, attributes, n_outputs=1 + CELLS[op][1])
    check_gradient(op, arrays[:3], attributes, n_outputs=1)


def test_the_last_state_alone() -> None:
    arrays = [a for a in _arrays("LSTM", 1, 3, 2, 2, 2) if a is not None][:3]
    model = one_node("LSTM", arrays, {"hidden_size": 2}, n_outputs=3)
    model.graph.outputs[:] = model.graph.outputs[1:2]
    model.graph.nodes[0].outputs = ["", "y1", ""]
    model = weighted_sum(model, [np.ones((1, 2, 2))])
    with runnable(differentiate(model, "total", ["x2"])) as run:
        assert np.abs(run(arrays[2])[1]).max() > 0


@pytest.mark.parametrize(
    ("attributes", "arrays"),
    [
        ({"activations": ["Relu", "Tanh", "Tanh"]}, 3),
        ({"clip": 1.0}, 3),
        ({"input_forget": 1}, 3),
        ({}, 8),
    ],
    ids=str,
)
def test_what_has_no_gradient_is_told(attributes: dict[str, Any], arrays: int) -> None:
    given = _arrays("LSTM", 1, 3, 2, 2, 2)
    given.append(np.ones((1, 6)))
    model = one_node("LSTM", given[:arrays], {"hidden_size": 2, **attributes})
    model = weighted_sum(model, [np.ones((3, 1, 2, 2))])
    with pytest.raises(UnsupportedOpError, match="LSTM 'node' has no gradient here"):
        differentiate(model, "total", ["x1"])


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_against_torch(op: str) -> None:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    steps, rows, width, hidden = 20, 8, 16, 24
    net = getattr(torch.nn, op)(width, hidden, bidirectional=True)
    gates = CELLS[op][0]
    order = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}[op]  # ONNX's gates in PyTorch's

    def stacked(*names: str) -> Array:
        each = []
        for end in ("", "_reverse"):
            parts = []
            for name in names:
                value = getattr(net, f"{name}_l0{end}").detach().numpy()
                parts.append(np.concatenate([np.split(value, gates)[i] for i in order]))
            each.append(np.concatenate(parts))
        return np.stack(each)

    weights = [
        stacked("weight_ih"),
        stacked("weight_hh"),
        stacked("bias_ih", "bias_hh"),
    ]
    x = np.random.default_rng(0).normal(size=(steps, rows, width)).astype(np.float32)
    attributes = {"hidden_size": hidden, "direction": "bidirectional"}
    if op == "GRU":
        attributes["linear_before_reset"] = 1
    model = one_node(op, [x, *weights], attributes, n_outputs=1)
    ones = np.ones((steps, 2, rows, hidden), np.float32)
    names = ["x0", "x1", "x2", "x3"]
    with runnable(differentiate(weighted_sum(model, [ones]), "total", names)) as run:
        total, *ours = run(x, *weights)
    leaf = torch.tensor(x, requires_grad=True)
    y = net(leaf)[0].sum()
    y.backward()
    assert abs(float(total) - y.item()) < 1e-3
    for parameter in net.parameters():
        parameter.data = parameter.grad
    truth = [
        leaf.grad.numpy(),
        stacked("weight_ih"),
        stacked("weight_hh"),
        stacked("bias_ih", "bias_hh"),
    ]
    for a, b in zip(ours, truth, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * float(np.abs(b).max()))
