"""Smoothing changes nothing in float32 and much in int8."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
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
from trimtab.optimize.smooth_quant import smooth_graph

K = 24
BATCHES = [
    {"x": np.random.default_rng(i).standard_normal((2, 7, K)).astype(np.float32)}
    for i in range(3)
]
# A few channels are a hundred times larger than the others.
GAMMA = np.where(np.arange(K) % 8 == 3, 100, 1).astype(np.float32)
BETA = np.linspace(-1, 1, K, dtype=np.float32) * GAMMA


@pytest.fixture(autouse=True)
def _ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    install_ranges(monkeypatch)


def layer_norm(net: Net, x: str) -> str:
    parameters = [net.constant(GAMMA, "gamma"), net.constant(BETA, "beta")]
    return net.op("LayerNormalization", [x, *parameters], axis=-1, output="normed")


def root_mean_square(net: Net, x: str) -> str:
    """As exports decompose it: no shift."""
    square = net.op("ReduceMean", [net.op("Mul", [x, x]), net.constant([-1])])
    scaled = net.op("Div", [x, net.op("Sqrt", [square])])
    return net.op("Mul", [net.constant(GAMMA), scaled], output="normed")


def decomposed(net: Net, x: str) -> str:
    """As TorchScript exports a layer norm before opset 17."""
    mean = net.op("ReduceMean", [x, net.constant([-1])])
    centred = net.op("Sub", [x, mean])
    square = net.op("ReduceMean", [net.op("Mul", [centred] * 2), net.constant([-1])])
    scaled = net.op("Div", [centred, net.op("Sqrt", [square])])
    scaled = net.op("Mul", [scaled, net.constant(GAMMA)])
    return net.op("Add", [scaled, net.constant(BETA)], output="normed")


NORMS = {"op": layer_norm, "rms": root_mean_square, "parts": decomposed}


def build(norm: Any, *, residual: bool = False, gemm: bool = False) -> Model:
    net = Net("net")
    x = net.input("x", "float32", ("n", "t", K))
    normed = norm(net, x)
    # The weights of large channels are small, as training makes them.
    w = (weights(K, 16) / np.sqrt(GAMMA)[:, None]).astype(np.float32)
    if gemm:
        rows = net.op("Reshape", [x, net.constant([-1, K])])
        normed = norm(net, rows)
        right = net.constant(w.T.copy(), "q.weight")
        return net.done(net.op("Gemm", [normed, right], transB=1, name="q"))
    q = net.linear(normed, w, "q")
    k = net.linear(normed, w[:, ::-1].copy(), "k")
    y = net.op("Mul", [q, k])
    if residual:
        mean = net.op("ReduceMean", [normed, net.constant([-1])])
        y = net.op("Add", [y, mean])
    return net.done(y)


def int8(graph: Model) -> Model:
    choices = {layer.name: "int8" for layer in find_layers(graph)}
    seen = observe(graph, BATCHES, tensors_to_observe(graph, choices))
    return quantize_graph(graph, choices, seen, ranges="minmax")


def check(graph: Model, *, inserted: bool, gain_db: float = 6) -> Model:
    made, done = smooth_graph(graph, BATCHES)
    (smoothing,) = done
    assert smoothing.is_inserted is inserted
    assert smoothing.gain_db > gain_db
    x = BATCHES[0]
    true = run(graph, x)
    assert sqnr_db(true, run(made, x)) > 100
    assert sqnr_db(true, run(int8(made), x)) > sqnr_db(true, run(int8(graph), x)) + 6
    return made


@pytest.mark.parametrize("norm", NORMS)
def test_the_scale_goes_into_the_norm_before(norm: str) -> None:
    graph = build(NORMS[norm])
    made = check(graph, inserted=False)
    assert len(made.graph.nodes) == len(graph.graph.nodes)


def test_products_of_one_tensor_are_smoothed_together() -> None:
    _, done = smooth_graph(build(layer_norm), BATCHES)
    assert done[0].layers == ("q", "k")


def test_where_others_read_the_tensor_a_multiplication_is_added() -> None:
    graph = build(layer_norm, residual=True)
    made = check(graph, inserted=True)
    assert len(made.graph.nodes) == len(graph.graph.nodes) + 1
    same, done = smooth_graph(graph, BATCHES, insert=False)
    assert not done
    assert repr(same.graph.nodes) == repr(graph.graph.nodes)


def test_gemm_with_transposed_weights() -> None:
    check(build(layer_norm, gemm=True), inserted=False)


def test_the_given_graph_is_not_touched() -> None:
    graph = build(layer_norm)
    before = repr(graph.graph.nodes), graph.graph.constants["gamma"].numpy().copy()
    smooth_graph(graph, BATCHES)
    assert repr(graph.graph.nodes) == before[0]
    np.testing.assert_array_equal(graph.graph.constants["gamma"].numpy(), before[1])


def test_even_channels_are_left_alone() -> None:
    net = Net("net")
    x = net.input("x", "float32", ("n", "t", K))
    h = net.op("Relu", [x])
    graph = net.done(net.linear(h, weights(K, 16), "q"))
    _, done = smooth_graph(graph, BATCHES)
    assert not done


def test_inputs_of_the_model_keep_their_channels() -> None:
    net = Net("net")
    x = net.input("x", "float32", ("n", "t", K))
    w = (weights(K, 16) / GAMMA[:, None]).astype(np.float32)
    _, done = smooth_graph(net.done(net.linear(x, w, "q")), BATCHES)
    assert not done


def test_a_channel_that_is_always_zero_and_one_without_weights() -> None:
    net = Net("net")
    x = net.input("x", "float32", ("n", "t", K))
    gamma = GAMMA.copy()
    gamma[0] = 0
    normed = net.op(
        "LayerNormalization", [x, net.constant(gamma)], axis=-1, output="normed"
    )
    w = (weights(K, 16) / np.sqrt(GAMMA)[:, None]).astype(np.float32)
    w[1] = 0
    graph = net.done(net.linear(normed, w, "q"))
    check(graph, inserted=False)


def test_values_that_are_not_finite_are_not_smoothed() -> None:
    graph = build(layer_norm)
    broken = {"x": BATCHES[0]["x"].copy()}
    broken["x"][0, 0, 0] = np.nan
    _, done = smooth_graph(graph, [broken])
    assert not done


@pytest.mark.parametrize(
    ("batches", "alphas", "message"),
    [([], (0.5,), "needs data"), (BATCHES, (1.5,), "numbers from 0 to 1")],
)
def test_wrong_arguments_are_refused(
    batches: Any, alphas: tuple[float, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        smooth_graph(build(layer_norm), batches, alphas=alphas)
