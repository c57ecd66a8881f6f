"""3x3 convolutions of int8 by Winograd's algorithm: which, where, and how exact.

What the kernel computes is tested in tests/c/test_kernels_winograd_u8s8.c; here it is
compared with float32 and with plain int8, of whose noise it adds to.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.optimize.fakes import NOISES, SHARES, FakeTimer, TableBackend, make_search
from tests.optimize.graphs import Net, onnx_model, run, sqnr_db, weights
from tests.optimize.test_search import GUARD, LABELS, SEARCH, TABLE

import trimtab
from trimtab import _core
from trimtab.errors import InputError
from trimtab.graph import Model
from trimtab.load import make_model
from trimtab.optimize.calibrate import calibrate
from trimtab.optimize.layers import find_layers
from trimtab.optimize.outcome import Goal
from trimtab.optimize.precision import host_precisions
from trimtab.optimize.prepare import prepare_graph
from trimtab.optimize.quantize import quantize_graph, tensors_to_observe
from trimtab.optimize.quantizer import Quantizer
from trimtab.optimize.runnable import runnable
from trimtab.optimize.samples import Samples

IS_FAST = _core.dnnl_info()["winograd_int8"]
IS_EXACT = _core.dnnl_info()["exact_int8"]


# ---- which layers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "attributes", "can"),
    [
        ((64, 32, 3, 3), {}, True),
        ((100, 16, 3, 3), {"strides": [1, 1], "pads": [1] * 4}, True),
        ((64, 32, 3, 3), {"strides": [2, 1]}, False),
        ((64, 32, 3, 3), {"dilations": [1, 2]}, False),
        ((64, 32, 3, 3), {"group": 2}, False),
        ((64, 32, 1, 3), {}, False),
        ((64, 32, 5, 5), {}, False),
        ((64, 32, 3), {}, False),
        ((64, 3, 3, 3), {}, False),  # an image
        ((80, 32, 3, 3), {}, False),  # 16 channels would take the place of 64
    ],
)
def test_which_layers_can(
    shape: tuple[int, ...], attributes: dict[str, Any], can: bool
) -> None:
    net = Net("net")
    x = net.input("x", "float32", None)
    graph = net.done(net.conv(x, weights(*shape), "conv", **attributes))
    (layer,) = find_layers(graph)
    assert ("int8_winograd" in layer.precisions) == can


def test_a_layer_that_cannot_is_refused() -> None:
    net = Net("net")
    x = net.input("x", "float32", None)
    graph = net.done(net.conv(x, weights(64, 32, 1, 1), "conv"))
    with pytest.raises(InputError, match="'int8_winograd' is not possible for this"):
        quantize_graph(graph, {"conv": "int8_winograd"}, {})


@pytest.mark.parametrize("fast", [True, False])
def test_only_where_the_processor_gains(fast: bool) -> None:
    info = {"effective_isa": "avx512_core_vnni", "winograd_int8": fast}
    assert ("int8_winograd" in host_precisions(info).names) == fast


def test_not_beside_tiles_of_amx() -> None:
    cpu = _core.cpu_info()
    has_vnni = cpu["isa"] == "avx512" and cpu["avx512_vnni"]
    assert (has_vnni and not cpu["amx"]) == IS_FAST


# ---- what they give ----------------------------------------------------------------


def network(channels: int, dst: int, *, residual: bool, relu: bool = True) -> Model:
    """1x1, 3x3 (with what went in added), 1x1."""
    net = Net("net")
    x = net.input("x", "float32", ("n", channels, "h", "w"))
    first = net.conv(x, weights(dst if residual else channels, channels, 1, 1), "first")
    first = net.op("Relu", [first])
    n_in = dst if residual else channels
    y = net.conv(first, weights(dst, n_in, 3, 3), "middle", pads=[1] * 4)
    if residual:
        y = net.op("Add", [y, first])
    if relu:
        y = net.op("Relu", [y])
    y = net.conv(y, weights(8, dst, 1, 1), "last")
    return prepare_graph(net.done(y))


def quantized(graph: Model, x: Any, middle: str, *, alone: bool = False) -> Model:
    others = "f32" if alone else "int8"
    choices = {"first": others, "middle": middle, "last": others}
    with runnable(graph) as model:
        seen = calibrate(model, [{"x": x}], tensors_to_observe(graph, choices))
    return quantize_graph(graph, choices, seen, ranges="minmax")


def pictures() -> Any:
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 64, 9, 9)).astype(np.float32)


def engine(graph: Model, *, threads: int = 1, without: str = "") -> Any:
    source = trimtab.load_model(onnx_model(network(16, 64, residual=False)))
    passes = sum(bit for name, (bit, _) in _core.PASSES.items() if name != without)
    options = source._options.__replace__(threads=threads, passes=passes)
    return make_model(graph, source._source, options)


def implementation(model: Any, x: Any) -> str:
    names = [node.implementation for node in model.profile({"x": x}).nodes]
    return " ".join(names)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([16, 20, 64, 96]),
    st.sampled_from([64, 100, 128]),
    st.tuples(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13)),
    st.booleans(),
    st.booleans(),
    st.integers(1, 2),
    st.sampled_from(["", "primitives"]),
)
def test_noise_is_a_little_more_than_that_of_int8(
    channels: int,
    dst: int,
    shape: tuple[int, int, int],
    residual: bool,
    relu: bool,
    threads: int,
    without: str,
) -> None:
    n, h, w = shape
    rng = np.random.default_rng([channels, dst, *shape])
    x = rng.standard_normal((n, channels, h, w)).astype(np.float32)
    graph = network(channels, dst, residual=residual, relu=relu)
    want = run(graph, {"x": x})
    plain, made = (quantized(graph, x, p) for p in ("int8", "int8_winograd"))
    options = {"threads": threads, "without": without}
    with engine(plain, **options) as model:
        least = sqnr_db(want, model(x))
    with engine(made, **options) as model:
        got = model(x)
        if IS_EXACT and (IS_FAST or without):
            assert "winograd_u8s8:" in implementation(model, x)
    # Sums of four bytes are rounded to a quarter, which costs about 7 dB.
    assert sqnr_db(want, got) > min(least - 10, 25)


@pytest.mark.skipif(not IS_FAST, reason="such layers are plain int8 here")
def test_beside_float_layers_it_is_done_too() -> None:
    graph, x = network(64, 64, residual=False), pictures()
    want, noise = run(graph, {"x": x}), {}
    for precision in ("int8", "int8_winograd"):
        with engine(quantized(graph, x, precision, alone=True)) as model:
            noise[precision] = sqnr_db(want, model(x))
            made = implementation(model, x)
        assert ("winograd_u8s8:" in made) == (precision != "int8")
    assert noise["int8"] - 12 < noise["int8_winograd"] < noise["int8"] - 3


def test_files_that_do_not_ask_for_it_do_not_get_it() -> None:
    graph, x = network(64, 64, residual=False), pictures()
    with engine(quantized(graph, x, "int8")) as model:
        assert "winograd" not in implementation(model, x)


@pytest.mark.parametrize("value", ["direct", "", 1, [1], 0.5, ["winograd"]])
def test_other_algorithms_are_no_reason_to(value: Any) -> None:
    graph, x = network(64, 64, residual=False), pictures()
    plain = quantized(graph, x, "int8")
    want = run(plain, {"x": x})
    for node in plain.graph.nodes:
        if node.op_type == "Conv":
            node.attributes["algorithm"] = value
    with engine(plain) as model:
        assert "winograd" not in implementation(model, x)
        np.testing.assert_array_equal(model(x), want)


def test_it_is_saved_with_the_model(tmp_path: Path) -> None:
    x = pictures()
    with engine(quantized(network(64, 64, residual=True), x, "int8_winograd")) as model:
        want = model(x)
        model.save(tmp_path / "m.safetensors")
    with trimtab.load_model(tmp_path / "m.safetensors") as model:
        np.testing.assert_array_equal(model(x), want)
        if IS_FAST:
            assert "winograd_u8s8:vnni" in implementation(model, x)


# ---- how they are chosen -----------------------------------------------------------


def test_weights_take_as_many_bytes_as_there_are_products() -> None:
    x = pictures()
    model = trimtab.load_model(onnx_model(network(64, 64, residual=False)))
    samples = Samples([{"x": x[i : i + 1]} for i in range(len(x))])
    quantizer = Quantizer(model, samples, precisions=("f32", "int8_winograd"))
    name = next(y.name for y in quantizer.layers if "int8_winograd" in y.precisions)
    assert quantizer.weight_bytes(name, "int8") == 64 * 64 * 9
    assert quantizer.weight_bytes(name, "int8_winograd") == 64 * 64 * 16
    built = quantizer.build({name: "int8_winograd"})
    assert sqnr_db(model(x), built(x)) > 20


class Among(FakeTimer):
    """Remembers what was beside a layer of Winograd's when it was timed."""

    def layers(self, models: Any, names: Any, inputs: Any) -> Any:
        if "int8_winograd" in models:
            self.seen = dict(models["int8_winograd"].choices)
        return super().layers(models, names, inputs)


