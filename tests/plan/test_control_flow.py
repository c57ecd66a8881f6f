"""If, Loop and shapes that depend on data, against onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx.helper as oh
import pytest
from onnx import TensorProto

import trimtab

from .graphs import model, node, normal, scalar
from .test_passes import reference

FLOAT = TensorProto.FLOAT


def empty_value(name: str):
    return oh.make_empty_tensor_value_info(name)


def branch(name: str, nodes: list, output: str):
    return oh.make_graph(nodes, name, [], [empty_value(output)])


def if_model(condition_shape: tuple[int, ...] = ()) -> tuple[bytes, dict]:
    """``y = cond ? relu(x) + k : x[:, :2]`` with captures of the outer graph."""
    then = branch("then", [node("Relu", "x", "r"), node("Add", "r k", "t")], "t")
    otherwise = branch("else", [node("Slice", "x starts ends axes", "e")], "e")
    constants = {
        "k": scalar(2.5),
        "starts": np.array([0]),
        "ends": np.array([2]),
        "axes": np.array([1]),
    }
    nodes = [
        oh.make_node("If", ["cond"], ["b"], then_branch=then, else_branch=otherwise),
        node("Neg", "b", "y"),
    ]
    x = normal(np.random.default_rng(0), 3, 4)
    inputs = {"cond": np.ones(condition_shape, bool), "x": x}
    return model(nodes, inputs, ["y"], constants, symbols=False)


@pytest.mark.parametrize("condition", [True, False])
def test_if_takes_the_branch_of_the_condition(condition: bool) -> None:
    content, inputs = if_model()
    m = trimtab.load_model(content, fallback=False)
    inputs["cond"] = np.array(condition)
    expected = reference(content, inputs)["y"]
    np.testing.assert_allclose(m.run(inputs)["y"], expected, rtol=1e-6)


def test_if_changes_sides_between_calls() -> None:
    content, inputs = if_model()
    m = trimtab.load_model(content, fallback=False)
    for condition in (True, False, True, True, False):
        inputs["cond"] = np.array(condition)
        expected = reference(content, inputs)["y"]
        np.testing.assert_allclose(m.run(inputs)["y"], expected, rtol=1e-6)


def test_condition_computed_from_data_cuts_the_plan() -> None:
    then = branch("then", [node("Exp", "h", "t")], "t")
    otherwise = branch("else", [node("Neg", "h", "e")], "e")
    nodes = [
        node("Relu", "x", "h"),
        node("ReduceSum", "h", "s", keepdims=0),
        node("Greater", "s limit", "cond"),
        oh.make_node("If", ["cond"], ["b"], then_branch=then, else_branch=otherwise),
        node("Add", "b h", "y"),
    ]
    x = normal(np.random.default_rng(1), 2, 3)
    content, _inputs = model(nodes, {"x": x}, ["y"], {"limit": scalar(1)})
    m = trimtab.load_model(content, fallback=False)
    for factor in (0.01, 10.0, 0.01):
        feeds = {"x": x * np.float32(factor)}
        expected = reference(content, feeds)["y"]
        np.testing.assert_allclose(m.run(feeds)["y"], expected, rtol=1e-5)


def loop_model(*, with_scan: bool = True) -> tuple[bytes, dict]:
    """``for i < trips and sum < 20: h = h * c + x; out[i] = h``."""
    body = oh.make_graph(
        [
            node("Mul", "h_in c", "scaled"),
            node("Add", "scaled x", "h_out"),
            node("ReduceSum", "h_out", "total", keepdims=0),
            node("Less", "total limit", "cond_out"),
            node("Identity", "h_out", "scan"),
        ],
        "body",
        [
            oh.make_tensor_value_info("i", TensorProto.INT64, []),
            oh.make_tensor_value_info("cond_in", TensorProto.BOOL, []),
            oh.make_tensor_value_info("h_in", FLOAT, None),
        ],
        [
            oh.make_tensor_value_info("cond_out", TensorProto.BOOL, []),
            oh.make_tensor_value_info("h_out", FLOAT, None),
            oh.make_tensor_value_info("scan", FLOAT, None),
        ],
    )
    nodes = [
        oh.make_node("Loop", ["trips", "", "h0"], ["h", "all"], body=body, name="loop"),
        node("Neg", "h", "y"),
    ]
    rng = np.random.default_rng(2)
    inputs = {
        "trips": np.array(5),
        "h0": normal(rng, 2, 3),
        "x": np.abs(normal(rng, 2, 3)),
    }
    constants = {"c": scalar(1.1), "limit": scalar(20)}
    return model(nodes, inputs, ["y", "all"], constants, symbols=False)


@pytest.mark.parametrize("trips", [1, 3, 50])
def test_loop_carries_states_and_stacks_scans(trips: int) -> None:
    content, inputs = loop_model()
    inputs["trips"] = np.array(trips)
    expected = reference(content, inputs)
    outputs = trimtab.load_model(content, fallback=False).run(inputs)
    for name, wanted in expected.items():
        assert outputs[name].shape == wanted.shape
        np.testing.assert_allclose(outputs[name], wanted, rtol=1e-5)


def test_reshape_to_a_computed_shape_is_served() -> None:
    nodes = [
        node("ReduceMax", "k", "top", keepdims=1),
        node("Concat", "top minus", "shape", axis=0),
        node("Reshape", "x shape", "r"),
        node("Softmax", "r", "y", axis=-1),
    ]
    x = normal(np.random.default_rng(3), 4, 6)
    inputs = {"k": np.array([1, 3, 2]), "x": x}
    content, inputs = model(nodes, inputs, ["y"], {"minus": np.array([-1])})
    m = trimtab.load_model(content, fallback=False)
    for top in (3, 4, 2, 3):
        feeds = {"k": np.array([1, top, 1]), "x": x}
        expected = reference(content, feeds)["y"]
        np.testing.assert_allclose(m.run(feeds)["y"], expected, rtol=1e-5)


def test_scalar_input_that_decides_a_shape_becomes_part_of_the_plan() -> None:
    nodes = [node("Range", "zero n one", "r"), node("Cast", "r", "y", to=FLOAT)]
    constants = {"zero": np.array(0), "one": np.array(1)}
    content, _ = model(nodes, {"n": np.array(4)}, ["y"], constants)
    m = trimtab.load_model(content, fallback=False)
    for n in (4, 7, 0, 4):
        out = m.run({"n": np.array(n)})["y"]
        np.testing.assert_array_equal(out, np.arange(n, dtype=np.float32))


def test_nested_if_inside_if_reads_captures_of_all_levels() -> None:
    inner_then = branch("a", [node("Add", "x k", "at")], "at")
    inner_else = branch("b", [node("Sub", "x k", "be")], "be")
    inner = oh.make_node(
        "If", ["c2"], ["in"], then_branch=inner_then, else_branch=inner_else
    )
    then = oh.make_graph([inner], "outer", [], [empty_value("in")])
    otherwise = branch("c", [node("Neg", "x", "ne")], "ne")
    nodes = [oh.make_node("If", ["c1"], ["y"], then_branch=then, else_branch=otherwise)]
    x = normal(np.random.default_rng(5), 2, 2)
    inputs = {"c1": np.array(True), "c2": np.array(True), "x": x}
    content, inputs = model(nodes, inputs, ["y"], {"k": scalar(3)}, symbols=False)
    m = trimtab.load_model(content, fallback=False)
    for c1 in (True, False):
        for c2 in (True, False):
            feeds = inputs | {"c1": np.array(c1), "c2": np.array(c2)}
            expected = reference(content, feeds)["y"]
            np.testing.assert_allclose(m.run(feeds)["y"], expected, rtol=1e-6)
