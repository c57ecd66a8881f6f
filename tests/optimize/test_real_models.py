"""Real models, prepared and quantised; the figures are those of docs/optimize.md."""

from __future__ import annotations

import numpy as np
import pytest
from tests.optimize.graphs import (
    install_ranges,
    observe,
    rounded,
    run_all,
    sqnr_db,
)
from tests.zoo import MODELS, ZooModel, ZooUnavailable

from trimtab.formats import read_model
from trimtab.graph import Model
from trimtab.optimize.bias_correction import correct_biases
from trimtab.optimize.layers import find_layers
from trimtab.optimize.precision import host_precisions
from trimtab.optimize.prepare import prepare_graph
from trimtab.optimize.quantize import quantize_graph, tensors_to_observe
from trimtab.optimize.smooth_quant import smooth_graph

pytestmark = pytest.mark.zoo


def prepared(model: ZooModel) -> tuple[Model, Model, dict[str, np.ndarray]]:
    try:
        graph, feeds = read_model(model.path()), model.inputs()
    except ZooUnavailable as reason:
        pytest.skip(str(reason))
    return graph, prepare_graph(graph), dict(feeds)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_prepared_models_give_the_same(model: ZooModel) -> None:
    graph, made, feeds = prepared(model)
    want, got = run_all(graph, feeds), run_all(made, feeds)
    assert want.keys() == got.keys()
    for name, value in want.items():
        scale = np.abs(value).max() if value.size else 0
        np.testing.assert_allclose(got[name], value, rtol=0, atol=2e-5 * scale)
    names = [layer.name for layer in find_layers(made)]
    assert len(set(names)) == len(names)
    assert set(names) <= {node.name for node in made.graph.nodes}


def all_int8(graph: Model) -> dict[str, str]:
    able = [layer for layer in find_layers(graph) if "int8" in layer.precisions]
    return {layer.name: "int8" for layer in able}


@pytest.mark.parametrize(
    ("name", "n_pairs", "least_db"),
    [
        ("efficientnet_lite0_dynamo", 52, 14),
        ("efficientnet_lite0_torchscript", 52, 14),
        ("minilm_opset23", 24, 20),
        ("minilm_torchscript", 24, 20),
        ("whisper_encoder", 18, 20),
        ("mtcnn_onet", 7, 28),
        ("mnist_cnn", 7, 45),
    ],
)
def test_quantised_models_are_near(
    name: str, n_pairs: int, least_db: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_ranges(monkeypatch)
    _, graph, feeds = prepared(MODELS[name])
    choices = all_int8(graph)
    seen = observe(graph, [feeds], tensors_to_observe(graph, choices))
    made = quantize_graph(graph, choices, seen, ranges="minmax")
    # One more pair than needed is a layer that does not stay integer.
    assert len(rounded(made)) == n_pairs
    want, got = run_all(graph, feeds), run_all(made, feeds)
    first = next(iter(want))
    # Weights of 7 bits are twice as coarse; most of the noise is the activations'.
    bits = host_precisions().weight_bits
    assert sqnr_db(want[first], got[first]) > least_db - (8 - bits)


def test_bias_correction_helps_efficientnet(monkeypatch: pytest.MonkeyPatch) -> None:
    install_ranges(monkeypatch)
    _, graph, feeds = prepared(MODELS["efficientnet_lite0_dynamo"])
    choices = all_int8(graph)
    seen = observe(graph, [feeds], tensors_to_observe(graph, choices))
    made = quantize_graph(graph, choices, seen, ranges="minmax")
    better = correct_biases(made, graph, [feeds])
    want = run_all(graph, feeds)["logits"]
    before, after = (sqnr_db(want, run_all(g, feeds)["logits"]) for g in (made, better))
    assert after > before + 2


def test_smoothing_helps_minilm(monkeypatch: pytest.MonkeyPatch) -> None:
    install_ranges(monkeypatch)
    _, graph, feeds = prepared(MODELS["minilm_opset23"])
    smooth, done = smooth_graph(graph, [feeds])
    assert {("layers.0.query", "layers.0.key", "layers.0.value")} <= {
        smoothing.layers for smoothing in done
    }
    want = run_all(graph, feeds)["sentence_embedding"]
    assert sqnr_db(want, run_all(smooth, feeds)["sentence_embedding"]) > 100
    found = []
    for base in (graph, smooth):
        choices = all_int8(base)
        seen = observe(base, [feeds], tensors_to_observe(base, choices))
        made = quantize_graph(base, choices, seen, ranges="minmax")
        found.append(sqnr_db(want, run_all(made, feeds)["sentence_embedding"]))
    assert found[1] > found[0] + 2
