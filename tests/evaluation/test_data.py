"""Labelled data in every form, anything that answers, and what is refused at once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import trimtab
from trimtab import steps
from trimtab.errors import InputError
from trimtab.evaluate.data import open_data
from trimtab.evaluate.predict import make_predictor

N, K = 103, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4)).astype(np.float32)
WEIGHTS = RNG.normal(size=(4, K)).astype(np.float32)
Y = (X @ WEIGHTS + RNG.normal(size=(N, K))).argmax(axis=1)
SHARE = float(((X @ WEIGHTS).argmax(axis=1) == Y).mean())


def linear(batch: int | str | None = "N", *, with_classes: bool = False) -> bytes:
    """One MatMul; with the classes before the scores, as scikit-learn's exports."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores"])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (batch, K))]
    if with_classes:
        nodes.append(
            helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0)
        )
        outputs.insert(
            0, helper.make_tensor_value_info("label", TensorProto.INT64, (batch,))
        )
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, 4))],
        outputs,
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset).SerializeToString()


def accuracy(model, data, **options) -> float:
    options.setdefault("metrics", ["accuracy"])
    report = trimtab.evaluate_model(model, data, progress=False, **options)
    assert report.n == N
    return report.metrics["accuracy"].value


def batches():
    for begin in range(0, N, 10):
        yield X[begin : begin + 10], Y[begin : begin + 10]


class Estimator:
    """Classes that are no numbers from 0, as scikit-learn's estimators have."""

    classes_ = np.array(["ape", "bee", "cat"])

    def predict(self, x):
        return self.classes_[(x @ WEIGHTS).argmax(axis=1)]

    def predict_proba(self, x):
        scores = np.exp(x @ WEIGHTS)
        return scores / scores.sum(axis=1, keepdims=True)


def test_data_of_every_form_give_the_same_figures(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, labels=Y)
    model = trimtab.load_model(linear())
    forms = [
        (X, Y),
        (list(X), Y.tolist()),
        {"x": X, "y": Y},
        {"data": X, "target": Y},
        tmp_path / "d.npz",
        str(tmp_path / "d.npz"),
        list(batches()),
        batches(),
        ((X,), Y),
        ({"x": X}, Y),
    ]
    for data in forms:
        assert accuracy(model, data) == SHARE
    assert accuracy(model, {"x": X}, labels=Y) == SHARE
    assert accuracy(model, {"x": X, "why": Y}, labels="why") == SHARE


@pytest.mark.parametrize("batch", ["N", 1, 8, None])
def test_models_get_batches_that_they_can_take(batch):
    model = trimtab.load_model(linear(batch))
    assert accuracy(model, (X, Y)) == SHARE
    assert accuracy(model, (X, Y), batch_size=7) == SHARE
    assert accuracy(model, batches()) == SHARE


