"""Gelu and its relatives of com.microsoft, against onnxruntime and the definition."""

import math

import numpy as np
import pytest
from tests.ops.check import check_node

MS = {"opset": 17, "domain": "com.microsoft"}


def by_erf(x):
    x64 = x.astype(np.float64)
    y = x64 / 2 * (1 + np.vectorize(math.erf)(x64 / math.sqrt(2)))
    return [y.astype(x.dtype)]


def by_tanh(x):
    x64 = x.astype(np.float64)
    y = x64 / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x64 + 0.044715 * x64**3)))
    return [y.astype(x.dtype)]


def wide(rng, *shape, dtype=np.float32):
    """Both tails, where the result is x or nothing."""
    x = rng.standard_normal(shape) * 4
    x.flat[:6] = [0, -0.0, 40, -40, 1e-6, -1e-6]
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_both_forms(rng, dtype, approximate):
    x = wide(rng, 3, 5, 33, dtype=dtype)
    expected = by_tanh if approximate == "tanh" else by_erf
    check_node("Gelu", [x], {"approximate": approximate}, 20, expected=expected)


def test_another_form_is_refused(rng):
    import trimtab

    with pytest.raises(trimtab.ModelFormatError, match="'none' or 'tanh', not 'sigm'"):
        check_node("Gelu", [wide(rng, 7)], {"approximate": "sigm"}, 20, expected=by_erf)


def test_gelu_of_onnxruntime(rng):
    check_node("Gelu", [wide(rng, 4, 50)], **MS)


@pytest.mark.parametrize("attrs", [{}, {"alpha": 1.0}, {"alpha": -0.5}])
def test_quick_gelu(rng, attrs):
    x = wide(rng, 4, 50)
    alpha = attrs.get("alpha", 1.702)
    x64 = x.astype(np.float64)
    want = [(x64 / (1 + np.exp(-alpha * x64))).astype(np.float32)]
    check_node("QuickGelu", [x], attrs, expected=want, **MS)
    check_node("QuickGelu", [x], attrs, **MS)


@pytest.mark.parametrize("constants", [(), (1,)])
def test_bias_gelu(rng, constants):
    x, bias = wide(rng, 2, 7, 50), wide(rng, 50)
    check_node("BiasGelu", [x, bias], constants=constants, **MS)
    check_node(
        "BiasGelu", [x, bias], constants=constants, expected=by_erf(x + bias), **MS
    )


@pytest.mark.parametrize("has_bias", [True, False])
def test_fast_gelu(rng, has_bias):
    x, bias = wide(rng, 2, 7, 50), wide(rng, 50)
    inputs = [x, bias] if has_bias else [x]
    check_node("FastGelu", inputs, expected=by_tanh(sum(inputs[1:], x)), **MS)
    check_node("FastGelu", inputs, **MS)


def test_a_bias_of_another_length_is_refused(rng):
    import trimtab

    with pytest.raises(trimtab.ModelFormatError, match="bias must be"):
        check_node("BiasGelu", [wide(rng, 2, 7), wide(rng, 6)], expected=[], **MS)
