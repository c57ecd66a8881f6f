"""Matmuls with activations quantised on the fly: the operator, what becomes it."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper, numpy_helper
from tests.ops.check import check_node, one_node_model, run_with_isa
from tests.ops.test_matmul_few_rows import TAILS

import trimtab

ISAS = ["scalar", "avx2", "AVX512_CORE", "avx512"]


def quantised_rows(x: Any) -> tuple[Any, Any]:
    """Rows on their grid of 256 steps in float64, and the steps."""
    low, high = np.minimum(x.min(-1), 0), np.maximum(x.max(-1), 0)
    scale = ((high.astype(np.float64) - low) / 255)[..., None]
    scale[scale < 1e-36] = 1
    zero = np.floor(-low[..., None] / scale + 0.5)
    q = np.clip(np.rint(x / scale) + zero, 0, 255)
    return (q - zero) * scale, scale


def check(x: Any, w: Any, scale: Any, zero: Any = None, bias: Any = None) -> None:
    """Within what one step of a few elements of x makes."""
    inputs = [x, w, scale, zero, bias]
    constants = [i for i in range(1, 5) if inputs[i] is not None]
    model = one_node_model(
        "DynamicQuantizeMatMul", inputs, domain="trimtab", constants=constants
    )
    y = trimtab.load_model(model.SerializeToString(), fallback=False)(x)
    real = (w.astype(np.float64) - (0 if zero is None else zero)) * scale
    rows, steps = quantised_rows(x)
    expected = rows @ real + (0 if bias is None else bias)
    # float32 may round an element at the middle of two steps the other way
    tolerance = 2 * steps * np.abs(real).max(0) + 1e-5 * np.abs(expected).max()
    assert (np.abs(y - expected) <= tolerance).all()
    assert np.abs(y - expected).mean() <= 0.2 * tolerance.mean()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 14),
    st.integers(1, 75),
    st.integers(1, 140),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1e-30, 1.0, 1e30]),
    st.integers(0, 2**32 - 1),
)
def test_each_row_has_its_own_steps(
    m: int,
    k: int,
    n: int,
    unsigned: bool,
    has_bias: bool,
    single: bool,
    size: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, k)) * np.exp(rng.normal(size=(m, 1)) * 3)
    w = rng.integers(0, 256, (k, n), np.uint8)
    scale = rng.uniform(1e-3, 1e-2, () if single else n).astype(np.float32)
    zero = rng.integers(0, 256, scale.shape, np.uint8)
    if not unsigned:
        w, zero = w.view(np.int8), None
    bias = rng.normal(size=n).astype(np.float32) if has_bias and size == 1 else None
    check((x * size).astype(np.float32), w, scale, zero, bias)


def test_rows_of_zeros_and_of_one_sign() -> None:
    rng = np.random.default_rng(1)
    x = np.zeros((4, 33), np.float32)
    x[1], x[2], x[3] = 5.0, -3.0, np.abs(rng.normal(size=33))
    w = rng.integers(-128, 128, (33, 40), np.int8)
    check(x, w, np.full(40, 0.01, np.float32))


def test_nan_and_infinity_stay_in_their_row() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 20)).astype(np.float32)
    x[0, 3], x[2, 19] = np.nan, np.inf
    w = rng.integers(-128, 128, (20, 70), np.int8)
    inputs = [x, w, np.float32(0.01)]
    model = one_node_model(
        "DynamicQuantizeMatMul", inputs, domain="trimtab", constants=[1, 2]
    )
    y = trimtab.load_model(model.SerializeToString(), fallback=False)(x)
    np.testing.assert_array_equal(np.isnan(y).all(1), [True, False, True])
    assert np.isfinite(y[1]).all()


def test_weights_may_be_an_input() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 3, 20)).astype(np.float32)
    w = rng.integers(-128, 128, (20, 7), np.int8)
    rows, _ = quantised_rows(x)
    check_node(
        "DynamicQuantizeMatMul",
        [x, w, np.float32(0.01)],
        domain="trimtab",
        expected=[(rows @ (w * 0.01)).astype(np.float32)],
        tolerance=1e-3,
    )


def every_shape() -> None:
    """Prints nothing; extremes that saturate with vpmaddubsw among it."""
    rng = np.random.default_rng(3)
    for m, k, n in ((1, 7, 5), (5, 130, 47), (13, 96, 64), (33, 200, 97)):
        x = rng.normal(size=(m, k)).astype(np.float32)
        w = rng.integers(-128, 128, (k, n), np.int8)
        check(x, w, rng.uniform(1e-3, 1e-2, n).astype(np.float32))
        check(np.full_like(x, 3.0), np.full_like(w, -128), np.float32(0.5))


@pytest.mark.parametrize("isa", ISAS)
def test_every_isa_agrees_with_the_definition(isa: str) -> None:
    code = "from tests.ops.test_dynamic_matmul import every_shape; every_shape()"
    assert run_with_isa(isa, code) == ""


# ---- the chain of operators ----------------------------------------------------------


def chain(k: int, n: int, tail: Any, form: str, rng: Any) -> bytes:
    """What tools for dynamic quantisation write, and `tail` behind it."""
    w = rng.integers(0, 256, (k, n), np.uint8)
    constants = {
        "w": w if form != "signed" else w.view(np.int8),
        "w_zero": np.array(120, np.uint8 if form != "signed" else np.int8),
        "w_scale": rng.uniform(1e-3, 1e-2, n).astype(np.float32),
        "c": rng.normal(size=n).astype(np.float32),
    }
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "w_zero"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
    ]
    if form == "nested":
        nodes += [
            helper.make_node("Mul", ["f", "s"], ["g"]),
            helper.make_node("Mul", ["w_scale", "g"], ["h"]),
        ]
    else:
        nodes += [
            helper.make_node("Mul", ["s", "w_scale"], ["t"]),
            helper.make_node("Mul", ["f", "t"], ["h"]),
        ]
    value = "h"
    for i, (op_type, inputs, attributes) in enumerate(tail):
        given, value = value, "y" if i == len(tail) - 1 else f"t{i}"
        read = [given, *inputs.replace("h", "").split()]
        nodes.append(helper.make_node(op_type, read, [value], **attributes))
    shape = [2, "m", n]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, "m", k]),
            helper.make_tensor_value_info("r", TensorProto.FLOAT, shape),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(v, name) for name, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=9
    ).SerializeToString()


@pytest.mark.parametrize("form", ["signed", "unsigned", "nested"])
@pytest.mark.parametrize("tail", sorted(TAILS))
def test_the_chain_becomes_one_operator(tail: str, form: str) -> None:
    rng = np.random.default_rng(7)
    data = chain(37, 66, TAILS[tail][0], form, rng)
    x = rng.normal(size=(2, 5, 37)).astype(np.float32)
    r = rng.normal(size=(2, 5, 66)).astype(np.float32)
    model = trimtab.load_model(data, threads=1)
    found = model.run({"x": x, "r": r})["y"]
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(data, options)
    (expected,) = session.run(None, {"x": x, "r": r})
    np.testing.assert_allclose(found, expected, 2e-5, 2e-5 * np.abs(expected).max())
    ran = [step.op_type for step in model.profile({"x": x, "r": r}, repeat=1).nodes]
    assert "MatMulInteger" not in ran
    assert "DynamicQuantizeMatMul" in ran
