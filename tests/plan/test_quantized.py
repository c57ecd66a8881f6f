"""Layers of 8 bits run as integers and give what ONNX says, on every processor.

The oracle is onnxruntime without optimisations (qdq.py), the definition in
onnx.reference for a few. An integer result may be one step away where float32 rounds
otherwise; exact halves are avoided by the scales.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trimtab
from trimtab import _core

from . import qdq
from .qdq import Builder, Layer

pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[2]
#: Instruction sets of oneDNN that this processor may or may not have.
ISAS = ("AVX2", "AVX512_CORE", "AVX512_CORE_VNNI", "DEFAULT")

LAYERS = {
    "conv": Layer(),
    "pointwise": Layer(src_channels=64, dst_channels=128, kernel=1, pads=(0, 0)),
    "depthwise": Layer(src_channels=1, dst_channels=1, groups=32),
    "grouped": Layer(groups=3, src_channels=2, dst_channels=2),
    "first": Layer(src_channels=3, dst_channels=32, size=32, stride=2),
    "dilated": Layer(dilation=2, pads=(2, 1)),
    "volume": Layer(spatial=3, size=5),
    "line": Layer(spatial=1, size=20),
    "transposed": Layer(kind="ConvTranspose", kernel=2, stride=2, pads=(0, 0)),
    "matmul": Layer(kind="MatMul", src_channels=64),
    "matmul_batches": Layer(kind="MatMul", batch=(2, 3), src_channels=17),
    "gemm": Layer(kind="Gemm", batch=(5,), src_channels=64),
    "gemm_one_row": Layer(kind="Gemm", src_channels=64, trans_b=True),
    "gemm_transposed": Layer(kind="Gemm", batch=(5,), trans_a=True, trans_b=True),
    "integer_weights": Layer(weights="int8"),
    "unsigned_weights": Layer(weights="uint8"),
    "one_scale": Layer(per_channel=False),
    "signed": Layer(src_type="int8", dst_type="int8"),
    "to_float": Layer(dst_type="float32"),
    "relu": Layer(post="Relu", dst_zero_point=0),
    "clip": Layer(post="Clip"),
    "scaled": Layer(post="Mul"),
    "residual": Layer(residual="uint8"),
    "residual_signed": Layer(residual="int8", post="Relu"),
    "residual_to_float": Layer(residual="uint8", dst_type="float32"),
    "residual_matmul": Layer(kind="MatMul", residual="uint8"),
    "extreme": Layer(extreme=True, src_channels=64, src_zero_point=0),
    "extreme_matmul": Layer(kind="MatMul", extreme=True, src_channels=64),
    "extreme_integers": Layer(extreme=True, weights="int8", src_channels=64),
    "small_integers": Layer(weights="small", src_channels=64),
}


def is_exact() -> bool:
    return _core.dnnl_info()["exact_int8"]


@pytest.mark.parametrize("name", LAYERS)
def test_layer_agrees_with_onnxruntime(name: str) -> None:
    made = qdq.compare(LAYERS[name], narrow=not is_exact())
    if is_exact():
        assert made
        assert not [i for i in made if "ref" in i or "simple" in i]


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=1000, max_value=2**31))
def test_any_layer_agrees_with_onnxruntime(seed: int) -> None:
    qdq.compare(qdq.draw(seed), narrow=not is_exact())


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_is_right(isa: str) -> None:
    layers = [*LAYERS.values(), *map(qdq.draw, range(40))]
    narrow = _exact_under(isa) == "False"
    result = _run(["tests.plan.qdq", *(["narrow"] * narrow)], isa, qdq.as_json(layers))
    assert result.returncode == 0, result.stderr[-2000:]
    assert len(result.stdout.splitlines()) == len(layers)


@settings(max_examples=40, deadline=None)
@given(st.integers(min_value=0, max_value=2**31), st.integers(1, 2))
def test_any_depthwise_layer_agrees_with_onnxruntime(seed: int, threads: int) -> None:
    layer = qdq.draw_depthwise(seed)
    qdq.compare(layer, narrow=not is_exact(), threads=threads)


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=0, max_value=2**31), st.integers(1, 2))
def test_any_dense_layer_of_bytes_agrees_with_onnxruntime(
    seed: int, threads: int
) -> None:
    layer = qdq.draw_dense(seed)
    qdq.compare(layer, narrow=not is_exact(), threads=threads)
    qdq.compare(layer, narrow=not is_exact(), threads=threads, without="primitives")


#: What the rules give to the kernel of dense layers, as networks have them.
DENSE = {
    "first": Layer(src_channels=3, dst_channels=64, size=40, kernel=7, stride=2),
    "first_narrow": Layer(src_channels=3, dst_channels=32, size=50, stride=2),
    "patches": Layer(
        src_channels=3, dst_channels=96, size=32, kernel=8, stride=8, pads=(0, 0)
    ),
    "pointwise": Layer(src_channels=64, dst_channels=128, kernel=1, pads=(0, 0)),
    "strided": Layer(
        src_channels=64, dst_channels=64, kernel=1, stride=2, size=15, pads=(0, 0)
    ),
    "expanding": Layer(src_channels=24, dst_channels=144, kernel=1, pads=(0, 0)),
    "deep": Layer(src_channels=516, dst_channels=64, kernel=1, pads=(0, 0)),
    "batch": Layer(batch=(3,), src_channels=32, dst_channels=96, kernel=1, pads=(0, 0)),
    "residual": Layer(
        src_channels=64, dst_channels=96, kernel=1, pads=(0, 0), residual="uint8"
    ),
    "line": Layer(
        src_channels=64, dst_channels=64, kernel=1, pads=(0, 0), spatial=1, size=300
    ),
    "last": Layer(
        src_channels=512,
        dst_channels=128,
        kernel=1,
        pads=(0, 0),
        residual="uint8",
        dst_type="float32",
    ),
}


@pytest.mark.parametrize("name", DENSE)
def test_dense_layers_of_bytes_that_own_kernel_wins(name: str) -> None:
    layer = replace(DENSE[name], dst_zero_point=0)
    layer = layer if layer.residual else replace(layer, post="Relu")
    for threads in (1, 2):
        made = qdq.compare(layer, narrow=not is_exact(), threads=threads)
        cpu = _core.cpu_info()
        if cpu["avx512_vnni"] and cpu["isa"] == "avx512" and not cpu["amx"]:
            assert "conv_u8s8:vnni" in made


@pytest.mark.parametrize("without", ["", "primitives"])
@pytest.mark.parametrize("name", ["first", "pointwise", "residual"])
def test_no_images_give_no_pixels(name: str, without: str) -> None:
    layer = replace(DENSE[name], batch=(0,), dst_zero_point=0)
    content, inputs = qdq.build(layer, narrow=not is_exact())
    passes = [name for name in _core.PASSES if name != without]
    model = trimtab.load_model(content, fallback=False, passes=passes)
    (got,) = model.run(inputs).values()
    assert got.shape == qdq._dst_shape(layer)
    assert got.size == 0


@pytest.mark.parametrize("isa", ["avx2", "avx512"])
@pytest.mark.parametrize("kind", ["depthwise", "u8s8"])
def test_kernels_without_vectors_and_with_them(kind: str, isa: str) -> None:
    if not is_exact():
        pytest.skip("oneDNN saturates here, so most layers stay in float")
    draw = qdq.draw_depthwise if kind == "depthwise" else qdq.draw_dense
    layers = [draw(seed) for seed in range(40)]
    result = subprocess.run(
        [sys.executable, "-m", "tests.plan.qdq", "kernels"],
        input=qdq.as_json(layers),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"TRIMTAB_ISA": isa},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    wanted = f"conv_{kind}:" + ("scalar" if isa == "avx2" else "vnni")
    assert result.stdout.count(wanted) > 15


def _run(module: list[str], isa: str, text: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", *module],
        input=text,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": isa},
    )


def _exact_under(isa: str) -> str:
    code = "from trimtab import _core; print(_core.dnnl_info()['exact_int8'])"
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": isa},
    ).stdout.strip()


def test_self_test_knows_instructions_that_saturate() -> None:
    assert _exact_under("AVX2") == "False"
    assert _exact_under("AVX512_CORE") == "False"
    if _core.cpu_info()["avx512_vnni"]:
        assert _exact_under("AVX512_CORE_VNNI") == "True"


def test_integers_that_would_saturate_stay_in_float() -> None:
    layers = [
        Layer(weights="int8", extreme=True, src_channels=64),
        Layer(weights="small", src_channels=64),
    ]
    result = _run(["tests.plan.qdq"], "AVX2", qdq.as_json(layers))
    assert result.returncode == 0, result.stderr[-2000:]
    made = [json.loads(line)[1] for line in result.stdout.splitlines()]
    assert made[0] == []
    assert made[1] != []


@pytest.mark.parametrize("name", ["conv", "matmul", "gemm", "residual", "transposed"])
def test_layer_agrees_with_the_definition(name: str) -> None:
    from onnx.reference import ReferenceEvaluator

    layer = replace(LAYERS[name], weights="int8", size=4)
    content, inputs = qdq.build(layer)
    (actual,) = trimtab.load_model(content, fallback=False).run(inputs).values()
    import onnx

    (expected,) = ReferenceEvaluator(onnx.load_from_string(content)).run(None, inputs)
    qdq.check(actual, expected)


@pytest.mark.parametrize("name", LAYERS)
def test_without_the_pass_the_steps_are_those_of_the_graph(name: str) -> None:
    content, inputs = qdq.build(LAYERS[name])
    passes = [p for p in _core.PASSES if p != "quantize"]
    model = trimtab.load_model(content, fallback=False, passes=passes)
    assert not qdq.implementations(model, inputs)
    qdq.check(next(iter(model.run(inputs).values())), qdq.reference(content, inputs))


@pytest.mark.parametrize("threads", [1, 2])
def test_shapes_share_packed_weights(threads: int) -> None:
    b = Builder()
    rng = np.random.default_rng(0)
    layer = Layer(src_channels=16)
    b.inputs["x"] = np.zeros((1, 16, 6, 6), np.float32)
    src = b.quantised("x", 0.03, 120, "uint8")
    y = b.add("Conv", src, qdq._add_weights(b, layer, rng, not is_exact()))
    content = _symbolic(b, [y])
    model = trimtab.load_model(content, fallback=False, threads=threads)
    for size in (6, 9, 33):
        x = rng.normal(size=(1, 16, size, size)).astype(np.float32)
        qdq.check(
            next(iter(model.run({"x": x}).values())), qdq.reference(content, {"x": x})
        )


def _symbolic(b: Builder, outputs: list[str]) -> bytes:
    import onnx

    proto = onnx.load_from_string(b.model(outputs))
    for i, dim in enumerate(proto.graph.input[0].type.tensor_type.shape.dim):
        if i != 1:
            dim.dim_param = f"d{i}"
    return proto.SerializeToString()


def _steps(model: trimtab.Model, inputs: dict) -> list[str]:
    return [
        n.op_type for n in model.profile(inputs).nodes if n.implementation != "copy"
    ]


def test_result_that_others_read_stays_in_float() -> None:
    b = Builder()
    rng = np.random.default_rng(1)
    b.inputs["x"] = rng.normal(size=(1, 8, 7, 7)).astype(np.float32)
    src = b.quantised("x", 0.03, 120, "uint8")
    y = b.add("Conv", src, qdq._add_weights(b, Layer(), rng, not is_exact()))
    q = b.add("QuantizeLinear", y, b.constant(np.float32(0.1)), b.constant(np.uint8(9)))
    content = b.model([q, y])
    model = trimtab.load_model(content, fallback=False)
    out = model.run(b.inputs)
    qdq.check(out[q], qdq.reference(content, b.inputs))
    assert out[y].dtype == np.float32
    assert _steps(model, b.inputs).count("QuantizeLinear") == 2


def test_chain_of_layers_stays_integer() -> None:
    b = Builder()
    rng = np.random.default_rng(2)
    b.inputs["x"] = rng.normal(size=(1, 8, 9, 9)).astype(np.float32)
    x = b.quantised("x", 0.03, 120, "uint8")
    for channels in (8, 16, 16):
        layer = Layer(src_channels=channels)
        y = b.add("Conv", x, qdq._add_weights(b, layer, rng, False), pads=[1] * 4)
        x = b.quantised(b.add("Relu", y), 0.2, 0, "uint8")
    content = b.model([x])
    model = trimtab.load_model(content, fallback=False, threads=1)
    actual, expected = model.run(b.inputs)[x], qdq.reference(content, b.inputs)
    if is_exact():
        steps = _steps(model, b.inputs)
        assert steps.count("QuantizedConv") == 3
        assert steps.count("QuantizeLinear") == 1
        assert np.abs(actual - expected).max() <= 3 * 0.2  # one step in each layer
        assert (actual != expected).mean() < 0.01


def test_layer_with_shared_weights_and_one_reader_in_float() -> None:
    b = Builder()
    rng = np.random.default_rng(3)
    b.inputs["x"] = rng.normal(size=(3, 16)).astype(np.float32)
    w = qdq._add_weights(b, Layer(kind="MatMul", src_channels=16), rng, False)
    quantised = b.quantised("x", 0.03, 120, "uint8")
    y = b.add("Add", b.add("MatMul", quantised, w), b.add("MatMul", "x", w))
    content = b.model([y])
    actual = trimtab.load_model(content, fallback=False).run(b.inputs)[y]
    tolerance = 2e-5 if is_exact() else 0.1
    expected = qdq.reference(content, b.inputs)
    assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan, 1e-45])
def test_scale_without_meaning_is_left_to_the_plain_steps(scale: float) -> None:
    b = Builder()
    rng = np.random.default_rng(4)
    b.inputs["x"] = rng.normal(size=(1, 8, 5, 5)).astype(np.float32)
    src = b.quantised("x", scale, 120, "uint8")
    y = b.add("Conv", src, qdq._add_weights(b, Layer(), rng, False))
    model = trimtab.load_model(b.model([y]), fallback=False)
    assert not qdq.implementations(model, b.inputs)
    model.run(b.inputs)


def test_asymmetric_weights_stay_in_float() -> None:
    b = Builder()
    rng = np.random.default_rng(5)
    b.inputs["x"] = rng.normal(size=(1, 8, 5, 5)).astype(np.float32)
    src = b.quantised("x", 0.03, 120, "uint8")
    w = b.constant(rng.integers(0, 255, (4, 8, 3, 3)).astype(np.uint8))
    pair = b.constant(np.float32(0.01)), b.constant(np.uint8(120))
    y = b.add("Conv", src, b.add("DequantizeLinear", w, *pair))
    content = b.model([y])
    model = trimtab.load_model(content, fallback=False)
    assert not qdq.implementations(model, b.inputs)
    qdq.check(model.run(b.inputs)[y], qdq.reference(content, b.inputs))
