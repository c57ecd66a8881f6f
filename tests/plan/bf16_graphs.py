"""Graphs with bfloat16 values, and what they must give.

Each case is written in float32 and run twice: by onnxruntime on inputs and constants
that are rounded to bfloat16, and by trimtab with every float in bfloat16 (`narrow`) or
with the layers in bfloat16 (`to_bf16`). What is between is rounding of results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import ml_dtypes
import numpy as np
import onnx
import onnx.helper as oh
from onnx import TensorProto, numpy_helper

import trimtab
from trimtab import _core
from trimtab.optimize.bf16 import to_bf16

from .graphs import model, node

Array = np.ndarray
Built = tuple[bytes, dict[str, Array]]

#: A result has 8 bits, and an error of one rounding in a chain of some nodes may meet
#: others of its kind: parts of the output's range.
TOLERANCE = 3e-2

PASSES = list(_core.PASSES)
SETTINGS = {
    "all": PASSES,
    "none": [],
    **{f"without_{name}": [p for p in PASSES if p != name] for name in PASSES},
    "only_bf16": ["bf16"],
    "bf16_and_fuse": ["bf16", "fuse", "simplify"],
}


def floats(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


def rounded(array: Array) -> Array:
    """The nearest values that bfloat16 has."""
    if array.dtype != np.float32:
        return array
    return array.astype(ml_dtypes.bfloat16).astype(np.float32)


def conv_block(rng: np.random.Generator) -> Built:
    """Convolutions with everything that fuses: bias, activation, pad, residual sum."""
    return model(
        [
            node("Pad", "x pads", "p"),
            node("Conv", "p w b", "c", kernel_shape=[3, 3]),
            node("Relu", "c", "r"),
            node("MaxPool", "r", "m", kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", "m w2", "d"),
            node("Clip", "d low high", "e"),
            node("Add", "e m", "s"),
            node("Conv", "s w3 b3", "y", group=16, pads=[1, 1, 1, 1]),
        ],
        {"x": floats(rng, 2, 3, 12, 12)},
        ["y"],
        {
            "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
            "w": floats(rng, 16, 3, 3, 3) / 5,
            "b": floats(rng, 16),
            "w2": floats(rng, 16, 16, 1, 1) / 4,
            "low": np.float32(0),
            "high": np.float32(6),
            "w3": floats(rng, 16, 1, 3, 3) / 3,
            "b3": floats(rng, 16),
        },
    )


def batch_norm(rng: np.random.Generator) -> Built:
    return model(
        [
            node("Conv", "x w", "c", strides=[2, 2]),
            node("BatchNormalization", "c g b m v", "n"),
            node("HardSwish", "n", "h"),
            node("GlobalAveragePool", "h", "a"),
            node("Conv", "a w2 b2", "q"),
            node("Sigmoid", "q", "z"),
            node("Mul", "h z", "s"),
            node("Conv", "s w3", "y"),
        ],
        {"x": floats(rng, 1, 4, 9, 9)},
        ["y"],
        {
            "w": floats(rng, 8, 4, 3, 3) / 6,
            "g": 1 + floats(rng, 8) / 4,
            "b": floats(rng, 8),
            "m": floats(rng, 8) / 2,
            "v": np.abs(floats(rng, 8)) + 0.5,
            "w2": floats(rng, 8, 8, 1, 1) / 3,
            "b2": floats(rng, 8),
            "w3": floats(rng, 5, 8, 1, 1) / 3,
        },
    )


def transposed(rng: np.random.Generator) -> Built:
    return model(
        [
            node("ConvTranspose", "x w b", "c", strides=[2, 2]),
            node("LeakyRelu", "c", "r", alpha=0.1),
            node("Concat", "r r", "k", axis=1),
            node("AveragePool", "k", "a", kernel_shape=[2, 2]),
            oh.make_node("Resize", ["a", "", "scales"], ["z"], "n_z", mode="linear"),
            node("Slice", "z from to axes", "s"),
            node("Conv", "s w2", "y"),
        ],
        {"x": floats(rng, 1, 6, 5, 7)},
        ["y"],
        {
            "w": floats(rng, 6, 4, 2, 2) / 4,
            "b": floats(rng, 4),
            "scales": np.array([1, 1, 2, 2], np.float32),
            "from": np.array([1, 2], np.int64),
            "to": np.array([9, 11], np.int64),
            "axes": np.array([2, 3], np.int64),
            "w2": floats(rng, 3, 8, 1, 1) / 3,
        },
    )


def transformer(rng: np.random.Generator) -> Built:
    """Attention and a feed-forward layer, as exporters write them."""
    size, heads = 32, 4
    perm = {"perm": [0, 2, 1, 3]}
    nodes, constants = [], {}
    for name in "qkv":
        constants[f"w{name}"] = floats(rng, size, size) / 6
        constants[f"b{name}"] = floats(rng, size) / 4
        nodes += [
            node("MatMul", f"x w{name}", f"{name}0"),
            node("Add", f"{name}0 b{name}", f"{name}1"),
            node("Reshape", f"{name}1 split", f"{name}2"),
        ]
    nodes += [
        node("Transpose", "q2", "q", **perm),
        node("Transpose", "k2", "k", perm=[0, 2, 3, 1]),
        node("Transpose", "v2", "v", **perm),
        node("MatMul", "q k", "s0"),
        node("Div", "s0 root", "s1"),
        node("Softmax", "s1", "p", axis=-1),
        node("MatMul", "p v", "h0"),
        node("Transpose", "h0", "h1", **perm),
        node("Reshape", "h1 join", "h2"),
        node("MatMul", "h2 wo", "o0"),
        node("Add", "o0 bo", "o1"),
        node("Add", "o1 x", "o2"),
        node("LayerNormalization", "o2 g b", "n"),
        node("MatMul", "n w1", "f0"),
        node("Add", "f0 b1", "f1"),
        node("Div", "f1 two", "e0"),
        node("Erf", "e0", "e1"),
        node("Add", "e1 one", "e2"),
        node("Mul", "f1 e2", "e3"),
        node("Mul", "e3 half", "e4"),
        node("MatMul", "e4 w2", "y0"),
        node("Add", "y0 n", "y"),
    ]
    constants |= {
        "split": np.array([0, 0, heads, size // heads], np.int64),
        "join": np.array([0, 0, size], np.int64),
        "root": np.float32(np.sqrt(size // heads)),
        "wo": floats(rng, size, size) / 6,
        "bo": floats(rng, size) / 4,
        "g": 1 + floats(rng, size) / 8,
        "b": floats(rng, size) / 8,
        "w1": floats(rng, size, 2 * size) / 6,
        "b1": floats(rng, 2 * size) / 4,
        "two": np.float32(np.sqrt(2)),
        "one": np.float32(1),
        "half": np.float32(0.5),
        "w2": floats(rng, 2 * size, size) / 8,
    }
    return model(nodes, {"x": floats(rng, 2, 9, size)}, ["y"], constants)


def dense(rng: np.random.Generator) -> Built:
    """Gemm in all its forms, rows alone, and what reads a result twice."""
    return model(
        [
            node("Gemm", "x w b", "a", transB=1),
            node("Tanh", "a", "t"),
            node("Gemm", "t w2 c", "d", alpha=0.5, beta=2.0),
            node("Gemm", "t w2", "e"),
            node("Add", "d e", "f"),
            node("ReduceMean", "f axes", "r"),
            node("Sub", "f r", "y"),
            node("LogSoftmax", "f", "z", axis=1),
        ],
        {"x": floats(rng, 3, 20)},
        ["y", "z"],
        {
            "w": floats(rng, 24, 20) / 4,
            "b": floats(rng, 24),
            "w2": floats(rng, 24, 10) / 4,
            "c": floats(rng, 1, 10),
            "axes": np.array([1], np.int64),
        },
    )


def wide_norm(rng: np.random.Generator) -> Built:
    """Rows longer than what a normalisation keeps on its stack, read once and twice."""
    return model(
        [
            node("LayerNormalization", "x g b", "n"),
            node("MatMul", "n w", "a"),
            node("LayerNormalization", "a g2", "m"),
            node("MatMul", "m w2", "c"),
            node("Add", "c m", "y"),
        ],
        {"x": floats(rng, 3, 4100)},
        ["y"],
        {
            "g": 1 + floats(rng, 4100) / 8,
            "b": floats(rng, 4100) / 8,
            "w": floats(rng, 4100, 16) / 64,
            "g2": 1 + floats(rng, 16) / 8,
            "w2": floats(rng, 16, 16) / 4,
        },
    )


def empty(rng: np.random.Generator) -> Built:
    """Sums over nothing, and nothing summed."""
    return model(
        [
            node("MatMul", "x w", "a"),
            node("Add", "a b", "y"),
            node("Slice", "y zero zero", "n"),
            node("Gemm", "n w2 b2", "z"),
        ],
        {"x": np.zeros((3, 0), np.float32)},
        ["y", "z"],
        {
            "w": np.zeros((0, 4), np.float32),
            "b": floats(rng, 4),
            "zero": np.array([0], np.int64),
            "w2": floats(rng, 4, 2),
            "b2": floats(rng, 2),
        },
    )


CASES: dict[str, Callable[[np.random.Generator], Built]] = {
    "conv_block": conv_block,
    "batch_norm": batch_norm,
    "transposed": transposed,
    "transformer": transformer,
    "dense": dense,
    "wide_norm": wide_norm,
    "empty": empty,
}


#: One operator each: (op, attributes, other inputs); the first input is [2, 8, 6, 6].
OPERATORS: dict[str, tuple[str, dict, list[Array]]] = {
    **{
        op.lower(): (op, {}, [])
        for op in (
            *("Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu"),
            *("GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish"),
            *("Mish", "Neg", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin"),
            *("Softplus", "Softsign", "Tanh"),
        )
    },
    "softmax": ("Softmax", {"axis": -1}, []),
    "softmax_channels": ("Softmax", {"axis": 1}, []),
    "log_softmax": ("LogSoftmax", {"axis": 2}, []),
    "hardmax": ("Hardmax", {"axis": 3}, []),
    "layer_norm": (
        "LayerNormalization",
        {"axis": -2},
        [np.linspace(0.5, 2, 36, dtype="f4").reshape(6, 6), np.eye(6, dtype="f4")],
    ),
    "instance_norm": (
        "InstanceNormalization",
        {},
        [np.linspace(0.5, 2, 8, dtype="f4"), np.linspace(-1, 1, 8, dtype="f4")],
    ),
    "max_pool": ("MaxPool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, []),
    "average_pool": ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2]}, []),
    "reduce_sum": ("ReduceSum", {}, [np.array([1, 3], np.int64)]),
    "reduce_mean": ("ReduceMean", {"keepdims": 0}, [np.array([2, 3], np.int64)]),
    "reduce_max": ("ReduceMax", {}, [np.array([1], np.int64)]),
    "reduce_l2": ("ReduceL2", {}, [np.array([3], np.int64)]),
    "cumsum": ("CumSum", {}, [np.array(2, np.int64)]),
    "transpose": ("Transpose", {"perm": [0, 2, 3, 1]}, []),
    "reshape": ("Reshape", {}, [np.array([4, -1], np.int64)]),
    "pad_edge": ("Pad", {"mode": "edge"}, [np.array([0, 0, 1, 2] * 2, np.int64)]),
    "pad_one": ("Pad", {}, [np.array([0, 1] * 4, np.int64), np.float32(1)]),
    "pad_none": ("Pad", {}, [np.array([0, 0, -1, 1] * 2, np.int64)]),
    "slice": (
        "Slice",
        {},
        [np.array([x], np.int64) for x in (5, -7, 1, -2)],
    ),
    "tile": ("Tile", {}, [np.array([1, 2, 1, 3], np.int64)]),
    "expand": ("Expand", {}, [np.array([3, 1, 1, 1, 1], np.int64)]),
    "gather": ("Gather", {"axis": 1}, [np.array([7, 0, -2], np.int64)]),
    "depth_to_space": ("DepthToSpace", {"blocksize": 2}, []),
    "add": ("Add", {}, [np.linspace(-1, 1, 6, dtype="f4")]),
    "mul": ("Mul", {}, [np.linspace(-2, 1, 8, dtype="f4").reshape(8, 1, 1)]),
    "div": ("Div", {}, [np.float32(3)]),
    "pow": ("Pow", {}, [np.float32(2)]),
    "max": ("Max", {}, [np.float32(0.25), np.linspace(-1, 1, 6, dtype="f4")]),
    "prelu": ("PRelu", {}, [np.linspace(0, 1, 8, dtype="f4").reshape(8, 1, 1)]),
    "matmul": ("MatMul", {}, [np.linspace(-1, 1, 30, dtype="f4").reshape(6, 5)]),
    "conv_1": ("Conv", {}, [np.linspace(-1, 1, 24, dtype="f4").reshape(3, 8, 1, 1)]),
    "conv_groups": (
        "Conv",
        {"group": 2, "dilations": [2, 2]},
        [np.linspace(-1, 1, 144, dtype="f4").reshape(4, 4, 3, 3)],
    ),
    "deconv": (
        "ConvTranspose",
        {"strides": [2, 1], "group": 4},
        [np.linspace(-1, 1, 96, dtype="f4").reshape(8, 2, 3, 2)],
    ),
}


def build_operator(name: str) -> Built:
    """A model of one operator; constants and input are values of bfloat16."""
    op, attributes, others = OPERATORS[name]
    names = [f"c{i}" for i in range(len(others))]
    made = oh.make_node(op, ["x", *names], ["y"], "node", **attributes)
    x = rounded(floats(np.random.default_rng(3), 2, 8, 6, 6))
    constants = {n: rounded(c) for n, c in zip(names, others, strict=True)}
    return model([made], {"x": x}, ["y"], constants, opset=22)


def check_operators() -> None:
    """The result is the true one, rounded: within a step of bfloat16."""
    for name in OPERATORS:
        content, inputs = build_operator(name)
        (wanted,) = truth(content, inputs).values()
        for passes in (PASSES, []):
            loaded = trimtab.load_model(narrow(content), fallback=False, passes=passes)
            (got,) = loaded.run(inputs).values()
            assert got.shape == wanted.shape, name
            step = np.abs(wanted) / 128 + 1e-3 * np.abs(wanted).max()
            worst = float((np.abs(got - wanted) / (step + 1e-30)).max())
            assert worst <= 1, (name, len(passes), worst)


def build(name: str, opset: int = 22) -> Built:
    content, inputs = CASES[name](np.random.default_rng(len(name)))
    proto = onnx.load_from_string(content)
    proto.opset_import[0].version = opset
    for tensor in proto.graph.initializer:
        array = rounded(numpy_helper.to_array(tensor))
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return proto.SerializeToString(), {k: rounded(x) for k, x in inputs.items()}


def narrow(content: bytes) -> bytes:
    """Every float of the model in bfloat16, but for what it takes and gives."""
    proto = onnx.load_from_string(content)
    graph = proto.graph
    real = {v.name for v in graph.input}
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or tensor.name == "scales":
            continue
        array = numpy_helper.to_array(tensor).astype(ml_dtypes.bfloat16)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    outputs = {v.name for v in graph.output}
    casts = []
    for item in graph.node:
        item.input[:] = [f"{x}_in" if x in real else x for x in item.input]
        item.input[:] = [f"{x}_out" if x in outputs else x for x in item.input]
        item.output[:] = [f"{x}_out" if x in outputs else x for x in item.output]
    for name in real:
        casts.append(
            oh.make_node("Cast", [name], [f"{name}_in"], to=TensorProto.BFLOAT16)
        )
    body = [*casts, *graph.node]
    for name in outputs:
        body.append(oh.make_node("Cast", [f"{name}_out"], [name], to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(body)
    return proto.SerializeToString()


def truth(content: bytes, inputs: dict[str, Array]) -> dict[str, Array]:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def largest_error(expected: dict[str, Array], got: dict[str, Array]) -> float:
    worst = 0.0
    for name, wanted in expected.items():
        assert got[name].shape == wanted.shape
        assert got[name].dtype == wanted.dtype
        assert np.isfinite(got[name]).all()
        if wanted.size:
            scale = np.abs(wanted).max() + 1e-30
            worst = max(worst, float(np.abs(got[name] - wanted).max() / scale))
    return worst


def check(name: str, settings: Iterable[str]) -> None:
    """Both forms of a case agree with the truth under these settings of passes."""
    content, inputs = build(name)
    expected = truth(build(name, opset=18)[0], inputs)
    for setting in settings:
        passes = SETTINGS[setting]
        whole = trimtab.load_model(narrow(content), fallback=False, passes=passes)
        plain = trimtab.load_model(content, fallback=False, passes=passes)
        layers = plain.rewritten(to_bf16)
        for kind, loaded in (("whole", whole), ("layers", layers)):
            for _ in range(2):  # the second run reuses a context
                error = largest_error(expected, loaded.run(inputs))
                assert error <= TOLERANCE, (name, setting, kind, error)


def check_all() -> None:
    """Everything with the environment of this process."""
    for name in CASES:
        check(name, SETTINGS)
    check_operators()
