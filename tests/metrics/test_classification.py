"""Streamed metrics of classes, against scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError, InputTypeError
from trimtab.metrics import METRICS, Metric
from trimtab.metrics.classification import confusion_matrix
from trimtab.metrics.classification_streaming import confusion_matrix_accumulator

from .cut import agree, streamed

SHARES = ["precision", "recall", "f1", "jaccard"]
PLAIN = ["accuracy", "balanced_accuracy", "cohen_kappa", "matthews_corrcoef"]
MATRIX = Metric(
    "confusion_matrix", "labels", True, confusion_matrix, confusion_matrix_accumulator
)


@st.composite
def samples(draw: st.DrawFn, n_classes: int = 4) -> tuple[Any, Any, Any]:
    n, k = draw(st.integers(1, 30)), draw(st.integers(1, n_classes))
    classes: Any = range(k)
    if draw(st.booleans()):
        classes = ["ant", "bee", "cat", "dog"][:k]
    one_of = st.lists(st.sampled_from(classes), min_size=n, max_size=n)
    weights = st.lists(st.floats(0.125, 8), min_size=n, max_size=n).map(np.array)
    return np.array(draw(one_of)), np.array(draw(one_of)), draw(st.none() | weights)


def quiet(metric: Metric, *data: Any, **options: Any) -> Any:
    """What scikit-learn gives, without its warnings of undefined metrics."""
    y, p, w = data
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return metric(y, p, sample_weight=w, **options)


@pytest.mark.parametrize("name", PLAIN)
@settings(max_examples=40, deadline=None)
@given(samples(), st.integers(0, 30), st.integers(0, 30))
def test_batches_give_what_scikit_learn_gives(
    name: str, data: tuple[Any, Any, Any], a: int, b: int
) -> None:
    y, p, w = data
    got = streamed(METRICS[name], y, p, w, cuts=(a, b)).compute()
    # Matthews' denominator is a difference of squares of sums: 1e-12 of weighted ones
    # is not in it where a class has next to nothing.
    agree(
        got,
        quiet(METRICS[name], *data),
        1e-9 if "matthews" in name and w is not None else 1e-12,
    )


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
@settings(max_examples=30, deadline=None)
@given(samples(), st.sampled_from([0.0, 1.0, np.nan]), st.booleans())
def test_averages_are_scikit_learns(
    name: str, average: Any, data: tuple[Any, Any, Any], zero: float, some: bool
) -> None:
    y, p, w = data
    options: dict[str, Any] = {"average": average, "zero_division": zero}
    if name == "jaccard" and np.isnan(zero):
        options["zero_division"] = 0.0  # scikit-learn's takes 0 and 1
    if some:
        options["labels"] = np.unique(np.concatenate([y, p]))[:2][::-1]
    got = streamed(METRICS[name], y, p, w, **options).compute()
    agree(got, quiet(METRICS[name], *data, **options))


@pytest.mark.parametrize("name", SHARES)
@settings(max_examples=30, deadline=None)
@given(samples(2), st.sampled_from([0.0, 1.0]))
def test_binary_is_scikit_learns(
    name: str, data: tuple[Any, Any, Any], zero: float
) -> None:
    y, p, w = data
    for positive in np.unique(np.concatenate([y, p])).tolist():
        options = {"pos_label": positive, "zero_division": zero}
        got = streamed(METRICS[name], y, p, w, **options).compute()
        agree(got, quiet(METRICS[name], *data, **options))


@settings(max_examples=30, deadline=None)
@given(samples(), st.sampled_from(["true", "pred", "all", None]), st.booleans())
def test_the_confusion_matrix_is_scikit_learns(
    data: tuple[Any, Any, Any], normalize: Any, some: bool
) -> None:
    y, p, w = data
    options: dict[str, Any] = {"normalize": normalize}
    if some:
        options["labels"] = np.unique(y)[::-1]
    agree(
        streamed(MATRIX, y, p, w, **options).compute(), quiet(MATRIX, *data, **options)
    )


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_kappa_with_costs_and_labels_is_scikit_learns(weights: Any) -> None:
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 5, 200), rng.integers(0, 5, 200)
    for labels in (None, [3, 1, 4], [0, 4]):
        options = {"weights": weights, "labels": labels}
        got = streamed(METRICS["cohen_kappa"], y, p, **options).compute()
        agree(got, METRICS["cohen_kappa"](y, p, **options))


def test_adjusted_balanced_accuracy_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    y, p = rng.integers(0, 5, 200), rng.integers(0, 5, 200)
    got = streamed(METRICS["balanced_accuracy"], y, p, adjusted=True).compute()
    agree(got, METRICS["balanced_accuracy"](y, p, adjusted=True))


def test_counts_of_whole_samples_are_integers() -> None:
    running = confusion_matrix_accumulator()
    running.update([True, False], [True, True])
    running.update([1.0], [0.0])
    assert running.compute().dtype == np.int64
    assert running.compute().tolist() == [[0, 1], [1, 1]]


def test_two_models_of_many_classes_are_held_apart() -> None:
    """Places of classes differ in two accumulators; merging goes by class."""
    a, b = confusion_matrix_accumulator(), confusion_matrix_accumulator()
    a.update(["x", "y"], ["y", "y"])
    b.update(["y", "z", "a"], ["z", "z", "x"])
    a.merge(b)
    want = confusion_matrix(["x", "y", "y", "z", "a"], ["y", "y", "z", "z", "x"])
    assert a.compute().tolist() == want.tolist()


@pytest.mark.parametrize(
    ("y", "p", "says"),
    [
        ([0.5, 1.0], [1, 0], "not whole"),
        ([np.nan, 1.0], [1, 0], "finite"),
        ([0, 1], [[0.1, 0.9], [0.8, 0.2]], "take the argmax"),
        ([0, 1], [0], "as many predictions"),
        ([0, 1], ["a", "b"], "one kind"),
    ],
)
def test_what_is_no_class_is_refused(y: Any, p: Any, says: str) -> None:
    for name in PLAIN + SHARES:
        with pytest.raises(InputError, match=says):
            METRICS[name].accumulator().update(y, p)


def test_mixed_objects_and_values_are_refused() -> None:
    running = METRICS["accuracy"].accumulator()
    with pytest.raises(InputTypeError, match="integers or as texts"):
        running.update(np.array(["a", None], object), np.array(["a", "a"], object))
    with pytest.raises(InputError, match="at most 2048 classes"):
        running.update(np.arange(5000), np.arange(5000))


def test_binary_of_three_classes_says_what_to_do() -> None:
    running = METRICS["precision"].accumulator()
    running.update([0, 1, 2], [0, 1, 2])
    with pytest.raises(InputError, match='average="macro"'):
        running.compute()
    other = METRICS["precision"].accumulator(pos_label=7)
    other.update([0, 1], [0, 1])
    with pytest.raises(InputError, match="pos_label"):
        other.compute()
    with pytest.raises(InputError, match="average: expected one of"):
        streamed(METRICS["f1"], [0, 1], [0, 1], average="mean").compute()


def test_functions_give_our_errors() -> None:
    with pytest.raises(InputError, match="precision_score: Target is multiclass"):
        METRICS["precision"]([0, 1, 2], [0, 1, 2])
    with pytest.raises(InputError, match="accuracy_score"):
        METRICS["accuracy"]([], [])
