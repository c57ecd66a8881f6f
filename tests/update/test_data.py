"""Data are checked before anything is learned; all that is wrong is told at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trimtab
from trimtab.errors import InputError
from trimtab.gates.rows import row_digests
from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.update.data import open_update_data
from trimtab.update.split import split_data, split_reference

from .networks import digits, digits_model

X, Y = digits()


def test_pairs_mappings_and_files_are_the_same_data(tmp_path):
    np.savez(tmp_path / "d.npz", x=X[:40], y=Y[:40], id=np.arange(40) + 7)
    model = digits_model()
    pair = open_update_data(model, (X[:40], Y[:40]))
    named = open_update_data(model, {"x": X[:40], "labels": Y[:40]})
    file = open_update_data(model, tmp_path / "d.npz")
    for other in (named, file):
        np.testing.assert_array_equal(pair.rows.inputs["x"], other.rows.inputs["x"])
        np.testing.assert_array_equal(pair.rows.labels, other.rows.labels)
        assert other.fingerprint() == pair.fingerprint()
    assert file.ids[0] == 7
    assert pair.task.kind == "multiclass"


def test_rows_go_through_the_first_steps_of_a_deployment_once():
    deployment = trimtab.deploy_model(
        digits_model(), preprocess_input=lambda image: image.reshape(1, 64) / 16
    )
    images = (16 * X[:30]).reshape(-1, 8, 8)
    data = open_update_data(deployment, (images, Y[:30]))
    np.testing.assert_allclose(data.rows.inputs["x"], X[:30], atol=1e-6)


def test_float64_is_taken_and_one_hot_labels_too():
    data = open_update_data(digits_model(), (X[:30].astype(float), np.eye(10)[Y[:30]]))
    assert data.rows.inputs["x"].dtype == np.float32
    np.testing.assert_array_equal(data.rows.labels, Y[:30])


def test_names_of_classes_are_taken():
    model = digits_model()
    model.class_names = names = [f"digit {i}" for i in range(10)]
    labels = np.array(names)[Y[:30]]
    data = open_update_data(model, (X[:30], labels))
    np.testing.assert_array_equal(data.rows.labels, Y[:30])
    with pytest.raises(InputError, match="'letter'"):
        open_update_data(model, (X[:30], np.append(labels[:29], "letter")))
    data = open_update_data(
        model, (X[:30], np.append(labels[:29], "letter")), new_classes="add"
    )
    assert data.new_classes == ("letter",)
    assert data.rows.labels[-1] == 10


def nan_at(x, i):
    x = x.copy()
    x[i, 3] = np.nan
    return x


#: What is wrong -> (inputs, labels, what is said).
WRONG = {
    "shape": (X[:30, :60], Y[:30], "takes"),
    "NaN": (nan_at(X[:30], 4), Y[:30], "row 4"),
    "text": (X[:30].astype(str), Y[:30], "numbers"),
    "unseen class": (X[:30], np.append(Y[:29], 12), "new_classes='add'"),
    "one class": (X[:30], np.full(30, 3), "one class"),
    "few rows": (X[:3], Y[:3], "at least 5"),
    "lengths": (X[:30], Y[:20], "30 samples"),
    "nothing": (X[:0], Y[:0], "no samples"),
    "NaN labels": (X[:30], np.where(np.arange(30) == 2, np.nan, Y[:30]), "label 2"),
    "mostly the same row": (np.repeat(X[:6], 5, axis=0), np.repeat(Y[:6], 5), "twice"),
    "no new class at all": (X[:30], np.full(30, 77), "none of these"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name):
    x, y, said = WRONG[name]
    with pytest.raises(InputError, match=said):
        open_update_data(digits_model(), (x, y), folds=5)


def test_all_that_is_wrong_is_told_at_once():
    x, y = np.repeat(X[:2], 20, axis=0), np.tile([11, 12, 0, 0], 10)
    with pytest.raises(InputError) as told:
        open_update_data(digits_model(), (x, y), folds=5)
    text = str(told.value)
    assert "does not have" in text
    assert "twice" in text
    assert "at least 5" in text


def test_an_integer_input_takes_no_fractions():
    graph = Graph(
        "g",
        [Value("x", "int64", ("n", 1))],
        [Value("y")],
        [
            Node("Cast", ["x"], ["f"], attributes={"to": 1}),
            Node("MatMul", ["f", "w"], ["y"]),
        ],
        {"w": Constant.of(np.ones((1, 2), np.float32))},
    )
    with pytest.raises(InputError, match="int64"):
        open_update_data(
            runnable(Model(graph, {"": 18})), (np.ones((9, 1)) / 2, np.arange(9) % 2)
        )


def test_rows_that_stand_there_twice_are_dropped_and_told():
    x = np.concatenate([X[:40], X[:4]])
    y = np.concatenate([Y[:40], Y[:3], [(Y[3] + 1) % 10]])  # the last one contradicts
    data = open_update_data(digits_model(), (x, y))
    assert len(data) == 39
    assert not (data.rows.inputs["x"] == X[3]).all(axis=1).any()
    assert "4 rows stand there twice" in data.notes[0]
    assert "different labels" in data.notes[1]


def test_rows_of_the_reference_are_not_new():
    old = frozenset(row_digests({"x": X[:10]}))
    data = open_update_data(digits_model(), (X[:40], Y[:40]), known=old)
    assert len(data) == 30
    assert "10 rows are in the reference set" in data.notes[0]


def test_embeddings_are_refused_with_a_reason():
    nodes = [
        Node("ReduceL2", ["x"], ["l"], attributes={"axes": [1], "keepdims": 1}),
        Node("Div", ["x", "l"], ["y"]),
    ]
    graph = Graph(
        "g", [Value("x", "float32", ("n", 9))], [Value("y", "float32", ("n", 9))], nodes
    )
    x = np.random.default_rng(0).standard_normal((20, 9)).astype(np.float32)
    with pytest.raises(InputError, match="embeddings"):
        open_update_data(runnable(Model(graph, {"": 13})), (x, np.arange(20) % 4))


def test_what_serves_must_be_a_model():
    with pytest.raises(InputError, match="Deployment, Pipeline, Model or path"):
        open_update_data(3, (X, Y))


# ---- splits -------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(n=st.integers(20, 300), seed=st.integers(0, 1000))
def test_splits_share_no_row_and_keep_the_classes(n, seed):
    data = open_update_data(digits_model(), (X[:n], Y[:n]))
    splits = split_data(data, seed=seed)
    parts = [splits.fit, splits.select, splits.guard]
    digests = [set(part.digests) for part in parts]
    assert sum(map(len, digests)) == len(set.union(*digests)) == len(data)
    assert abs(len(splits.fit) / n - 0.55) < 0.05 + 1 / n
    again = split_data(data, seed=seed)
    np.testing.assert_array_equal(again.guard.ids, splits.guard.ids)
    for code in range(10):
        share = [(part.rows.labels == code).sum() for part in parts]
        wanted = np.array([0.55, 0.15, 0.3]) * sum(share)
        assert (np.abs(share - wanted) <= 2).all()


def test_replayed_rows_prove_nothing():
    data = open_update_data(digits_model(), (X[:100], Y[:100]))
    replay, proof = split_reference(data)
    assert not set(replay.digests) & set(proof.digests)
    assert len(replay) == len(proof) == 50
