"""Gemm against the definition: transposes, alpha, beta, every shape of C."""

import numpy as np
import pytest
from tests.ops.check import check_node


def gemm(inputs, attrs):
    a, b = (x.astype(np.float64) for x in inputs[:2])
    if attrs.get("transA"):
        a = a.T
    if attrs.get("transB"):
        b = b.T
    y = attrs.get("alpha", 1.0) * (a @ b)
    if len(inputs) > 2:
        y = y + attrs.get("beta", 1.0) * inputs[2].astype(np.float64)
    return [y.astype(inputs[0].dtype)]


@pytest.mark.parametrize("c", [None, (7,), (1, 7), (5, 1), (5, 7), (1,), ()])
@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"alpha": 0.5},
        {"beta": 0.25},
        {"alpha": 0.5, "beta": 2.0},
        {"alpha": 2.0, "beta": 2.0},
        {"beta": 0.0},
        {"alpha": 0.0},
    ],
)
@pytest.mark.parametrize("constants", [(), (1, 2)])
def test_alpha_beta_and_shapes_of_c(rng, c, attrs, constants):
    inputs = [
        rng.standard_normal((5, 6)).astype(np.float32),
        rng.standard_normal((6, 7)).astype(np.float32),
    ]
    if c is not None:
        inputs.append(np.asarray(rng.standard_normal(c), np.float32))
    constants = tuple(i for i in constants if i < len(inputs))
    check_node(
        "Gemm", inputs, attrs, 13, constants=constants, expected=gemm(inputs, attrs)
    )


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("constants", [(), (1, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(("m", "k", "n"), [(5, 6, 7), (1, 64, 33), (40, 64, 1)])
def test_transposes(rng, trans_a, trans_b, constants, dtype, m, k, n):
    attrs = {"transA": trans_a, "transB": trans_b}
    inputs = [
        rng.standard_normal((k, m) if trans_a else (m, k)).astype(dtype),
        rng.standard_normal((n, k) if trans_b else (k, n)).astype(dtype),
        rng.standard_normal(n).astype(dtype),
    ]
    check_node(
        "Gemm", inputs, attrs, 13, constants=constants, expected=gemm(inputs, attrs)
    )


def test_integers(rng):
    inputs = [
        rng.integers(-9, 9, (5, 6)).astype(np.int32),
        rng.integers(-9, 9, (6, 7)).astype(np.int32),
        rng.integers(-9, 9, (5, 7)).astype(np.int32),
    ]
    check_node("Gemm", inputs, {}, 13, expected=gemm(inputs, {}))


def test_c_that_would_widen_the_result_is_refused():
    import trimtab

    inputs = [
        np.zeros((1, 6), np.float32),
        np.zeros((6, 7), np.float32),
        np.zeros((5, 7), np.float32),
    ]
    with pytest.raises(trimtab.TrimtabError, match="does not broadcast"):
        check_node("Gemm", inputs, {}, 13, expected=[np.zeros(1, np.float32)])
