"""What is done once for all candidates: ranges of least noise, rounded weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.optimize.graphs import Net, onnx_model, sqnr_db, weights

import trimtab
from trimtab import _core
from trimtab.optimize.quantizer import Quantizer
from trimtab.optimize.samples import Samples

RULES = ("minmax", "mse", "percentile", "entropy")


@pytest.fixture
def smooth() -> Any:
    """A convolution of pictures whose pixels are like their neighbours."""
    net = Net("net")
    x = net.input("x", "float32", ("n", 8, 14, 14))
    y = net.conv(x, weights(8, 8, 3, 3), "conv", pads=[1] * 4)
    y = net.op("Relu", [y])
    model = trimtab.load_model(
        onnx_model(net.done(net.conv(y, weights(4, 8, 3, 3, seed=1), "last")))
    )
    rng = np.random.default_rng(0)
    image = rng.standard_normal((16, 8, 14, 14)).cumsum(2).cumsum(3)
    return model, image.astype(np.float32)


def made(model: Any, x: np.ndarray, **options: Any) -> Quantizer:
    """A quantizer that has seen each picture once."""
    samples = Samples([{"x": x[i : i + 1]} for i in range(len(x))])
    return Quantizer(model, samples, precisions=("f32", "int8"), **options)


def quality(model: Any, quantizer: Quantizer, x: np.ndarray, **options: Any) -> float:
    """SQNR in dB with all layers in int8."""
    choices = {layer.name: "int8" for layer in quantizer.layers}
    return sqnr_db(model(x), quantizer.build(choices, **options)(x))


@pytest.mark.parametrize("outlier", [0.0, 5e3])
def test_ranges_are_of_the_rule_of_least_noise(smooth: Any, outlier: float) -> None:
    model, x = smooth
    x[-1, 0, 0, 0] += outlier
    found = {
        rule: quality(model, made(model, x, ranges=rule), x[:8], quick=True)
        for rule in RULES
    }
    assert found[made(model, x).ranges] >= max(found.values()) - 0.1
    assert min(found.values()) < max(found.values()) - (10 if outlier else 0)


def test_weights_are_rounded_for_the_data(smooth: Any) -> None:
    model, x = smooth
    quantizer, late = made(model, x), made(model, x, is_late=lambda: True)
    assert quality(model, quantizer, x) > quality(model, late, x) + 0.3


def test_layers_in_float_keep_their_weights(smooth: Any) -> None:
    model, x = smooth
    quantizer = made(model, x)
    assert sqnr_db(model(x), quantizer.build({})(x)) > 100
    first, last = (layer.name for layer in quantizer.layers)
    one = quantizer.build({first: "int8", last: "f32"})
    assert sqnr_db(model(x), one(x)) > quality(model, quantizer, x)


def test_stages_are_told(smooth: Any) -> None:
    told: list[str] = []
    made(*smooth, on_step=told.append)
    assert told == ["equalised", "smoothed", "calibrated", "rounded"]


@pytest.fixture
def attending() -> Any:
    """Attention of one head between products by weights."""
    net = Net("net")
    x = net.input("x", "float32", ("n", 24, 32))
    q, k, v = (
        net.op("MatMul", [x, net.constant(weights(32, 32, seed=i), f"w{i}")], name=name)
        for i, name in enumerate("qkv")
    )
    scores = net.op("MatMul", [q, net.op("Transpose", [k], perm=[0, 2, 1])])
    y = net.op("MatMul", [net.op("Softmax", [scores], axis=-1), v])
    last = net.op(
        "MatMul", [y, net.constant(weights(32, 8, seed=3), "w3")], name="last"
    )
    model = trimtab.load_model(onnx_model(net.done(last)), threads=1)
    x = np.random.default_rng(0).standard_normal((8, 24, 32)).astype(np.float32)
    return model, x


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_attention_rounds_where_layers_do(attending: Any, precision: str) -> None:
    model, x = attending
    samples = Samples([{"x": x[i : i + 1]} for i in range(len(x))])
    quantizer = Quantizer(model, samples, precisions=("f32", "bf16", "int8"))
    choices = {layer.name: "f32" for layer in quantizer.layers} | {"last": precision}
    built, f32 = quantizer.build(choices), quantizer.build({})
    assert sqnr_db(model(x), built(x)) > 20
    cpu = _core.cpu_info()
    if not (cpu["avx512_bf16"] and cpu["isa"] == "avx512"):
        return

    def versions(made: Any) -> set[str]:
        steps = made.core.program().steps(x[:1])
        return {step[3] for step in steps if step[1].startswith("Attention")}

    assert versions(built) == {"attention:avx512_bf16"}
    assert versions(f32) == {"attention:avx512"}
