"""Gradients in float32, through oneDNN's primitives, against PyTorch's autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trimtab.optimize.runnable import runnable
from trimtab.train import differentiate

from .check import one_node, outputs_of, weighted_sum

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # its threads wait for each other on a busy machine
F = torch.nn.functional

Array = np.ndarray

# Of the largest gradient: sums in another order, in float32.
TOLERANCE = 1e-4


def _normal(*shape: int) -> Array:
    rng = np.random.default_rng(sum(shape))
    return rng.normal(size=shape).astype(np.float32)


def _check(
    op: str,
    arrays: list[Array],
    attributes: dict[str, Any],
    reference: Callable[..., Any],
    opset: int = 18,
) -> None:
    model = one_node(op, arrays, attributes, opset=opset)
    (y,) = outputs_of(model)
    weights = _normal(*y.shape)
    names = [f"x{i}" for i in range(len(arrays))]
    with runnable(differentiate(weighted_sum(model, [weights]), "total", names)) as run:
        ours = list(run(*arrays))[1:]
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    (reference(*leaves) * torch.tensor(weights)).sum().backward()
    for name, a, leaf in zip(names, ours, leaves, strict=True):
        b = leaf.grad.numpy()
        assert a.shape == b.shape
        assert a.dtype == np.float32
        np.testing.assert_allclose(
            a, b, rtol=0, atol=TOLERANCE * float(np.abs(b).max()), err_msg=name
        )


CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, int]]] = [
    ((8, 1, 28, 28), (16, 1, 3, 3), {"padding": 1}),
    ((8, 16, 14, 14), (32, 16, 3, 3), {}),
    ((2, 32, 15, 15), (64, 32, 3, 3), {"stride": 2, "padding": 1}),
    ((2, 64, 7, 7), (128, 64, 1, 1), {}),
    ((2, 32, 9, 9), (32, 1, 3, 3), {"groups": 32, "padding": 1}),
    ((2, 32, 9, 9), (64, 16, 5, 5), {"groups": 2, "dilation": 2, "padding": 4}),
    ((2, 3, 33, 33), (7, 3, 7, 7), {"stride": 2, "padding": 3}),
]


@pytest.mark.parametrize(("x", "w", "options"), CONVOLUTIONS, ids=str)
def test_convolution(x: Any, w: Any, options: dict[str, int]) -> None:
    attributes = {
        "strides": [options.get("stride", 1)] * 2,
        "pads": [options.get("padding", 0)] * 4,
        "dilations": [options.get("dilation", 1)] * 2,
        "group": options.get("groups", 1),
    }
    arrays = [_normal(*x), _normal(*w), _normal(w[0])]
    _check("Conv", arrays, attributes, lambda *t: F.conv2d(*t, **options))


def test_convolution_of_one_and_three_dims() -> None:
    arrays = [_normal(2, 16, 30), _normal(32, 16, 5), _normal(32)]
    _check("Conv", arrays, {"pads": [2, 2]}, lambda *t: F.conv1d(*t, padding=2))
    arrays = [_normal(1, 8, 6, 7, 8), _normal(16, 8, 3, 3, 3), _normal(16)]
    _check("Conv", arrays, {}, F.conv3d)


def test_pools() -> None:
    x = _normal(2, 33, 15, 15)
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}
    _check("MaxPool", [x], attributes, lambda t: F.max_pool2d(t, 3, 2, 1))
    large = {"kernel_shape": [9, 9], "strides": [3, 3]}
    _check("MaxPool", [_normal(1, 5, 20, 20)], large, lambda t: F.max_pool2d(t, 9, 3))
    attributes["count_include_pad"] = 1  # type: ignore[assignment]
    _check("AveragePool", [x], attributes, lambda t: F.avg_pool2d(t, 3, 2, 1))


def test_the_first_of_equal_maxima_gets_the_gradient() -> None:
    x = np.maximum(_normal(2, 8, 12, 12), 0)  # many equal zeros
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2]}
    _check("MaxPool", [x], attributes, lambda t: F.max_pool2d(t, 2))


def test_products() -> None:
    _check("Gemm", [_normal(32, 200), _normal(10, 200), _normal(10)], {"transB": 1},
           lambda a, b, c: a @ b.T + c)  # fmt: skip
    _check("MatMul", [_normal(4, 33, 65), _normal(65, 17)], {}, torch.matmul)
    # Large enough that the second factor is packed in each call.
    _check("MatMul", [_normal(4, 97, 130), _normal(130, 200)], {}, torch.matmul)
    _check("Gemm", [_normal(300, 257), _normal(300, 140), _normal(140)],
           {"transA": 1, "alpha": 0.5}, lambda a, b, c: 0.5 * a.T @ b + c)  # fmt: skip
    _check("MatMul", [_normal(2, 3, 17, 9), _normal(2, 3, 9, 8)], {}, torch.matmul)


def test_normalisations() -> None:
    arrays = [_normal(4, 33, 65), _normal(65), _normal(65)]
    _check("LayerNormalization", arrays, {"epsilon": 1e-5},
           lambda x, w, b: F.layer_norm(x, (65,), w, b))  # fmt: skip
    arrays = [_normal(4, 3, 65), _normal(3, 65), _normal(3, 65)]
    _check("LayerNormalization", arrays, {"axis": 1},
           lambda x, w, b: F.layer_norm(x, (3, 65), w, b))  # fmt: skip
    arrays = [_normal(300, 130), _normal(130)]
    _check("RMSNormalization", arrays, {"epsilon": 1e-5},
           lambda x, w: F.rms_norm(x, (130,), w, 1e-5), opset=23)  # fmt: skip
    _check("Softmax", [_normal(4, 33, 65)], {}, lambda x: F.softmax(x, -1))
    _check("LogSoftmax", [_normal(4, 33)], {}, lambda x: F.log_softmax(x, -1))


@pytest.mark.parametrize(
    ("op", "function"),
    [
        ("Relu", "relu"), ("Sigmoid", "sigmoid"), ("Tanh", "tanh"), ("Elu", "elu"),
        ("Selu", "selu"), ("Softplus", "softplus"), ("Softsign", "softsign"),
        ("Gelu", "gelu"), ("HardSwish", "hardswish"), ("Mish", "mish"),
    ],
)  # fmt: skip
def test_activations(op: str, function: str) -> None:
    _check(op, [_normal(33, 65)], {}, getattr(F, function), opset=22)


def test_gelu_in_both_forms() -> None:
    x = np.concatenate([_normal(7, 33) * 3, np.full((1, 33), 50, np.float32)])
    for form in ("none", "tanh"):
        _check("Gelu", [x], {"approximate": form},
               lambda t, form=form: F.gelu(t, approximate=form), opset=20)  # fmt: skip


def test_nan_and_infinity_pass_the_gradient_of_gelu() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0], np.float32)
    model = weighted_sum(one_node("Gelu", [x], opset=20), [np.ones(4, np.float32)])
    with runnable(differentiate(model, "total", ["x0"])) as run:
        np.testing.assert_allclose(run(x)[1], [np.nan, 1.0, 0.0, 0.5], atol=1e-6)


def test_embedding() -> None:
    table, ids = _normal(50, 16), np.array([[1, 4, 1], [7, 49, 1]])
    model = one_node("Gather", [table, ids])
    weights = _normal(2, 3, 16)
    graph = differentiate(weighted_sum(model, [weights]), "total", ["x0"])
    with runnable(graph) as run:
        ours = run(table)[1]
    leaf = torch.tensor(table, requires_grad=True)
    (F.embedding(torch.tensor(ids), leaf) * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(ours, leaf.grad.numpy(), atol=1e-5)
