"""Where pairs go: a graph stays integer from its first layer to its last."""

from __future__ import annotations

import numpy as np
import pytest
from tests.optimize.graphs import (
    Net,
    chain,
    install_ranges,
    makers,
    observe,
    rounded,
    run,
    sqnr_db,
    weights,
)

from trimtab.graph import Model
from trimtab.optimize.layers import find_layers
from trimtab.optimize.prepare import prepare_graph
from trimtab.optimize.quantize import quantize_graph, tensors_to_observe

X = np.random.default_rng(5).standard_normal((2, 8, 12, 12)).astype(np.float32)


@pytest.fixture(autouse=True)
def _ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    install_ranges(monkeypatch)


def quantized(graph: Model, x: np.ndarray = X, *, but: tuple[str, ...] = ()) -> Model:
    layers = [n for n in find_layers(graph) if "int8" in n.precisions]
    choices = {n.name: "int8" for n in layers if n.name not in but}
    seen = observe(graph, [{"x": x}], tensors_to_observe(graph, choices))
    made = quantize_graph(graph, choices, seen, ranges="minmax")
    assert sqnr_db(run(graph, {"x": x}), run(made, {"x": x})) > 25
    return made


def scale_of(model: Model, tensor: str) -> float:
    (node,) = (
        n
        for n in model.graph.nodes
        if n.op_type == "QuantizeLinear" and n.inputs[0] == tensor
    )
    return float(model.graph.constants[node.inputs[1]].numpy())


def image() -> tuple[Net, str]:
    net = Net("net")
    return net, net.input("x", "float32", ("n", 8, "h", "w"))


def test_a_residual_block_sums_one_exact_and_one_rounded_tensor() -> None:
    net, x = image()
    stem = net.op("Relu", [net.conv(x, weights(8, 8, 1, 1), "stem")], output="stem_y")
    a = net.conv(stem, weights(8, 8, 3, 3), "a", pads=[1] * 4)
    a = net.op("Relu", [a], output="a_y")
    b = net.conv(a, weights(8, 8, 3, 3, seed=1), "b", pads=[1] * 4)
    y = net.op("Relu", [net.op("Add", [b, stem])], output="block_y")
    made = quantized(net.done(net.conv(y, weights(4, 8, 1, 1), "head")))
    # Neither the second convolution's result nor the sum is rounded before Relu.
    assert rounded(made) == ["x", "stem_y", "a_y", "block_y"]
    assert chain(made, "b")[:4] == ["Add", "Relu", "QuantizeLinear", "DequantizeLinear"]
    add = makers(made)[makers(made)["block_y"].inputs[0]]
    assert add.inputs == ["b", "stem_y_dequantized"]
    # One pair, read by both.
    readers = [n for n in made.graph.nodes if "stem_y_dequantized" in n.inputs]
    assert sorted(node.op_type for node in readers) == ["Add", "Conv"]


def test_of_two_convolutions_that_are_summed_the_later_one_stays_exact() -> None:
    net, x = image()
    short = net.conv(x, weights(8, 8, 1, 1), "short")
    long = net.op("Relu", [net.conv(x, weights(8, 8, 1, 1, seed=1), "long1")])
    long = net.conv(long, weights(8, 8, 1, 1, seed=2), "long2")
    y = net.op("Relu", [net.op("Add", [long, short])])
    made = quantized(net.done(net.conv(y, weights(4, 8, 1, 1), "head")))
    assert "short" in rounded(made)
    assert "long2" not in rounded(made)


def test_an_inverted_residual_is_integer_end_to_end() -> None:
    net, x = image()
    narrow = net.conv(x, weights(8, 8, 1, 1), "project0")
    six = net.constant(np.float32(6)), net.constant(np.float32(0))

    def relu6(t: str, name: str) -> str:
        return net.op("Clip", [t, six[1], six[0]], output=name)

    wide = relu6(net.conv(narrow, weights(16, 8, 1, 1), "expand"), "wide")
    deep = net.conv(wide, weights(16, 1, 3, 3), "depth", pads=[1] * 4, group=16)
    deep = relu6(deep, "deep")
    sum_ = net.op("Add", [narrow, net.conv(deep, weights(8, 16, 1, 1), "project")])
    made = quantized(net.done(net.conv(sum_, weights(4, 8, 1, 1), "head")))
    assert rounded(made) == ["x", "project0", "wide", "deep", sum_]


