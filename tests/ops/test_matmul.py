"""MatMul against NumPy: 1-D operands, broadcast batches, strides, dtypes."""

import ml_dtypes
import numpy as np
import pytest
from tests.ops.check import check_node

SHAPES = [
    ((5, 6), (6, 7)),
    ((1, 6), (6, 7)),
    ((5, 6), (6, 1)),
    ((1, 1), (1, 1)),
    ((64, 96), (96, 80)),
    ((6,), (6, 7)),
    ((5, 6), (6,)),
    ((6,), (6,)),
    ((2, 5, 6), (6, 7)),
    ((2, 5, 6), (6,)),
    ((6,), (2, 6, 7)),
    ((2, 3, 5, 6), (2, 3, 6, 7)),
    ((2, 1, 5, 6), (3, 6, 7)),
    ((5, 6), (2, 3, 6, 7)),
    ((3, 1, 1, 6), (1, 4, 6, 7)),
    ((2, 2, 2, 2, 4, 5), (2, 1, 2, 5, 3)),
    ((17, 64), (64, 200)),
    ((4, 17, 32), (4, 32, 17)),
]


def matmul(a, b):
    if a.dtype.kind in "iu":
        return [np.matmul(a, b)]
    exact = np.matmul(a.astype(np.float64), b.astype(np.float64))
    return [np.asarray(exact).astype(a.dtype)]


@pytest.mark.parametrize("constants", [(), (1,), (0,)])
@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_product_equals_numpy(rng, a, b, constants):
    inputs = [
        rng.standard_normal(a).astype(np.float32),
        rng.standard_normal(b).astype(np.float32),
    ]
    check_node("MatMul", inputs, {}, 13, constants=constants, expected=matmul(*inputs))


@pytest.mark.parametrize(
    "dtype",
    [np.float64, np.float16, ml_dtypes.bfloat16, np.int32, np.uint32, np.int64],
)
@pytest.mark.parametrize(("a", "b"), SHAPES[:14])
def test_other_types(rng, a, b, dtype):
    inputs = [
        (rng.standard_normal(a) * 4).astype(dtype),
        (rng.standard_normal(b) * 4).astype(dtype),
    ]
    check_node("MatMul", inputs, {}, 13, expected=matmul(*inputs))


def test_integers_wrap_around():
    a = np.full((2, 3), 2**31 - 1, np.int32)
    b = np.full((3, 2), 3, np.int32)
    with np.errstate(over="ignore"):
        check_node("MatMul", [a, b], {}, 13, expected=[a @ b])


@pytest.mark.parametrize(
    ("a", "b", "want"),
    [
        ((3, 0), (0, 4), (3, 4)),
        ((0, 3), (3, 4), (0, 4)),
        ((2, 0, 3), (3, 4), (2, 0, 4)),
    ],
)
def test_empty_operands(a, b, want):
    inputs = [np.zeros(a, np.float32), np.zeros(b, np.float32)]
    check_node("MatMul", inputs, {}, 13, expected=[np.zeros(want, np.float32)])


@pytest.mark.parametrize(("a", "b"), [((2, 3), (4, 5)), ((2, 3, 4), (3, 4, 5))])
def test_shapes_that_do_not_fit_are_refused(a, b):
    import trimtab

    inputs = [np.zeros(a, np.float32), np.zeros(b, np.float32)]
    with pytest.raises(trimtab.TrimtabError):
        check_node("MatMul", inputs, {}, 13, expected=[np.zeros(1, np.float32)])


@pytest.mark.parametrize("stride", [4, 8, 32, 4 * 288])
def test_a_batch_of_one_may_have_any_stride(rng, stride):
    """oneDNN 3.13 goes by the order of the strides, even of dims of 1."""
    a = np.zeros((1, 9, 4, 8), np.float32)
    a[:] = rng.standard_normal(a.shape)
    view = np.lib.stride_tricks.as_strided(a, (1, 4, 9, 8), (stride, 32, 128, 4))
    b = view.transpose(0, 1, 3, 2)
    check_node("MatMul", [view, b], expected=[view @ b], strided=False)
