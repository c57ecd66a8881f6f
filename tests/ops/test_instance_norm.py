"""InstanceNormalization and GroupNormalization against the definition."""

import numpy as np
import pytest
from tests.ops.check import check_node


def group_norm(x, scale, shift, groups, epsilon=1e-5):
    grouped = x.astype(np.float64).reshape(x.shape[0], groups, -1)
    mean = grouped.mean(-1, keepdims=True)
    variance = grouped.var(-1, keepdims=True)
    y = ((grouped - mean) / np.sqrt(variance + epsilon)).reshape(x.shape)
    shape = [1, -1] + [1] * (x.ndim - 2)
    repeat = x.shape[1] // scale.size
    scale, shift = (np.repeat(v, repeat).reshape(shape) for v in (scale, shift))
    return [(y * scale + shift).astype(x.dtype)]


@pytest.mark.parametrize(
    "shape", [(2, 5, 9), (2, 6, 7, 5), (1, 16, 14, 14), (1, 2, 3, 4, 5)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_instance_on_its_own(rng, shape, dtype):
    x = (rng.standard_normal(shape) + 3).astype(dtype)
    scale, shift = rng.standard_normal((2, shape[1])).astype(dtype)
    want = group_norm(x, scale, shift, shape[1], 0.0009765625)
    check_node(
        "InstanceNormalization",
        [x, scale, shift],
        {"epsilon": 0.0009765625},
        17,
        expected=want,
    )


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("opset", [18, 21])
def test_groups_of_channels(rng, groups, opset):
    x = (rng.standard_normal((2, 6, 7, 5)) + 3).astype(np.float32)
    n = groups if opset == 18 else 6
    scale, shift = rng.standard_normal((2, n)).astype(np.float32)
    check_node(
        "GroupNormalization",
        [x, scale, shift],
        {"num_groups": groups},
        opset,
        expected=group_norm(x, scale, shift, groups),
    )
