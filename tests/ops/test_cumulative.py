"""CumSum and CumProd against NumPy."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.check import check_node, one_node_model

import trimtab

FUNCTIONS = {"CumSum": (np.cumsum, 14, 0), "CumProd": (np.cumprod, 26, 1)}
TYPES = [
    "float32",
    "float64",
    "float16",
    ml_dtypes.bfloat16,
    "int32",
    "int64",
    "uint32",
]


def cumulate(op_type, x, axis, exclusive, reverse):
    function, _, first = FUNCTIONS[op_type]
    if reverse:
        x = np.flip(x, axis)
    out = function(x, axis=axis, dtype=x.dtype)
    if exclusive:
        line = list(x.shape)
        line[axis] = min(1, line[axis])
        kept = [slice(None)] * x.ndim
        kept[axis] = slice(0, max(x.shape[axis] - 1, 0))
        out = np.concatenate([np.full(line, first, x.dtype), out[tuple(kept)]], axis)
    return np.flip(out, axis) if reverse else out


@given(
    st.sampled_from(list(FUNCTIONS)),
    st.lists(st.integers(0, 6), min_size=1, max_size=4),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.sampled_from(TYPES),
    st.integers(0, 2**32 - 1),
)
def test_running_totals(op_type, dims, axis, exclusive, reverse, dtype, seed):
    """Small integers: every intermediate result is exact in every type but wraps."""
    axis %= len(dims)
    x = np.random.default_rng(seed).integers(1, 4, dims).astype(dtype)
    want = cumulate(op_type, x, axis, exclusive, reverse)
    attributes = {"exclusive": int(exclusive), "reverse": int(reverse)}
    opset = FUNCTIONS[op_type][1]
    inputs = [x, np.array(axis - len(dims) * (seed % 2))]
    check_node(op_type, inputs, attributes, opset, expected=[want])


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint64"])
def test_products_of_integers_wrap_around(rng, dtype):
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, (3, 50), dtype=dtype)
    want = np.cumprod(x, axis=1, dtype=dtype)
    check_node("CumProd", [x, np.array(1)], {}, 26, expected=[want])


def test_nan_goes_on_to_the_end_of_its_line():
    x = np.array([[1, np.nan, 2], [0, np.inf, 3]], np.float32)
    with np.errstate(invalid="ignore"):
        want = np.cumprod(x, axis=1)
    check_node("CumProd", [x, np.array(1)], {}, 26, expected=[want])


@pytest.mark.parametrize(
    ("x", "axis"), [(np.zeros((2, 2), bool), 0), (np.zeros(2, "f4"), 1)]
)
def test_products_that_cannot_be(x, axis):
    model = one_node_model("CumProd", [x, np.array(axis)], {}, 26)
    with pytest.raises(trimtab.TrimtabError, match=r"products of bool|axis 1"):
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run({"x0": x, "x1": np.array(axis)})
