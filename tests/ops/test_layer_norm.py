"""LayerNormalization and its relatives against the definition in double."""

import numpy as np
import pytest
from tests.ops.check import check_node


def layer_norm(x, scale, shift=None, *, axis=-1, epsilon=1e-5, rms=False):
    x64 = x.astype(np.float64)
    axes = tuple(range(axis % x.ndim, x.ndim))
    mean = np.zeros(()) if rms else x64.mean(axes, keepdims=True)
    square = ((x64 - mean) ** 2).mean(axes, keepdims=True)
    inv_std = 1 / np.sqrt(square + epsilon)
    y = (x64 - mean) * inv_std * scale
    if shift is not None:
        y = y + shift
    return (
        y.astype(x.dtype),
        np.asarray(mean, np.float32),
        np.asarray(inv_std, np.float32),
    )


@pytest.mark.parametrize("n", [1, 5, 16, 31, 64, 100, 384, 1000])
@pytest.mark.parametrize("shift", [True, False])
def test_last_axis(rng, n, shift):
    x = (rng.standard_normal((2, 3, n)) * 3 + 5).astype(np.float32)
    inputs = [x, *rng.standard_normal((2, n)).astype(np.float32)][: 3 if shift else 2]
    want = layer_norm(*inputs)[:1]
    check_node("LayerNormalization", inputs, {}, 17, expected=want)
    check_node("LayerNormalization", inputs, {}, 17, expected=want, constants=(1, 2))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_any_axis_with_statistics(rng, axis, dtype):
    x = rng.standard_normal((3, 4, 5)).astype(dtype)
    inner = x.shape[axis % 3 :]
    inputs = [x, rng.standard_normal(inner).astype(dtype)]
    inputs.append(rng.standard_normal(inner).astype(dtype))
    attrs = {"axis": axis, "epsilon": 0.0078125}
    check_node(
        "LayerNormalization",
        inputs,
        attrs,
        17,
        outputs=3,
        expected=layer_norm(*inputs, axis=axis, epsilon=0.0078125),
    )


@pytest.mark.parametrize("scale", [(5,), (1,), (4, 5), (3, 1, 1), (3, 4, 5), ()])
def test_scale_broadcasts(rng, scale):
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    inputs = [x, np.asarray(rng.standard_normal(scale), np.float32)]
    check_node("LayerNormalization", inputs, {}, 17, expected=layer_norm(*inputs)[:1])


def test_a_large_mean_costs_no_accuracy(rng):
    x = (rng.standard_normal((4, 768)) + 1000).astype(np.float32)
    inputs = [x, np.ones(768, np.float32)]
    want = layer_norm(*inputs)[:1]
    check_node("LayerNormalization", inputs, {}, 17, expected=want, tolerance=2e-5)


def test_rms_normalization(rng):
    inputs = [
        rng.standard_normal((2, 3, 40)).astype(np.float32),
        rng.standard_normal(40).astype(np.float32),
    ]
    want = layer_norm(*inputs, rms=True)[:1]
    check_node("RMSNormalization", inputs, {}, 23, expected=want)


@pytest.mark.parametrize("skip", [(2, 3, 40), (1, 3, 40), (3, 40)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("simplified", [True, False])
def test_skip_layer_normalization(rng, skip, bias, simplified):
    x, gamma, beta, vector = (
        rng.standard_normal(s).astype(np.float32)
        for s in [(2, 3, 40), (40,), (40,), (40,)]
    )
    skipped = rng.standard_normal(skip).astype(np.float32)
    total = x + skipped + (vector if bias else 0)
    shift = None if simplified else beta
    want = layer_norm(total, gamma, shift, epsilon=1e-3, rms=simplified)[0]
    inputs = [x, skipped, gamma]
    inputs += [] if simplified else [beta]
    inputs += [vector] if bias else []
    name = (
        "SkipSimplifiedLayerNormalization" if simplified else "SkipLayerNormalization"
    )
    check_node(
        name,
        inputs,
        {"epsilon": 1e-3},
        17,
        domain="com.microsoft",
        outputs=["y", "", "", "sum"],
        expected=[want, total],
    )


@pytest.mark.parametrize("axis", [-1, 1])
def test_simplified(rng, axis):
    """As onnxruntime's optimiser writes it, in the domain of ONNX."""
    x = rng.standard_normal((3, 4, 20)).astype(np.float32) + 2
    scale = rng.standard_normal(x.shape[axis:]).astype(np.float32)
    want = layer_norm(x, scale, axis=axis, rms=True)[:1]
    attrs = {"axis": axis, "epsilon": 1e-5}
    check_node("SimplifiedLayerNormalization", [x, scale], attrs, expected=want)
    check_node("SimplifiedLayerNormalization", [x, scale], attrs)