def test_everything_that_answers_is_asked(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(linear())
    model = trimtab.load_model(path)
    doubled = trimtab.Pipeline([lambda row: row[None] * 1.0], model, [steps.Softmax()])
    for who in (
        path,
        str(path),
        trimtab.deploy_model(model),
        trimtab.Pipeline([], model),
        doubled,
        trimtab.deploy_model(model, preprocess_input=lambda row: row[None]),
        trimtab.Pipeline([lambda row: row[None]], model, [steps.TopK(1)]),
        lambda x: np.asarray(x) @ WEIGHTS,
    ):
        assert accuracy(who, (X, Y)) == SHARE


def test_scores_count_where_an_export_gives_classes_first():
    model = trimtab.load_model(linear(with_classes=True))
    report = trimtab.evaluate_model(model, (X, Y), progress=False)
    assert report.metrics["accuracy"].value == SHARE
    assert "logits" in report.why
    assert any("'scores'" in note for note in report.notes)
    assert accuracy(model, (X, Y), output="label") == SHARE
    assert accuracy(model, (X, Y), output=1) == SHARE
    with pytest.raises(InputError, match=r"output: expected one of .*label"):
        accuracy(model, (X, Y), output="logits")


def test_estimators_say_what_their_classes_are():
    named = Estimator.classes_[Y]
    assert accuracy(Estimator(), (X, named)) == SHARE


def test_a_stream_is_read_one_batch_at_a_time():
    """The generator is never ahead of the model by more than a batch."""
    taken = answered = 0

    def stream():
        nonlocal taken
        for _ in range(50):
            assert taken - answered <= 10
            taken += 10
            yield X[:10], Y[:10]

    def model(x):
        nonlocal answered
        answered += len(x)
        return x @ WEIGHTS

    report = trimtab.evaluate_model(model, stream(), progress=False)
    assert report.n == answered == 500


def test_what_the_bar_is_told():
    told = []
    trimtab.evaluate_model(
        lambda x: x @ WEIGHTS,
        (X, Y),
        batch_size=50,
        progress=lambda *state: told.append(state),
    )
    stages = {what: [s[:2] for s in told if s[2] == what] for *_, what in told}
    assert stages["evaluating"] == [(0, N), (50, N), (100, N), (N, N)]


def test_the_bar_counts_a_stream_whose_end_nobody_knows():
    told = []
    trimtab.evaluate_model(
        lambda x: x @ WEIGHTS, batches(), progress=lambda *state: told.append(state)
    )
    assert (N, 0, "evaluating") in told


def test_an_interrupt_comes_through():
    def model(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trimtab.evaluate_model(model, (X, Y))


NAN = np.where(np.arange(N) == 7, np.nan, 1.0)

REFUSED = {
    "labels too short": ((X, Y[:-1]), {}, "103 samples, but labels of shape .102."),
    "no samples": ((X[:0], Y[:0]), {}, "there are no samples"),
    "an empty stream": (iter([]), {}, "there are no samples"),
    "no labels": ({"x": X}, {}, "expected the labels as 'y'"),
    "labels of another name": ({"x": X, "y": Y}, {"labels": "z"}, "labels as 'z'"),
    "one array": (X, {}, "an .npz file or an iterable"),
    "a number": (7, {}, "an .npz file or an iterable"),
    "a file that is not there": ("nowhere.npz", {}, "no file 'nowhere.npz'"),
    "NaN labels": ((X, NAN), {}, "1 of 103 labels are NaN.*label 7"),
    "unequal inputs": (({"a": X, "b": X[1:]}, Y), {}, "different numbers of samples"),
    "a class too many": ((X, Y + 1), {}, "from 1 to 3, but there are 3 classes"),
    "negative classes": ((X, Y - 1), {}, "from -1 to 1"),
    "labels of another shape": ((X, np.ones((N, 2, 2))), {}, "do not fit outputs"),
    "an unknown metric": ((X, Y), {"metrics": ["acuracy"]}, "mean 'accuracy'"),
    "a metric twice": ((X, Y), {"metrics": ["accuracy"] * 2}, "twice"),
    "no metrics": ((X, Y), {"metrics": []}, "metrics: expected"),
    "a metric of numbers": ((X, Y), {"metrics": "r2"}, "needs values, but the task"),
    "a threshold of nothing": ((X, Y), {"require": {"acc": 1}}, "'acc'"),
    "a threshold that is none": (
        (X, Y),
        {"require": {"accuracy": "high"}},
        "expected a number, got 'high'",
    ),
    "a threshold by another form": ((X, Y), {"require": 0.9}, "thresholds by metric"),
    "alpha": ((X, Y), {"alpha": 2.0}, "alpha"),
    "batch_size": ((X, Y), {"batch_size": 0}, "batch_size: expected a number"),
    "a short mask": ((X, Y), {"slices": {"a": Y[1:] > 0}}, "shape .102. for 103"),
    "an empty mask": ((X, Y), {"slices": {"a": Y > 9}}, "'a' is empty"),
    "no such column": ((X, Y), {"slices": ["age"]}, "no column 'age'"),
    "a short column": ((X, Y, {"age": Y[1:]}), {}, "metadata 'age' has shape .102."),
    "short groups": ((X, Y), {"groups": Y[1:]}, "groups: expected a value for each"),
    "one fold": ((X, Y), {"cv": 1}, "folds of 2 or more"),
    "folds of a stream": (batches(), {"cv": 3}, "not a stream"),
    "too many classes": ((X, Y), {"classes": "abcd"}, "gives 3 scores, got 4 classes"),
    "classes twice": ((X, Y), {"classes": "aab"}, "some stand twice"),
    "a task": ((X, Y), {"task": "magic"}, "task: expected one of"),
    "fit without folds": ((X, Y), {"fit": lambda x, y: None}, "cv=5"),
    "a wrong task": ((X, Y), {"task": "multilabel"}, "of one shape .n, k."),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_before_the_second_batch(what):
    data, options, told = REFUSED[what]
    n_calls = 0

    def model(x):
        nonlocal n_calls
        n_calls += 1
        return (x["a"] if isinstance(x, dict) else np.asarray(x)) @ WEIGHTS

    with pytest.raises(InputError, match=told):
        trimtab.evaluate_model(
            model, data, progress=False, **{"batch_size": 10, **options}
        )
    assert n_calls <= 1


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (None, "model: expected a Model"),
        (lambda x: x[:-1], "gave shape .102, 4. for 103 samples"),
        (lambda x: 1.0, "leading dim of samples"),
        (lambda x: {}, "gave no output"),
        ("nowhere.onnx", "nowhere"),
    ],
)
def test_models_that_do_not_answer_are_refused(model, told):
    with pytest.raises((InputError, OSError), match=told):
        trimtab.evaluate_model(model, (X, Y), progress=False)


def test_inputs_are_checked_against_the_model():
    model = trimtab.load_model(linear())
    with pytest.raises(InputError, match=r"expected shape .-1,4.|expected 4"):
        accuracy(model, (X[:, :3], Y))
    with pytest.raises(InputError, match=r"inputs are \['x'\]"):
        accuracy(model, {"a": X, "b": X, "y": Y})


def test_rows_can_be_chosen_of_any_form():
    chosen = np.array([5, 2])
    for x in (X, list(X), {"a": X}, (X, X)):
        batch = open_data((x, Y)).rows(chosen)
        assert batch.labels.tolist() == Y[chosen].tolist()
        first = batch.inputs
        first = first["a"] if isinstance(first, dict) else first
        first = first[0] if isinstance(first, tuple) else first
        np.testing.assert_array_equal(np.asarray(first), X[chosen])


def test_large_batches_are_cut_to_what_a_model_takes():
    predictor = make_predictor(trimtab.load_model(linear(8)))
    np.testing.assert_allclose(predictor(X, N), X @ WEIGHTS, rtol=1e-5, atol=1e-5)
    assert len(predictor.seconds) == 13
