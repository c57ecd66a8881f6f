"""Det against NumPy in float64, and against exact integers."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.check import check_node, one_node_model

import trimtab


@given(
    st.lists(st.integers(0, 4), max_size=2),
    st.integers(0, 9),
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 2**32 - 1),
)
def test_determinants_of_batches(batch, n, dtype, seed):
    x = np.random.default_rng(seed).standard_normal([*batch, n, n]).astype(dtype)
    want = np.asarray(np.linalg.det(x.astype(np.float64)).astype(dtype))
    check_node("Det", [x], opset=22, expected=[want], tolerance=1e-6)


@given(
    st.lists(
        st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=4, max_size=4
    )
)
def test_singular_matrices_give_zero(rows):
    """Rows are repeated: the exact determinant is 0 and so is the computed one."""
    x = np.array(rows, np.float64)
    x[3] = x[0]
    check_node("Det", [x], expected=[np.array(0.0)], tolerance=1e-12)


def test_swapped_rows_change_the_sign():
    x = np.eye(5, dtype=np.float32)[[1, 0, 2, 4, 3]]
    check_node("Det", [np.stack([x, x[::-1]])], expected=[np.array([1, 1], "f4")])
    check_node("Det", [x[[1, 0, 2, 3, 4]]], expected=[np.array(-1, "f4")])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_16_bit_floats(rng, dtype):
    x = rng.standard_normal((7, 4, 4)).astype(dtype)
    want = np.linalg.det(x.astype(np.float64)).astype(dtype)
    check_node("Det", [x], opset=22, expected=[want])


def test_large_and_nan(rng):
    x = rng.standard_normal((2, 150, 150)) / 12
    check_node("Det", [x], expected=[np.linalg.det(x)], tolerance=1e-11)
    x = x[:, :5, :5].copy()
    x[1, 4, 2] = np.nan
    want = np.array([np.linalg.det(x[0]), np.nan])
    check_node("Det", [x], expected=[want])


@pytest.mark.parametrize(
    "x", [np.zeros((3, 4), "f4"), np.zeros(4, "f4"), np.eye(3, dtype=int)]
)
def test_what_has_no_determinant_is_refused(x):
    model = one_node_model("Det", [x])
    with pytest.raises(trimtab.TrimtabError, match="expected floats"):
        trimtab.load_model(model.SerializeToString(), fallback=False).run({"x0": x})
