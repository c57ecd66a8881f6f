"""Sequences of tensors against Python's lists, optionals against None."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import trimtab

F32, I64 = TensorProto.FLOAT, TensorProto.INT64
OPSETS = [helper.make_opsetid("", 18)]


def tensor(name, dtype=F32, shape=None):
    return helper.make_tensor_value_info(name, dtype, shape)


def sequence(name, dtype=F32):
    return helper.make_tensor_sequence_value_info(name, dtype, None)


def load(nodes, inputs, outputs, constants=(), **options):
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=OPSETS)
    options.setdefault("fallback", False)
    return trimtab.load_model(model.SerializeToString(), **options)


def number(name, value):
    return helper.make_tensor(name, I64, [], [value])


def same(got, want):
    assert type(got) is list
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


arrays = st.lists(st.integers(0, 3), max_size=3).map(
    lambda shape: np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape) + 0.5
)
edits = st.lists(
    st.tuples(
        st.sampled_from(["insert", "erase", "append", "copy"]), st.integers(-9, 9)
    ),
    max_size=12,
)


@given(st.lists(arrays, max_size=4), edits)
@settings(max_examples=60, deadline=None)
def test_edits_do_what_edits_of_a_python_list_do(start, steps):
    """Every intermediate list is an output: none may change afterwards."""
    x = np.float32([7, 8])
    lists, nodes, constants = [list(start)], [], []
    for i, (kind, at) in enumerate(steps):
        now = list(lists[-1])
        n = len(now)
        inputs = [f"s{i}"]
        if kind == "erase":
            if n == 0:
                continue_as = "Identity"
            else:
                at %= n
                del now[at]
                continue_as = "SequenceErase"
                inputs.append(f"at{i}")
        elif kind == "copy":
            continue_as = "Identity"
        else:
            continue_as = "SequenceInsert"
            inputs.append("x")
            if kind == "insert":
                at = at % (n + 1)
                now.insert(at, x)
                inputs.append(f"at{i}")
            else:
                now.append(x)
        constants.append(number(f"at{i}", at))
        nodes.append(helper.make_node(continue_as, inputs, [f"s{i + 1}"]))
        lists.append(now)
    outputs = [sequence(f"s{i}") for i in range(1, len(lists))] or [sequence("same")]
    nodes.append(helper.make_node("Identity", ["s0"], ["same"]))
    model = load(nodes, [sequence("s0"), tensor("x")], outputs, constants)
    got = model.run({"s0": start, "x": x})
    for i in range(1, len(lists)):
        same(got[f"s{i}"], lists[i])


@given(
    st.integers(0, 7), st.integers(1, 4), st.integers(0, 1), st.sampled_from([0, 1, -1])
)
@settings(max_examples=40, deadline=None)
def test_split_and_concat_undo_each_other(n, size, keepdims, axis):
    x = np.random.default_rng(n).standard_normal((n, n + 1, 2)).astype(np.float32)
    split = helper.make_node(
        "SplitToSequence", ["x", "size"], ["s"], axis=axis, keepdims=keepdims
    )
    join = helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=axis)
    length = helper.make_node("SequenceLength", ["s"], ["n"])
    outputs = [sequence("s"), tensor("n", I64)]
    parts = range(size, x.shape[axis], size)
    model = load([split, length], [tensor("x")], outputs, [number("size", size)])
    got = model.run({"x": x})
    want = np.split(x, parts, axis) if x.shape[axis] else []
    same(got["s"], want)
    assert got["n"] == len(want)
    if want:
        model = load(
            [split, join], [tensor("x")], [tensor("y")], [number("size", size)]
        )
        np.testing.assert_array_equal(model(x), x)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_a_new_axis_stacks(axis):
    parts = [np.full((2, 3), i, np.int64) for i in range(4)]
    join = helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=axis, new_axis=1)
    model = load([join], [sequence("s", I64)], [tensor("y", I64)])
    np.testing.assert_array_equal(model(parts), np.stack(parts, axis))


def test_split_without_lengths_drops_the_axis_only_when_told():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for keepdims, shape in ((1, (2, 1)), (0, (2,))):
        split = helper.make_node(
            "SplitToSequence", ["x"], ["s"], axis=1, keepdims=keepdims
        )
        got = load([split], [tensor("x")], [sequence("s")])(x)
        assert [part.shape for part in got] == [shape] * 3
        np.testing.assert_array_equal(got[2].ravel(), x[:, 2])


@pytest.mark.parametrize("lengths", [[1, 1], [4, -1], [2, 2]])
def test_lengths_that_do_not_fit_are_refused(lengths):
    split = helper.make_node("SplitToSequence", ["x", "n"], ["s"])
    model = load([split], [tensor("x"), tensor("n", I64)], [sequence("s")])
    with pytest.raises(trimtab.TrimtabError, match="SplitToSequence"):
        model(np.zeros(3, np.float32), np.int64(lengths))


@pytest.mark.parametrize("at", [2, -3, 2**40])
@pytest.mark.parametrize("op", ["SequenceAt", "SequenceErase"])
def test_positions_outside_are_refused(op, at):
    y = tensor("y") if op == "SequenceAt" else sequence("y")
    model = load(
        [helper.make_node(op, ["s", "at"], ["y"])],
        [sequence("s"), tensor("at", I64, [])],
        [y],
    )
    items = [np.float32([1]), np.float32([2, 3])]
    last = model(items, np.int64(-1))
    np.testing.assert_array_equal(last[0], items[1][0] if op == "SequenceAt" else [1])
    with pytest.raises(trimtab.InputError, match=r"position .* outside \[-2, 2\)"):
        model(items, np.int64(at))


def test_a_loop_appends_without_end_only_up_to_the_limit():
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["again"]),
            helper.make_node("SequenceInsert", ["s", "x"], ["t"]),
        ],
        "body",
        [tensor("i", I64, []), tensor("go", TensorProto.BOOL, []), sequence("s")],
        [tensor("again", TensorProto.BOOL, []), sequence("t")],
    )
    nodes = [
        helper.make_node("SequenceEmpty", [], ["none"]),
        helper.make_node("Loop", ["n", "", "none"], ["y"], body=body),
    ]
    limits = trimtab.Limits(max_sequence_items=50)
    model = load(
        nodes,
        [tensor("n", I64, []), tensor("x")],
        [sequence("y")],
        limits=limits,
    )
    x = np.float32([1, 2])
    same(model(np.int64(50), x), [x] * 50)
    assert model(np.int64(0), x) == []
    with pytest.raises(trimtab.TrimtabError, match="max_sequence_items = 50"):
        model(np.int64(51), x)
    limits = trimtab.Limits(max_tensor_bytes=100)
    model = load(
        nodes, [tensor("n", I64, []), tensor("x")], [sequence("y")], limits=limits
    )
    with pytest.raises(trimtab.TrimtabError, match="max_tensor_bytes = 100"):
        model(np.int64(14), x)


def test_sequences_of_one_type_only():
    join = helper.make_node("SequenceInsert", ["s", "x"], ["y"])
    model = load([join], [sequence("s"), tensor("x", I64)], [sequence("y")])
    with pytest.raises(trimtab.InputTypeError, match="int64 cannot go into a sequence"):
        model([np.float32([1])], np.int64([1]))
    with pytest.raises(trimtab.InputTypeError, match="'s'"):
        model([np.array(["text"])], np.int64([1]))
    with pytest.raises(trimtab.InputTypeError, match="expected a list of arrays"):
        model(np.zeros((2, 2), np.float32), np.int64([1]))


def test_a_sequence_where_a_tensor_belongs_is_refused():
    model = load(
        [helper.make_node("Relu", ["s"], ["y"])], [sequence("s")], [tensor("y")]
    )
    with pytest.raises(trimtab.UnsupportedOpError, match=r"Relu.*sequence"):
        model([np.float32([1])])


def test_map_goes_over_sequences_side_by_side_and_captures():
    body = helper.make_graph(
        [
            helper.make_node("Add", ["a", "b"], ["ab"]),
            helper.make_node("Mul", ["ab", "w"], ["c"]),
            helper.make_node("Shape", ["a"], ["n"]),
        ],
        "body",
        [tensor("a"), tensor("b")],
        [tensor("c"), tensor("n", I64)],
    )
    node = helper.make_node("SequenceMap", ["s", "t"], ["y", "z"], body=body)
    for other in (sequence("t"), tensor("t")):
        model = load(
            [node],
            [sequence("s"), other, tensor("w")],
            [sequence("y"), sequence("z", I64)],
        )
        s = [np.ones((2, i), np.float32) for i in range(4)]
        t = (
            [x * 2 for x in s]
            if other.type.HasField("sequence_type")
            else np.float32(2)
        )
        y, z = model(s, t, np.float32(10))
        same(y, [np.full((2, i), 30, np.float32) for i in range(4)])
        same(z, [np.int64([2, i]) for i in range(4)])
        if other.type.HasField("sequence_type"):
            with pytest.raises(trimtab.InputError, match="4 and 1 tensors"):
                model(s, t[:1], np.float32(1))


# ---- optionals -------------------------------------------------------------------


def optional(name, of):
    return helper.make_value_info(name, helper.make_optional_type_proto(of))


FLOATS = helper.make_tensor_type_proto(F32, None)
LISTS = helper.make_sequence_type_proto(FLOATS)


@pytest.mark.parametrize("of", [FLOATS, LISTS], ids=["tensor", "sequence"])
def test_an_optional_takes_none_and_gives_none(of):
    model = load(
        [
            helper.make_node("OptionalHasElement", ["x"], ["has"]),
            helper.make_node("Identity", ["x"], ["y"]),
        ],
        [optional("x", of)],
        [tensor("has", TensorProto.BOOL), optional("y", of)],
    )
    x = np.float32([1, 2])
    given = [x] if of is LISTS else x
    assert model(None) == (False, None)
    has, y = model(given)
    assert has
    np.testing.assert_array_equal(y, given)
    assert model(None) == (False, None)
    kind = "optional sequence" if of is LISTS else "optional"
    assert [v.kind for v in (*model.inputs, *model.outputs)] == [kind, "tensor", kind]


def test_what_is_absent_cannot_be_got():
    get = helper.make_node("OptionalGetElement", ["x"], ["y"])
    model = load([get], [optional("x", FLOATS)], [tensor("y")])
    assert model(np.float32([3])) == 3
    with pytest.raises(trimtab.InputError, match="optional is empty"):
        model(None)


def test_none_is_refused_where_nothing_is_optional():
    model = load([helper.make_node("Relu", ["x"], ["y"])], [tensor("x")], [tensor("y")])
    with pytest.raises(trimtab.InputTypeError):
        model(None)


def test_a_branch_on_what_is_there_disappears():
    def branch(name, nodes):
        return helper.make_graph(nodes, name, [], [tensor(name)])

    there = branch("a", [helper.make_node("OptionalGetElement", ["x"], ["a"])])
    absent = branch("b", [helper.make_node("Neg", ["z"], ["b"])])
    nodes = [
        helper.make_node("OptionalHasElement", ["x"], ["has"]),
        helper.make_node("If", ["has"], ["y"], then_branch=there, else_branch=absent),
    ]
    model = load(nodes, [optional("x", FLOATS), tensor("z")], [tensor("y")])
    x, z = np.float32([1]), np.float32([2])
    assert model(x, z) == 1
    assert model(None, z) == -2
    model.bind((x, z))  # static: nothing depends on data


def test_optional_of_a_value_is_the_value():
    model = load(
        [
            helper.make_node("Optional", ["x"], ["some"]),
            helper.make_node("Optional", [], ["none"], type=FLOATS),
            helper.make_node("OptionalHasElement", ["none"], ["has"]),
        ],
        [tensor("x")],
        [optional("some", FLOATS), optional("none", FLOATS), tensor("has", 9)],
    )
    some, none, has = model(np.float32([5]))
    assert some == 5
    assert none is None
    assert not has
