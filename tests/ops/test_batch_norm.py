"""BatchNormalization of inference against the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.check import check_node

import trimtab


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


def trained(x, scale, shift, mean, variance, epsilon=1e-5, momentum=0.9):
    """By the batch's statistics; the running ones move."""
    wide = x.astype(np.float64)
    axes = tuple(i for i in range(x.ndim) if i != 1)
    batch_mean, batch_variance = wide.mean(axes), wide.var(axes)
    y = batch_norm(wide, scale, shift, batch_mean, batch_variance, epsilon)[0]
    means = momentum * mean.astype(np.float64) + (1 - momentum) * batch_mean
    variances = momentum * variance.astype(np.float64) + (1 - momentum) * batch_variance
    return [y.astype(x.dtype), means.astype(mean.dtype), variances.astype(mean.dtype)]


SHAPES = [(6,), (4, 7), (1, 3), (70, 130), (5, 3, 1), (3, 70, 1, 1), (2, 5, 9)]
SHAPES += [(2, 16, 5, 6), (1, 3, 2, 3, 4), (2, 1, 40, 50)]
TYPES = [(name,) * 3 for name in ("float32", "float64", "float16")]
TYPES += [("float16", "float32", "float32"), ("float32", "float32", "float64")]


@settings(deadline=None, max_examples=60)
@given(
    shape=st.sampled_from(SHAPES),
    types=st.sampled_from(TYPES),
    momentum=st.sampled_from([None, 0.0, 0.75, 1.0]),
    offset=st.sampled_from([0.0, 100.0]),
    opset=st.sampled_from([14, 15]),
    n_outputs=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_training_mode(shape, types, momentum, offset, opset, n_outputs, seed):
    rng = np.random.default_rng(seed)
    channels = shape[1] if len(shape) > 1 else 1
    if opset == 14:
        types = (types[0],) * 3
    x = (rng.standard_normal(shape) * 2 + offset).astype(types[0])
    scale, shift = rng.standard_normal((2, channels)).astype(types[1])
    mean, variance = rng.random((2, channels)).astype(types[2])
    attrs = {"training_mode": 1, "epsilon": 0.0009765625}
    kept = 0.9 if momentum is None else momentum
    if momentum is not None:
        attrs["momentum"] = momentum
    inputs = [x, scale, shift, mean, variance]
    batch = [x.reshape(-1, 1) if x.ndim == 1 else x, *inputs[1:]]
    want = trained(*batch, epsilon=attrs["epsilon"], momentum=float(np.float32(kept)))
    want[0] = want[0].reshape(x.shape)
    tolerance = 5e-3 if types[0] == "float16" else 1e-4 if offset else 1e-5
    if types[0] == "float64" and momentum in (0.0, 0.75, 1.0):
        tolerance = 1e-9
    check_node(
        "BatchNormalization",
        inputs,
        attrs,
        opset,
        outputs=n_outputs,
        expected=want[:n_outputs],
        tolerance=tolerance,
    )


def test_a_large_mean_leaves_the_variance_exact(rng):
    """What a difference of sums of squares would lose."""
    x = (rng.standard_normal((8, 4, 33)) + 3e3).astype(np.float32)
    inputs = [x, *rng.random((4, 4)).astype(np.float32)]
    want = trained(*inputs, momentum=0.0)[2]
    attrs = {"training_mode": 1, "momentum": 0.0}
    check_node(
        "BatchNormalization",
        inputs,
        attrs,
        15,
        outputs=["", "", "v"],
        expected=[want],
        tolerance=1e-6,
    )


@pytest.mark.parametrize("shape", [(0, 3, 4), (0, 3), (2, 3, 0), (0, 0, 4)])
def test_an_empty_batch_has_no_mean(shape):
    x = np.empty(shape, np.float32)
    vectors = np.ones((4, shape[1]), np.float32)
    nan = np.full(shape[1], np.nan, np.float32)
    check_node(
        "BatchNormalization",
        [x, *vectors],
        {"training_mode": 1},
        15,
        outputs=3,
        expected=[x, nan, nan],
    )


def test_a_convolution_does_not_swallow_a_norm_that_trains(rng):
    from onnx import helper, numpy_helper

    weights = rng.standard_normal((4, 3, 1, 1)).astype(np.float32)
    vectors = rng.random((4, 4)).astype(np.float32)
    constants = [numpy_helper.from_array(weights, "w")]
    constants += [numpy_helper.from_array(v, f"v{i}") for i, v in enumerate(vectors)]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node(
            "BatchNormalization", ["c", "v0", "v1", "v2", "v3"], ["y"], training_mode=1
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, [2, 3, 5, 5])],
        [helper.make_tensor_value_info("y", 1, [2, 4, 5, 5])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    x = rng.standard_normal((2, 3, 5, 5)).astype(np.float32)
    got = trimtab.load_model(model.SerializeToString(), fallback=False)(x)
    c = np.einsum("oi,nihw->nohw", weights[:, :, 0, 0], x)
    np.testing.assert_allclose(got, trained(c, *vectors)[0], rtol=1e-4, atol=1e-5)


def test_statistics_are_outputs_in_training_only():
    inputs = [np.ones((2, 3), np.float32), *np.ones((4, 3), np.float32)]
    with pytest.raises(trimtab.TrimtabError, match="output 1 exists in training only"):
        check_node("BatchNormalization", inputs, {}, 15, outputs=3, expected=[])
