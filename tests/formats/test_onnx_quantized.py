"""Operators on integers in files, against onnxruntime: one step apart at most."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from onnx import helper, numpy_helper

import trimtab
from trimtab.formats import read_model
from trimtab.formats.onnx_quantized import REWRITES

RNG = np.random.default_rng(5)
MICROSOFT = "com.microsoft"


def u8(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


def s8(*shape: int) -> np.ndarray:
    return RNG.integers(-128, 128, shape, np.int8)


def f32(*values: float) -> np.ndarray:
    array = np.array(values, np.float32)
    return array.reshape(()) if len(values) == 1 else array


def z8(*values: int) -> np.ndarray:
    array = np.array(values, np.uint8)
    return array.reshape(()) if len(values) == 1 else array


def zeros(n: int) -> np.ndarray:
    return np.zeros(n, np.int8)


def model_of(
    op_type: str,
    domain: str,
    inputs: list[Any],
    dtype: Any = np.uint8,
    version: int = 13,
    **attributes: Any,
) -> tuple[bytes, dict[str, np.ndarray]]:
    """One node; arrays of a list are fed, others are constants, None is absent."""
    names, constants, fed, feeds = [], [], [], {}
    for i, value in enumerate(inputs):
        name = f"i{i}"
        if value is None:
            names.append("")
            continue
        names.append(name)
        if isinstance(value, list):
            feeds[name] = value[0]
            code = helper.np_dtype_to_tensor_dtype(value[0].dtype)
            fed.append(helper.make_tensor_value_info(name, code, value[0].shape))
        else:
            constants.append(numpy_helper.from_array(value, name))
    node = helper.make_node(
        op_type, names, ["y"], name="n", domain=domain, **attributes
    )
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    out = helper.make_tensor_value_info("y", code, None)
    graph = helper.make_graph([node], "g", fed, [out], constants)
    opsets = [helper.make_opsetid("", version), helper.make_opsetid(MICROSOFT, 1)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return proto.SerializeToString(), feeds


def check(content: bytes, feeds: dict[str, np.ndarray], exact: bool = False) -> None:
    """All of it in the engine, at most one step from onnxruntime's."""
    model = trimtab.load_model(content, fallback=False)
    (found,) = model.run(feeds).values()
    (expected,) = ort.InferenceSession(content).run(None, feeds)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if found.dtype == np.float32:
        tolerance = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, 1e-5, tolerance)
    else:
        away = np.abs(found.astype(int) - expected.astype(int))
        assert away.max(initial=0) <= (0 if exact else 1)
        assert (away != 0).mean() < 0.05


X = u8(2, 6, 9, 8)
T, Z = f32(0.2), z8(120)
CONV = [[X], f32(0.02), z8(128)]
PAIR = [[u8(2, 5)], f32(0.02), z8(128), [u8(2, 5)], f32(0.05), z8(3)]
CASES: dict[str, tuple[str, str, list[Any], dict[str, Any]]] = {
    "conv": (
        "QLinearConv",
        "",
        [*CONV, s8(4, 6, 3, 3), f32(0.01), np.int8(0), T, Z],
        {"pads": [1, 1, 1, 1]},
    ),
    "conv with a bias": (
        "QLinearConv",
        "",
        [
            *CONV,
            s8(4, 6, 3, 3),
            f32(0.01, 0.02, 0.005, 0.03),
            zeros(4),
            T,
            Z,
            RNG.integers(-9000, 9000, 4).astype(np.int32),
        ],
        {"strides": [2, 1]},
    ),
    "conv of a version without axis": (
        "QLinearConv",
        "",
        [*CONV, s8(2, 6, 1, 1), f32(0.01, 0.02), zeros(2), T, Z],
        {"version": 10},
    ),
    "conv of groups": (
        "QLinearConv",
        "",
        [*CONV, s8(6, 1, 3, 3), f32(*np.linspace(0.01, 0.03, 6)), zeros(6), T, Z],
        {"group": 6},
    ),
    "conv with weights of uint8": (
        "QLinearConv",
        "",
        [*CONV, u8(4, 6, 3, 3), f32(0.01), z8(141), T, Z],
        {},
    ),
    "matmul": (
        "QLinearMatMul",
        "",
        [[u8(3, 7, 16)], f32(0.02), z8(100), s8(16, 5), f32(0.02), np.int8(0), T, Z],
        {},
    ),
    "matmul of two inputs": (
        "QLinearMatMul",
        "",
        [[u8(3, 7, 16)], f32(0.02), z8(9), [u8(3, 16, 5)], f32(0.02), z8(77), T, Z],
        {},
    ),
    "matmul with a scale per column": (
        "QLinearMatMul",
        "",
        [
            [u8(7, 16)],
            f32(0.02),
            z8(100),
            s8(16, 3),
            f32(0.02, 0.01, 0.03),
            zeros(3),
            T,
            Z,
        ],
        {},
    ),
    "gemm": (
        "QGemm",
        MICROSOFT,
        [
            [u8(7, 16)],
            f32(0.02),
            z8(100),
            s8(3, 16),
            f32(0.02, 0.01, 0.03),
            zeros(3),
            RNG.integers(-9000, 9000, 3).astype(np.int32),
            T,
            Z,
        ],
        {"transB": 1, "alpha": 0.5},
    ),
    "gemm to real numbers": (
        "QGemm",
        MICROSOFT,
        [
            [u8(7, 16)],
            f32(0.02),
            z8(100),
            s8(16, 3),
            f32(0.02),
            np.int8(0),
            RNG.integers(-900, 900, (1, 3)).astype(np.int32),
        ],
        {"dtype": np.float32},
    ),
    "matmul to float": (
        "MatMulIntegerToFloat",
        MICROSOFT,
        [
            [u8(7, 16)],
            s8(16, 3),
            f32(0.02),
            f32(0.02, 0.01, 0.03),
            z8(9),
            zeros(3),
            f32(1, 2, 3),
        ],
        {"dtype": np.float32},
    ),
    "dynamic matmul": (
        "DynamicQuantizeMatMul",
        MICROSOFT,
        [
            [RNG.normal(size=(7, 16)).astype(np.float32)],
            s8(16, 3),
            f32(0.02, 0.01, 0.03),
            None,
            f32(1, 2, 3),
        ],
        {"dtype": np.float32},
    ),
    "add": ("QLinearAdd", MICROSOFT, [*PAIR, f32(0.07), Z], {}),
    "mul": ("QLinearMul", MICROSOFT, [*PAIR, f32(0.07), Z], {}),
    "sigmoid": (
        "QLinearSigmoid",
        MICROSOFT,
        [[u8(4, 9)], f32(0.04), z8(128), f32(1 / 256), z8(0)],
        {},
    ),
    "leaky relu": (
        "QLinearLeakyRelu",
        MICROSOFT,
        [[u8(4, 9)], f32(0.04), z8(128), f32(0.03), z8(40)],
        {"alpha": 0.2},
    ),
    "global average": (
        "QLinearGlobalAveragePool",
        MICROSOFT,
        [[X], f32(0.04), z8(128), f32(0.01), z8(130)],
        {},
    ),
    "average": (
        "QLinearAveragePool",
        MICROSOFT,
        [[X], f32(0.04), z8(128), f32(0.02), z8(130)],
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    ),
    "average with the padding": (
        "QLinearAveragePool",
        MICROSOFT,
        [[X], f32(0.04), z8(128), f32(0.02), z8(130)],
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    ),
    "concat": (
        "QLinearConcat",
        MICROSOFT,
        [T, Z, [u8(2, 3)], f32(0.02), z8(4), [u8(2, 5)], f32(0.3), z8(150)],
        {"axis": 1},
    ),
    "softmax": (
        "QLinearSoftmax",
        MICROSOFT,
        [[u8(4, 9)], f32(0.04), z8(128), f32(1 / 256), z8(0)],
        {"axis": -1, "opset": 13},
    ),
    "where": (
        "QLinearWhere",
        MICROSOFT,
        [[RNG.random((2, 5)) < 0.5], *PAIR, f32(0.07), Z],
        {},
    ),
    "dequantize": (
        "DequantizeLinear",
        MICROSOFT,
        [[u8(4, 3)], f32(0.04, 0.02, 0.1), z8(128, 0, 3)],
        {"axis": 1, "dtype": np.float32},
    ),
    "quantize": (
        "QuantizeLinear",
        MICROSOFT,
        [[RNG.normal(size=(4, 3)).astype(np.float32)], f32(0.04), z8(128)],
        {},
    ),
}