def test_branches_that_are_concatenated_share_their_parameters() -> None:
    net, x = image()
    a = net.op("Relu", [net.conv(x, weights(4, 8, 1, 1), "a")], output="a_y")
    b = net.op(
        "Relu", [net.conv(x, 2 * weights(4, 8, 1, 1, seed=1), "b")], output="b_y"
    )
    pool = net.op("MaxPool", [x], kernel_shape=[3, 3], pads=[1] * 4, output="pooled")
    c = net.conv(pool, weights(4, 8, 1, 1, seed=2), "c")
    y = net.op("Concat", [a, b, c], axis=1, output="joined")
    made = quantized(net.done(net.conv(y, weights(4, 12, 1, 1), "head")))
    assert {"a_y", "b_y", "c", "joined", "x", "pooled"} == set(rounded(made))
    scales = {scale_of(made, name) for name in ("a_y", "b_y", "c", "joined")}
    assert len(scales) == 1
    assert scale_of(made, "pooled") == scale_of(made, "x")


def test_a_concatenation_of_unlike_ranges_rounds_again() -> None:
    net, x = image()
    a = net.conv(x, weights(4, 8, 1, 1), "a", bias=False)
    b = net.conv(x, 50 * weights(4, 8, 1, 1, seed=1), "b", bias=False)
    y = net.op("Concat", [a, b], axis=1, output="joined")
    made = quantized(net.done(net.conv(y, weights(4, 8, 1, 1), "head")))
    assert scale_of(made, "a") * 10 < scale_of(made, "b")
    assert scale_of(made, "joined") >= scale_of(made, "b")


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Transpose", {"perm": [0, 1, 3, 2]}),
        ("DepthToSpace", {"blocksize": 2}),
    ],
)
def test_what_moves_elements_keeps_their_parameters(
    op_type: str, attributes: dict[str, object]
) -> None:
    net, x = image()
    h = net.op("Relu", [net.conv(x, weights(8, 8, 1, 1), "first")], output="h")
    moved = net.op(op_type, [h], output="moved", **attributes)
    n = 2 if op_type == "DepthToSpace" else 8
    made = quantized(net.done(net.conv(moved, weights(4, n, 1, 1), "head")))
    assert rounded(made) == ["x", "h", "moved"]
    assert scale_of(made, "moved") == scale_of(made, "h")


def test_a_mean_over_the_image_has_parameters_of_its_own() -> None:
    net, x = image()
    h = net.op("Relu", [net.conv(x, weights(8, 8, 1, 1), "first")], output="h")
    mean = net.op("GlobalAveragePool", [h], output="mean")
    flat = net.op("Flatten", [mean], output="flat")
    w = net.constant(weights(8, 4), "fc.weight")
    made = quantized(net.done(net.op("Gemm", [flat, w], name="fc")))
    assert rounded(made) == ["x", "h", "mean", "flat"]
    assert scale_of(made, "mean") < scale_of(made, "h")
    assert scale_of(made, "mean") == scale_of(made, "flat")


@pytest.mark.parametrize("other", [None, "h"], ids=["alone", "beside another"])
def test_a_mean_reads_a_rounded_layer_whoever_reads_the_mean(other: str | None) -> None:
    """A product in float32 reads the mean; what reads the layer too needs it exact."""
    net, x = image()
    h = net.op("Relu", [net.conv(x, weights(8, 8, 1, 1), "first")], output="h")
    mean = net.op("GlobalAveragePool", [h], output="mean")
    made = quantized(net.done(net.op("Mul", [mean, other or mean], output="out")))
    assert rounded(made) == (["x"] if other else ["x", "h"])


