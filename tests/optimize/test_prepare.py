"""Prepared graphs compute the same, with their layers in sight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.optimize.graphs import Net, chain, run, run_all, weights

from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.layers import find_layers
from trimtab.optimize.prepare import prepare_graph

X = np.random.default_rng(5).standard_normal((2, 4, 9, 9)).astype(np.float32)


def image() -> tuple[Net, str]:
    net = Net("net")
    return net, net.input("x", "float32", ("n", 4, "h", "w"))


def statistics(n: int) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(n)
    positive = rng.uniform(0.5, 2, n).astype(np.float32)
    return [*rng.standard_normal((3, n)).astype(np.float32), positive]


def check_same(graph: Model, operators: list[str], x: Any = X) -> Model:
    """The prepared graph gives the same, with these operators."""
    before = repr(graph.graph.nodes)
    made = prepare_graph(graph)
    assert repr(graph.graph.nodes) == before
    assert [node.op_type for node in made.graph.nodes] == operators
    want, got = run(graph, {"x": x}), run(made, {"x": x})
    np.testing.assert_allclose(got, want, rtol=0, atol=3e-6 * np.abs(want).max())
    return made


def batch_norm(net: Net, x: str, n: int, **attributes: Any) -> str:
    values = [net.constant(v) for v in statistics(n)]
    return net.op("BatchNormalization", [x, *values], **attributes)


@pytest.mark.parametrize("bias", [True, False])
def test_a_batch_norm_becomes_part_of_the_convolution(*, bias: bool) -> None:
    net, x = image()
    h = net.conv(x, weights(6, 4, 3, 3), "conv", bias=bias)
    check_same(net.done(batch_norm(net, h, 6, epsilon=0.01)), ["Conv"])


@pytest.mark.parametrize("group", [1, 2])
def test_a_batch_norm_becomes_part_of_a_transposed_convolution(group: int) -> None:
    net, x = image()
    w = net.constant(weights(4, 3, 2, 2))
    h = net.op("ConvTranspose", [x, w], group=group, strides=[2, 2])
    check_same(net.done(batch_norm(net, h, 3 * group)), ["ConvTranspose"])


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_batch_norm_becomes_part_of_a_gemm(transposed: int) -> None:
    net = Net("net")
    x = net.input("x", "float32", ("n", 4))
    w = weights(5, 4) if transposed else weights(4, 5)
    c = net.constant(np.arange(5, dtype=np.float32).reshape(1, 5))
    inputs = [x, net.constant(w), c]
    h = net.op("Gemm", inputs, transB=transposed, alpha=0.5, beta=2.0)
    check_same(net.done(batch_norm(net, h, 5)), ["Gemm"], X[0, 0, :, :4])


def test_a_batch_norm_behind_a_product_of_rank_three_stays() -> None:
    net = Net("net")
    x = net.input("x", "float32", ("n", 5, 4))
    h = net.op("MatMul", [x, net.constant(weights(4, 5))])
    graph = net.done(batch_norm(net, h, 5))
    check_same(graph, ["MatMul", "BatchNormalization"], X[0, :, :5, :4])


@pytest.mark.parametrize(
    ("op_type", "shape", "is_first"),
    [
        ("Mul", (6, 1, 1), True),
        ("Mul", (1, 6, 1, 1), False),
        ("Mul", (), True),
        ("Add", (6, 1, 1), False),
        ("Sub", (6, 1, 1), True),
        ("Sub", (6, 1, 1), False),
        ("Div", (1,), True),
    ],
)
def test_scales_and_shifts_become_part_of_the_convolution(
    op_type: str, shape: tuple[int, ...], is_first: bool
) -> None:
    net, x = image()
    h = net.conv(x, weights(6, 4, 3, 3), "conv")
    rng = np.random.default_rng(0)
    value = net.constant(rng.uniform(0.5, 2, shape).astype(np.float32))
    y = net.op(op_type, [h, value] if is_first else [value, h])
    check_same(net.done(y), ["Conv"])


@pytest.mark.parametrize("shape", [(7,), (7, 7), (6, 1, 7), (1, 1, 6, 1, 1)])
def test_what_is_no_value_per_channel_stays(shape: tuple[int, ...]) -> None:
    net, x = image()
    h = net.conv(x, weights(6, 4, 3, 3), "conv")
    graph = net.done(net.op("Mul", [h, net.constant(np.full(shape, 2, np.float32))]))
    check_same(graph, ["Conv", "Mul"])


def test_one_over_a_convolution_stays() -> None:
    net, x = image()
    h = net.conv(x, weights(6, 4, 3, 3), "conv")
    graph = net.done(net.op("Div", [net.constant(np.float32(2)), h]))
    check_same(graph, ["Conv", "Div"])


def test_a_result_that_others_read_keeps_its_value() -> None:
    net, x = image()
    h = net.conv(x, weights(6, 4, 3, 3), "conv")
    twice = net.op("Mul", [h, net.constant(np.float32(2))])
    check_same(net.done(net.op("Add", [h, twice])), ["Conv", "Mul", "Add"])


def test_zeros_around_the_image_become_padding() -> None:
    net, x = image()
    pads = net.constant(np.array([0, 0, 1, 2, 0, 0, 3, 0]))
    h = net.op("Pad", [x, pads])
    graph = net.done(net.conv(h, weights(6, 4, 3, 3), "conv", pads=[1, 0, 0, 1]))
    made = check_same(graph, ["Conv"])
    assert made.graph.nodes[0].attributes["pads"] == [2, 2, 3, 1]


@pytest.mark.parametrize(
    ("pads", "value", "mode"),
    [
        ([0, 0, 1, 1, 0, 0, 1, 1], 0.5, "constant"),
        ([0, 0, 1, 1, 0, 0, 1, 1], 0.0, "reflect"),
        ([0, 0, 2, 2, 0, 0, -1, 0], 0.0, "constant"),
        ([1, 0, 1, 1, 0, 0, 1, 1], 0.0, "constant"),
    ],
)
def test_other_padding_stays(pads: list[int], value: float, mode: str) -> None:
    net, x = image()
    inputs = [x, net.constant(np.array(pads)), net.constant(np.float32(value))]
    h = net.op("Pad", inputs, mode=mode)
    check_same(net.done(net.conv(h, weights(6, 4, 3, 3), "conv")), ["Pad", "Conv"])


def test_what_depends_on_constants_alone_is_computed() -> None:
    net = Net("net")
    x = net.input("x", "float32", ("n", 4))
    w = net.op("Transpose", [net.constant(weights(5, 4), "fc.weight")], perm=[1, 0])
    graph = net.done(net.op("MatMul", [x, w]))
    made = check_same(graph, ["MatMul"], X[0, 0, :, :4])
    assert find_layers(made)[0].kind == "matmul"


def test_a_large_constant_made_of_little_stays_computed() -> None:
    net = Net("net")
    x = net.input("x", "float32", (1,))
    shape = net.constant(np.array([1 << 20]))
    zeros = net.op("ConstantOfShape", [shape])
    graph = net.done(net.op("Add", [x, zeros]))
    check_same(graph, ["ConstantOfShape", "Add"], np.ones(1, np.float32))


def test_copies_are_taken_out_and_outputs_keep_their_names() -> None:
    net, x = image()
    h = net.op("Identity", [net.op("Dropout", [x])])
    net.output(net.op("Identity", [net.op("Relu", [h])]), "y")
    net.output(net.op("Identity", [x]), "z")
    graph = net.build("tests")
    made = prepare_graph(graph)
    assert [v.name for v in made.graph.outputs] == [v.name for v in graph.graph.outputs]
    assert [node.op_type for node in made.graph.nodes].count("Dropout") == 0
    want, got = run_all(graph, {"x": X}), run_all(made, {"x": X})
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value)


@pytest.mark.filterwarnings("ignore:2 nodes run in Python")
def test_constant_nodes_become_constants() -> None:
    w = Constant.of(weights(4, 3))
    nodes = [
        Node("Constant", [], ["w"], attributes={"value": w}),
        Node("Constant", [], ["b"], attributes={"value_floats": [1.0, 2.0, 3.0]}),
        Node("Gemm", ["x", "w", "b"], ["y"]),
    ]
    value = Value("x", "float32", ("n", 4))
    graph = Model(Graph("g", [value], [Value("y")], nodes), {"": 18})
    made = check_same(graph, ["Gemm"], X[0, 0, :, :4])
    assert find_layers(made)[0].bias == "b"


def test_chains_of_scales_are_folded_link_by_link() -> None:
    net, x = image()
    h = net.conv(x, weights(6, 4, 3, 3), "conv")
    for op in ("Mul", "Add", "Mul"):
        h = net.op(op, [h, net.constant(statistics(6)[3].reshape(6, 1, 1))])
    made = check_same(
        net.done(net.op("Relu", [batch_norm(net, h, 6)])), ["Conv", "Relu"]
    )
    assert chain(made, "x") == ["Conv", "Relu"]
