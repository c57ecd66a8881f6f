"""Sequences whose tensors are known when a plan is made: they leave no trace in it."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import trimtab

F32, I64 = TensorProto.FLOAT, TensorProto.INT64


def tensor(name, dtype=F32, shape=None):
    return helper.make_tensor_value_info(name, dtype, shape)


def sequence(name):
    return helper.make_tensor_sequence_value_info(name, F32, None)


def number(name, value):
    return helper.make_tensor(name, I64, [], [value])


def load(nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    return trimtab.load_model(model.SerializeToString(), fallback=False)


def is_static(model, *inputs):
    """Only what is static can be bound."""
    try:
        model.bind(inputs)
    except trimtab.InputError:
        return False
    return not re.search(r'"op[^"]*": "[^"]*Sequence', model.dump(inputs))


def test_unbinding_is_taking_views():
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["s"], axis=1, keepdims=0),
        helper.make_node("SequenceAt", ["s", "first"], ["a"]),
        helper.make_node("SequenceAt", ["s", "last"], ["b"]),
        helper.make_node("SequenceLength", ["s"], ["n"]),
        helper.make_node("Sub", ["a", "b"], ["y"]),
    ]
    model = load(
        nodes,
        [tensor("x", shape=["N", "T", 2])],
        [tensor("y"), tensor("n", I64)],
        [number("first", 0), number("last", -1)],
    )
    for t in (1, 3, 4):  # each has a plan of its own
        x = np.random.default_rng(t).standard_normal((2, t, 2)).astype(np.float32)
        y, n = model(x)
        np.testing.assert_array_equal(y, x[:, 0] - x[:, -1])
        assert n == t
        assert is_static(model, x)


@given(
    st.lists(
        st.tuples(st.sampled_from(["insert", "erase", "copy"]), st.integers(-20, 20)),
        max_size=10,
    ),
    st.integers(0, 1),
    st.sampled_from([0, 1, -1]),
)
@settings(max_examples=60, deadline=None)
def test_edits_at_known_places_cost_nothing(steps, new_axis, axis):
    """The same edits on a sequence that nobody knows give the same."""
    rng = np.random.default_rng(len(steps))
    x = rng.standard_normal((5, 3)).astype(np.float32)
    z = rng.standard_normal((1, 3)).astype(np.float32)
    nodes, constants, want = [], [], [x[i : i + 1] for i in range(5)]
    name = "s"
    for i, (kind, at) in enumerate(steps):
        inputs, op = [name], "Identity"
        if kind == "erase" and len(want) > 1:
            at = at % (2 * len(want)) - len(want)
            del want[at]
            inputs, op = [name, f"at{i}"], "SequenceErase"
        elif kind == "insert":
            at = at % (2 * len(want) + 1) - len(want)
            want.insert(at, z)
            inputs, op = [name, "z", f"at{i}"], "SequenceInsert"
        constants.append(number(f"at{i}", at))
        nodes.append(helper.make_node(op, inputs, [f"s{i}"]))
        name = f"s{i}"
    nodes.append(
        helper.make_node(
            "ConcatFromSequence", [name], ["y"], axis=axis, new_axis=new_axis
        )
    )
    expected = np.stack(want, axis) if new_axis else np.concatenate(want, axis)
    split = helper.make_node("SplitToSequence", ["x"], ["s"])
    model = load([split, *nodes], [tensor("x"), tensor("z")], [tensor("y")], constants)
    np.testing.assert_array_equal(model(x, z), expected)
    assert is_static(model, x, z)
    model = load(nodes, [sequence("s"), tensor("z")], [tensor("y")], constants)
    np.testing.assert_array_equal(model([x[i : i + 1] for i in range(5)], z), expected)


def test_a_known_sequence_goes_past_a_cut():
    """NonZero cuts the plan between the making and the use of the sequence."""
    nodes = [
        helper.make_node("Neg", ["x"], ["minus"]),
        helper.make_node("SequenceConstruct", ["x", "minus"], ["s"]),
        helper.make_node("NonZero", ["x"], ["at"]),
        helper.make_node("SequenceInsert", ["s", "x"], ["t"]),
        helper.make_node("ConcatFromSequence", ["t"], ["y"], axis=0),
        helper.make_node("Gather", ["y", "at"], ["z"]),
    ]
    model = load(nodes, [tensor("x")], [tensor("z"), tensor("y")])
    x = np.float32([0, 2, 0, 4])
    z, y = model(x)
    np.testing.assert_array_equal(y, [*x, *-x, *x])
    np.testing.assert_array_equal(z, y[np.array(np.nonzero(x))])


def test_where_the_sequence_itself_is_wanted_it_is_made():
    nodes = [
        helper.make_node("Neg", ["x"], ["minus"]),
        helper.make_node("SequenceConstruct", ["x", "minus"], ["s"]),
        helper.make_node("SequenceInsert", ["s", "x"], ["t"]),
        helper.make_node("SequenceAt", ["t", "i"], ["a"]),
        helper.make_node("SequenceAt", ["t", "one"], ["b"]),
    ]
    model = load(
        nodes,
        [tensor("x"), tensor("i", I64, [])],
        [tensor("a"), tensor("b"), sequence("s"), sequence("t")],
        [number("one", 1)],
    )
    x = np.float32([1, 2])
    for i, want in enumerate((x, -x, x)):
        a, b, s, t = model(x, np.int64(i))
        np.testing.assert_array_equal(a, want)
        np.testing.assert_array_equal(b, -x)
        np.testing.assert_array_equal(s, [x, -x])
        np.testing.assert_array_equal(t, [x, -x, x])


@pytest.mark.parametrize("flag", [False, True])
def test_branches_read_what_is_known_outside(flag):
    def branch(name, at):
        return helper.make_graph(
            [helper.make_node("SequenceAt", ["s", at], [name])],
            name,
            [],
            [tensor(name)],
        )

    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "limit"], ["flag"]),
        helper.make_node("SplitToSequence", ["x"], ["s"]),
        helper.make_node(
            "If",
            ["flag"],
            ["y"],
            then_branch=branch("a", "zero"),
            else_branch=branch("b", "one"),
        ),
    ]
    limit = helper.make_tensor("limit", F32, [], [10.0])
    model = load(
        nodes,
        [tensor("x")],
        [tensor("y")],
        [number("zero", 0), number("one", 1), limit],
    )
    x = np.float32([[20 if flag else 1], [2]])
    np.testing.assert_array_equal(model(x), x[:1] if flag else x[1:])


def test_a_sequence_in_a_sequence_is_refused():
    nodes = [
        helper.make_node("SequenceConstruct", ["x"], ["s"]),
        helper.make_node("SequenceConstruct", ["s"], ["t"]),
        helper.make_node("SequenceAt", ["t", "zero"], ["y"]),
    ]
    model = load(nodes, [tensor("x")], [sequence("y")], [number("zero", 0)])
    with pytest.raises(trimtab.TrimtabError, match="a sequence holds tensors"):
        model(np.float32([1]))


def test_more_tensors_than_are_written_out_are_a_sequence():
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["s"], keepdims=0),
        helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0, new_axis=1),
    ]
    model = load(nodes, [tensor("x")], [tensor("y")])
    for n in (1, 1024, 1025, 3000):
        x = np.arange(n, dtype=np.float32)
        np.testing.assert_array_equal(model(x), x)
        assert is_static(model, x) == (n <= 1024)
