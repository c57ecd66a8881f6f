"""BatchNormalization re-estimated: against PyTorch, and the formula in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.update.learning import TASK, context_of, network, rows

from trimtab.errors import UnsupportedOpError
from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.update.context import Rows
from trimtab.update.normalization import learn, reestimated

RNG = np.random.default_rng(0)
X = (3.0 * RNG.normal(size=(40, 2, 5, 5)) + 1.0).astype(np.float32)


def network_of_two() -> tuple[Model, dict[str, Any]]:
    """Convolution, normalisation, twice, then a layer of four classes."""
    rng = np.random.default_rng(1)
    w = {
        "c1": rng.normal(size=(3, 2, 3, 3)), "c2": rng.normal(size=(4, 3, 3, 3)),
        **{f"s{i}": rng.uniform(0.5, 2.0, n) for i, n in ((1, 3), (2, 4))},
        **{f"o{i}": rng.normal(size=n) for i, n in ((1, 3), (2, 4))},
        **{f"m{i}": rng.normal(size=n) for i, n in ((1, 3), (2, 4))},
        **{f"v{i}": rng.uniform(0.5, 2.0, n) for i, n in ((1, 3), (2, 4))},
    }  # fmt: skip
    w = {name: value.astype(np.float32) for name, value in w.items()}
    norm = {"epsilon": 1e-3}
    nodes = [
        Node("Conv", ["x", "c1"], ["a"]),
        Node("BatchNormalization", ["a", "s1", "o1", "m1", "v1"], ["b"], "", "", norm),
        Node("Relu", ["b"], ["c"]),
        Node("Conv", ["c", "c2"], ["d"]),
        Node("BatchNormalization", ["d", "s2", "o2", "m2", "v2"], ["e"], "", "", norm),
        Node("GlobalAveragePool", ["e"], ["f"]),
        Node("Flatten", ["f"], ["y"]),
    ]
    graph = Graph(
        "g", [Value("x", "float32", ("n", 2, 5, 5))],
        [Value("y", "float32", ("n", 4))], nodes,
        {name: Constant.of(value) for name, value in w.items()},
    )  # fmt: skip
    return Model(graph, {"": 17}), w


def torch_statistics(w: dict[str, Any]) -> dict[str, Any]:
    """Statistics of a run in training mode; variances divide by n."""
    import torch
    from torch.nn import functional as F

    t = {name: torch.from_numpy(value) for name, value in w.items()}
    found, x = {}, torch.from_numpy(X)
    for i in (1, 2):
        x = F.conv2d(x, t[f"c{i}"])
        mean, variance = torch.zeros(len(t[f"s{i}"])), torch.ones(len(t[f"s{i}"]))
        n = x.numel() / x.shape[1]
        x = F.batch_norm(
            x, mean, variance, t[f"s{i}"], t[f"o{i}"], training=True, momentum=1.0,
            eps=1e-3,
        )  # fmt: skip
        x = torch.relu(x)
        found[f"m{i}"] = mean.numpy()
        found[f"v{i}"] = (variance * (n - 1) / n).numpy()
    return found


def test_with_the_old_ones_forgotten_they_are_those_of_torch_in_training() -> None:
    pytest.importorskip("torch")
    graph, w = network_of_two()
    found = reestimated(graph, {"x": X}, 0).graph.constants
    for name, value in torch_statistics(w).items():
        np.testing.assert_allclose(found[name].numpy(), value, rtol=1e-4, atol=1e-4)


def conv(x: Any, w: Any) -> Any:
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    return np.einsum("nchwij,kcij->nkhw", windows, w)


def test_blended_ones_follow_the_formula_layer_by_layer() -> None:
    graph, w32 = network_of_two()
    count, n = 16, len(X)
    found = reestimated(graph, {"x": X}, count).graph.constants
    w = {name: value.astype(np.float64) for name, value in w32.items()}
    x = X.astype(np.float64)
    for i in (1, 2):
        x = conv(x, w[f"c{i}"])
        mean = (count * w[f"m{i}"] + n * x.mean((0, 2, 3))) / (count + n)
        variance = (count * w[f"v{i}"] + n * x.var((0, 2, 3))) / (count + n)
        np.testing.assert_allclose(found[f"m{i}"].numpy(), mean, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[f"v{i}"].numpy(), variance, rtol=1e-4)
        column = (slice(None), None, None)
        scale = (w[f"s{i}"] / np.sqrt(variance + 1e-3))[column]
        x = np.maximum((x - mean[column]) * scale + w[f"o{i}"][column], 0)


def test_only_statistics_change() -> None:
    graph, w = network_of_two()
    made = reestimated(graph, {"x": X}, 64)
    assert [n.op_type for n in made.graph.nodes] == [
        n.op_type for n in graph.graph.nodes
    ]
    for name, value in w.items():
        is_same = np.array_equal(made.graph.constants[name].numpy(), value)
        assert is_same == (name[0] not in "mv")
        assert np.array_equal(graph.graph.constants[name].numpy(), value)


def test_rows_of_another_scale_are_read_again() -> None:
    graph, _ = network_of_two()
    graph = reestimated(graph, {"x": X}, 0)  # it knows the old scale
    x = (3.0 * RNG.normal(size=(400, 2, 5, 5)) + 1.0).astype(np.float32)
    labels = runnable(graph)(x).argmax(axis=1)
    faded = Rows({"x": 0.3 * x + 2.0}, labels)
    context = context_of(graph, faded, faded, None, task=TASK)
    found = learn(context)

    def right(model: Any) -> float:
        return float((model(faded.inputs["x"]).argmax(axis=1) == labels).mean())

    assert right(found.model) > right(context.model)
    assert right(found.model) > 0.8
    assert found.detail["count"] == 16


def test_a_model_without_normalisations_says_what_to_do() -> None:
    context = context_of(network(), rows(0, 20), rows(1, 20), None)
    with pytest.raises(UnsupportedOpError, match="export the model again"):
        learn(context)
