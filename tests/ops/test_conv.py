"""Conv against onnxruntime: dims, groups, strides, dilations, pads, dtypes."""

import numpy as np
import pytest
from tests.ops.check import check_node

# name: input shape, weights shape, attributes
CASES = {
    "1d": ((2, 4, 20), (6, 4, 3), {}),
    "1d_dilated": ((1, 4, 30), (6, 4, 5), {"dilations": [3], "pads": [2, 4]}),
    "1d_long_kernel": ((1, 1, 700), (8, 1, 64), {"strides": [32]}),
    "2d": ((2, 5, 9, 11), (7, 5, 3, 3), {"pads": [1, 1, 1, 1]}),
    "2d_stride": ((1, 16, 15, 14), (32, 16, 3, 3), {"strides": [2, 3]}),
    "2d_pads": ((1, 3, 12, 10), (8, 3, 5, 3), {"pads": [0, 2, 3, 1]}),
    "2d_dilation": ((1, 8, 20, 20), (8, 8, 3, 3), {"dilations": [2, 3]}),
    "pointwise": ((2, 24, 7, 7), (40, 24, 1, 1), {}),
    "pointwise_stride": ((1, 24, 8, 8), (40, 24, 1, 1), {"strides": [2, 2]}),
    "stem": ((1, 3, 32, 32), (32, 3, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "stem_7": ((1, 3, 40, 40), (64, 3, 7, 7), {"strides": [2, 2], "pads": [3] * 4}),
    "one_channel": ((1, 1, 28, 28), (8, 1, 3, 3), {}),
    "one_output": ((1, 16, 14, 14), (1, 16, 3, 3), {"pads": [1] * 4}),
    "depthwise": ((1, 24, 14, 14), (24, 1, 3, 3), {"group": 24, "pads": [1] * 4}),
    "depthwise_odd": ((2, 13, 9, 9), (13, 1, 5, 5), {"group": 13, "pads": [2] * 4}),
    "multiplier": ((1, 6, 10, 10), (18, 1, 3, 3), {"group": 6}),
    "groups": ((1, 12, 10, 10), (8, 3, 3, 3), {"group": 4}),
    "groups_wide": ((1, 64, 10, 10), (64, 16, 3, 3), {"group": 4, "pads": [1] * 4}),
    "3d": ((1, 4, 6, 7, 8), (5, 4, 3, 2, 3), {"pads": [1, 0, 1, 1, 1, 1]}),
    "kernel_as_input": ((1, 4, 9, 9), (6, 4, 9, 9), {}),
    "same_upper": (
        (1, 4, 11, 10),
        (6, 4, 4, 3),
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    ),
    "same_lower": (
        (1, 4, 11, 10),
        (6, 4, 4, 3),
        {"auto_pad": "SAME_LOWER", "strides": [3, 2]},
    ),
    "valid": ((1, 4, 11, 10), (6, 4, 4, 3), {"auto_pad": "VALID"}),
    "large_pads": ((1, 4, 5, 5), (6, 4, 3, 3), {"pads": [4, 4, 4, 4]}),
}


def arrays(rng, x, w, dtype=np.float32):
    return [
        rng.standard_normal(x).astype(dtype),
        rng.standard_normal(w).astype(dtype),
        rng.standard_normal(w[0]).astype(dtype),
    ]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_convolution_equals_onnxruntime(rng, name, bias):
    x, w, attrs = CASES[name]
    inputs = arrays(rng, x, w)[: 3 if bias else 2]
    check_node("Conv", inputs, attrs, 17, constants=(1, 2))


@pytest.mark.parametrize("name", CASES)
def test_weights_may_be_inputs_of_the_model(rng, name):
    x, w, attrs = CASES[name]
    check_node("Conv", arrays(rng, x, w), attrs, 17)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
@pytest.mark.parametrize("name", ["1d", "2d_pads", "groups", "3d"])
def test_other_float_types(rng, name, dtype):
    x, w, attrs = CASES[name]
    check_node("Conv", arrays(rng, x, w, dtype), attrs, 22, constants=(1, 2))


def test_an_empty_batch_gives_an_empty_output(rng):
    inputs = arrays(rng, (0, 4, 9, 9), (6, 4, 3, 3))
    (y,) = check_node(
        "Conv",
        inputs,
        constants=(1, 2),
        expected=[np.empty((0, 6, 7, 7), np.float32)],
    )
    assert y.size == 0


@pytest.mark.parametrize(
    ("x", "w", "attrs"),
    [
        ((1, 4, 9, 9), (6, 3, 3, 3), {}),
        ((1, 4, 9, 9), (6, 4, 3), {}),
        ((1, 4, 9, 9), (6, 4, 3, 3), {"strides": [0, 1]}),
        ((1, 4, 9, 9), (6, 4, 3, 3), {"dilations": [1, -1]}),
        ((1, 4, 9, 9), (6, 4, 3, 3), {"pads": [1, 1]}),
        ((1, 4, 9, 9), (6, 4, 3, 3), {"pads": [-1, 0, 0, 0]}),
        ((1, 4, 9, 9), (6, 4, 3, 3), {"kernel_shape": [2, 3]}),
        ((1, 4, 9, 9), (6, 4, 3, 3), {"group": 0}),
        ((1, 4, 9, 9), (6, 2, 3, 3), {"group": 4}),
        ((1, 4, 9, 9), (6, 4, 3, 3), {"auto_pad": "SAME"}),
        ((1, 4, 2, 9), (6, 4, 3, 3), {}),
        ((1, 4, 9, 9), (6, 4, 3, 3), {"strides": [2**40, 1]}),
    ],
)
def test_malformed_nodes_are_refused(rng, x, w, attrs):
    import trimtab

    with pytest.raises(trimtab.TrimtabError, match="Conv 'node'"):
        check_node(
            "Conv",
            arrays(rng, x, w)[:2],
            attrs,
            constants=(1,),
            expected=[np.zeros(1, np.float32)],
        )
