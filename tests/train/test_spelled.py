"""Attention, normalisations, LRN, Resize, TopK, scattering: gradients of operators that
become others first, or whose gradient is made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trimtab.errors import UnsupportedOpError
from trimtab.optimize.runnable import runnable
from trimtab.train import differentiate

from .check import check_gradient, one_node, outputs_of, weighted_sum

Array = np.ndarray


def _normal(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape)


def _ints(*values: int) -> Array:
    return np.array(values, np.int64)


# ---- attention -----------------------------------------------------------------------

ATTENTION: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 4, 5), (2, 3, 6, 5), {}),
    ((2, 3, 4, 5), (2, 3, 4, 5), {"is_causal": 1}),
    ((2, 3, 4, 5), (2, 3, 4, 5), {"scale": 0.3, "softcap": 2.0}),
    ((1, 4, 3, 2), (1, 2, 3, 2), {}),
    ((2, 4, 6), (2, 5, 6), {"q_num_heads": 3, "kv_num_heads": 3}),
    ((2, 4, 8), (2, 5, 4), {"q_num_heads": 4, "kv_num_heads": 2}),
]


@pytest.mark.parametrize(("q", "k", "attributes"), ATTENTION, ids=str)
def test_attention(q: Any, k: Any, attributes: dict[str, Any]) -> None:
    arrays = [_normal(*q), _normal(*k), _normal(*k) * 0.7]
    check_gradient("Attention", arrays, attributes, opset=23)


def test_attention_with_a_mask() -> None:
    arrays: list[Any] = [_normal(2, 3, 4, 5), _normal(2, 3, 6, 5), _normal(2, 3, 6, 5)]
    keep = np.random.default_rng(0).random((2, 1, 4, 6)) > 0.3
    check_gradient("Attention", [*arrays, keep], wrt=[0, 1, 2], opset=23)
    check_gradient("Attention", [*arrays, _normal(4, 6)], opset=23)


def test_attention_with_a_cache_is_refused() -> None:
    arrays: list[Any] = [_normal(1, 2, 3, 4)] * 3 + [None] + [_normal(1, 2, 5, 4)] * 2
    model = one_node("Attention", arrays, {}, opset=23)
    model = weighted_sum(model, [np.ones((1, 2, 3, 4))])
    with pytest.raises(UnsupportedOpError, match="it has a cache"):
        differentiate(model, "total", ["x0"])


def test_attention_against_torch() -> None:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    arrays = [_normal(2, 4, 33, 16).astype(np.float32) for _ in range(3)]
    model = one_node("Attention", arrays, {"is_causal": 1}, opset=23)
    weights = _normal(2, 4, 33, 16).astype(np.float32)
    names = ["x0", "x1", "x2"]
    with runnable(differentiate(weighted_sum(model, [weights]), "total", names)) as run:
        ours = run(*arrays)[1:]
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = torch.nn.functional.scaled_dot_product_attention(*leaves, is_causal=True)
    (y * torch.tensor(weights)).sum().backward()
    for a, leaf in zip(ours, leaves, strict=True):
        truth = leaf.grad.numpy()
        np.testing.assert_allclose(a, truth, atol=1e-4 * float(np.abs(truth).max()))


# ---- normalisation -------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5), (1, 2, 2, 3, 2)], ids=str)
def test_instance_norm(shape: tuple[int, ...]) -> None:
    arrays = [_normal(*shape), _normal(shape[1]), _normal(shape[1] + 0)]
    check_gradient("InstanceNormalization", arrays, {"epsilon": 1e-3})


@pytest.mark.parametrize(("opset", "n"), [(18, 2), (21, 6)])
def test_group_norm(opset: int, n: int) -> None:
    arrays = [_normal(2, 6, 3, 2), _normal(n), _normal(n) * 0.3]
    check_gradient("GroupNormalization", arrays, {"num_groups": 2}, opset=opset)


@pytest.mark.filterwarnings("ignore:.*run in Python")
@pytest.mark.parametrize("size", [1, 3, 4])
def test_lrn(size: int) -> None:
    """As many rows as channels: the reference evaluator counts the wrong ones."""
    attributes = {"size": size, "alpha": 0.4, "beta": 0.6, "bias": 1.5}
    check_gradient("LRN", [_normal(4, 4, 3, 2)], attributes)


def test_lrn_against_torch() -> None:
    torch = pytest.importorskip("torch")
    x = _normal(2, 7, 3, 3).astype(np.float32)
    attributes = {"size": 5, "alpha": 0.4, "beta": 0.6, "bias": 1.5}
    model = one_node("LRN", [x], attributes)
    weights = _normal(2, 7, 3, 3).astype(np.float32)
    graph = differentiate(weighted_sum(model, [weights]), "total", ["x0"])
    with runnable(graph) as run:
        total, ours = run(x)
    leaf = torch.tensor(x, requires_grad=True)
    norm = torch.nn.LocalResponseNorm(5, 0.4, 0.6, 1.5)
    loss = (norm(leaf) * torch.tensor(weights)).sum()
    loss.backward()
    assert abs(float(total) - loss.item()) < 1e-4
    np.testing.assert_allclose(ours, leaf.grad.numpy(), atol=1e-5)


def test_normalisation_of_a_sum() -> None:
    rows: list[Any] = [_normal(2, 3, 4), _normal(2, 3, 4) * 0.5]
    vectors = [_normal(4), _normal(4) * 0.3, _normal(4) * 0.2]
    name = "SkipLayerNormalization"
    check_gradient(name, [*rows, *vectors], domain="com.microsoft")
    check_gradient(name, [*rows, vectors[0]], domain="com.microsoft")
    name = "SkipSimplifiedLayerNormalization"
    check_gradient(name, [*rows, *vectors[:2]], domain="com.microsoft")


# ---- Resize --------------------------------------------------------------------------

RESIZES: list[tuple[dict[str, Any], list[float] | None, list[int] | None]] = [
    ({"mode": "nearest"}, [1, 1, 2, 2], None),
    ({"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
      "nearest_mode": "floor"}, [1, 1, 2, 3], None),
    ({"mode": "linear"}, [1, 1, 2, 1.5], None),
    ({"mode": "linear", "coordinate_transformation_mode": "align_corners"},
     None, [1, 2, 7, 5]),
    ({"mode": "linear", "antialias": 1}, [1, 1, 0.5, 0.7], None),
    ({"mode": "cubic"}, [1, 1, 2, 1.3], None),
    ({"mode": "linear", "axes": [2, 3]}, None, [6, 7]),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "scales", "sizes"), RESIZES, ids=str)
def test_resize(attributes: dict[str, Any], scales: Any, sizes: Any) -> None:
    inputs: list[Any] = [_normal(1, 2, 4, 5), None]
    if scales is not None:
        inputs.append(np.array(scales, np.float32))
    else:
        inputs += [None, _ints(*sizes)]
    check_gradient("Resize", inputs, attributes, wrt=[0])


def test_resize_of_one_and_three_dims() -> None:
    scales = np.array([1, 1, 2.5], np.float32)
    check_gradient("Resize", [_normal(2, 2, 4), None, scales], {"mode": "linear"},
                   wrt=[0])  # fmt: skip
    scales = np.array([1, 1, 2, 1, 2], np.float32)
    check_gradient("Resize", [_normal(1, 2, 2, 3, 2), None, scales], {}, wrt=[0])


def test_resize_that_crops_is_refused() -> None:
    roi, scales = np.array([0, 0, 0, 0, 1, 1, 0.5, 0.5]), [1, 1, 2, 2]
    inputs: list[Any] = [_normal(1, 1, 4, 4), roi, np.array(scales, np.float32)]
    attributes = {"coordinate_transformation_mode": "tf_crop_and_resize"}
    model = one_node("Resize", inputs, attributes)
    (y,) = outputs_of(model)
    with pytest.raises(UnsupportedOpError, match="it crops"):
        differentiate(weighted_sum(model, [y]), "total", ["x0"])


# ---- by index ------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [-1, 0])
def test_top_k(axis: int) -> None:
    model = one_node("TopK", [_normal(4, 5), _ints(2)], {"axis": axis}, n_outputs=2)
    model.graph.outputs[:] = model.graph.outputs[:1]
    weights = np.arange(1.0, 1 + outputs_of(model)[0].size)
    weights = weights.reshape(outputs_of(model)[0].shape)
    graph = differentiate(weighted_sum(model, [weights]), "total", ["x0"])
    x = _normal(4, 5)
    with runnable(graph) as run:
        found = run(x)[1]
    truth = np.zeros_like(x)
    where = np.argsort(-x, axis=axis)
    np.put_along_axis(truth, np.take(where, [0, 1], axis=axis), weights, axis=axis)
    np.testing.assert_array_equal(found, truth)


@pytest.mark.parametrize("reduction", ["none", "add"])
def test_scattering(reduction: str) -> None:
    attributes = {"reduction": reduction}
    where = np.array([[0, 2, 1], [2, 0, 1]])
    check_gradient("ScatterElements", [_normal(3, 3), where, _normal(2, 3)],
                   {**attributes, "axis": 1})  # fmt: skip
    where = np.array([[0], [2]])
    check_gradient("ScatterND", [_normal(3, 4), where, _normal(2, 4)], attributes)


def test_compress() -> None:
    keep = np.array([True, False, True])
    check_gradient("Compress", [_normal(3, 4), keep], {"axis": 0})
