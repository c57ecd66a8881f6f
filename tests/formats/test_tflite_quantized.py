"""Quantised TFLite: within one step of the interpreter's integer kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab.formats import read_model

pytest.importorskip("tflite")
pytest.importorskip("ai_edge_litert")

from .tflite_files import Op, Subgraph, Tensor, make_file, run_interpreter

RNG = np.random.default_rng(11)
RELU, RELU_N1, RELU6 = 1, 2, 3
LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
ZEROS = {"int8": -5, "uint8": 131, "int16": 0}


def integers(shape: Sequence[int], dtype: str) -> Any:
    low, high = LIMITS[dtype]
    return RNG.integers(low, high + 1, shape).astype(dtype)


@dataclass
class Weights:
    """A constant of int8 (uint8 for old models) with its scale, and its bias."""

    shape: Sequence[int]
    axis: int | None = None  # along which scales vary
    is_bias: bool = False


@dataclass
class Case:
    """An operator over shapes of activations, weights, and plain constants."""

    kind: str
    operands: Sequence[Any]
    table: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    scale: float = 0.05  # of the result
    zero: int | None = None
    dtypes: Sequence[str] = ("int8", "uint8", "int16")
    steps: int = 1  # that the result may be off
    n_outputs: int = 1
    version: int = 1
    keeps: bool = False  # the result has the input's scale


def conv(kind: str, channels: int, w: Weights, table: str, **options: Any) -> Case:
    options = {"Padding": 0, "StrideW": 1, "StrideH": 1, **options}
    n = w.shape[0] if kind == "CONV_2D" else w.shape[-1]
    bias = Weights([n], None, True)
    return Case(kind, [[1, 6, 7, channels], w, bias], table, options, scale=0.2)


POOL = {"Padding": 0, "StrideW": 2, "StrideH": 2, "FilterWidth": 3, "FilterHeight": 3}
CASES: dict[str, Case] = {
    "conv": conv("CONV_2D", 3, Weights([4, 3, 3, 3]), "Conv2D"),
    "conv relu6": conv(
        "CONV_2D", 3, Weights([4, 3, 3, 3]), "Conv2D", FusedActivationFunction=RELU6
    ),
    "depthwise": conv(
        "DEPTHWISE_CONV_2D",
        4,
        Weights([1, 3, 3, 4]),
        "DepthwiseConv2D",
        DepthMultiplier=1,
        FusedActivationFunction=RELU,
    ),
    "fully connected": Case(
        "FULLY_CONNECTED",
        [[3, 8], Weights([5, 8]), Weights([5], None, True)],
        "FullyConnected",
        scale=0.3,
    ),
    "add": Case("ADD", [[2, 9], [2, 9]], "Add", {"FusedActivationFunction": RELU}),
    "sub": Case("SUB", [[2, 9], [9]], "Sub"),
    "mul": Case("MUL", [[2, 9], [2, 9]], "Mul", {"FusedActivationFunction": RELU_N1}),
    "average pool": Case("AVERAGE_POOL_2D", [[1, 7, 7, 3]], "Pool2D", POOL, keeps=True),
    "max pool": Case("MAX_POOL_2D", [[1, 7, 7, 3]], "Pool2D", POOL, keeps=True),
    "mean": Case("MEAN", [[1, 5, 5, 3], [1, 2]], "Reducer", {"KeepDims": True}, 0.01),
    "logistic": Case("LOGISTIC", [[4, 9]], scale=1 / 256, zero=-128),
    "tanh": Case("TANH", [[4, 9]], scale=1 / 128, zero=0),
    "softmax": Case("SOFTMAX", [[2, 7]], "Softmax", {"Beta": 1.0}, 1 / 256, -128),
    "relu": Case("RELU", [[3, 9]], keeps=True, dtypes=("int8", "uint8")),
    "relu6": Case("RELU6", [[3, 9]], dtypes=("int8", "uint8")),
    "leaky relu": Case("LEAKY_RELU", [[3, 9]], "LeakyRelu", {"Alpha": 0.3}),
    "hard swish": Case("HARD_SWISH", [[3, 9]], dtypes=("int8", "uint8"), steps=2),
    "reshape": Case("RESHAPE", [[2, 6], [3, 4]], "Reshape", keeps=True),
    "concatenation": Case(
        "CONCATENATION", [[2, 3], [2, 4]], "Concatenation", {"Axis": 1}, keeps=True
    ),
    "pad": Case("PAD", [[1, 3, 3, 2], [0, 0, 1, 2, 0, 1, 0, 0]], keeps=True),
    "quantize": Case("QUANTIZE", [[4, 9]], scale=0.0412, version=2),
    "bilinear": Case(
        "RESIZE_BILINEAR",
        [[1, 4, 4, 2], [7, 6]],
        "ResizeBilinear",
        {"HalfPixelCenters": True},
        keeps=True,
        version=3,
        dtypes=("int8", "uint8"),
    ),
    "maximum": Case("MAXIMUM", [[2, 9], [2, 9]], keeps=True),
    "squared difference": Case(
        "SQUARED_DIFFERENCE", [[2, 9], [2, 9]], dtypes=("int8",), scale=0.1
    ),
    "batch matmul": Case(
        "BATCH_MATMUL",
        [[2, 3, 4], [2, 4, 5]],
        "BatchMatMul",
        scale=0.3,
        dtypes=("int8",),
    ),
}
PER_AXIS: dict[str, Case] = {
    "conv": conv("CONV_2D", 3, Weights([4, 3, 3, 3], 0), "Conv2D"),
    "depthwise": conv(
        "DEPTHWISE_CONV_2D",
        4,
        Weights([1, 3, 3, 4], 3),
        "DepthwiseConv2D",
        DepthMultiplier=1,
    ),
}
INPUT_SCALE = 0.025


def weights(operand: Weights, dtype: str) -> tuple[Tensor, Any]:
    n = operand.shape[operand.axis] if operand.axis is not None else 1
    scale = RNG.uniform(0.005, 0.02, n).astype("float32")
    kind = "uint8" if dtype == "uint8" else "int8"
    zero = 120 if kind == "uint8" else 0
    data = integers(operand.shape, kind)
    axis = operand.axis or 0
    return Tensor.of("w", data, scale=scale, zero=zero, axis=axis), scale


def file_of(
    case: Case, dtype: str, shape: Sequence[int] = ()
) -> tuple[bytes, list[Any]]:
    zero = ZEROS[dtype]
    in_scale = INPUT_SCALE if dtype != "int16" else INPUT_SCALE / 128
    tensors: list[Tensor] = []
    feeds: list[Any] = []
    inputs: list[int] = []
    weight_scale: Any = 1.0
    for place, operand in enumerate(case.operands):
        if isinstance(operand, Weights) and operand.is_bias:
            kind = "int64" if dtype == "int16" else "int32"
            high = 4000 if dtype != "int16" else 400000
            data = RNG.integers(-high, high, operand.shape).astype(kind)
            scale = in_scale * weight_scale
            tensors.append(Tensor.of("b", data, scale=np.float32(scale)))
        elif isinstance(operand, Weights):
            tensor, weight_scale = weights(operand, dtype)
            tensors.append(tensor)
        elif place and case.kind in ("MEAN", "RESHAPE", "PAD", "RESIZE_BILINEAR"):
            data = np.array(operand, "int32")
            tensors.append(
                Tensor.of("c", data.reshape(-1, 2) if data.size > 2 else data)
            )
        else:
            inputs.append(place)
            feeds.append(integers(operand, dtype))
            tensors.append(
                Tensor(f"x{place}", operand, dtype, scale=in_scale, zero=zero)
            )
    scale, out_zero = (in_scale, zero) if case.keeps else (case.scale, case.zero)
    if dtype == "int16":
        out_zero = 0
        if not case.keeps:
            scale = 1 / 32768 if case.zero is not None else scale / 64
    elif out_zero is None:
        out_zero = zero
    elif dtype == "uint8" and not case.keeps:
        out_zero += 128
    n = len(tensors)
    tensors.append(Tensor("y", shape, dtype, scale=scale, zero=out_zero))
    op = Op(case.kind, range(n), [n], case.table, case.options, case.version)
    return make_file(Subgraph(tensors, [op], inputs, [n])), feeds


def check(case: Case, dtype: str) -> None:
    global RNG
    results = []
    for shape in ((), None):  # first to learn the result's shape
        RNG = np.random.default_rng(5)
        data, feeds = file_of(case, dtype, results[0].shape if shape is None else ())
        results = run_interpreter(data, *feeds, reference=False)
    y = trimtab.load_model(data, threads=1)(*feeds)
    y_true = results[0]
    assert y.dtype == y_true.dtype
    assert y.shape == y_true.shape
    off = np.abs(y.astype(int) - y_true.astype(int))
    steps = case.steps * (1 if dtype != "int16" else 4)
    assert off.max() <= steps, off
    assert np.ptp(y_true.astype(int)) > 20, "the test says nothing"
    if off.size > 30 and dtype != "int16":
        assert (off > 0).mean() < 0.2


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, d) for name, case in CASES.items() for d in case.dtypes]
)
def test_integers_are_within_a_step_of_the_interpreter(name: str, dtype: str) -> None:
    check(CASES[name], dtype)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("name", PER_AXIS)
def test_scales_per_channel(name: str, dtype: str) -> None:
    check(PER_AXIS[name], dtype)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("name", ["conv relu6", "depthwise", "fully connected"])
def test_products_are_written_over_uint8_and_weights_of_int8(
    name: str, dtype: str
) -> None:
    data, _ = file_of(CASES[name], dtype, ())
    graph = read_model(data).graph
    makers = {node.outputs[0]: node for node in graph.nodes}
    (product,) = (node for node in graph.nodes if node.op_type in ("Conv", "Gemm"))
    x, weights = (makers[i] for i in product.inputs[:2])
    assert [x.op_type, weights.op_type] == ["DequantizeLinear"] * 2
    assert graph.constants[x.inputs[2]].dtype == "uint8"
    assert graph.constants[weights.inputs[0]].dtype == "int8"
    (reader,) = (node for node in graph.nodes if product.outputs[0] in node.inputs)
    assert reader.op_type in ("Clip", "QuantizeLinear")
