"""BatchNormalization of inference against the definition."""

import numpy as np
import pytest
from tests.ops.check import check_node


def batch_norm(x, scale, shift, mean, variance, epsilon=1e-5):
    shape = [1, -1] + [1] * (x.ndim - 2)
    scale, shift, mean, variance = (
        v.astype(np.float64).reshape(shape) for v in (scale, shift, mean, variance)
    )
    y = (x.astype(np.float64) - mean) / np.sqrt(variance + epsilon) * scale + shift
    return [y.astype(x.dtype)]


@pytest.mark.parametrize("shape", [(4, 7), (2, 5, 9), (2, 16, 5, 6), (1, 3, 2, 3, 4)])
@pytest.mark.parametrize("constants", [(), (1, 2, 3, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_statistics_are_applied_per_channel(rng, shape, constants, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    vectors = rng.standard_normal((4, shape[1])).astype(dtype)
    vectors[3] = np.abs(vectors[3]) + dtype(0.1)
    inputs = [x, *vectors]
    check_node(
        "BatchNormalization",
        inputs,
        {"epsilon": 0.0009765625},
        15,
        constants=constants,
        expected=batch_norm(*inputs, epsilon=0.0009765625),
    )


def test_training_mode_is_refused():
    import trimtab

    inputs = [np.ones((2, 3), np.float32), *np.ones((4, 3), np.float32)]
    with pytest.raises(trimtab.TrimtabError, match="training"):
        check_node(
            "BatchNormalization", inputs, {"training_mode": 1}, 15, expected=[inputs[0]]
        )
