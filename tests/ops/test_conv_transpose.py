"""ConvTranspose against onnxruntime: strides, pads, output sizes, groups."""

import numpy as np
import pytest
from tests.ops.check import check_node

# name: input shape, weights shape [c, m / group, k..], attributes
CASES = {
    "1d": ((1, 4, 9), (4, 6, 3), {"strides": [2]}),
    "2d": ((2, 3, 5, 6), (3, 4, 3, 3), {}),
    "stride_2": ((1, 16, 7, 7), (16, 8, 2, 2), {"strides": [2, 2]}),
    "stride_3": ((1, 4, 5, 5), (4, 6, 3, 3), {"strides": [3, 2], "pads": [1, 0, 0, 1]}),
    "kernel_4": ((1, 8, 6, 6), (8, 4, 4, 4), {"strides": [2, 2], "pads": [1] * 4}),
    "output_padding": (
        (1, 4, 5, 5),
        (4, 6, 3, 3),
        {"strides": [3, 2], "output_padding": [1, 1]},
    ),
    "output_shape": (
        (1, 4, 5, 5),
        (4, 6, 3, 3),
        {"strides": [3, 2], "output_shape": [14, 10]},
    ),
    "same_upper": (
        (1, 4, 5, 6),
        (4, 6, 3, 3),
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    "same_lower": (
        (1, 4, 5, 6),
        (4, 6, 3, 3),
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    "dilation": ((1, 4, 6, 6), (4, 6, 3, 3), {"dilations": [2, 2]}),
    "groups": ((1, 8, 6, 6), (8, 3, 3, 3), {"group": 4, "strides": [2, 2]}),
    "depthwise": ((1, 8, 6, 6), (8, 1, 4, 4), {"group": 8, "strides": [2, 2]}),
    "3d": ((1, 3, 3, 4, 5), (3, 4, 2, 3, 2), {"strides": [1, 2, 2]}),
    "one_output": ((1, 16, 8, 8), (16, 1, 2, 2), {"strides": [2, 2]}),
}


def arrays(rng, x, w, groups, dtype=np.float32):
    return [
        rng.standard_normal(x).astype(dtype),
        rng.standard_normal(w).astype(dtype),
        rng.standard_normal(w[1] * groups).astype(dtype),
    ]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_transposed_convolution_equals_onnxruntime(rng, name, bias):
    x, w, attrs = CASES[name]
    inputs = arrays(rng, x, w, attrs.get("group", 1))[: 3 if bias else 2]
    check_node("ConvTranspose", inputs, attrs, 17, constants=(1, 2))


@pytest.mark.parametrize("name", CASES)
def test_weights_may_be_inputs_of_the_model(rng, name):
    x, w, attrs = CASES[name]
    inputs = arrays(rng, x, w, attrs.get("group", 1))
    check_node("ConvTranspose", inputs, attrs, 17)


def test_double_precision_equals_the_reference(rng):
    x, w, attrs = CASES["kernel_4"]
    inputs = arrays(rng, x, w, 1, np.float64)
    check_node("ConvTranspose", inputs, attrs, 17, constants=(1, 2))
