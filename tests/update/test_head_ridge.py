"""The closed-form layer: what it keeps, what it learns, what it refuses."""

import numpy as np
import pytest

from trimtab.errors import InputError, UnsupportedOpError
from trimtab.evaluate.task import Task
from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.update import head_ridge
from trimtab.update.context import LearnContext, Rows
from trimtab.update.head_ridge import fit_head
from trimtab.update.statistics import HeadStatistics

from .networks import accuracy, digits, digits_model, shifted

TASK = Task("multiclass", "probabilities", "", tuple(range(10)))


def context_of(fit, select=None, *, model=None, task=TASK, **options):
    model = model or digits_model()
    select = select or fit
    replay = options.pop("replay", None)
    graph = model._graph_again()
    return LearnContext(model, graph, fit, select, replay, task, **options)


def rows(x, y, begin, end):
    return Rows({"x": x[begin:end]}, y[begin:end])


def test_new_rows_are_learned():
    x, y = digits()
    sx = shifted(x)
    made = head_ridge.learn(context_of(rows(sx, y, 0, 200)))
    old = digits_model()
    assert accuracy(old, sx[800:], y[800:]) < 0.4
    assert accuracy(made.model, sx[800:], y[800:]) > 0.72
    held = accuracy(made.model, sx[800:], y[800:])
    assert abs(made.detail["left_out"] - held) < 0.08  # leave-one-out does not flatter


def test_old_rows_that_are_replayed_are_not_forgotten():
    x, y = digits()
    sx = shifted(x)
    fit, replay = rows(sx, y, 0, 100), rows(x, y, 800, 1200)
    without = head_ridge.learn(context_of(fit))
    made = head_ridge.learn(context_of(fit, replay=replay, forget=0.02))
    before = accuracy(digits_model(), x[1200:], y[1200:])
    assert accuracy(without.model, x[1200:], y[1200:]) < before - 0.2
    assert accuracy(made.model, x[1200:], y[1200:]) > before - 0.04
    new = accuracy(made.model, sx[1200:], y[1200:])
    assert new > accuracy(digits_model(), sx[1200:], y[1200:]) + 0.1


def test_statistics_stand_for_the_rows_that_they_are_of():
    x, y = digits()
    sx = shifted(x)
    fit = rows(sx, y, 0, 150)
    kept = head_ridge.learn(context_of(rows(x, y, 0, 150))).statistics
    assert kept.n_rows == 150
    made = head_ridge.learn(context_of(fit, statistics=kept))
    # the same rows replayed, with the weight that statistics get
    context = context_of(fit)
    f = np.concatenate([context.features(fit), context.features(rows(x, y, 0, 150))])
    t = np.eye(10)[np.concatenate([fit.labels, y[:150]])]
    head = context.head
    by_hand = fit_head(f, t, head.weight, head.bias, kind="softmax")
    # leave-one-out sees other rows, so the penalty is not the same
    a = made.model(sx[800:]).argmax(1)
    z = context.features(rows(sx, y, 800, 1797)) @ by_hand.weight + by_hand.bias
    assert (a == z.argmax(1)).mean() > 0.85
    assert made.statistics.n_rows == 300
    assert accuracy(made.model, x[800:], y[800:]) > 0.87


def test_the_probabilities_hold():
    x, y = digits()
    sx = shifted(x)
    made = head_ridge.learn(context_of(rows(sx, y, 0, 300)))
    p = made.model(sx[800:]).max(1)
    right = made.model(sx[800:]).argmax(1) == y[800:]
    assert abs(p.mean() - right.mean()) < 0.05


def test_classes_without_rows_stay_possible():
    x, y = digits()
    few = y < 5
    fit = Rows({"x": x[:400][few[:400]]}, y[:400][few[:400]])
    made = head_ridge.learn(context_of(fit))
    unseen = np.flatnonzero(y[800:] >= 5) + 800
    # one against the rest knows nothing of them: without old rows some are lost
    assert accuracy(made.model, x[unseen], y[unseen]) > 0.5


def test_two_columns_of_an_unseen_class_keep_their_distance():
    rng = np.random.default_rng(0)
    f = rng.standard_normal((40, 5))
    w, b = rng.standard_normal((5, 4)), rng.standard_normal(4)
    t = np.eye(4)[rng.integers(0, 2, 40)]  # classes 2 and 3 are not there
    fit = fit_head(f, t, w, b, kind="softmax")
    scale = fit.prior_factor / fit.temperature
    got = (fit.weight[:, 2] - fit.weight[:, 3], fit.bias[2] - fit.bias[3])
    np.testing.assert_allclose(got[0], scale * (w[:, 2] - w[:, 3]))
    np.testing.assert_allclose(got[1], scale * (b[2] - b[3]))
    old = HeadStatistics.of(f, 2 * t - 1)
    again = fit_head(f, t, w, b, kind="softmax", old=old)
    scale = again.prior_factor / again.temperature
    np.testing.assert_allclose(
        again.weight[:, 2] - again.weight[:, 3], scale * (w[:, 2] - w[:, 3])
    )


