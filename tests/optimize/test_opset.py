"""Graphs of older opsets say the same in the words of opset 13."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.optimize.graphs import run_all, run_onnxruntime

from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.layers import find_layers
from trimtab.optimize.opset import raise_opset
from trimtab.optimize.prepare import prepare_graph

X = np.random.default_rng(2).standard_normal((2, 3, 4)).astype(np.float32)


def model(
    op_type: str, opset: int, constants: dict[str, Any] | None = None, **attributes: Any
) -> Model:
    made = {name: Constant.of(v) for name, v in (constants or {}).items()}
    node = Node(op_type, ["x", *made], ["y"], attributes=attributes)
    value = Value("x", "float32", ("a", "b", "c"))
    return Model(Graph("g", [value], [Value("y")], [node], made), {"": opset})


@pytest.mark.parametrize("opset", [9, 11, 12])
@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("Softmax", {}),
        ("Softmax", {"axis": 0}),
        ("Softmax", {"axis": 2}),
        ("Softmax", {"axis": -1}),
        ("Softmax", {"axis": -2}),
        ("LogSoftmax", {"axis": 1}),
        ("Hardmax", {"axis": 1}),
        ("ReduceSum", {"axes": [0, 2]}),
        ("ReduceSum", {"keepdims": 0}),
        ("Unsqueeze", {"axes": [0, 2]}),
        ("Transpose", {"perm": [2, 0, 1]}),
    ],
)
def test_operators_say_the_same(
    op_type: str, opset: int, attributes: dict[str, Any]
) -> None:
    if opset < 11 and any(a < 0 for a in attributes.values() if isinstance(a, int)):
        pytest.skip("opset 9 counts axes from the front")
    old = model(op_type, opset, **attributes)
    want = run_onnxruntime(old, {"x": X})
    made = raise_opset(old)
    assert made.opsets[""] == 13
    got = run_all(made, {"x": X})["y"]
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=1e-6)
    np.testing.assert_allclose(run_onnxruntime(made, {"x": X}), want, atol=1e-6)


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("Clip", {"min": -0.5, "max": 0.25}),
        ("Clip", {"max": 0.25}),
        ("Clip", {}),
        ("Pad", {"pads": [0, 1, 0, 0, 0, 2], "value": 0.5}),
        ("Pad", {"pads": [0, 0, 1, 0, 0, 1], "mode": "reflect"}),
        ("Slice", {"starts": [1, 0], "ends": [3, 2], "axes": [1, 2]}),
        ("Slice", {"starts": [1], "ends": [9]}),
    ],
)
def test_operators_of_opset_9_say_the_same(
    op_type: str, attributes: dict[str, Any]
) -> None:
    old = model(op_type, 9, **attributes)
    want = run_onnxruntime(old, {"x": X})
    got = run_all(raise_opset(old), {"x": X})["y"]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("k", [1, 2])
def test_topk_takes_its_number_as_an_input(k: int) -> None:
    old = model("TopK", 9, k=k, axis=2)
    old.graph.nodes[0].outputs.append("indices")
    want = run_onnxruntime(old, {"x": X})
    np.testing.assert_array_equal(run_all(raise_opset(old), {"x": X})["y"], want)


def test_split_and_squeeze() -> None:
    old = model("Split", 11, split=[1, 2], axis=1)
    old.graph.nodes[0].outputs.append("rest")
    old.graph.nodes.append(Node("Squeeze", ["y"], ["z"], attributes={"axes": [1]}))
    old.graph.outputs[:] = [Value("z")]
    want = run_onnxruntime(old, {"x": X})
    np.testing.assert_array_equal(run_all(raise_opset(old), {"x": X})["z"], want)


@pytest.mark.parametrize(
    "old",
    [
        model("Resize", 10, {"scales": np.ones(3, np.float32)}),
        model("Relu", 6),
        model("If", 12, then_branch=Graph("a"), else_branch=Graph("b")),
        model("Clip", 9, {"half": np.ones(1, np.float16)}),
    ],
    ids=["resize", "old", "body", "half"],
)
def test_what_is_not_understood_stays_and_is_not_quantised(old: Model) -> None:
    opset = old.opsets[""]
    assert raise_opset(old).opsets[""] == opset


def test_layers_of_old_graphs_stay_float() -> None:
    graph = model("MatMul", 10, {"w": np.eye(4, dtype=np.float32)})
    assert find_layers(graph)[0].precisions == ("f32",)
    assert "int8" in find_layers(prepare_graph(graph))[0].precisions
    assert graph.opsets[""] == 10