def made(case: str) -> tuple[bytes, dict[str, np.ndarray]]:
    op_type, domain, inputs, attributes = CASES[case]
    return model_of(op_type, domain, inputs, **attributes)


@pytest.mark.parametrize("case", CASES)
def test_operators_are_within_one_step_of_onnxruntime(case: str) -> None:
    check(*made(case))


def test_every_rule_has_a_case() -> None:
    tested = {(domain, op_type) for op_type, domain, *_ in CASES.values()}
    assert set(REWRITES) - tested == {(MICROSOFT, "QLinearConv")}


def test_weights_of_uint8_become_symmetric_ones_of_int8() -> None:
    weights = u8(16, 5)
    inputs = [[u8(7, 16)], f32(0.02), z8(100), weights, f32(0.02), z8(128), T, Z]
    content, feeds = model_of("QLinearMatMul", "", inputs)
    check(content, feeds)
    constants = read_model(content).graph.constants.values()
    (turned,) = [c.elements() for c in constants if c.dtype == "int8" and c.shape]
    np.testing.assert_array_equal(turned, weights.astype(int) - 128)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 70),
    st.integers(1, 20),
    st.integers(0, 255),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_matmul_of_any_shape(
    m: int, k: int, n: int, zero: int, unsigned: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    b = rng.integers(0, 256, (k, n), np.uint8)
    b_zero: Any = np.uint8(rng.integers(0, 256))
    if not unsigned:
        b, b_zero = b.view(np.int8), np.int8(0)
    a = [rng.integers(0, 256, (m, k), np.uint8)]
    y_scale = f32(2.0 * np.sqrt(k))
    inputs = [a, f32(0.02), z8(zero), b, f32(0.7), b_zero, y_scale, z8(128)]
    content, feeds = model_of("QLinearMatMul", "", inputs)
    model = trimtab.load_model(content, fallback=False)
    (found,) = model.run(feeds).values()
    exact = (a[0].astype(int) - zero) @ (b.astype(int) - int(b_zero))
    real = exact * (np.float64(np.float32(0.02)) * np.float64(np.float32(0.7)))
    expected = np.clip(np.rint(real / np.float64(y_scale)) + 128, 0, 255)
    assert np.abs(found - expected).max() <= 1


def test_what_is_not_known_stays_as_it_is() -> None:
    inputs = [*CONV, s8(4, 6, 3, 3), f32(0.01), np.int8(0), T, Z]
    content, _ = model_of("QLinearConv", MICROSOFT, inputs, channels_last=1)
    assert [n.op_type for n in read_model(content).graph.nodes] == ["QLinearConv"]


def test_a_node_with_too_few_inputs_is_refused_without_a_crash() -> None:
    content, _ = model_of("QLinearConv", "", CONV)
    with pytest.raises(trimtab.TrimtabError, match="QLinearConv"):
        trimtab.load_model(content, fallback=False)
