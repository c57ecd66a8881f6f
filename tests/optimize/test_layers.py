"""Layers are found, named as the user names them, and counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.optimize.graphs import Net, weights

from trimtab.graph import Model
from trimtab.optimize.layers import Layer, find_layers, users_names
from trimtab.optimize.prepare import prepare_graph


def only(graph: Model, **shapes: tuple[int, ...]) -> Layer:
    (layer,) = find_layers(graph, shapes=shapes or None)
    return layer


def image() -> tuple[Net, str]:
    net = Net("net")
    return net, net.input("x", "float32", None)


@pytest.mark.parametrize(
    ("shape", "group", "kind", "out", "macs"),
    [
        ((8, 4, 3, 3), 1, "conv", (2, 8, 5, 5), 2 * 8 * 25 * 36),
        ((8, 2, 3, 3), 2, "conv", (2, 8, 5, 5), 2 * 8 * 25 * 18),
        ((4, 1, 3, 3), 4, "depthwise", (2, 4, 5, 5), 2 * 4 * 25 * 9),
        ((8, 4, 3), 1, "conv", (2, 8, 5), 2 * 8 * 5 * 12),
    ],
)
def test_convolutions(
    shape: tuple[int, ...], group: int, kind: str, out: tuple[int, ...], macs: int
) -> None:
    net, x = image()
    y = net.conv(x, weights(*shape), "conv", group=group)
    layer = only(net.done(y), x=(2, 4, 7, 7)[: len(out)], conv=out)
    assert (layer.kind, layer.macs, layer.op_type) == (kind, macs, "Conv")
    assert (layer.activation, layer.weight, layer.bias) == (
        "x",
        "conv.weight",
        "conv.bias",
    )
    assert layer.precisions == ("f32", "bf16", "int8")


def test_transposed_convolutions() -> None:
    net, x = image()
    w = net.constant(weights(4, 3, 2, 2), "up.weight")
    y = net.op("ConvTranspose", [x, w], group=2, name="up")
    layer = only(net.done(y), x=(1, 4, 5, 5), up=(1, 6, 6, 6))
    assert (layer.kind, layer.bias) == ("conv_transpose", "")
    # Each input meets the 3 outputs of its group, 2 x 2 times.
    assert layer.macs == 4 * 25 * 3 * 4


def test_a_matrix_product_has_the_bias_of_the_sum_behind_it() -> None:
    net, x = image()
    y = net.linear(x, weights(4, 6), "fc")
    layer = only(net.done(y), x=(2, 3, 4), fc=(2, 3, 6))
    assert (layer.kind, layer.bias, layer.result) == ("matmul", "fc.bias", "fc")
    assert layer.output != "fc"
    assert layer.macs == 2 * 3 * 6 * 4


def test_a_sum_with_another_tensor_is_no_bias() -> None:
    net, x = image()
    y = net.op("MatMul", [x, net.constant(weights(4, 4), "fc.weight")], name="fc")
    layer = only(net.done(net.op("Add", [y, x])))
    assert (layer.bias, layer.output, layer.macs) == ("", "fc", None)


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm(transposed: int) -> None:
    net, x = image()
    w = net.constant(weights(6, 4) if transposed else weights(4, 6), "fc.weight")
    y = net.op("Gemm", [x, w], transB=transposed, name="fc")
    layer = only(net.done(y), x=(5, 4), fc=(5, 6))
    assert (layer.kind, layer.macs) == ("gemm", 5 * 6 * 4)


def test_attention_is_listed_and_stays_float() -> None:
    net, x = image()
    y = net.op("MatMul", [x, net.op("Transpose", [x], perm=[0, 2, 1])], name="scores")
    layer = only(net.done(y), x=(2, 5, 4), scores=(2, 5, 5))
    assert (layer.kind, layer.weight, layer.precisions) == ("attention", "", ("f32",))
    assert layer.macs == 2 * 25 * 4


def test_the_operator_attention_counts_both_products() -> None:
    net = Net("net")
    q, k = (net.input(name, "float32", None) for name in "qk")
    y = net.op("Attention", [q, k, k], name="attention")
    layer = only(net.done(y), q=(1, 2, 5, 8), k=(1, 2, 7, 8), attention=(1, 2, 5, 8))
    assert layer.macs == 2 * (2 * 5 * 7 * 8)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_dtypes_are_no_layers(dtype: str) -> None:
    net = Net("net")
    x = net.input("x", dtype, None)
    y = net.op("MatMul", [x, net.constant(np.eye(3), "w", dtype)])
    assert find_layers(net.done(y)) == []


def test_weights_that_are_quantised_already_are_left_alone() -> None:
    net, x = image()
    w = net.constant(np.ones((4, 3), np.int8))
    scale = net.constant(np.float32(0.1))
    y = net.op("MatMul", [x, net.op("DequantizeLinear", [w, scale])])
    assert find_layers(net.done(y)) == []


def test_names_come_from_the_weights_and_are_unique() -> None:
    net, x = image()
    shared = net.constant(weights(4, 4), "block.fc.weight")
    a = net.op("MatMul", [x, shared], name="node_MatMul_3")
    b = net.op("MatMul", [a, shared], name="node_MatMul_4")
    lifted = net.constant(weights(4, 4), "val_41")
    c = net.op("MatMul", [b, lifted], name="node_MatMul_5")
    c = net.op("Add", [c, net.constant(np.ones(4, np.float32), "block.up.bias")])
    d = net.op("MatMul", [c, net.constant(weights(4, 4), "val_42")], name="last")
    graph = net.done(d)
    want = ["block.fc", "block.fc_1", "block.up", "last"]
    assert users_names(graph) == want
    made = prepare_graph(graph)
    assert [layer.name for layer in find_layers(made)] == want
    assert [layer.name for layer in find_layers(prepare_graph(made))] == want


def test_nodes_of_one_name_go_by_their_results() -> None:
    net, x = image()
    y: Any = x
    for i in range(3):
        y = net.op("MatMul", [y, net.constant(weights(4, 4))], name="", output=f"h{i}")
    graph = net.done(y)
    for node in graph.graph.nodes:
        node.name = "same"
    names = [layer.name for layer in find_layers(graph)]
    assert len(set(names)) == 3
