"""GlobalAveragePool, GlobalMaxPool, GlobalLpPool against NumPy."""

import numpy as np
import pytest
from tests.ops.check import check_node

SHAPES = [(2, 5, 9), (1, 64, 7, 7), (2, 13, 8, 5), (1, 4, 1, 1), (1, 3, 4, 5, 6)]


def spatial(x):
    return tuple(range(2, x.ndim))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_mean_over_all_spatial_dims(rng, shape, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    want = x.astype(np.float64).mean(spatial(x), keepdims=True).astype(dtype)
    check_node("GlobalAveragePool", [x], {}, 17, expected=[want])


@pytest.mark.parametrize("shape", SHAPES)
def test_maximum_over_all_spatial_dims(rng, shape):
    x = rng.standard_normal(shape).astype(np.float32)
    check_node(
        "GlobalMaxPool", [x], {}, 17, expected=[x.max(spatial(x), keepdims=True)]
    )


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_norm_over_all_spatial_dims(rng, shape, p):
    x = rng.standard_normal(shape).astype(np.float32)
    sums = (np.abs(x.astype(np.float64)) ** p).sum(spatial(x), keepdims=True)
    want = (sums ** (1 / p)).astype(np.float32)
    check_node("GlobalLpPool", [x], {"p": p}, 17, expected=[want])
