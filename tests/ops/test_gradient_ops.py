"""SumTo, TransposeLast, ConvGradInput, ConvGradWeight, MaxPoolGrad, AveragePoolGrad.

They are ours alone: the truth is the definition in NumPy, or a gradient is the adjoint
of the operator, <y, A x> = <A' y, x>, which is linear in each of its tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.graph import Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable

Array = np.ndarray


def _run(op: str, *arrays: Array, domain: str = "trimtab", **attributes: Any) -> Array:
    names = [f"x{i}" for i in range(len(arrays))]
    node = Node(op, names, ["y"], "node", domain, attributes)
    graph = Graph("g", [Value(n) for n in names], [Value("y")], [node])
    with runnable(Model(graph, {"": 19, "trimtab": 1})) as model:
        return np.asarray(model(*arrays))


def _normal(*shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dims", [(2, 3, 4), (3, 4), (4,), (3, 1), (2, 1, 1), ()])
def test_sum_to(dims: tuple[int, ...]) -> None:
    x = _normal(2, 3, 4)
    leading = x.ndim - len(dims)
    axes = tuple(range(leading)) + tuple(
        leading + i for i, d in enumerate(dims) if d != x.shape[leading + i]
    )
    truth = x.sum(axes, keepdims=True).reshape(dims)
    found = _run("SumTo", x, np.array(dims, np.int64))
    np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dims", [(2,), (1, 2, 3, 4), (3, 5)])
def test_sum_to_what_was_not_stretched(dims: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="no stretched tensor"):
        _run("SumTo", _normal(2, 3, 4), np.array(dims, np.int64))


def test_transpose_last() -> None:
    x = _normal(2, 3, 4)
    np.testing.assert_array_equal(_run("TransposeLast", x), x.swapaxes(1, 2))
    with pytest.raises(InputError, match="expected 2 or more"):
        _run("TransposeLast", _normal(3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("group", [1, 2])
def test_gradients_of_a_convolution_are_its_adjoints(dtype: Any, group: int) -> None:
    x = _normal(2, 4, 9, 8, dtype=dtype)
    w = _normal(6, 4 // group, 3, 2, dtype=dtype)
    options = {"group": group, "strides": [2, 1], "pads": [1, 0, 1, 1]}
    y = _run("Conv", x, w, domain="", **options)
    g = _normal(*y.shape, dtype=dtype)
    product = float((y * g).sum())
    for op, other in (("ConvGradInput", x), ("ConvGradWeight", w)):
        found = _run(op, x, w, g, **options)
        assert found.shape == other.shape
        assert abs(float((found * other).sum()) - product) < 1e-4 * abs(product)


def test_gradients_of_the_mean_of_windows_are_its_adjoint() -> None:
    x = _normal(2, 5, 9, 8)
    options = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}
    y = _run("AveragePool", x, domain="", **options)
    g = _normal(*y.shape)
    product = float((y * g).sum())
    found = _run("AveragePoolGrad", x, g, **options)
    assert abs(float((found * x).sum()) - product) < 1e-4 * abs(product)


def test_gradients_of_maxima_go_to_where_they_were() -> None:
    x = np.array([[[[1, 2, 2, 0], [0, 1, 3, np.nan]]]], np.float32)
    g = np.array([[[[10, 20]]]], np.float32)
    found = _run("MaxPoolGrad", x, g, kernel_shape=[2, 2], strides=[2, 2])
    np.testing.assert_array_equal(found, [[[[0, 10, 0, 0], [0, 0, 0, 20]]]])


@pytest.mark.parametrize("op", ["MaxPoolGrad", "AveragePoolGrad"])
def test_a_pool_whose_gradient_has_another_shape(op: str) -> None:
    with pytest.raises(InputError, match="no pool of"):
        _run(op, _normal(1, 2, 4, 4), _normal(1, 2, 3, 2), kernel_shape=[2, 2])


@pytest.mark.parametrize("op", ["ConvGradInput", "ConvGradWeight"])
def test_a_convolution_whose_gradient_has_another_shape(op: str) -> None:
    with pytest.raises(InputError, match="no convolution of"):
        _run(op, _normal(1, 2, 4, 4), _normal(3, 2, 2, 2), _normal(1, 3, 4, 4))
