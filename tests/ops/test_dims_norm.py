"""LRN, LpNormalization and MeanVarianceNormalization against their definitions."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.check import check_node, one_node_model

import trimtab

DTYPES = ["float32", "float64", "float16", ml_dtypes.bfloat16]


def refuses(op_type, x, attributes, message):
    model = one_node_model(op_type, [x], attributes)
    with pytest.raises(trimtab.TrimtabError, match=message):
        trimtab.load_model(model.SerializeToString(), fallback=False).run({"x0": x})


# ---- LRN -----------------------------------------------------------------------------


def lrn(x, size, alpha=1e-4, beta=0.75, bias=1.0):
    """By the specification, channel by channel in float64."""
    wide = x.astype(np.float64)
    out = np.empty_like(wide)
    for c in range(x.shape[1]):
        first = max(0, c - (size - 1) // 2)
        last = min(x.shape[1] - 1, c + -(-(size - 1) // 2))
        total = (wide[:, first : last + 1] ** 2).sum(1)
        out[:, c] = wide[:, c] / (bias + alpha / size * total) ** beta
    return out.astype(x.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 40])
@pytest.mark.parametrize(
    "shape", [(2, 7, 5, 6), (3, 140, 3), (1, 5, 150), (2, 9), (0, 3, 4)]
)
def test_local_response(rng, shape, size, dtype):
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    attributes = {"size": size, "alpha": 0.3}
    want = lrn(x, size, alpha=np.float32(0.3))
    check_node("LRN", [x], attributes, 13, expected=[want])


@pytest.mark.parametrize("beta", [0.5, 0.75, 1.3])
def test_local_response_is_that_of_onnxruntime(rng, beta):
    x = rng.standard_normal((2, 16, 9, 7)).astype(np.float32)
    check_node("LRN", [x], {"size": 5, "alpha": 0.1, "beta": beta, "bias": 2.0}, 1)


def test_local_response_that_cannot_be():
    x = np.zeros((1, 2, 3), np.float32)
    refuses("LRN", x, {}, "size is 0")
    refuses("LRN", x[0, 0], {"size": 3}, "rank 1")
    check_node("LRN", [x], {"size": 2**62}, expected=[x])


# ---- LpNormalization ----------------------------------------------------------------


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=4),
    st.integers(-4, 3),
    st.sampled_from([1, 2]),
    st.sampled_from(DTYPES),
    st.integers(0, 2**32 - 1),
)
def test_lines_of_length_1(dims, axis, p, dtype, seed):
    axis = axis % len(dims) - len(dims) * (axis < 0)
    x = np.random.default_rng(seed).standard_normal(dims).astype(dtype)
    wide = x.astype(np.float64)
    norm = np.linalg.norm(wide, ord=p, axis=axis, keepdims=True)
    want = (wide / norm).astype(dtype)
    attributes = {"axis": axis, "p": p}
    check_node("LpNormalization", [x], attributes, 22, expected=[want])


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [0, 1])
def test_lines_of_zeros_stay_zero(p, axis):
    x = np.zeros((3, 70), np.float32)
    x[1, 5] = -2
    want = np.where(x == 0, 0, -1).astype(np.float32)
    check_node("LpNormalization", [x], {"p": p, "axis": axis}, 22, expected=[want])
    check_node("LpNormalization", [x], {"p": p, "axis": axis}, 1, expected=[want])


def test_long_lines_and_defaults(rng):
    x = rng.standard_normal((5, 3, 1000)).astype(np.float32)
    check_node("LpNormalization", [x])
    x[0, 0, 0], x[1, 1, 1] = np.inf, np.nan
    with np.errstate(invalid="ignore"):
        want = x / np.linalg.norm(x.astype("f8"), axis=-1, keepdims=True)
    check_node("LpNormalization", [x], expected=[want.astype("f4")])


def test_norms_that_cannot_be():
    refuses("LpNormalization", np.zeros((2, 3), "f4"), {"p": 3}, "p is 3")
    refuses("LpNormalization", np.zeros((2, 3), "f4"), {"axis": 2}, "axis")
    refuses("LpNormalization", np.zeros((2, 3), "i4"), {}, "expected floats")


# ---- MeanVarianceNormalization ------------------------------------------------------


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.data(),
    st.sampled_from(DTYPES),
    st.integers(0, 2**32 - 1),
)
def test_mean_0_and_variance_1(dims, data, dtype, seed):
    axes = data.draw(st.sets(st.integers(0, len(dims) - 1), min_size=1))
    x = np.random.default_rng(seed).standard_normal(dims).astype(dtype)
    wide = x.astype(np.float64)
    mean = wide.mean(tuple(axes), keepdims=True)
    deviation = wide.std(tuple(axes), keepdims=True)
    want = ((wide - mean) / (deviation + 1e-9)).astype(dtype)
    check_node(
        "MeanVarianceNormalization",
        [x],
        {"axes": sorted(axes)},
        13,
        expected=[want],
        tolerance=1e-5 if x.dtype == np.float32 else None,
    )


def test_default_axes_are_all_but_the_channels(rng):
    x = (5 + rng.standard_normal((3, 4, 9, 8))).astype(np.float32)
    check_node("MeanVarianceNormalization", [x], {}, 9)
    check_node("MeanVarianceNormalization", [x], {}, 13)
    refuses("MeanVarianceNormalization", x[0], {}, "axis 3")