def test_a_good_layer_is_left_where_it_is():
    rng = np.random.default_rng(1)
    w, b = rng.standard_normal((30, 3)), rng.standard_normal(3)
    f = rng.standard_normal((12, 30))  # fewer rows than features
    t = np.eye(3)[(f @ w + b).argmax(1)]
    fit = fit_head(f, t, w, b, kind="softmax")
    more = rng.standard_normal((500, 30))
    same = (more @ fit.weight + fit.bias).argmax(1) == (more @ w + b).argmax(1)
    scratch = fit_head(f, t, 0 * w, 0 * b, kind="softmax")
    other = (more @ scratch.weight + scratch.bias).argmax(1) == (more @ w + b).argmax(1)
    assert same.mean() > 0.75 > other.mean() + 0.1


def linear(weight, end, k):
    nodes = [Node("MatMul", ["x", "w"], ["z"]), Node("Identity", ["z"], ["y"])]
    if end != "none":
        nodes[1] = Node(end, ["z"], ["y"])
    graph = Graph(
        "g",
        [Value("x", "float32", ("n", len(weight)))],
        [Value("y", "float32", ("n", k))],
        nodes,
        {"w": Constant.of(weight.astype(np.float32))},
    )
    return runnable(Model(graph, {"": 18}))


@pytest.mark.parametrize("k", [1, 4])
def test_a_yes_or_no_of_its_own_is_learned(k):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((400, 6)).astype(np.float32)
    truth = rng.standard_normal((6, k))
    y = (x @ truth + 0.7 > 0).astype(np.int64)
    kind = "binary" if k == 1 else "multilabel"
    task = Task(kind, "probabilities", "", tuple(range(max(k, 2))), is_single=k == 1)
    labels = y[:, 0] if k == 1 else y
    model = linear(rng.standard_normal((6, k)), "Sigmoid", k)
    fit = Rows({"x": x[:200]}, labels[:200])
    made = head_ridge.learn(context_of(fit, model=model, task=task))
    assert ((made.model(x[200:]) > 0.5) == y[200:]).mean() > 0.93


@pytest.mark.parametrize("k", [1, 3])
def test_numbers_are_learned(k):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((80, 6)).astype(np.float32)
    truth = rng.standard_normal((6, k))
    y = x @ truth + 2
    task = Task("regression", "values", "")
    model = linear(truth + 0.3 * rng.standard_normal((6, k)), "none", k)
    made = head_ridge.learn(
        context_of(Rows({"x": x[:60]}, y[:60]), model=model, task=task)
    )
    np.testing.assert_allclose(made.model(x[60:]), y[60:], atol=0.02)
    assert made.detail["temperature"] == 1


def test_what_cannot_be_fitted_is_refused_with_a_reason():
    x, y = digits()
    fit = rows(x, y, 0, 50)
    other = HeadStatistics.of(np.ones((3, 48)), np.ones((3, 10)), body="sha256:other")
    with pytest.raises(InputError, match="other weights"):
        head_ridge.learn(context_of(fit, statistics=other))
    task = Task("regression", "values", "")
    numbers = Rows(fit.inputs, np.eye(10)[fit.labels])
    with pytest.raises(InputError, match="softmax"):
        head_ridge.learn(context_of(numbers, task=task))
    task = Task("text", "values", "labels are sentences")
    with pytest.raises(InputError, match="sentences"):
        head_ridge.learn(context_of(fit, task=task))
    relu = linear(np.ones((64, 10)), "Relu", 10)
    with pytest.raises(UnsupportedOpError, match="Relu"):
        head_ridge.learn(context_of(fit, model=relu))


def test_a_class_that_is_new_is_learned():
    x, y = digits()
    model = linear(np.random.default_rng(0).standard_normal((64, 8)), "Softmax", 8)
    task = Task("multiclass", "probabilities", "", tuple(range(8)))
    fit = rows(x, y, 0, 600)
    made = head_ridge.learn(context_of(fit, model=model, task=task, n_new_classes=2))
    assert made.model(x[:3]).shape == (3, 10)
    assert accuracy(made.model, x[800:], y[800:]) > 0.85


def test_the_statistics_know_which_weights_computed_their_features():
    x, y = digits()
    first = head_ridge.learn(context_of(rows(x, y, 0, 60)))
    # another head on the same body: the sums still hold
    again = context_of(
        rows(x, y, 60, 120), model=first.model, statistics=first.statistics
    )
    assert head_ridge.learn(again).statistics.n_rows == 120
