"""Bidirectional and TimeDistributed against Keras itself."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tests.formats.keras_cases import Case, assert_close, keras
from tests.formats.keras_groups import Group

import trimtab
from trimtab.errors import UnsupportedOpError
from trimtab.formats import read_model

L = keras.layers


def bidirectional_cases(is_masked: bool) -> list[Case]:
    layers: dict[str, Any] = {}
    modes = ("concat", "sum", "mul", "ave", None)
    for mode, sequences, state in itertools.product(
        modes, [False, True], [False, True]
    ):
        layers[f"lstm_{mode}_{sequences}_{state}"] = (
            lambda m=mode, q=sequences, s=state: L.Bidirectional(
                L.LSTM(4, return_sequences=q, return_state=s), merge_mode=m
            )
        )
    own: dict[str, tuple[Any, Any]] = {
        "gru": (lambda: L.GRU(4, return_sequences=True), None),
        "gru_before": (lambda: L.GRU(4, reset_after=False), None),
        "rnn": (lambda: L.SimpleRNN(4, activation="relu"), None),
        "loop": (lambda: L.LSTM(4, activation="silu", return_sequences=True), None),
        "stacked": (
            lambda: L.RNN([L.LSTMCell(4), L.GRUCell(2)], return_sequences=True),
            None,
        ),
        "two_kinds": (
            lambda: L.LSTM(4, return_sequences=True),
            lambda: L.GRU(2, go_backwards=True, return_sequences=True),
        ),
        "turned": (
            lambda: L.LSTM(4, go_backwards=True, return_sequences=True),
            lambda: L.LSTM(4, return_sequences=True),
        ),
    }
    for name, (layer, back) in own.items():
        layers[name] = lambda a=layer, b=back: L.Bidirectional(
            a(), backward_layer=b and b()
        )

    def case(name: str, make: Any) -> Case:
        def build(x: Any) -> Any:
            return make()(L.Masking()(x) if is_masked else x)

        return Case(name, build, [(None, 3)], batch=4)

    return [case(name, make) for name, make in layers.items()]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "masked"])
def results(request: Any, tmp_path_factory: Any) -> Any:
    folder = tmp_path_factory.mktemp("bidirectional")
    group = Group(bidirectional_cases(request.param), folder)
    return group.results(group.feeds(masked=request.param))


@pytest.mark.parametrize("name", [case.name for case in bidirectional_cases(False)])
def test_both_directions_compute_what_keras_computes(results: Any, name: str) -> None:
    assert_close(*results[name])


def step_cases() -> list[Case]:
    def nested() -> Any:
        x = keras.Input((6, 4))
        return keras.Model(x, L.Dense(3)(L.LSTM(5)(x)))

    inner: dict[str, tuple[Any, tuple[int | None, ...]]] = {
        "dense": (lambda: L.Dense(4, activation="relu"), (5, 3)),
        "dense_open": (lambda: L.Dense(4), (None, 3)),
        "conv": (lambda: L.Conv2D(4, 3, padding="same"), (3, 7, 6, 2)),
        "pooling": (lambda: L.GlobalAveragePooling2D(), (3, 7, 6, 2)),
        "norm": (lambda: L.BatchNormalization(), (3, 7, 6, 2)),
        "flatten": (lambda: L.Flatten(), (3, 4, 2)),
        "lstm": (lambda: L.LSTM(4, return_sequences=True), (None, 6, 3)),
        "sequential": (lambda: keras.Sequential([L.Dense(4), L.Dense(2)]), (5, 3)),
        "functional": (nested, (3, 6, 4)),
        "twice": (lambda: L.TimeDistributed(L.Dense(4)), (3, 5, 2)),
        "dropout": (lambda: L.Dropout(0.5), (3, 5)),
    }
    return [
        Case(name, lambda x, m=make: L.TimeDistributed(m())(x), [shape])
        for name, (make, shape) in inner.items()
    ]


@pytest.fixture(scope="module", params=[".keras", ".h5"])
def step_results(request: Any, tmp_path_factory: Any) -> Any:
    group = Group(step_cases(), tmp_path_factory.mktemp("steps"), request.param)
    return group.results(group.feeds())


@pytest.mark.parametrize("name", [case.name for case in step_cases()])
def test_a_layer_applied_to_steps_computes_what_keras_computes(
    step_results: Any, name: str
) -> None:
    assert_close(*step_results[name])


def test_twins_become_one_operator(tmp_path: Any) -> None:
    x = keras.Input((None, 3))
    y = L.Bidirectional(L.LSTM(4, return_sequences=True))(x)
    keras.Model(x, y).save(tmp_path / "m.keras")
    nodes = read_model(tmp_path / "m.keras").graph.nodes
    directions = [n.attributes.get("direction") for n in nodes if n.op_type == "LSTM"]
    assert directions == ["bidirectional"]


def test_other_layers_in_both_directions_are_refused() -> None:
    from trimtab.formats.builder import GraphBuilder
    from trimtab.formats.keras.config import Config
    from trimtab.formats.keras.layer import LayerContext, Source, Tensor
    from trimtab.formats.keras.layers.wrappers import bidirectional
    from trimtab.formats.keras.weights import FlatWeights

    inner = {"class_name": "Dense", "config": {"name": "d", "units": 3}}
    config = Config({"layer": inner}, "layer 'b' (Bidirectional)")
    source = Source(GraphBuilder("g"), trimtab.Limits(), "3.0.0")
    x = Tensor("x", "float32", ("n", 5, 3))
    weights = FlatWeights({}, config.where)
    context = LayerContext(source, "b", "Bidirectional", config, weights, (x,))
    with pytest.raises(UnsupportedOpError, match="a layer of class 'Dense' inside"):
        bidirectional(context)
