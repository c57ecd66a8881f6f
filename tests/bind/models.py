"""Small ONNX models that the tests of the binding run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dims = Sequence["int | str | None"]


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Dims | None]],
    outputs: Sequence[str],
    constants: dict[str, np.ndarray] | None = None,
    opset: int = 17,
) -> bytes:
    """A serialized model; the types of its outputs are left to the engine."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [
            helper.make_tensor_value_info(name, code, dims)
            for name, code, dims in inputs
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(a, name) for name, a in (constants or {}).items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    )
    return model.SerializeToString()


def doubled(dtype: int = TensorProto.FLOAT, rank: int = 2) -> bytes:
    """y = x + x for inputs of this rank: exact in every dtype."""
    node = helper.make_node("Add", ["x", "x"], ["y"], name="double")
    return build([node], [("x", dtype, [f"d{i}" for i in range(rank)])], ["y"])


def subtract() -> bytes:
    """y = a - b: tells its inputs apart."""
    node = helper.make_node("Sub", ["a", "b"], ["y"], name="subtract")
    dims = ("N", "M")
    return build(
        [node], [("a", TensorProto.FLOAT, dims), ("b", TensorProto.FLOAT, dims)], ["y"]
    )


def two_outputs() -> bytes:
    """s = a + b, d = a - b."""
    dims = ("N", "M")
    return build(
        [
            helper.make_node("Add", ["a", "b"], ["s"], name="sum"),
            helper.make_node("Sub", ["a", "b"], ["d"], name="difference"),
        ],
        [("a", TensorProto.FLOAT, dims), ("b", TensorProto.FLOAT, dims)],
        ["s", "d"],
    )


def many_inputs(n: int) -> bytes:
    """y = x0 + x1 + ..., more inputs than fit on the stack."""
    names = [f"x{i}" for i in range(n)]
    node = helper.make_node("Sum", names, ["y"], name="sum")
    return build([node], [(name, TensorProto.FLOAT, ("N",)) for name in names], ["y"])


def mlp(n_layers: int = 3, width: int = 64, seed: int = 0) -> bytes:
    """MatMul, Add, Relu repeated: something with weights that takes some time."""
    rng = np.random.default_rng(seed)
    nodes, constants, name = [], {}, "x"
    for i in range(n_layers):
        constants[f"w{i}"] = (
            rng.standard_normal((width, width)).astype(np.float32) / width**0.5
        )
        constants[f"b{i}"] = rng.standard_normal(width).astype(np.float32)
        nodes += [
            helper.make_node("MatMul", [name, f"w{i}"], [f"m{i}"], name=f"matmul{i}"),
            helper.make_node("Add", [f"m{i}", f"b{i}"], [f"a{i}"], name=f"add{i}"),
            helper.make_node("Relu", [f"a{i}"], [f"h{i}"], name=f"relu{i}"),
        ]
        name = f"h{i}"
    return build(nodes, [("x", TensorProto.FLOAT, ("N", width))], [name], constants)


def mlp_reference(x: np.ndarray, n_layers: int = 3, width: int = 64, seed: int = 0):
    """What `mlp` computes, in float64."""
    rng = np.random.default_rng(seed)
    h = x.astype(np.float64)
    for _ in range(n_layers):
        w = rng.standard_normal((width, width)).astype(np.float32) / width**0.5
        b = rng.standard_normal(width).astype(np.float32)
        h = np.maximum(h @ w.astype(np.float32) + b, 0)
    return h


def non_zero() -> bytes:
    """y = positions of non-zeros: the shape of the output depends on the data."""
    node = helper.make_node("NonZero", ["x"], ["y"], name="non_zero")
    return build([node], [("x", TensorProto.FLOAT, ("N",))], ["y"])


def build_any_rank() -> bytes:
    """y = -x for inputs of any rank."""
    node = helper.make_node("Neg", ["x"], ["y"], name="negate")
    return build([node], [("x", TensorProto.FLOAT, None)], ["y"])


def is_greater() -> bytes:
    """y = a > b."""
    node = helper.make_node("Greater", ["a", "b"], ["y"], name="greater")
    vector = (TensorProto.FLOAT, ("N",))
    return build([node], [("a", *vector), ("b", *vector)], ["y"])


def unknown_operator() -> bytes:
    """y = Mystery(x) of a domain that nobody serves."""
    node = helper.make_node("Mystery", ["x"], ["y"], name="mystery", domain="example")
    graph = helper.make_graph(
        [node],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", "M"))],
        [helper.make_empty_tensor_value_info("y")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("example", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return model.SerializeToString()
