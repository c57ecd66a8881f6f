"""The logistic head as a learner: against scikit-learn, and what it keeps."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from tests.update.learning import (
    N_CLASSES,
    base,
    context_of,
    right,
    rows,
)

from trimtab.errors import InputError
from trimtab.evaluate.task import Task
from trimtab.graph import Constant, Model
from trimtab.update.context import Rows
from trimtab.update.head import find_head
from trimtab.update.head_logistic import learn
from trimtab.update.statistics import HeadStatistics, body_digest

FIT, SELECT, OLD = rows(2, 100, is_new=True), rows(3, 40, is_new=True), rows(4, 300)
NEW_TEST, OLD_TEST = rows(5, 1000, is_new=True), rows(6, 1000)


@cache
def served() -> Model:
    return base()


@pytest.mark.filterwarnings("ignore:Line search of Newton")
def test_from_a_head_of_zeros_it_is_the_regression_of_scikit_learn() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    graph = served().copy()
    for name in ("w2", "b2"):
        shape = graph.graph.constants[name].shape
        graph.graph.constants[name] = Constant.of(np.zeros(shape, np.float32))
    context = context_of(graph, FIT, SELECT, None)
    found = learn(context)
    features = np.concatenate([context.features(r) for r in (FIT, SELECT)])
    labels = np.concatenate([FIT.labels, SELECT.labels])
    scale = float((features.astype(np.float64) ** 2).mean())
    theirs = linear.LogisticRegression(
        C=1 / (found.detail["penalty"] * scale), tol=1e-10, solver="newton-cholesky"
    ).fit(features, labels)
    head = find_head(found.model._graph_again())
    # the file holds float32; where the penalty is small the optimum is flat
    np.testing.assert_allclose(head.weight.T, theirs.coef_, atol=1e-4)


def test_new_rows_are_learned_and_old_ones_kept() -> None:
    context = context_of(served(), FIT, SELECT, OLD)
    found = learn(context)
    assert right(found.model, NEW_TEST) > right(context.model, NEW_TEST) + 0.1
    alone = learn(context_of(served(), FIT, SELECT, None))
    assert right(found.model, OLD_TEST) > right(alone.model, OLD_TEST)


def test_statistics_stand_in_for_old_rows() -> None:
    plain = context_of(served(), FIT, SELECT, None)
    targets = 2 * np.eye(N_CLASSES)[OLD.labels] - 1
    kept = HeadStatistics.of(
        plain.features(OLD), targets, body=body_digest(plain.graph, plain.head)
    )
    context = context_of(served(), FIT, SELECT, None, statistics=kept)
    without, found = learn(plain), learn(context)
    assert right(found.model, OLD_TEST) > right(without.model, OLD_TEST) + 0.02
    assert right(found.model, NEW_TEST) > right(plain.model, NEW_TEST) + 0.05


def test_statistics_of_other_features_are_refused() -> None:
    kept = HeadStatistics.of(np.ones((5, 24)), np.ones((5, N_CLASSES)), body="other")
    with pytest.raises(InputError, match="other weights compute"):
        learn(context_of(served(), FIT, SELECT, None, statistics=kept))


def test_a_class_that_is_new_is_learned() -> None:
    wide = N_CLASSES + 1
    fit, select, judged = (
        rows(seed, n, n_classes=wide) for seed, n in ((7, 120), (8, 30), (9, 1000))
    )
    found = learn(context_of(served(), fit, select, OLD, n_new_classes=1))
    assert right(found.model, judged) > 0.8
    assert found.model.outputs[0].shape[-1] == wide


@pytest.mark.parametrize(
    "task",
    [
        Task("regression", "values", ""),
        Task("multiclass", "probabilities", "", classes=tuple(range(4))),
        Task("text", "values", ""),
    ],
)
def test_other_tasks_are_refused_with_the_reason(task: Any) -> None:
    with pytest.raises(InputError):
        learn(context_of(served(), FIT, SELECT, OLD, task=task))


def test_very_few_rows_are_enough() -> None:
    few = Rows({"x": FIT.inputs["x"][:3]}, FIT.labels[:3])
    found = learn(context_of(served(), few, few.take(np.arange(0)), OLD))
    assert right(found.model, OLD_TEST) > 0.9
