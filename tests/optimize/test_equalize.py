"""Equalised graphs compute the same, with channels of like ranges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.optimize.graphs import (
    Net,
    install_ranges,
    observe,
    run,
    sqnr_db,
    weights,
)

from trimtab.graph import Model
from trimtab.optimize.equalize import equalize_graph
from trimtab.optimize.layers import find_layers
from trimtab.optimize.quantize import quantize_graph, tensors_to_observe

X = np.random.default_rng(5).standard_normal((2, 4, 9, 9)).astype(np.float32)


def uneven(w: np.ndarray, seed: int = 0) -> np.ndarray:
    """Weights whose output channels differ by up to a thousand."""
    size = np.exp(np.random.default_rng(seed).uniform(-3.5, 3.5, len(w)))
    return (w * size.reshape(-1, *[1] * (w.ndim - 1))).astype(np.float32)


def image() -> tuple[Net, str]:
    net = Net("net")
    return net, net.input("x", "float32", ("n", 4, "h", "w"))


def check(graph: Model, n_pairs: int, x: np.ndarray = X) -> Model:
    before = (
        repr(graph.graph.nodes),
        {k: c.numpy().copy() for k, c in graph.graph.constants.items()},
    )
    made, found = equalize_graph(graph)
    assert found == n_pairs
    assert repr(graph.graph.nodes) == before[0]
    for name, value in before[1].items():
        np.testing.assert_array_equal(graph.graph.constants[name].numpy(), value)
    want, got = run(graph, {"x": x}), run(made, {"x": x})
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())
    return made


@pytest.mark.parametrize("op_type", ["Relu", "LeakyRelu", "MaxPool", "none"])
def test_through_functions_that_keep_scales(op_type: str) -> None:
    net, x = image()
    h = net.conv(x, uneven(weights(8, 4, 3, 3)), "first")
    if op_type == "MaxPool":
        h = net.op("MaxPool", [net.op("Relu", [h])], kernel_shape=[2, 2])
    elif op_type != "none":
        h = net.op(op_type, [h])
    made = check(net.done(net.conv(h, weights(5, 8, 3, 3), "second")), 1)
    ends = made.graph.constants
    r1 = np.abs(ends["first.weight_equal"].numpy()).max(axis=(1, 2, 3))
    r2 = np.abs(ends["second.weight_equal"].numpy()).max(axis=(0, 2, 3))
    np.testing.assert_allclose(r1, r2, rtol=1e-5)


@pytest.mark.parametrize("op_type", ["Sigmoid", "Clip", "HardSwish"])
def test_not_through_functions_that_do_not(op_type: str) -> None:
    net, x = image()
    h = net.conv(x, weights(8, 4, 3, 3), "first")
    more = [net.constant(np.float32(v)) for v in (0, 6)] if op_type == "Clip" else []
    h = net.op(op_type, [h, *more])
    check(net.done(net.conv(h, weights(5, 8, 3, 3), "second")), 0)


def test_not_where_others_read_the_tensor() -> None:
    net, x = image()
    h = net.op("Relu", [net.conv(x, weights(8, 4, 1, 1), "first")])
    y = net.op("Add", [net.conv(h, weights(8, 8, 1, 1), "second"), h])
    check(net.done(y), 0)


def test_not_where_weights_are_shared() -> None:
    net, x = image()
    w = net.constant(weights(4, 4, 1, 1))
    h = net.op("Relu", [net.op("Conv", [x, w])])
    check(net.done(net.op("Conv", [h, w])), 0)


def test_a_chain_with_a_depthwise_convolution_in_between() -> None:
    net, x = image()
    h = net.op("Relu", [net.conv(x, uneven(weights(8, 4, 1, 1)), "expand")])
    h = net.conv(h, uneven(weights(8, 1, 3, 3), 1), "depth", group=8, pads=[1] * 4)
    y = net.conv(net.op("Relu", [h]), weights(4, 8, 1, 1), "project")
    check(net.done(y), 2)


@pytest.mark.parametrize("transposed", [0, 1])
def test_products(transposed: int) -> None:
    net = Net("net")
    x = net.input("x", "float32", ("n", 4))
    w1, w2 = uneven(weights(8, 4)), weights(8, 3)
    if not transposed:
        w1 = w1.T.copy()
    bias = net.constant(np.ones(8, np.float32))
    h = net.op("Gemm", [x, net.constant(w1), bias], transB=transposed, beta=0.5)
    graph = net.done(net.op("MatMul", [net.op("Relu", [h]), net.constant(w2)]))
    check(graph, 1, X[0, 0, :, :4])


def test_a_channel_without_weights_and_a_bias_for_all() -> None:
    net = Net("net")
    x = net.input("x", "float32", ("n", 4))
    w1 = uneven(weights(8, 4)).T.copy()
    w1[:, 2] = 0
    h = net.op("Gemm", [x, net.constant(w1), net.constant(np.float32([0.5]))])
    graph = net.done(
        net.op("MatMul", [net.op("Relu", [h]), net.constant(weights(8, 3))])
    )
    check(graph, 1, X[0, 0, :, :4])


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["Conv", "ConvTranspose"]),
    st.sampled_from(["Conv", "ConvTranspose"]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 2, 4]),
)
@settings(max_examples=30, deadline=None)
def test_groups(seed: int, first: str, second: str, g1: int, g2: int) -> None:
    rng = np.random.default_rng(seed)

    def layer(x: str, op_type: str, n_in: int, n_out: int, group: int) -> str:
        shape = (n_out, n_in // group) if op_type == "Conv" else (n_in, n_out // group)
        w = rng.standard_normal((*shape, 2, 2)) * np.exp(rng.uniform(-3, 3))
        w *= np.exp(rng.uniform(-3, 3, (len(w), 1, 1, 1)))
        bias = net.constant(rng.standard_normal(n_out), dtype="float32")
        return net.op(op_type, [x, net.constant(w, dtype="float32"), bias], group=group)

    net, x = image()
    h = net.op("Relu", [layer(x, first, 4, 8, g1)])
    check(net.done(layer(h, second, 8, 4, g2)), 1)


def test_equalised_channels_lose_less(monkeypatch: pytest.MonkeyPatch) -> None:
    install_ranges(monkeypatch)
    net, x = image()
    w1 = weights(8, 4, 3, 3)
    first = uneven(w1)
    size = np.abs(first).max(axis=(1, 2, 3))
    h = net.op("Relu", [net.conv(x, first, "first", bias=False)])
    second = (weights(5, 8, 3, 3) / size[:, None, None]).astype(np.float32)
    graph = net.done(net.conv(h, second, "second"))
    found = []
    for base in (graph, equalize_graph(graph)[0]):
        choices = {layer.name: "int8" for layer in find_layers(base)}
        seen = observe(base, [{"x": X}], tensors_to_observe(base, choices))
        made = quantize_graph(base, choices, seen, ranges="minmax")
        found.append(sqnr_db(run(graph, {"x": X}), run(made, {"x": X})))
    assert found[1] > found[0] + 6
