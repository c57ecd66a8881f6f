"""Whose time is it? Steps of a plan, shared out among layers; models timed in turns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trimtab.graph import Constant, Graph, Node
from trimtab.optimize.latency import LayerTime, Timer, layer_times


def step(name: str, us: float, op_type: str = "MatMul", *fused: str) -> Any:
    return SimpleNamespace(
        name=name, time_us=us, op_type=op_type, fused=fused, implementation="brg"
    )


def product(name: str, src: str, dst: str, weights: str = "w") -> Node:
    return Node("MatMul", [src, weights], [dst], name)


def times(graph: Graph, names: list[str], *steps: Any) -> dict[str, float]:
    return {k: v.time_us for k, v in layer_times(steps, graph, names).items()}


def test_a_layer_owns_the_steps_that_hold_it() -> None:
    graph = Graph(
        "g", nodes=[product("a", "x", "h"), Node("Relu", ["h"], ["r"], "relu")]
    )
    assert times(graph, ["a"], step("a", 5.0), step("relu", 9.0, "Relu")) == {"a": 5.0}
    assert times(graph, ["a"], step("relu", 5.0, "Relu", "a")) == {"a": 5.0}
    # Nodes without a name go by what they compute.
    graph.nodes[0].name = ""
    assert times(graph, ["h"], step("h", 4.0)) == {"h": 4.0}


def test_conversions_are_paid_by_the_layers_that_read_them() -> None:
    graph = Graph(
        "g",
        nodes=[
            Node("QuantizeLinear", ["x", "s"], ["q"], "q"),
            Node("DequantizeLinear", ["q", "s"], ["d"], "d"),
            product("a", "d", "y"),
            product("b", "d", "z", "v"),
            Node("Cast", ["y"], ["c"], "cast"),
            Node("Softmax", ["c"], ["o"], "softmax"),
        ],
    )
    found = times(
        graph,
        ["a", "b"],
        step("q", 2.0, "QuantizeLinear", "d"),
        step("a", 10.0),
        step("b", 20.0),
        step("cast", 3.0, "Cast"),
        step("softmax", 50.0, "Softmax"),
    )
    assert found == {"a": 14.0, "b": 21.0}


def test_products_of_one_tensor_that_run_as_one_share_its_time() -> None:
    weights = {
        name: Constant.of(np.zeros((4, n), np.float32))
        for name, n in (("wq", 2), ("wk", 4), ("wv", 6))
    }
    nodes = [product(n, "x", n, f"w{n}") for n in "qkv"]
    graph = Graph("g", nodes=nodes, constants=weights)
    found = times(graph, ["q", "k", "v"], step("q", 12.0))
    assert found == pytest.approx({"q": 2.0, "k": 4.0, "v": 6.0})
    found = times(graph, ["q", "k", "v"], step("q", 12.0), step("v", 6.0))
    assert found == pytest.approx({"q": 4.0, "k": 8.0, "v": 6.0})


def test_cycles_of_conversions_end() -> None:
    graph = Graph("g", nodes=[Node("Cast", ["b"], ["a"]), Node("Cast", ["a"], ["b"])])
    assert times(graph, ["l"], step("a", 1.0, "Cast")) == {"l": 0.0}
    assert layer_times([], graph, ["l"]) == {}


class Clocked:
    """A model whose calls take known times of a clock that is not the wall's."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.n_calls = 0

    def run(self, inputs: Any) -> None:
        self.n_calls += 1
        # Everything is slower in every third round, as on a busy machine.
        self.clock[0] += self.seconds * (3 if self.n_calls % 3 == 0 else 1)


def test_models_are_timed_in_turns_and_compared_by_round() -> None:
    clock = [0.0]
    models = [Clocked(clock, 0.010), Clocked(clock, 0.004)]
    slow, fast = Timer(clock=lambda: clock[0]).models(models, {}, seconds=1.0)
    assert slow.ratio == 1
    assert fast.ratio == pytest.approx(0.4)
    assert fast.ratio_low == pytest.approx(fast.ratio_high)
    assert fast.latency_ms == pytest.approx(4.0)
    assert models[0].n_calls == models[1].n_calls


class Disturbed:
    """A model of one layer, each of whose profiles but one takes far too long."""

    def __init__(self, us: float, quiet: int) -> None:
        self.us, self.quiet, self.n_profiles = us, quiet, 0

    def _graph_again(self) -> Any:
        return SimpleNamespace(graph=Graph("g", nodes=[product("a", "x", "y")]))

    def run(self, inputs: Any) -> None:
        pass

    def profile(self, inputs: Any, repeat: int) -> Any:
        is_quiet = self.n_profiles == self.quiet
        self.n_profiles += 1
        return SimpleNamespace(nodes=[step("a", self.us + (0 if is_quiet else 4000))])


def test_the_round_that_was_disturbed_least_counts() -> None:
    models = {"f32": Disturbed(900, quiet=3), "int8": Disturbed(500, quiet=1)}
    found = Timer().layers(models, ["a"], {})
    assert {key: row["a"].time_us for key, row in found.items()} == {
        "f32": 900,
        "int8": 500,
    }


def test_layers_of_a_real_model_are_timed(tmp_path) -> None:
    import trimtab
    from trimtab.formats.builder import GraphBuilder
    from trimtab.load import make_model
    from trimtab.options import Options
    from trimtab.source import Source

    b = GraphBuilder("net")
    h = b.input("x", "float32", ("N", 64))
    for i in range(2):
        w = b.constant(np.ones((64, 64), np.float32), f"w{i}")
        h = b.op("Relu", [b.op("MatMul", [h, w], name=f"layer{i}")])
    b.output(h, "y")
    options = Options(
        threads=1,
        device="cpu",
        fallback=True,
        limits=trimtab.Limits(),
        passes=-1,
        copy=True,
        staging=False,
        verify="off",
        cache=False,
        reading={},
        is_rewritten=True,
    )
    model = make_model(b.build("example"), Source(None, b""), options)
    names = ["layer0", "layer1"]
    inputs = {"x": np.ones((8, 64), np.float32)}
    found = Timer(repeat=3).layers({"f32": model}, names, inputs)["f32"]
    assert list(found) == names
    assert all(isinstance(t, LayerTime) and t.time_us > 0 for t in found.values())
    assert all(t.implementation for t in found.values())