def test_ranges_stay_within_what_the_activation_gives() -> None:
    net, x = image()
    h = net.op("Relu", [net.conv(x, weights(8, 8, 1, 1), "first")], output="h")
    graph = net.done(net.conv(h, weights(4, 8, 1, 1), "head"))
    layers = {layer.name: "int8" for layer in find_layers(graph)}
    seen = observe(graph, [{"x": X}], tensors_to_observe(graph, layers))
    seen["h"].minimum = -3.0  # as a smoothed histogram may say
    made = quantize_graph(graph, layers, seen, ranges="minmax")
    assert int(made.graph.constants["h_zero_point"].numpy()) == 0


def test_what_only_float_operators_read_is_not_rounded() -> None:
    net, x = image()
    h = net.conv(x, weights(8, 8, 1, 1), "first")
    made = quantized(net.done(net.op("Softmax", [h], axis=1)))
    assert rounded(made) == ["x"]


def test_a_layer_norm_is_read_exactly_by_the_residual_sum() -> None:
    net = Net("net")
    x = net.input("x", "float32", ("n", "t", 16))
    ones, zeros = np.ones(16, np.float32), np.zeros(16, np.float32)
    normed = net.op(
        "LayerNormalization",
        [x, net.constant(ones), net.constant(zeros)],
        output="normed",
    )
    up = net.op("Gelu", [net.linear(normed, weights(16, 32), "up")], output="gelu")
    down = net.linear(up, weights(32, 16), "down")
    graph = net.done(net.op("Add", [normed, down], output="sum"))
    tokens = np.random.default_rng(0).standard_normal((2, 5, 16)).astype(np.float32)
    made = quantized(graph, tokens)
    assert rounded(made) == ["normed", "gelu"]
    assert makers(made)["sum"].inputs[0] == "normed"


def test_products_of_one_tensor_share_its_pair() -> None:
    net = Net("net")
    x = net.input("x", "float32", ("n", "t", 16))
    q, k, v = (net.linear(x, weights(16, 16, seed=i), n) for i, n in enumerate("qkv"))
    scores = net.op("MatMul", [q, net.op("Transpose", [k], perm=[0, 2, 1])])
    y = net.op("MatMul", [net.op("Softmax", [scores], axis=-1), v])
    graph = net.done(y)
    tokens = np.random.default_rng(0).standard_normal((2, 5, 16)).astype(np.float32)
    made = quantized(graph, tokens)
    assert rounded(made) == ["x"]
    assert [layer.kind for layer in find_layers(graph)].count("attention") == 2


def test_outputs_of_the_model_stay_exact() -> None:
    net, x = image()
    h = net.op("Relu", [net.conv(x, weights(8, 8, 1, 1), "first")], output="h")
    net.output(h, "features")
    graph = net.done(net.conv(h, weights(4, 8, 1, 1), "head"))
    made = quantized(graph)
    names = [value.name for value in made.graph.outputs]
    assert makers(made)[names[0]].op_type != "DequantizeLinear"


def test_without_its_neighbour_a_layer_rounds_only_what_it_reads() -> None:
    net, x = image()
    a = net.op("Relu", [net.conv(x, weights(8, 8, 1, 1), "a")], output="a_y")
    b = net.conv(a, weights(8, 8, 1, 1, seed=1), "b")
    y = net.op("Add", [a, b], output="sum")
    made = quantized(net.done(net.conv(y, weights(4, 8, 1, 1), "c")), but=("a",))
    # `a` is float32: the sum reads its exact result, or the rounded one that is there.
    assert rounded(made) == ["a_y", "sum"]


def test_pooling_before_relu_is_swapped_so_that_relu_joins_the_layer() -> None:
    net, x = image()
    h = net.conv(x, weights(8, 8, 1, 1), "first")
    pooled = net.op("MaxPool", [h], kernel_shape=[2, 2], strides=[2, 2])
    h = net.op("Relu", [pooled])
    graph = net.done(net.conv(h, weights(4, 8, 1, 1), "head"))
    made = prepare_graph(graph)
    np.testing.assert_array_equal(run(graph, {"x": X}), run(made, {"x": X}))
    assert chain(made, "x") == ["Conv", "Relu", "MaxPool", "Conv"]
