"""Data as users have it -> batches: shapes by hand, values by NumPy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import trimtab
from trimtab.errors import InputError, InputTypeError
from trimtab.optimize.batches import as_batches, as_samples
from trimtab.signature import TensorSpec

X = np.arange(40, dtype=np.float32).reshape(10, 4)


def model(*specs: tuple[str, Any], dtype: str = "float32") -> Any:
    """What as_batches reads of a model."""
    return SimpleNamespace(
        inputs=tuple(TensorSpec(name, dtype, shape) for name, shape in specs)
    )


FREE = model(("x", ("n", 4)))
ONE = model(("x", (1, 4)))
PAIR = model(("a", ("n", 4)), ("b", ("n", "t")))


def shapes(batches: Any) -> list[dict[str, tuple[int, ...]]]:
    return [{name: v.shape for name, v in batch.items()} for batch in batches]


@pytest.mark.parametrize(
    ("of", "data", "expected"),
    [
        (FREE, X, [(4, 4), (4, 4), (2, 4)]),
        (FREE, {"x": X}, [(4, 4), (4, 4), (2, 4)]),
        (FREE, (X,), [(4, 4), (4, 4), (2, 4)]),
        (FREE, X.tolist(), [(4, 4), (4, 4), (2, 4)]),
        (FREE, memoryview(X), [(4, 4), (4, 4), (2, 4)]),
        (FREE, [X, X[:3]], [(10, 4), (3, 4)]),
        (FREE, list(X), [(1, 4)] * 10),
        (FREE, (row for row in X), [(1, 4)] * 10),
        (FREE, [{"x": X}, {"x": X[:1]}], [(10, 4), (1, 4)]),
        (FREE, X[0], [(1, 4)]),
        (ONE, X, [(1, 4)] * 10),
        (ONE, X[:, None], [(1, 4)] * 10),
        (ONE, X[0], [(1, 4)]),
        (ONE, X[:1], [(1, 4)]),
        (model(("x", (5, 4))), X, [(5, 4)] * 2),
        (model(("x", (4,))), X, [(4,)] * 10),
        (model(("x", (10, 4))), X, [(10, 4)]),
        (model(("x", None)), X, [(4, 4), (4, 4), (2, 4)]),
        (model(("x", ())), np.float32(3), [()]),
        (model(("x", ())), X[0], [()] * 4),
        (model(("x", (None, 4))), X, [(4, 4), (4, 4), (2, 4)]),
    ],
)
def test_samples_are_cut_as_the_model_takes_them(of, data, expected) -> None:
    batches = list(as_batches(of, data, size=4))
    assert [batch["x"].shape for batch in batches] == expected
    assert all(batch["x"].dtype == np.float32 for batch in batches)


def test_no_sample_is_lost_or_moved() -> None:
    for of, data in ((FREE, X), (ONE, X), (FREE, X.tolist()), (FREE, iter(X))):
        batches = as_batches(of, data, size=3)
        rows = [batch["x"].reshape(-1, 4) for batch in batches]
        np.testing.assert_array_equal(np.concatenate(rows), X)


def test_arrays_in_memory_are_cut_without_copies() -> None:
    assert all(np.shares_memory(batch["x"], X) for batch in as_batches(FREE, X))


def test_several_inputs_are_cut_together() -> None:
    b = np.zeros((10, 7), np.float32)
    expected = [{"a": (8, 4), "b": (8, 7)}, {"a": (2, 4), "b": (2, 7)}]
    assert shapes(as_batches(PAIR, {"b": b, "a": X}, size=8)) == expected
    assert shapes(as_batches(PAIR, (X, b), size=8)) == expected
    assert shapes(as_batches(PAIR, [(X, b)])) == [{"a": (10, 4), "b": (10, 7)}]


def test_what_cannot_be_cut_is_repeated() -> None:
    of = model(("x", ("n", 4)), ("rate", ()), ("state", (2, 3)))
    data = {"x": X, "rate": np.float32(16), "state": np.zeros((2, 3), np.float32)}
    assert shapes(as_batches(of, data, size=6)) == [
        {"x": (6, 4), "rate": (), "state": (2, 3)},
        {"x": (4, 4), "rate": (), "state": (2, 3)},
    ]


def test_an_input_of_single_samples_makes_all_single() -> None:
    of = model(("x", ("n", 4)), ("y", (1, 2)))
    data = {"x": X, "y": np.zeros((10, 2), np.float32)}
    assert shapes(as_batches(of, data)) == [{"x": (1, 4), "y": (1, 2)}] * 10


def test_generators_are_read_as_they_are_used() -> None:
    taken = []

    def source():
        for row in X:
            taken.append(row)
            yield {"x": row[None]}

    batches = iter(as_batches(FREE, source()))
    next(batches)
    assert len(taken) == 1


def test_numbers_take_the_type_that_the_model_wants() -> None:
    of = model(("ids", ("n", "t")), dtype="int64")
    (batch,) = as_batches(of, [[1, 2], [3, 4]])
    assert batch["ids"].dtype == np.int64


@pytest.mark.parametrize(
    ("of", "data", "error", "text"),
    [
        (FREE, X[:0], InputError, "at least one sample"),
        (FREE, [], InputError, "at least one batch"),
        (FREE, {}, InputError, "'x' is missing"),
        (FREE, {"y": X}, InputError, "no input 'y'"),
        (FREE, (X, np.zeros(10)), InputError, "labels are no inputs"),
        (FREE, X[:, :3], InputError, "expected 4 on axis 1"),
        (FREE, [X, X[:, :3]], InputError, "batch 1: .*expected 4"),
        (FREE, [X, X[:0]], InputError, "batch 1: an input is empty"),
        (FREE, np.zeros((2, 3, 4, 5), np.float32), InputError, "expected samples"),
        (FREE, np.array(["a", "b"]), InputTypeError, "pipeline"),
        (FREE, ["a", "b"], InputTypeError, "batch 0: "),
        (FREE, "text", InputTypeError, "got str"),
        (FREE, 5, InputTypeError, "got int"),
        (FREE, None, InputTypeError, "got NoneType"),
        (FREE, np.array([None]), InputTypeError, "object"),
        (FREE, X.astype(complex), InputTypeError, "complex"),
        (FREE, [[1.0], [1.0, 2.0]], InputTypeError, "no array"),
        (PAIR, X, InputError, "2 inputs"),
        (PAIR, (X, np.zeros((9, 7))), InputError, r"number of samples: \{'a': 10"),
        (model(("x", (3, 4))), X, InputError, "3 samples at a time, got 10"),
        (model(("x", (0, 4))), X, InputError, "0 samples at a time"),
    ],
)
def test_what_does_not_fit_is_refused(of, data, error, text) -> None:
    with pytest.raises(error, match=text):
        list(as_batches(of, data))


def test_the_size_of_a_batch_is_positive() -> None:
    with pytest.raises(InputError, match="got 0"):
        as_batches(FREE, X, size=0)


def test_sequences_are_checked_before_anything_runs() -> None:
    with pytest.raises(InputError, match="batch 1"):
        as_batches(FREE, [X, X[:, :3]])  # not when it is iterated


def loaded(*nodes: Any, shape: tuple[Any, ...], **constants: np.ndarray) -> Any:
    """A model of one input x and one output y."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return trimtab.load_model(helper.make_model(graph, opset_imports=opset), threads=1)


def test_rows_that_do_not_depend_on_each_other_are_samples() -> None:
    of = loaded(helper.make_node("Softmax", ["x"], ["y"]), shape=("n", 4))
    samples = as_samples(of, {"x": X})
    assert shapes(samples) == [{"x": (1, 4)}] * 10
    np.testing.assert_array_equal(np.concatenate([s["x"] for s in samples]), X)
    assert len(as_samples(of, {"x": X[:1]})) == 1


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("CumSum", ["x", "axis"], ["y"]),
        helper.make_node("Softmax", ["x"], ["y"], axis=0),
        helper.make_node("ReduceSum", ["x", "axes"], ["y"]),
        helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0]),
    ],
    ids=lambda node: node.op_type,
)
def test_rows_that_depend_on_each_other_stay_together(node) -> None:
    """The first axis is time: as in a recurrent layer."""
    of = loaded(node, shape=("t", 4), axis=np.array(0), axes=np.array([0]))
    assert shapes(as_samples(of, {"x": X})) == [{"x": (10, 4)}]