class Blind(TableBackend):
    """Winograd's noise shows among layers of int8 alone."""

    def answers(self, choices: Any) -> Any:
        found = super().answers(choices)
        if list(choices.values()).count("int8") < 2:
            plain = {k: p.removesuffix("_winograd") for k, p in choices.items()}
            found = super().answers(plain)
        return found


@pytest.mark.parametrize("backend_of", [TableBackend, Blind])
@pytest.mark.parametrize(
    ("scale", "wanted"), [(0.01, "int8_winograd"), (0.2, "int8"), (30.0, "f32")]
)
def test_a_layer_goes_back_to_int8_first(
    monkeypatch: pytest.MonkeyPatch, backend_of: Any, scale: float, wanted: str
) -> None:
    monkeypatch.setitem(SHARES, "int8_winograd", 0.2)
    monkeypatch.setitem(NOISES, "int8_winograd", 10.0)
    backend = backend_of(TABLE, [0.01, scale, 0.01])
    three = ("f32", "int8", "int8_winograd")
    backend.layers = [
        replace(layer, precisions=three if layer.name == "layer1" else three[:2])
        for layer in backend.layers
    ]
    timer = Among(backend)
    goal = Goal(0.02, precisions=three)
    outcome = make_search(backend, LABELS, SEARCH, GUARD, goal, timer=timer).run()
    assert outcome.choices["layer1"] == wanted
    noises = outcome.noises
    assert noises["layer1", "int8_winograd"] > 10 * noises["layer1", "int8"]
    assert timer.seen == {
        "layer0": "int8",
        "layer1": "int8_winograd",
        "layer2": "int8",
    }


class Together(TableBackend):
    """Two layers whose noise shows only where both are Winograd's."""

    def answers(self, choices: Any) -> Any:
        plain = {k: p.removesuffix("_winograd") for k, p in choices.items()}
        found = super().answers(plain)
        if list(choices.values()).count("int8_winograd") < 2:
            return found
        return found + 30 * self.noise["layer0"]


def test_no_more_is_given_up_for_it_than_it_saves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(SHARES, "int8_winograd", 0.29)
    backend = Together(TABLE, [0.03, 0.03, 0.06, 0.06, 0.06])
    three = ("f32", "int8", "int8_winograd")
    backend.layers = [
        replace(layer, precisions=three if layer.name < "layer2" else three[:2])
        for layer in backend.layers
    ]
    goal = Goal(0.02, precisions=three)
    outcome = make_search(backend, LABELS, SEARCH, GUARD, goal).run()
    assert outcome.choices == {layer.name: "int8" for layer in backend.layers}
