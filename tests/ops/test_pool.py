"""MaxPool, AveragePool, LpPool against onnxruntime and the definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.check import check_node, run_with_isa

CASES = {
    "1d": ((2, 4, 20), {"kernel_shape": [3], "strides": [2]}),
    "2d": ((2, 5, 9, 11), {"kernel_shape": [3, 2]}),
    "pads": ((1, 16, 14, 14), {"kernel_shape": [3, 3], "pads": [1] * 4}),
    "stem": (
        (1, 64, 28, 28),
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4},
    ),
    "uneven": (
        (1, 4, 13, 11),
        {"kernel_shape": [4, 3], "strides": [3, 2], "pads": [2, 0, 1, 2]},
    ),
    "same_upper": (
        (1, 4, 13, 12),
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    "same_lower": (
        (1, 4, 13, 12),
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    "valid": ((1, 4, 13, 12), {"kernel_shape": [3, 3], "auto_pad": "VALID"}),
    "3d": ((1, 3, 6, 7, 8), {"kernel_shape": [2, 3, 2], "strides": [2, 1, 2]}),
    "whole": ((1, 8, 7, 7), {"kernel_shape": [7, 7]}),
}
CEIL = {
    "ceil": ((1, 4, 10, 10), {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "ceil_pads": (
        (1, 4, 10, 11),
        {"kernel_shape": [3, 3], "strides": [2, 3], "pads": [1] * 4},
    ),
}


def pool_mean(x, attrs):
    """AveragePool (opset 19) by its definition."""
    kernel = attrs["kernel_shape"]
    n = len(kernel)
    strides = attrs.get("strides", [1] * n)
    dilations = attrs.get("dilations", [1] * n)
    pads = attrs.get("pads", [0] * 2 * n)
    sizes = []
    for i in range(n):
        extent = (kernel[i] - 1) * dilations[i] + 1
        room = x.shape[2 + i] + pads[i] + pads[i + n] - extent
        size = (
            -(-room // strides[i]) if attrs.get("ceil_mode") else room // strides[i]
        ) + 1
        if (size - 1) * strides[i] >= x.shape[2 + i] + pads[i]:
            size -= 1
        sizes.append(size)
    y = np.zeros((*x.shape[:2], *sizes))
    for at in itertools.product(*map(range, sizes)):
        total, count = np.zeros(x.shape[:2]), 0
        for k in itertools.product(*map(range, kernel)):
            where = [
                at[i] * strides[i] - pads[i] + k[i] * dilations[i] for i in range(n)
            ]
            if all(0 <= w < x.shape[2 + i] for i, w in enumerate(where)):
                total += x[(slice(None), slice(None), *where)]
                count += 1
            elif attrs.get("count_include_pad") and all(
                w < x.shape[2 + i] + pads[i + n] for i, w in enumerate(where)
            ):
                count += 1
        y[(slice(None), slice(None), *at)] = total / count
    return [y.astype(x.dtype)]


@pytest.mark.parametrize("name", [*CASES, *CEIL])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint8])
def test_maxima(rng, name, dtype):
    x, attrs = {**CASES, **CEIL}[name]
    attrs = {**attrs, "ceil_mode": int(name in CEIL)}
    check_node("MaxPool", [(rng.standard_normal(x) * 9).astype(dtype)], attrs, 12)


@pytest.mark.parametrize("name", [*CASES, *CEIL])
@pytest.mark.parametrize("order", [0, 1])
def test_places_of_maxima(rng, name, order):
    x, attrs = {**CASES, **CEIL}[name]
    attrs = {**attrs, "ceil_mode": int(name in CEIL), "storage_order": order}
    inputs = [rng.standard_normal(x).astype(np.float32)]
    check_node("MaxPool", inputs, attrs, 12, outputs=2)


@pytest.mark.parametrize("ceil", [0, 1])
def test_maxima_of_dilated_windows(rng, ceil):
    attrs = {
        "kernel_shape": [3, 2],
        "dilations": [2, 3],
        "strides": [2, 1],
        "ceil_mode": ceil,
    }
    inputs = [rng.standard_normal((1, 4, 12, 12)).astype(np.float32)]
    check_node("MaxPool", inputs, attrs, 12)


def test_largest_64_bit_integers_are_exact():
    x = np.array([[[2**53, 2**53 + 1, -5, -(2**63)]]], np.int64)
    want = [np.array([[[2**53 + 1, 2**53 + 1, -5]]], np.int64)]
    check_node("MaxPool", [x], {"kernel_shape": [2]}, 12, expected=want)


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("name", [n for n in CASES if "same" not in n and n != "valid"])
def test_means(rng, name, include):
    x, attrs = CASES[name]
    attrs = {**attrs, "count_include_pad": include}
    x = rng.standard_normal(x).astype(np.float32)
    check_node("AveragePool", [x], attrs, 19, expected=pool_mean(x, attrs))


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("name", ["same_upper", "same_lower", "valid"])
def test_means_with_automatic_padding(rng, name, include):
    x, attrs = CASES[name]
    attrs = {**attrs, "count_include_pad": include}
    x = rng.standard_normal(x).astype(np.float32)
    check_node("AveragePool", [x], attrs, 11)


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("dilations", [[1, 1], [2, 1]])
@pytest.mark.parametrize("name", CEIL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_rounded_up(rng, name, include, dilations, dtype):
    x, attrs = CEIL[name]
    attrs = {
        **attrs,
        "count_include_pad": include,
        "ceil_mode": 1,
        "dilations": dilations,
    }
    x = rng.standard_normal(x).astype(dtype)
    check_node("AveragePool", [x], attrs, 19, expected=pool_mean(x, attrs))


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("name", CASES)
def test_norms(rng, name, p):
    x, attrs = CASES[name]
    inputs = [rng.standard_normal(x).astype(np.float32)]
    check_node("LpPool", inputs, {**attrs, "p": p}, 18)


def largest_in_windows(x, kernel, strides, pads):
    """MaxPool over two dims by its definition."""
    least = np.iinfo(x.dtype).min
    around = [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])]
    x = np.pad(x, around, constant_values=least)
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    return windows[:, :, :: strides[0], :: strides[1]].max(axis=(4, 5))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_maxima_of_bytes_by_the_definition(data):
    kernel = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    strides = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = [data.draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
    size = [data.draw(st.integers(k, 40)) for k in kernel]
    batch, channels = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 70))
    dtype = data.draw(st.sampled_from([np.uint8, np.int8]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max + 1, (batch, channels, *size)).astype(dtype)
    attrs = {
        "kernel_shape": list(kernel),
        "strides": list(strides),
        "pads": pads,
    }
    want = largest_in_windows(x, kernel, strides, pads)
    check_node("MaxPool", [x], attrs, 12, expected=[want])


CODE = """
import numpy as np
from tests.ops.test_pool import CASES, CEIL, test_maxima
for name in [*CASES, *CEIL]:
    for dtype in (np.uint8, np.int8):
        test_maxima(np.random.default_rng(0), name, dtype)
"""


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512"])
def test_maxima_of_bytes_on_other_processors(isa):
    run_with_isa(isa, CODE)
