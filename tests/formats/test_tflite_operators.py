"""Every operator of TFLite that is converted, against the interpreter's own kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab.formats.tflite.operators import OPERATORS

pytest.importorskip("tflite")
pytest.importorskip("ai_edge_litert")

from .tflite_files import Op, Subgraph, Tensor, make_file, run_interpreter

RNG = np.random.default_rng(7)
SAME, VALID = 0, 1
NEWER = ("CEIL", "ELU")  # without plain kernels
RELU, RELU_N1, RELU6 = 1, 2, 3


def real(*shape: int, low: float = -2.0, high: float = 2.0) -> Any:
    return RNG.uniform(low, high, shape).astype(np.float32)


def whole(*shape: int, low: int = -5, high: int = 6, dtype: str = "int32") -> Any:
    return RNG.integers(low, high, shape).astype(dtype)


def flag(*shape: int) -> Any:
    return RNG.integers(0, 2, shape).astype(bool)


@dataclass
class Const:
    """An operand that is a constant of the file."""

    data: Any


def c(data: Any, dtype: str = "int32") -> Const:
    return Const(np.asarray(data, dtype))


@dataclass
class Case:
    """One operator over operands: arrays are inputs, `Const` is in the file."""

    kind: str
    operands: Sequence[Any]
    table: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    outputs: Sequence[str] = ("float32",)
    version: int = 1
    atol: float = 1e-5
    reference: bool = True  # kernels: plain ones, or those that are used by default


def conv(
    kind: str, x: Any, w: Any, bias: Any, table: str = "Conv2D", **options: Any
) -> Case:
    options = {"Padding": SAME, "StrideW": 1, "StrideH": 1, **options}
    operands = [x, Const(w)] + ([] if bias is None else [Const(bias)])
    return Case(kind, operands, table, options)


def pool(kind: str, **options: Any) -> Case:
    options = {
        "Padding": SAME,
        "StrideW": 2,
        "StrideH": 2,
        "FilterWidth": 3,
        "FilterHeight": 2,
        **options,
    }
    return Case(kind, [real(2, 7, 8, 3)], "Pool2D", options)


def strided(x: Any, begin: Any, end: Any, strides: Any, **masks: Any) -> Case:
    return Case(
        "STRIDED_SLICE", [x, c(begin), c(end), c(strides)], "StridedSlice", masks
    )


def reducer(kind: str, x: Any, axes: Any, keep: bool, out: str = "float32") -> Case:
    return Case(kind, [x, c(axes)], "Reducer", {"KeepDims": keep}, (out,))


CASES: dict[str, Case] = {
    # convolutions
    "conv same": conv("CONV_2D", real(1, 7, 8, 3), real(5, 3, 3, 3), real(5)),
    "conv valid strided relu6": conv(
        "CONV_2D",
        real(2, 9, 8, 3),
        real(4, 3, 2, 3),
        real(4),
        Padding=VALID,
        StrideW=2,
        StrideH=3,
        FusedActivationFunction=RELU6,
    ),
    "conv dilated": conv(
        "CONV_2D",
        real(1, 9, 9, 2),
        real(4, 3, 3, 2),
        real(4),
        DilationWFactor=2,
        DilationHFactor=3,
    ),
    "conv grouped": conv("CONV_2D", real(1, 5, 5, 4), real(6, 3, 3, 2), real(6)),
    "depthwise": conv(
        "DEPTHWISE_CONV_2D",
        real(1, 7, 7, 3),
        real(1, 3, 3, 3),
        real(3),
        "DepthwiseConv2D",
        DepthMultiplier=1,
        StrideW=2,
        StrideH=2,
    ),
    "depthwise multiplied": conv(
        "DEPTHWISE_CONV_2D",
        real(1, 6, 7, 3),
        real(1, 3, 2, 6),
        real(6),
        "DepthwiseConv2D",
        DepthMultiplier=2,
        FusedActivationFunction=RELU,
    ),
    "conv 3d": Case(
        "CONV_3D",
        [real(1, 4, 5, 6, 2), Const(real(2, 3, 2, 2, 3)), Const(real(3))],
        "Conv3D",
        {"Padding": SAME, "StrideD": 1, "StrideW": 2, "StrideH": 1},
    ),
    "fully connected": Case(
        "FULLY_CONNECTED",
        [real(3, 4), Const(real(5, 4)), Const(real(5))],
        "FullyConnected",
        {"FusedActivationFunction": RELU},
    ),
    "fully connected flattens": Case(
        "FULLY_CONNECTED",
        [real(2, 3, 4), Const(real(5, 4)), Const(real(5))],
        "FullyConnected",
    ),
    "fully connected keeps dims": Case(
        "FULLY_CONNECTED",
        [real(2, 3, 4), Const(real(5, 4))],
        "FullyConnected",
        {"KeepNumDims": True},
    ),
    "batch matmul": Case("BATCH_MATMUL", [real(2, 3, 4), real(2, 4, 5)], "BatchMatMul"),
    "batch matmul turned": Case(
        "BATCH_MATMUL",
        [real(2, 4, 3), real(2, 5, 4)],
        "BatchMatMul",
        {"AdjX": True, "AdjY": True},
    ),
    "embedding": Case("EMBEDDING_LOOKUP", [whole(4, low=0), Const(real(6, 3))]),
    # pools
    "average pool": pool("AVERAGE_POOL_2D"),
    "average pool valid": pool("AVERAGE_POOL_2D", Padding=VALID, StrideW=1),
    "max pool relu": pool("MAX_POOL_2D", FusedActivationFunction=RELU),
    "l2 pool": pool("L2_POOL_2D", Padding=VALID),
    # arithmetic
    "add relu -1..1": Case(
        "ADD",
        [real(2, 3), real(2, 3)],
        "Add",
        {"FusedActivationFunction": RELU_N1},
    ),
    "add ints": Case("ADD", [whole(4), whole(4)], "Add", outputs=("int32",)),
    "sub broadcast": Case("SUB", [real(2, 3, 4), real(3, 1)], "Sub"),
    "mul scalar": Case("MUL", [real(2, 3), Const(np.float32(3))], "Mul"),
    "div": Case("DIV", [real(2, 3), real(2, 3, low=1)], "Div"),
    "floor div": Case("FLOOR_DIV", [real(30), real(30, low=0.5)], atol=0),
    "floor div ints": Case(
        "FLOOR_DIV",
        [whole(30, low=-20), whole(30, low=-4, high=-1)],
        outputs=("int32",),
    ),
    "floor mod": Case(
        "FLOOR_MOD", [real(40), np.float32(1 - 2 * flag(40)) * real(40, low=0.5)]
    ),
    "floor mod ints": Case(
        "FLOOR_MOD",
        [whole(30, low=-20), whole(30, low=-4, high=-1)],
        outputs=("int32",),
    ),
    "pow": Case("POW", [real(6, low=0.1), real(6)]),
    "maximum": Case("MAXIMUM", [real(2, 3), real(3)]),
    "minimum": Case("MINIMUM", [real(2, 3), real(3)]),
    "squared difference": Case("SQUARED_DIFFERENCE", [real(2, 3), real(3)]),
    "add n": Case("ADD_N", [real(2, 3), real(2, 3), real(2, 3)]),
    # comparisons and logic
    **{
        kind.lower(): Case(
            kind,
            [whole(20).astype("float32"), whole(20).astype("float32")],
            "",
            outputs=("bool",),
        )
        for kind in (
            "EQUAL",
            "NOT_EQUAL",
            "LESS",
            "LESS_EQUAL",
            "GREATER",
            "GREATER_EQUAL",
        )
    },
    "and": Case("LOGICAL_AND", [flag(9), flag(9)], outputs=("bool",)),
    "or": Case("LOGICAL_OR", [flag(9), flag(9)], outputs=("bool",)),
    "not": Case("LOGICAL_NOT", [flag(9)], outputs=("bool",)),
    "select": Case("SELECT", [flag(2, 3), real(2, 3), real(2, 3)]),
    "select rows": Case("SELECT", [flag(2), real(2, 3), real(2, 3)]),
    "select v2": Case("SELECT_V2", [flag(2, 1), real(2, 3), real(3)]),
    "where": Case("WHERE", [flag(3, 4)], outputs=("int64",)),
    # one operand
    **{
        kind.lower(): Case(kind, [real(3, 5, low=low)], reference=kind not in NEWER)
        for kind, low in {
            "ABS": -2,
            "CEIL": -2,
            "COS": -2,
            "ELU": -2,
            "EXP": -2,
            "FLOOR": -2,
            "HARD_SWISH": -5,
            "LOG": 0.1,
            "LOGISTIC": -2,
            "LOG_SOFTMAX": -2,
            "NEG": -2,
            "RELU": -2,
            "RELU6": -2,
            "RELU_0_TO_1": -2,
            "RELU_N1_TO_1": -2,
            "RSQRT": 0.1,
            "SIN": -2,
            "SQRT": 0.1,
            "SQUARE": -2,
            "TANH": -2,
            "SIGN": -2,
            "L2_NORMALIZATION": -2,
            "ZEROS_LIKE": -2,
        }.items()
    },
    "round": Case(
        "ROUND",
        [np.array([-2.5, -1.5, -0.4, 0.5, 1.5, 2.6], "f4")],
        atol=0,
        reference=False,
    ),
    "gelu": Case("GELU", [real(9)], "Gelu"),
    "gelu tanh": Case("GELU", [real(9)], "Gelu", {"Approximate": True}),
    "leaky relu": Case("LEAKY_RELU", [real(9)], "LeakyRelu", {"Alpha": 0.3}),
    "prelu": Case("PRELU", [real(1, 4, 5, 3), Const(real(1, 1, 3))]),
    "softmax": Case("SOFTMAX", [real(2, 5)], "Softmax", {"Beta": 1.0}),
    "softmax beta": Case("SOFTMAX", [real(2, 5)], "Softmax", {"Beta": 0.5}),
    "fake quant": Case(
        "FAKE_QUANT", [real(50)], "FakeQuant", {"Min": -1.1, "Max": 1.7, "NumBits": 4}
    ),
    "cast": Case("CAST", [real(9)], outputs=("int32",)),
    "cast to bool": Case("CAST", [whole(9, low=-1, high=2)], outputs=("bool",)),
    "local response": Case(
        "LOCAL_RESPONSE_NORMALIZATION",
        [real(2, 3, 3, 7)],
        "LocalResponseNormalization",
        {"Radius": 2, "Bias": 1.0, "Alpha": 0.3, "Beta": 0.75},
        reference=False,  # the plain kernel leaves the last channel of a window out
    ),
    # shapes
    "reshape": Case("RESHAPE", [real(2, 6), c([3, -1])], "Reshape"),
    "reshape by option": Case("RESHAPE", [real(2, 6)], "Reshape", {"NewShape": [4, 3]}),
    "squeeze": Case("SQUEEZE", [real(1, 2, 1, 3)], "Squeeze", {"SqueezeDims": [0]}),
    "squeeze all": Case("SQUEEZE", [real(1, 2, 1, 3)], "Squeeze"),
    "expand dims": Case("EXPAND_DIMS", [real(2, 3), c([-2])]),
    "transpose": Case("TRANSPOSE", [real(2, 3, 4), c([2, 0, 1])]),
    "concatenation": Case(
        "CONCATENATION",
        [real(2, 3), real(2, 1)],
        "Concatenation",
        {"Axis": -1},
    ),
    "split": Case(
        "SPLIT", [c(1), real(2, 6)], "Split", {"NumSplits": 3}, ["float32"] * 3
    ),
    "split v": Case(
        "SPLIT_V",
        [real(2, 6), c([1, -1, 3]), c(1)],
        "SplitV",
        {"NumSplits": 3},
        ["float32"] * 3,
    ),
    "pack": Case(
        "PACK", [real(2, 3), real(2, 3)], "Pack", {"Axis": 1, "ValuesCount": 2}
    ),
    "unpack": Case(
        "UNPACK", [real(2, 3)], "Unpack", {"Axis": 1, "Num": 3}, ["float32"] * 3
    ),
    "slice": Case("SLICE", [real(4, 5), c([1, 0]), c([2, -1])]),
    "slice computed": Case("SLICE", [real(4, 5), np.array([1, 2], "i4"), c([-1, 2])]),
    "gather": Case("GATHER", [real(4, 5), whole(2, 3, low=0, high=4)], "Gather"),
    "gather batched": Case(
        "GATHER",
        [real(2, 4, 3), whole(2, 5, low=0, high=4)],
        "Gather",
        {"Axis": 1, "BatchDims": 1},
    ),
    "gather nd": Case("GATHER_ND", [real(4, 5), whole(3, 2, low=0, high=4)]),
    "scatter nd": Case("SCATTER_ND", [c([[1], [3], [1]]), real(3, 2), c([5, 2])]),
    "tile": Case("TILE", [real(2, 3), c([2, 1])]),
    "pad": Case("PAD", [real(1, 3, 4, 2), c([[0, 0], [1, 2], [0, 1], [0, 0]])]),
    "pad flat": Case("PAD", [real(3, 4), c([[1, 2], [0, 1]])]),
    "pad v2": Case("PADV2", [real(3, 4), c([[1, 2], [0, 1]]), c(2.5, "float32")]),
    "mirror pad": Case(
        "MIRROR_PAD", [real(3, 4), c([[1, 2], [0, 1]])], "MirrorPad", {"Mode": 0}
    ),
    "mirror pad symmetric": Case(
        "MIRROR_PAD", [real(3, 4), c([[1, 3], [0, 2]])], "MirrorPad", {"Mode": 1}
    ),
    "broadcast to": Case("BROADCAST_TO", [real(3, 1), c([2, 3, 4])], version=2),
    "fill": Case("FILL", [c([2, 3]), c(1.5, "float32")]),
    "range": Case("RANGE", [np.int32(2), c(11), c(3)], outputs=("int32",)),
    "shape": Case("SHAPE", [real(2, 3)], "Shape", {"OutType": 2}, ("int32",)),
    "rank": Case("RANK", [real(2, 3)], outputs=("int32",)),
    "one hot": Case(
        "ONE_HOT",
        [np.array([0, 2, -1, 7], "i4"), c(3), c(5, "float32"), c(-1, "float32")],
        "OneHot",
        {"Axis": -1},
    ),
    "one hot first": Case(
        "ONE_HOT",
        [whole(2, 3, low=0, high=4), c(4), c(1, "float32"), c(0, "float32")],
        "OneHot",
        {"Axis": 0},
    ),
    "top k": Case("TOPK_V2", [real(2, 6), c(3)], outputs=("float32", "int32")),
    "reverse": Case("REVERSE_V2", [real(2, 3, 4), c([1])]),
    "reverse sequence": Case(
        "REVERSE_SEQUENCE",
        [real(2, 5, 3), c([2, 4])],
        "ReverseSequence",
        {"SeqDim": 1, "BatchDim": 0},
    ),
    "dynamic update slice": Case(
        "DYNAMIC_UPDATE_SLICE", [real(4, 5), real(2, 3), np.array([3, 1], "i4")]
    ),
    "depth to space": Case(
        "DEPTH_TO_SPACE", [real(1, 2, 3, 12)], "DepthToSpace", {"BlockSize": 2}
    ),
    "space to depth": Case(
        "SPACE_TO_DEPTH", [real(1, 4, 6, 3)], "SpaceToDepth", {"BlockSize": 2}
    ),
    "space to batch": Case(
        "SPACE_TO_BATCH_ND", [real(2, 5, 6, 3), c([3, 2]), c([[1, 0], [0, 2]])]
    ),
    "batch to space": Case(
        "BATCH_TO_SPACE_ND", [real(12, 2, 3, 2), c([3, 2]), c([[1, 2], [0, 1]])]
    ),
    # strided slices
    "strided": strided(real(5, 6), [1, 0], [4, 6], [2, 1]),
    "strided back": strided(real(5, 6), [4, -1], [0, -6], [-2, -1]),
    "strided open": strided(real(5, 6), [3, 2], [1, 3], [1, 2], BeginMask=1, EndMask=2),
    "strided picks": strided(real(5, 6), [-1, 2], [0, 3], [1, 1], ShrinkAxisMask=3),
    "strided picks one": strided(
        real(4, 5, 6), [0, 2, 1], [4, 3, 5], [1, 1, 2], ShrinkAxisMask=2
    ),
    "strided new axis": strided(
        real(5, 6), [0, 1, 0], [1, 4, 6], [1, 1, 1], NewAxisMask=1
    ),
    "strided ellipsis": strided(real(3, 4, 5), [0, 1], [0, 3], [1, 1], EllipsisMask=1),
    "strided ellipsis pick new": strided(
        real(3, 4, 5),
        [1, 0, 0, 2],
        [2, 0, 0, 5],
        [1, 1, 1, 2],
        EllipsisMask=2,
        NewAxisMask=4,
        ShrinkAxisMask=1,
    ),
    # reductions
    "mean": reducer("MEAN", real(2, 3, 4, 5), [1, 2], True),
    "mean negative": reducer("MEAN", real(2, 3, 4), [-1], False),
    "sum": reducer("SUM", real(2, 3, 4), [0, 2], False),
    "reduce max": reducer("REDUCE_MAX", real(2, 3, 4), [1], True),
    "reduce min": reducer("REDUCE_MIN", real(2, 3, 4), [1], False),
    "reduce prod": reducer("REDUCE_PROD", real(2, 3, 4), [2], False),
    "any": reducer("REDUCE_ANY", flag(3, 4), [1], False, "bool"),
    "all": reducer("REDUCE_ALL", flag(3, 2), [1], True, "bool"),
    "arg max": Case(
        "ARG_MAX", [real(3, 5), c([1])], "ArgMax", {"OutputType": 2}, ("int32",)
    ),
    "arg min": Case(
        "ARG_MIN", [real(3, 5), c(-1)], "ArgMin", {"OutputType": 4}, ("int64",)
    ),
    "cumsum": Case(
        "CUMSUM", [real(3, 5), c(1)], "Cumsum", {"Exclusive": True, "Reverse": True}
    ),
    # resizing
    **{
        f"bilinear {size} {align} {half}": Case(
            "RESIZE_BILINEAR",
            [real(1, 4, 5, 2), c(size)],
            "ResizeBilinear",
            {"AlignCorners": align, "HalfPixelCenters": half},
            version=3,
        )
        for size in ([7, 9], [3, 2])
        for align, half in ((False, False), (True, False), (False, True))
    },
    **{
        f"nearest {size} {align} {half}": Case(
            "RESIZE_NEAREST_NEIGHBOR",
            [real(1, 4, 6, 2), c(size)],
            "ResizeNearestNeighbor",
            {"AlignCorners": align, "HalfPixelCenters": half},
            version=3,
        )
        for size in ([7, 9], [3, 2])
        for align, half in ((False, False), (True, False), (False, True))
    },
    **{
        f"transpose conv {'valid' if padding else 'same'} {stride} {kernel}": Case(
            "TRANSPOSE_CONV",
            [
                c([1, size, size, 3]),
                Const(real(3, kernel, kernel, 2)),
                real(1, 4, 4, 2),
                Const(real(3)),
            ],
            "TransposeConv",
            {"Padding": padding, "StrideW": stride, "StrideH": stride},
            version=3,
        )
        for padding, stride, kernel, size in (
            (SAME, 2, 3, 8),
            (SAME, 2, 3, 7),
            (SAME, 3, 2, 12),
            (VALID, 2, 3, 9),
            (VALID, 3, 2, 12),
        )
    },
}


def graph_of(case: Case, shapes: Sequence[Sequence[int]] | None = None) -> Subgraph:
    tensors: list[Tensor] = []
    inputs = []
    for place, operand in enumerate(case.operands):
        if isinstance(operand, Const):
            tensors.append(Tensor.of(f"c{place}", operand.data))
        else:
            operand = np.asarray(operand)
            inputs.append(place)
            tensors.append(Tensor(f"x{place}", operand.shape, operand.dtype.name))
    n = len(tensors)
    for place, dtype in enumerate(case.outputs):
        shape = shapes[place] if shapes else ()
        tensors.append(Tensor(f"y{place}", shape, dtype))
    outputs = list(range(n, n + len(case.outputs)))
    op = Op(case.kind, range(n), outputs, case.table, case.options, case.version)
    return Subgraph(tensors, [op], inputs, outputs)


def file_of(case: Case, shapes: Sequence[Sequence[int]] | None = None) -> bytes:
    return make_file(graph_of(case, shapes))


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_the_interpreter_computes(name: str) -> None:
    case = CASES[name]
    feeds = [x for x in case.operands if not isinstance(x, Const)]
    expected = run_interpreter(file_of(case), *feeds, reference=case.reference)
    data = file_of(case, [result.shape for result in expected])
    model = trimtab.load_model(data, threads=1)
    found = model(*feeds)
    for y, y_true in zip(
        found if isinstance(found, tuple) else [found], expected, strict=True
    ):
        assert y.dtype == y_true.dtype
        assert y.shape == y_true.shape
        np.testing.assert_allclose(y, y_true, rtol=1e-5, atol=case.atol)


ELSEWHERE = {
    "test_tflite_states.py": "ASSIGN_VARIABLE CALL_ONCE READ_VARIABLE VAR_HANDLE LSTM "
    "RNN SVDF UNIDIRECTIONAL_SEQUENCE_LSTM UNIDIRECTIONAL_SEQUENCE_RNN "
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "test_tflite.py": "CALL DENSIFY DEQUANTIZE IF QUANTIZE WHILE "
    "TFLite_Detection_PostProcess",
}


def test_every_operator_is_tested() -> None:
    tested = {case.kind for case in CASES.values()}
    tested.update(" ".join(ELSEWHERE.values()).split())
    assert sorted(OPERATORS) == sorted(tested)
