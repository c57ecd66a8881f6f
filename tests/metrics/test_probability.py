"""Streamed metrics of scores and probabilities, against scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.metrics import METRICS
from trimtab.metrics.curves import ScoreTable

from .cut import agree, streamed

sklearn_metrics = pytest.importorskip("sklearn.metrics")
sklearn_calibration = pytest.importorskip("sklearn.calibration")

AREAS = ["roc_auc", "average_precision"]


@st.composite
def binary(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    n = draw(st.integers(2, 25))
    y = draw(st.lists(st.sampled_from([0, 1]), min_size=n, max_size=n))
    # few different scores: ties are where definitions differ
    scores = draw(
        st.lists(st.sampled_from([0, 0.25, 0.5, 0.7, 1]), min_size=n, max_size=n)
    )
    weights = st.lists(st.floats(0.125, 8), min_size=n, max_size=n).map(np.array)
    return np.array(y), np.array(scores), draw(st.none() | weights)


def multiclass(
    n: int = 60, k: int = 4, seed: int = 0, decimals: int = 2
) -> tuple[Any, Any, Any]:
    """Classes that all occur, coarse probabilities, weights."""
    rng = np.random.default_rng(seed)
    y = np.r_[np.arange(k), rng.integers(0, k, n - k)]
    scores = (
        np.round(rng.dirichlet(np.ones(k), n) + 0.3 * np.eye(k)[y], decimals) + 0.01
    )
    return y, scores / scores.sum(axis=1, keepdims=True), rng.random(n) + 0.1


@pytest.mark.parametrize("name", AREAS)
@settings(max_examples=30, deadline=None)
@given(binary(), st.integers(0, 25))
def test_areas_of_two_classes_are_scikit_learns(
    name: str, data: tuple[Any, Any, Any], cut: int
) -> None:
    y, s, w = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single class
        want = METRICS[name](y, s, sample_weight=w)
    agree(streamed(METRICS[name], y, s, w, cuts=(cut,)).compute(), want)


@pytest.mark.parametrize("name", ["roc_auc_ovr", "roc_auc_ovo", "average_precision"])
@pytest.mark.parametrize("average", ["macro", "weighted", "micro", None])
@pytest.mark.parametrize("weighted", [False, True])
def test_areas_of_more_classes_are_scikit_learns(
    name: str, average: Any, weighted: bool
) -> None:
    y, s, w = multiclass()
    w = w if weighted else None
    metric = METRICS[name]
    if name == "roc_auc_ovo" and (weighted or average in ("micro", None)):
        with pytest.raises(InputError):
            streamed(metric, y, s, w, average=average)
        return
    want = metric(y, s, sample_weight=w, average=average)
    agree(streamed(metric, y, s, w, average=average).compute(), want)
    names = np.array(["ant", "bee", "cat", "dog"])[y]
    agree(streamed(metric, names, s, w, average=average).compute(), want)


@pytest.mark.parametrize("name", AREAS)
@pytest.mark.parametrize("average", ["macro", "weighted", "micro", None])
def test_several_right_classes_are_scikit_learns(name: str, average: Any) -> None:
    rng = np.random.default_rng(1)
    y, s = rng.integers(0, 2, (50, 3)), np.round(rng.random((50, 3)), 1)
    want = METRICS[name](y, s, average=average)
    agree(streamed(METRICS[name], y, s, average=average).compute(), want)


def test_the_positive_class_is_scikit_learns() -> None:
    y, s = np.array([1, 2, 2, 1, 2]), np.array([0.1, 0.8, 0.4, 0.5, 0.6])
    auc = METRICS["roc_auc"]
    agree(streamed(auc, y, s).compute(), auc(y, s))
    agree(streamed(auc, y, np.stack([1 - s, s], axis=1)).compute(), auc(y, s))
    ap = METRICS["average_precision"]
    agree(streamed(ap, y, s, pos_label=2).compute(), ap(y, s, pos_label=2))
    with pytest.raises(InputError, match="pos_label"):
        streamed(ap, y, s, pos_label=3).compute()
    assert np.isnan(streamed(auc, [1, 1], [0.1, 0.2]).compute())


@pytest.mark.parametrize("name", AREAS)
def test_a_bounded_table_is_close_and_stays_small(name: str) -> None:
    rng = np.random.default_rng(2)
    y = (rng.random(40_000) < 0.1).astype(int)
    s = rng.normal(size=40_000) + 1.5 * y
    running = [METRICS[name].accumulator(capacity=1024) for _ in range(2)]
    for i, part in enumerate(np.array_split(np.arange(40_000), 40)):
        running[i % 2].update(y[part], s[part])
    running[0].merge(running[1])
    assert len(running[0]._table.scores) <= 1024
    exact = streamed(METRICS[name], y, s, cuts=(9,))
    assert running[0].compute() == pytest.approx(exact.compute(), abs=2e-3)
    near, far = running[0].interval(), exact.interval()
    assert [near.low, near.high] == pytest.approx([far.low, far.high], abs=4e-3)


def test_a_bounded_table_is_exact_where_scores_are_few() -> None:
    rng = np.random.default_rng(3)
    y, s = rng.integers(0, 2, 500), np.round(rng.random(500), 1)
    for name in AREAS:
        got = streamed(METRICS[name], y, s, capacity=16).compute()
        agree(got, METRICS[name](y, s))


def test_cutting_keeps_all_weight() -> None:
    rng = np.random.default_rng(4)
    table = ScoreTable.of(rng.normal(size=999), rng.random(999) < 0.2, None)
    small = table.cut(20)
    assert len(small.scores) <= 20
    assert (np.diff(small.scores) < 0).all()
    agree(small.sums.sum(axis=1), table.sums.sum(axis=1))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_losses_of_probabilities_are_scikit_learns(weighted: bool, dtype: Any) -> None:
    y, s, w = multiclass()
    s, w = s.astype(dtype), w if weighted else None
    s[0] = [1, 0, 0, 0] if y[0] else [0, 1, 0, 0]  # the truth has probability 0
    tolerance = 1e-12 if dtype == np.float64 else 1e-5  # scikit-learn sums in float32
    for name in ("log_loss", "brier_score"):
        want = METRICS[name](y, s, sample_weight=w)
        agree(streamed(METRICS[name], y, s, w).compute(), want, tolerance)
    y2 = (y > 1).astype(int)
    for name in ("log_loss", "brier_score", "roc_auc", "average_precision"):
        want = METRICS[name](y2, s[:, 0], sample_weight=w)
        agree(streamed(METRICS[name], y2, s[:, 0], w).compute(), want, tolerance)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_is_scikit_learns_with_ties(k: int) -> None:
    y, s, w = multiclass(decimals=1)
    want = sklearn_metrics.top_k_accuracy_score(y, s, k=k, sample_weight=w)
    agree(streamed(METRICS["top_k_accuracy"], y, s, w, k=k).compute(), want)
    agree(METRICS["top_k_accuracy"](y, s, k=k, sample_weight=w), want)


def test_columns_are_those_of_labels() -> None:
    s = [[0.2, 0.8], [0.6, 0.4]]
    running = METRICS["log_loss"].accumulator(labels=["no", "yes"])
    running.update(["yes", "no"], s)
    agree(running.compute(), METRICS["log_loss"](["yes", "no"], s))
    for name in ("log_loss", "brier_score", "expected_calibration_error"):
        with pytest.raises(InputError, match="labels="):
            METRICS[name].accumulator().update(["yes", "no"], s)
        with pytest.raises(InputError, match="softmax"):
            METRICS[name].accumulator().update([0, 1], [[2.0, -1.0], [0.1, 0.9]])


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_calibration_is_that_of_scikit_learns_curve(strategy: str) -> None:
    rng = np.random.default_rng(5)
    s = rng.beta(2, 2, 2000)
    s[:3] = 0.0, 1.0, 0.5
    y = (rng.random(2000) < s**1.5).astype(int)
    share, mean = sklearn_calibration.calibration_curve(
        y, s, n_bins=10, strategy=strategy
    )
    metric = METRICS["expected_calibration_error"]
    options = {"n_bins": 10, "strategy": strategy}
    running = streamed(metric, y, s, **options)
    bins = running.reliability()  # type: ignore[attr-defined]
    agree(bins.accuracy, share)
    agree(bins.confidence, mean)
    want = (np.abs(share - mean) * bins.weight).sum() / 2000
    agree(running.compute(), want)
    agree(metric(y, s, **options), want)


def test_calibration_of_more_classes_is_that_of_the_predicted_one() -> None:
    y, s, _ = multiclass(400)
    right, confidence = (s.argmax(axis=1) == y).astype(int), s.max(axis=1)
    metric = METRICS["expected_calibration_error"]
    agree(streamed(metric, y, s).compute(), metric(right, confidence))


def test_perplexity_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(6)
    logits, y = rng.normal(size=(5, 7, 11)) * 3, rng.integers(0, 11, (5, 7))
    y[0, 3:] = -100
    loss = torch.nn.functional.cross_entropy(
        torch.tensor(logits).reshape(-1, 11), torch.tensor(y).reshape(-1)
    )
    metric = METRICS["perplexity"]
    options = {"from_logits": True, "ignore_index": -100}
    agree(
        streamed(metric, y, logits, cuts=(2,), **options).compute(), np.exp(float(loss))
    )
    chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    agree(metric(y, chances, ignore_index=-100), np.exp(float(loss)))
    with pytest.raises(InputError, match="from_logits"):
        metric(y, logits, ignore_index=-100)
    with pytest.raises(InputError, match="tokens from 0 to 10"):
        metric(y, chances)


@pytest.mark.parametrize("name", [*AREAS, "log_loss", "brier_score"])
def test_what_is_no_score_is_refused(name: str) -> None:
    running = METRICS[name].accumulator()
    with pytest.raises(InputError, match="finite"):
        running.update([0, 1], [0.5, np.nan])
    with pytest.raises(InputError, match="as many predictions"):
        running.update([0, 1], [0.5])
    with pytest.raises(InputError, match=r"expected (scores|probabilities)"):
        running.update([0, 1], np.zeros((2, 2, 2)))
    with pytest.raises(InputError, match="at least one sample"):
        running.compute()
    with pytest.raises(InputError, match="at least one sample"):
        METRICS[name]([], [])


def test_options_that_do_not_fit_are_refused() -> None:
    make = METRICS["roc_auc"].accumulator
    for options in ({"average": "x"}, {"multi_class": "x"}, {"capacity": 1}):
        with pytest.raises(InputError, match=next(iter(options))):
            make(**options)
    y, s, _ = multiclass()
    with pytest.raises(InputError, match="choose multi_class"):
        streamed(METRICS["roc_auc"], y, s).compute()
    with pytest.raises(InputError, match="two classes"):
        streamed(METRICS["roc_auc"], y, s, capacity=64)
    with pytest.raises(InputError, match="labels="):
        streamed(METRICS["roc_auc_ovr"], y[y < 3], s[y < 3]).compute()
    with pytest.raises(InputError, match="merge"):
        make(capacity=64).merge(make())
