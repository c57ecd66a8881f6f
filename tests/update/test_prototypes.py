"""Prototypes against scikit-learn, and as a learner."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from tests.update.learning import N_CLASSES, base, context_of, right, rows

from trimtab.errors import InputError
from trimtab.evaluate.task import Task
from trimtab.graph import Model
from trimtab.update.prototypes import Prototypes, discriminant, learn
from trimtab.update.statistics import HeadStatistics

FIT, SELECT, OLD = rows(2, 100, is_new=True), rows(3, 40, is_new=True), rows(4, 300)
NEW_TEST, OLD_TEST = rows(5, 1000, is_new=True), rows(6, 1000)


@cache
def served() -> Model:
    return base()


@pytest.mark.parametrize("shrinkage", [0.01, 0.3, 1.0])
def test_the_layer_is_the_discriminant_of_scikit_learn(shrinkage: float) -> None:
    module = pytest.importorskip("sklearn.discriminant_analysis")
    x, y = OLD.inputs["x"].astype(float), OLD.labels
    theirs = module.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    theirs.fit(x, y)
    sums = HeadStatistics.of(x, 2 * np.eye(N_CLASSES)[y] - 1)
    ((weight, bias),) = discriminant(sums, [shrinkage])
    np.testing.assert_allclose(weight.T, theirs.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(bias, theirs.intercept_, rtol=1e-8, atol=1e-10)


def test_sums_of_parts_give_the_layer_of_all_rows() -> None:
    x, t = OLD.inputs["x"], 2 * np.eye(N_CLASSES)[OLD.labels] - 1
    whole = discriminant(HeadStatistics.of(x, t), [0.1])[0]
    parts = HeadStatistics.of(x[:90], t[:90]).merged(HeadStatistics.of(x[90:], t[90:]))
    for a, b in zip(whole, discriminant(parts, [0.1])[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8)


def test_a_class_without_rows_is_told() -> None:
    sums = HeadStatistics.of(np.ones((3, 2)), np.array([[1, -1]] * 3))
    with pytest.raises(InputError, match=r"no row of the classes \[1\]"):
        discriminant(sums, [0.1])


def test_new_rows_are_learned() -> None:
    context = context_of(served(), FIT, SELECT, OLD)
    found = learn(context)
    assert right(found.model, NEW_TEST) > right(context.model, NEW_TEST) + 0.1
    assert right(found.model, OLD_TEST) > 0.8


def test_statistics_that_are_kept_are_those_of_all_rows_and_replay_them() -> None:
    context = context_of(served(), FIT, SELECT, OLD)
    kept = learn(context).statistics
    assert kept is not None
    everything = FIT.joined(SELECT).joined(OLD)
    x = context.features(everything).astype(float)
    whole = HeadStatistics.of(x, 2 * np.eye(N_CLASSES)[everything.labels] - 1)
    np.testing.assert_allclose(kept.gram, whole.gram, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(kept.cross, whole.cross, rtol=1e-6, atol=1e-6)
    again = learn(context_of(served(), FIT, SELECT, None, statistics=kept))
    alone = learn(context_of(served(), FIT, SELECT, None))
    assert right(again.model, OLD_TEST) > right(alone.model, OLD_TEST)


def test_a_class_that_is_new_needs_a_few_rows() -> None:
    wide = N_CLASSES + 1
    fit, judged = rows(7, 40, n_classes=wide), rows(8, 1000, n_classes=wide)
    empty = fit.take(np.arange(0))
    found = learn(context_of(served(), fit, empty, OLD, n_new_classes=1))
    assert right(found.model, judged) > 0.8


def test_classes_that_are_not_exclusive_are_refused() -> None:
    task = Task("multilabel", "logits", "")
    labels = np.eye(N_CLASSES)[FIT.labels]
    fit = type(FIT)(FIT.inputs, labels)
    with pytest.raises(InputError, match="several classes"):
        learn(context_of(served(), fit, fit, None, task=task))


# ---- embeddings -------------------------------------------------------------------


def test_the_nearest_prototype_is_that_of_scikit_learn() -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 200)
    x = rng.normal(size=(5, 16))[y] + 0.6 * rng.normal(size=(200, 16))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    ours = Prototypes.of(x, y)
    means = neighbors.NearestCentroid().fit(unit, y).centroids_
    np.testing.assert_allclose(ours.sums / ours.counts[:, None], means, atol=1e-12)
    cosines = unit @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    np.testing.assert_allclose(ours.similarities(x), cosines, atol=1e-12)
    assert np.array_equal(ours.nearest(x), cosines.argmax(axis=1))


def test_updates_add_up_and_old_rows_fade_only_in_classes_that_come_again() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    whole = Prototypes.of(x, y)
    parts = Prototypes.of(x[:20], y[:20]).updated(x[20:], y[20:])
    np.testing.assert_allclose(parts.sums, whole.sums)
    faded = whole.updated(x[:1], np.array([1]), decay=0.0)
    assert faded.counts[1] == 1.0
    assert faded.counts[[0, 2]].tolist() == whole.counts[[0, 2]].tolist()


def test_embeddings_without_direction_are_refused() -> None:
    for bad in (0.0, np.nan, np.inf):
        with pytest.raises(InputError, match="zero, NaN or infinite"):
            Prototypes.of(np.array([[bad, 0.0]]), np.array([0]))
    with pytest.raises(InputError, match="expected \\(n, 2\\)"):
        Prototypes.of(np.ones((2, 2)), np.array([0]))
