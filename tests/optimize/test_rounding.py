"""Rounding for the data at hand: on the steps, and nearer where it counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.optimize.graphs import (
    Net,
    install_ranges,
    observe,
    run,
    sqnr_db,
    weights,
)

from trimtab.errors import InputError
from trimtab.graph import Model
from trimtab.optimize.layers import find_layers
from trimtab.optimize.quantize import quantize_graph, tensors_to_observe
from trimtab.optimize.rounding import round_by_feedback, round_weights
from trimtab.optimize.weights import weight_scales


@pytest.fixture(autouse=True)
def _ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    install_ranges(monkeypatch)


def correlated(n_rows: int, n: int, seed: int) -> np.ndarray:
    """Rows whose elements have a few causes in common."""
    rng = np.random.default_rng(seed)
    causes = rng.standard_normal((n_rows, max(1, n // 4)))
    rows = causes @ rng.standard_normal((causes.shape[1], n))
    return rows + 0.05 * rng.standard_normal((n_rows, n))


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 64, 65, 130]))
@example(362880, 7)
@settings(max_examples=25, deadline=None)
def test_results_are_nearer_than_of_the_nearest_weights(seed: int, n: int) -> None:
    x = correlated(4 * n + 8, n, seed)
    w = weights(6, n, seed=seed % 1000)
    scales = weight_scales(w, 0, bits=5)
    found = round_by_feedback(w[None], (x.T @ x / len(x))[None], scales[None])[0]
    steps = found / scales[:, None]
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-5)
    assert np.abs(steps).max() <= 15.001
    nearest = np.rint(w / scales[:, None]) * scales[:, None]
    error, plain = (((x @ (v - w).T) ** 2).sum() for v in (found, nearest))
    assert error <= plain * (1 + 1e-5) + 1e-9
    assert n < 60 or error < 0.6 * plain


def test_without_correlation_it_is_the_nearest() -> None:
    w = weights(4, 9, seed=2)
    scales = weight_scales(w, 0)
    found = round_by_feedback(w[None], np.eye(9)[None], scales[None])[0]
    np.testing.assert_allclose(found, np.rint(w / scales[:, None]) * scales[:, None])


def convolution(**attributes: Any) -> tuple[Model, np.ndarray]:
    net = Net("net")
    group = attributes.get("group", 1)
    x = net.input("x", "float32", ("n", 8, "h", "w"))
    smooth = (
        np.random.default_rng(0).standard_normal((2, 8, 14, 14)).cumsum(2).cumsum(3)
    )
    w = weights(8, 8 // group, 3, 3)
    return net.done(net.conv(x, w, "conv", **attributes)), smooth.astype(np.float32)


def product(**attributes: Any) -> tuple[Model, np.ndarray]:
    net = Net("net")
    is_gemm = "transB" in attributes
    x = net.input("x", "float32", ("n", 32))
    w = weights(12, 32) if attributes.get("transB") else weights(12, 32).T.copy()
    right = net.constant(w, "fc.weight")
    y = net.op("Gemm" if is_gemm else "MatMul", [x, right], name="fc", **attributes)
    return net.done(y), correlated(300, 32, 1).astype(np.float32)


CASES = {
    "conv": lambda: convolution(pads=[1] * 4),
    "strided": lambda: convolution(strides=[2, 1], pads=[0, 1, 2, 1]),
    "dilated": lambda: convolution(dilations=[2, 3]),
    "grouped": lambda: convolution(group=2),
    "depthwise": lambda: convolution(group=8, auto_pad="SAME_UPPER"),
    "matmul": product,
    "gemm": lambda: product(transB=0),
    "transposed": lambda: product(transB=1),
}


@pytest.mark.parametrize("case", CASES)
def test_layers_are_nearer_to_float(case: str) -> None:
    graph, x = CASES[case]()
    choices = {layer.name: "int8" for layer in find_layers(graph)}
    seen = observe(graph, [{"x": x}], tensors_to_observe(graph, choices))
    made = quantize_graph(graph, choices, seen, ranges="minmax", weight_bits=4)
    before = repr(made.graph.nodes)
    batches = [{"x": x[:1]}, {"x": x[1:]}]
    better = round_weights(made, graph, batches, layers=list(choices))
    assert repr(made.graph.nodes) == before
    true = run(graph, {"x": x})
    was, became = (sqnr_db(true, run(m, {"x": x})) for m in (made, better))
    assert became > was + 2
    # Half a step is the most that is rounded when the engine makes the integers.
    (name,) = (k for k in better.graph.constants if k.endswith("_rounded"))
    assert better.graph.constants[name].shape == (
        graph.graph.constants[name.removesuffix("_rounded")].shape
    )


def test_rows_are_patches_as_the_convolution_sees_them() -> None:
    """With every row looked at, the mean product is that of the layer's results."""
    from trimtab.optimize.rounding import _patches, _view
    from trimtab.optimize.wiring import Wiring

    graph, x = convolution(strides=[2, 1], pads=[0, 1, 2, 1], dilations=[1, 2], group=2)
    (layer,) = find_layers(graph)
    seen = observe(graph, [{"x": x}], ["x"])
    made = quantize_graph(graph, {"conv": "int8"}, seen, ranges="minmax")
    view = _view(Wiring(made), layer)
    assert view is not None
    rows = _patches(view, x, 10**9)
    results = np.einsum("grn,gcn->rgc", rows, view.weights).reshape(rows.shape[1], -1)
    bias = graph.graph.constants["conv.bias"].numpy()
    want = np.moveaxis(run(graph, {"x": x}), 1, -1).reshape(-1, 8) - bias
    np.testing.assert_allclose(results, want, atol=1e-4)


def test_products_of_tokens_are_rounded_when_they_are_named() -> None:
    graph, x = product()
    seen = observe(graph, [{"x": x}], ["x"])
    made = quantize_graph(graph, {"fc": "int8"}, seen, ranges="minmax")
    same = round_weights(made, graph, [{"x": x}])
    assert repr(same.graph.nodes) == repr(made.graph.nodes)


def test_without_batches_nothing_can_be_rounded() -> None:
    graph, _ = product()
    with pytest.raises(InputError, match="needs data"):
        round_weights(graph, graph, [])


def test_layers_in_float_stay() -> None:
    graph, x = product()
    made = round_weights(graph, graph, [{"x": x}])
    assert repr(made.graph.nodes) == repr(graph.graph.nodes)
