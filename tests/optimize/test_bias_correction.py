"""Bias correction removes the mean error of every channel, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping

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
from trimtab.graph import Model, Value
from trimtab.optimize.bias_correction import correct_biases
from trimtab.optimize.layers import find_layers
from trimtab.optimize.quantize import quantize_graph, tensors_to_observe
from trimtab.optimize.segments import Segments

Array = np.ndarray
BATCHES = [
    {"x": np.random.default_rng(i).random((2, 3, 10, 10)).astype(np.float32)}
    for i in range(3)
]


@pytest.fixture(autouse=True)
def _ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    install_ranges(monkeypatch)


def net(*, bias: bool = True) -> Model:
    """A stem, a residual block, a product: all that a segment may begin behind."""
    b = Net("net")
    x = b.input("x", "float32", ("n", 3, "h", "w"))
    stem = b.op("Relu", [b.conv(x, weights(8, 3, 3, 3), "stem", bias=bias)])
    h = b.conv(stem, weights(8, 1, 3, 3), "depth", group=8, pads=[1] * 4, bias=bias)
    h = b.conv(b.op("Relu", [h]), weights(8, 8, 1, 1), "point", bias=bias)
    h = b.op("Relu", [b.op("Add", [h, stem])])
    h = b.op("Flatten", [b.op("GlobalAveragePool", [h])])
    inputs = [h, b.constant(weights(8, 5), "fc.weight")]
    if bias:
        inputs.append(b.constant(np.ones((1, 5), np.float32), "fc.bias"))
    return b.done(b.op("Gemm", inputs, name="fc", beta=0.5 if bias else 1.0))


def quantized(graph: Model, bits: int = 4) -> Model:
    choices = {layer.name: "int8" for layer in find_layers(graph)}
    seen = observe(graph, BATCHES, tensors_to_observe(graph, choices))
    return quantize_graph(graph, choices, seen, ranges="minmax", weight_bits=bits)


def means(model: Model, tensor: str) -> Array:
    """Mean of each channel, from the tensor itself."""
    made = model.copy()
    made.graph.outputs[:] = [Value(tensor)]
    all_ = np.concatenate([run(made, batch) for batch in BATCHES]).astype(np.float64)
    return all_.mean(axis=tuple(i for i in range(all_.ndim) if i != 1))


@pytest.mark.parametrize("bias", [True, False])
def test_channels_have_the_means_of_the_float_graph(*, bias: bool) -> None:
    graph = net(bias=bias)
    made = quantized(graph)
    better = correct_biases(made, graph, BATCHES)
    for layer in find_layers(graph):
        want = means(graph, layer.output)
        before = np.abs(means(made, layer.output) - want).max()
        after = np.abs(means(better, layer.output) - want).max()
        assert before > 1e-3, layer.name  # 4 bits are rough
        assert after < 1e-5, layer.name
    x = BATCHES[0]
    assert sqnr_db(run(graph, x), run(better, x)) > sqnr_db(run(graph, x), run(made, x))


def test_the_given_graphs_are_not_touched() -> None:
    graph = net()
    made = quantized(graph)
    before = (
        repr(graph.graph.nodes),
        repr(made.graph.nodes),
        sorted(made.graph.constants),
    )
    correct_biases(made, graph, BATCHES)
    after = (
        repr(graph.graph.nodes),
        repr(made.graph.nodes),
        sorted(made.graph.constants),
    )
    assert before == after


def test_only_the_named_layers_are_corrected_and_progress_is_told() -> None:
    graph = net()
    told = []
    better = correct_biases(
        quantized(graph),
        graph,
        BATCHES,
        layers=["stem", "fc"],
        progress=lambda done, n: told.append((done, n)),
    )
    names = [name for name in better.graph.constants if name.endswith("_corrected")]
    assert sorted(names) == ["fc.bias_corrected", "stem.bias_corrected"]
    assert told == [(1, 2), (2, 2)]


def tokens() -> tuple[Model, list[Mapping[str, Array]]]:
    b = Net("net")
    x = b.input("x", "float32", ("n", "t", 6))
    h = b.op("Relu", [b.linear(x, weights(6, 9), "up")])
    graph = b.done(b.linear(h, weights(9, 4), "down"))
    # Batches of any number of tokens.
    return graph, [
        {"x": np.random.default_rng(i).random((2, 3 + i, 6)).astype(np.float32)}
        for i in range(3)
    ]


def test_products_of_tokens_are_corrected_when_they_are_named() -> None:
    graph, batches = tokens()
    choices = {layer.name: "int8" for layer in find_layers(graph)}
    seen = observe(graph, batches, tensors_to_observe(graph, choices))
    made = quantize_graph(graph, choices, seen, ranges="minmax", weight_bits=4)
    same = correct_biases(made, graph, batches)
    assert not [name for name in same.graph.constants if name.endswith("_corrected")]
    better = correct_biases(made, graph, batches, layers=["up", "down"])
    want, rough, good = (
        np.mean([run(m, b).mean(axis=(0, 1)) for b in batches], axis=0)
        for m in (graph, made, better)
    )
    assert np.abs(good - want).max() < 1e-5 < 1e-3 < np.abs(rough - want).max()


def test_without_batches_nothing_can_be_corrected() -> None:
    graph = net()
    with pytest.raises(InputError, match="needs data"):
        correct_biases(quantized(graph), graph, [])


def test_segments_compute_what_the_whole_graph_does() -> None:
    graph = net()
    segments = Segments(graph, BATCHES)
    for layer in find_layers(graph):
        segments.advance([layer.activation])
        n_behind = 0 if layer.name == "fc" else 2
        n_channels = 5 if layer.name == "fc" else 8
        seen = segments.look({layer.output: (n_behind, n_channels)})
        np.testing.assert_allclose(
            seen[layer.output], means(graph, layer.output), atol=1e-5
        )
