"""SoftmaxGrad, LogSoftmaxGrad, GeluGrad, LayerNormGrad, RMSNormGrad.

They are ours alone; the truth is the definition in NumPy's double precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.graph import Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable

Array = np.ndarray

EPSILON = 2.0**-10  # exact in float32, as which attributes are stored
TOLERANCES = {"float32": 2e-6, "float64": 1e-12, "float16": 2e-3}
SHAPES = [(), (1,), (5,), (3, 16), (7, 33), (2, 3, 130), (300, 64), (0, 4), (4, 0)]


def _run(op: str, *arrays: Array, n: int = 1, **attributes: Any) -> list[Array]:
    names = [f"x{i}" for i in range(len(arrays))]
    outputs = [f"y{i}" for i in range(n)]
    node = Node(op, names, outputs, "node", "trimtab", attributes)
    graph = Graph("g", [Value(x) for x in names], [Value(y) for y in outputs], [node])
    with runnable(Model(graph, {"": 19, "trimtab": 1})) as model:
        found = model(*arrays)
    return [np.asarray(y) for y in (found if isinstance(found, tuple) else (found,))]


def _normal(seed: int, shape: tuple[int, ...], dtype: str) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def _close(found: Array, truth: Array, dtype: str) -> None:
    assert found.shape == truth.shape
    assert found.dtype == dtype
    scale = max(1.0, float(np.abs(truth).max(initial=0.0)))
    np.testing.assert_allclose(found, truth, rtol=0, atol=TOLERANCES[dtype] * scale)


def _sum(x: Array) -> Array:
    return x.sum(-1, keepdims=True) if x.ndim else x


def _softmax(y: Array, g: Array) -> Array:
    return y * (g - _sum(y * g))


def _log_softmax(y: Array, g: Array) -> Array:
    return g - np.exp(y) * _sum(g)


def _gelu(x: Array, g: Array) -> Array:
    cdf = 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))
    return g * (cdf + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))


PAIRS: dict[str, Callable[[Array, Array], Array]] = {
    "SoftmaxGrad": _softmax,
    "LogSoftmaxGrad": _log_softmax,
    "GeluGrad": _gelu,
}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("op", PAIRS)
def test_of_two_tensors(op: str, shape: tuple[int, ...], dtype: str) -> None:
    x, g = _normal(0, shape, dtype), _normal(1, shape, dtype)
    (found,) = _run(op, x, g)
    _close(found, PAIRS[op](x.astype(float), g.astype(float)), dtype)


@pytest.mark.parametrize("op", PAIRS)
def test_of_one_tensor_twice(op: str) -> None:
    x = _normal(0, (7, 33), "float32")
    node = Node(op, ["t", "t"], ["y"], "node", "trimtab")
    before = Node("Neg", ["x"], ["t"])
    graph = Graph("g", [Value("x")], [Value("y")], [before, node])
    with runnable(Model(graph, {"": 19, "trimtab": 1})) as model:
        found = model(x)
    _close(found, PAIRS[op](-x.astype(float), -x.astype(float)), "float32")


def _norm(x: Array, scale: Array, g: Array, *, is_rms: bool) -> list[Array]:
    """Over the last dim."""
    mean = 0.0 if is_rms else x.mean(-1, keepdims=True)
    std = np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + EPSILON)
    unit, h = (x - mean) / std, g * scale
    dx = h - unit * (h * unit).mean(-1, keepdims=True)
    if not is_rms:
        dx = dx - h.mean(-1, keepdims=True)
    rows = tuple(range(x.ndim - 1))
    return [dx / std, (g * unit).sum(rows), g.sum(rows)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5,), (7, 33), (2, 3, 130), (300, 64), (0, 4)])
@pytest.mark.parametrize("op", ["LayerNormGrad", "RMSNormGrad"])
def test_of_a_normalisation(op: str, shape: tuple[int, ...], dtype: str) -> None:
    x, g = _normal(0, shape, dtype) + 2, _normal(1, shape, dtype)
    scale = _normal(2, shape[-1:], dtype)
    n = 2 if op == "RMSNormGrad" else 3
    found = _run(op, x, scale, g, n=n, epsilon=EPSILON)
    is_rms = op == "RMSNormGrad"
    truth = _norm(*(a.astype(float) for a in (x, scale, g)), is_rms=is_rms)
    for a, b in zip(found, truth[:n], strict=True):
        _close(a, b, dtype)


def test_over_two_dims() -> None:
    x, g = _normal(0, (4, 3, 5), "float32"), _normal(1, (4, 3, 5), "float32")
    scale = _normal(2, (3, 5), "float32")
    found = _run("LayerNormGrad", x, scale, g, n=3, axis=-2, epsilon=EPSILON)
    flat = (a.reshape(-1, 15).astype(float) for a in (x, scale, g))
    truth = _norm(*flat, is_rms=False)
    for a, b in zip(found, truth, strict=True):
        _close(a, b.reshape(a.shape), "float32")


@pytest.mark.parametrize("op", [*PAIRS, "LayerNormGrad", "RMSNormGrad"])
def test_shapes_that_do_not_fit(op: str) -> None:
    arrays = [_normal(0, (3, 4), "float32"), _normal(0, (4, 3), "float32")]
    if op not in PAIRS:
        arrays.insert(1, _normal(0, (4,), "float32"))
    with pytest.raises(InputError, match="expected floats of one shape"):
        _run(op, *arrays)


def test_a_scale_and_a_form_that_do_not_fit() -> None:
    x = _normal(0, (3, 4), "float32")
    with pytest.raises(InputError, match="a scale of"):
        _run("LayerNormGrad", x, _normal(0, (3,), "float32"), x)
    with pytest.raises(InputError, match="approximate"):
        _run("GeluGrad", x, x, approximate="quick")
    with pytest.raises(InputError, match="4 outputs"):
        _run("LayerNormGrad", x, _normal(0, (4,), "float32"), x, n=4)
