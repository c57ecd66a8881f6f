"""Slices, comparison of two models, folds: against SciPy and scikit-learn, and counted
over many data sets in which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    KFold,
    RepeatedStratifiedKFold,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.naive_bayes import GaussianNB

import trimtab
from trimtab.errors import InputError
from trimtab.evaluate.folds import split_data
from trimtab.evaluate.weighted import weighted_metric

N = 600


def evaluate(outputs, labels, **options):
    options.setdefault("metrics", ["accuracy"])
    return trimtab.evaluate_model(
        lambda x: x,
        (np.asarray(outputs), labels),
        progress=False,
        **{"batch_size": 64, **options},
    )


def hard(n: int, share, seed: int = 0):
    """Classes, and answers of which this share is right."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    is_right = rng.random(n) < share
    return np.where(is_right, y, (y + 1) % 3), y


# ---- slices -------------------------------------------------------------------------


def test_slices_of_every_form_hold_what_they_should():
    answer, y = hard(N, 0.8)
    place = np.arange(N) % 3
    names = np.array(["oslo", "rome", "bonn"])[place]
    forms = {
        "mask": place == 1,
        "function": lambda x, labels: labels == 2,
        "values": place,
        "town": "town",
    }
    report = evaluate(answer, y, slices=forms, metadata={"town": names})
    found = {part.name: part for part in report.slices}
    expected = {
        "mask": place == 1,
        "function": y == 2,
        **{f"values={i}": place == i for i in range(3)},
        **{f"town={name}": names == name for name in ("bonn", "oslo", "rome")},
    }
    assert list(found) == list(expected)
    for name, mask in expected.items():
        part = found[name]
        assert part.n == mask.sum()
        inside = sk.accuracy_score(y[mask], answer[mask])
        outside = sk.accuracy_score(y[~mask], answer[~mask])
        assert part.metrics["accuracy"].value == pytest.approx(inside, abs=1e-12)
        assert part.others["accuracy"].value == pytest.approx(outside, abs=1e-12)
        test = part.tests["accuracy"]
        assert test.difference == pytest.approx(inside - outside, abs=1e-12)
        assert test.low < test.difference < test.high


def test_columns_of_named_arrays_and_of_streams_are_slices():
    answer, y = hard(N, 0.8)
    town = np.arange(N) % 2
    named = trimtab.evaluate_model(
        lambda x: x, {"x": answer, "y": y, "town": town}, slices="town", progress=False
    )
    batches = [
        (answer[i : i + 7], y[i : i + 7], {"town": town[i : i + 7]})
        for i in range(0, N, 7)
    ]
    streamed = trimtab.evaluate_model(
        lambda x: x, batches, slices=["town"], classes=range(3), progress=False
    )
    for report in (named, streamed):
        assert [part.name for part in report.slices] == ["town=0", "town=1"]
        assert [part.n for part in report.slices] == [N // 2, N // 2]
    assert named.slices[0].metrics == streamed.slices[0].metrics


def test_adjusted_p_values_are_benjamini_and_hochbergs():
    answer, y = hard(N, 0.8)
    rng = np.random.default_rng(1)
    masks = {f"m{i}": rng.random(N) < 0.4 for i in range(8)}
    report = evaluate(answer, y, slices=masks, metrics=["accuracy", "f1_macro"])
    tests = [test for part in report.slices for test in part.tests.values()]
    assert len(tests) == 16
    expected = scipy.stats.false_discovery_control([test.p_value for test in tests])
    np.testing.assert_allclose([t.adjusted_p_value for t in tests], expected, rtol=1e-9)


def test_a_bad_slice_is_found_and_quiet_ones_are_not():
    """40 data sets with a slice that is 15 points worse, 40 without."""
    found = false = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        bad = rng.random(2000) < 0.15
        masks = {"bad": bad, **{f"m{i}": rng.random(2000) < 0.2 for i in range(9)}}
        answer, y = hard(2000, np.where(bad, 0.7, 0.85), seed)
        report = evaluate(answer, y, slices=masks, batch_size=2000)
        found += bool(report.slices[0].tests["accuracy"].is_worse)
        answer, y = hard(2000, 0.85, seed)
        report = evaluate(answer, y, slices=masks, batch_size=2000)
        false += any(part.tests["accuracy"].is_worse for part in report.slices)
    assert found >= 38
    assert false <= 6  # P = 0.003 at 5 %


def test_slices_without_some_classes_are_judged_by_sample_only():
    """Macro averages over other classes are other questions, not worse answers."""
    answer, y = hard(N, 0.8)
    names = ["accuracy", "f1_macro"]
    report = evaluate(answer, y, metrics=names, slices={"digit": y, "all": y >= 0})
    for part in report.slices[:3]:
        assert list(part.tests) == ["accuracy"]
        assert list(part.metrics) == names
    assert any("lack classes" in note and "f1_macro" in note for note in report.notes)
    half = evaluate(answer, y, metrics=names, slices={"half": np.arange(N) % 2 == 0})
    assert list(half.slices[0].tests) == names


def test_small_slices_are_shown_and_not_tested():
    answer, y = hard(N, 0.8)
    masks = {"small": np.arange(N) < 12, "none": lambda x, labels: labels < 0}
    report = evaluate(answer, y, slices=masks)
    (part,) = report.slices
    assert (part.n, part.tests) == (12, {})
    assert any("'small' has 12 samples, fewer than 30" in n for n in report.notes)
    assert any("slice 'none' is empty" in note for note in report.notes)
    assert evaluate(answer, y, slices=masks, min_slice_size=12).slices[0].tests


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (lambda x, labels: labels[:-1] > 0, "shape .63. for 64 samples"),
        (lambda x, labels: 1 / 0, "'s' raised ZeroDivisionError"),
        (np.arange(N), "more than 100 values"),
        (np.ones((N, 2), bool), "expected a mask or one value"),
    ],
)
def test_slices_that_make_no_sense_are_refused(spec, told):
    answer, y = hard(N, 0.8)
    with pytest.raises(InputError, match=told):
        evaluate(answer, y, slices={"s": spec})


# ---- two models ---------------------------------------------------------------------


def compared(first, second, y, **options):
    """`first` is the model, `second` the baseline; rows are numbers of samples."""
    rows = np.arange(len(y))
    return trimtab.evaluate_model(
        lambda i: first[i],
        (rows, y),
        baseline=lambda i: second[i],
        progress=False,
        **{"batch_size": 64, **options},
    )


def test_accuracies_are_compared_by_mcnemar():
    a, y = hard(N, 0.85, 0)
    b = np.where(np.random.default_rng(1).random(N) < 0.1, (y + 1) % 3, a)
    found = compared(a, b, y, metrics=["accuracy"]).comparison["accuracy"]
    n01 = int(((a == y) & (b != y)).sum())
    n10 = int(((a != y) & (b == y)).sum())
    expected = scipy.stats.binomtest(min(n01, n10), n01 + n10).pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert found.difference == pytest.approx((n01 - n10) / N, abs=1e-12)
    assert found.is_better
    assert found.method.startswith("mcnemar")
    back = compared(b, a, y, metrics=["accuracy"]).comparison["accuracy"]
    assert back.is_better is False
    assert back.difference == pytest.approx(-found.difference)


def test_areas_are_compared_by_delong():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, N)
    a = 1 / (1 + np.exp(-(y + rng.normal(size=N))))
    b = 1 / (1 + np.exp(-(y + 1.5 * rng.normal(size=N))))
    found = compared(a, b, y, metrics=["roc_auc"]).comparison["roc_auc"]
    assert found.method == "delong"
    gap = sk.roc_auc_score(y, a) - sk.roc_auc_score(y, b)
    assert found.difference == pytest.approx(gap, abs=1e-12)

    def area(i):
        return sk.roc_auc_score(y[i], a[i]) - sk.roc_auc_score(y[i], b[i])

    drawn = [area(rng.integers(0, N, N)) for _ in range(400)]
    assert (found.high - found.low) / 3.92 == pytest.approx(np.std(drawn), rel=0.15)


@pytest.mark.parametrize("name", ["f1_macro", "log_loss", "mean_squared_error"])
def test_other_metrics_are_compared_by_the_paired_bootstrap(name):
    rng = np.random.default_rng(0)
    if name == "mean_squared_error":
        y = rng.normal(size=N)
        a, b = y + rng.normal(size=N), y + 1.3 * rng.normal(size=N)
        difference = sk.mean_squared_error(y, a) - sk.mean_squared_error(y, b)
        better = True
    else:
        y = rng.integers(0, 3, N)
        noise = rng.normal(size=(N, 3))
        a, b = 2 * np.eye(3)[y] + noise, 2 * np.eye(3)[y] + 1.6 * noise
        difference, better = None, True
    found = compared(a, b, y, metrics=[name]).comparison[name]
    assert "bootstrap" in found.method
    assert found.difference == pytest.approx(found.value - found.baseline, abs=1e-12)
    if difference is not None:
        assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.is_better is better


def test_models_that_are_alike_are_not_told_apart():
    """Of 40 pairs of equal models about 2 may seem to differ."""
    told = 0
    for seed in range(40):
        a, y = hard(400, 0.8, seed)
        rng = np.random.default_rng(1000 + seed)
        b = np.where(rng.random(400) < 0.8, y, (y + 1) % 3)
        report = compared(a, b, y, metrics=["accuracy", "f1_macro"], n_resamples=200)
        told += any(c.is_better is not None for c in report.comparison.values())
    assert told <= 7  # P = 0.003 at 5 %, both metrics say the same


def test_adjusted_p_values_of_metrics_are_holms():
    a, y = hard(N, 0.85, 0)
    b, _ = hard(N, 0.8, 5)
    names = ["accuracy", "f1_macro", "recall_macro"]
    found = compared(a, b, y, metrics=names).comparison.values()
    p = np.array([c.p_value for c in found])
    order = np.argsort(p)
    expected = np.empty(3)
    expected[order] = np.minimum(
        np.maximum.accumulate(p[order] * np.arange(3, 0, -1)), 1
    )
    np.testing.assert_allclose([c.adjusted_p_value for c in found], expected)


def test_both_models_are_judged_on_the_same_samples():
    a, y = hard(N, 0.85, 0)
    a, b = a.astype(float), a.astype(float)
    y = y.astype(float)
    b[5] = np.nan
    report = compared(a, b, y, metrics=["mae"], task="regression")
    assert report.n_invalid == 0
    assert report.metrics["mean_absolute_error"].n == N - 1
    assert report.comparison["mean_absolute_error"].difference == 0
    assert any("of the baseline are NaN" in note for note in report.notes)


def test_a_baseline_of_another_task_is_refused():
    a, y = hard(N, 0.8)
    with pytest.raises(InputError, match="baseline: its task is 'regression'"):
        compared(a, np.linspace(0, 1, N), y)
    with pytest.raises(InputError, match="7 classes, the model 3"):
        compared(np.eye(3)[a], np.eye(7)[a], y)


@pytest.mark.parametrize("name", ["accuracy", "f1_weighted", "mse", "rmse", "r2"])
def test_weights_stand_for_how_often_a_row_counts(name):
    rng = np.random.default_rng(0)
    metric = trimtab.metrics.find_metric(name)
    y = rng.integers(0, 4, 50)
    x = np.where(rng.random(50) < 0.6, y, rng.integers(0, 4, 50))
    weights = rng.multinomial(50, np.full(50, 1 / 50), size=20)
    found = weighted_metric(metric, y, x)(weights)
    rows = [np.repeat(np.arange(50), row) for row in weights]
    expected = [metric.function(y[row], x[row]) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "ece", "log_loss"])
def test_weights_stand_for_how_often_scores_count(name, k):
    metric = trimtab.metrics.find_metric(name)
    if k == 3 and metric.name in ("roc_auc", "average_precision"):
        metric = trimtab.metrics.find_metric("roc_auc_ovr")
    rng = np.random.default_rng(0)
    y = rng.integers(0, k, 80)
    p = np.eye(k)[y] + 3 * rng.random((80, k)).round(1)
    p = p / p.sum(axis=1, keepdims=True)
    p = p[:, 1] if k == 2 else p
    weights = rng.multinomial(80, np.full(80, 1 / 80), size=20)
    found = weighted_metric(metric, y, p)(weights)
    rows = [np.repeat(np.arange(80), row) for row in weights]
    expected = [metric.function(y[row], p[row]) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


# ---- folds --------------------------------------------------------------------------


@pytest.mark.parametrize("cv", [5, KFold(4), StratifiedKFold(3)])
def test_folds_of_one_model_show_how_much_figures_vary(cv):
    answer, y = hard(N, 0.8)
    report = evaluate(answer, y, cv=cv, seed=3)
    if cv == 5:
        cv = StratifiedKFold(5, shuffle=True, random_state=3)
    expected = [
        sk.accuracy_score(y[test], answer[test]) for _, test in cv.split(answer, y)
    ]
    fold = report.folds["accuracy"]
    np.testing.assert_allclose(fold.values, expected, rtol=1e-12)
    assert fold.mean == pytest.approx(np.mean(expected))
    assert fold.std == pytest.approx(np.std(expected, ddof=1))
    whole = sk.accuracy_score(y, answer)
    assert report.metrics["accuracy"].value == pytest.approx(whole)


def test_repeated_folds_overlap():
    answer, y = hard(90, 0.8)
    cv = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)
    fold = evaluate(answer, y, cv=cv).folds["accuracy"]
    expected = [sk.accuracy_score(y[t], answer[t]) for _, t in cv.split(answer, y)]
    np.testing.assert_allclose(fold.values, expected, rtol=1e-12)


def learning_data(n: int = 300):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    x = np.eye(3)[y] @ rng.normal(size=(3, 6)) + 1.2 * rng.normal(size=(n, 6))
    return x, y


def test_models_fitted_anew_are_what_cross_val_score_gives():
    x, y = learning_data()
    report = trimtab.evaluate_model(
        "logistic",
        (x, y),
        fit=lambda x, y: LogisticRegression().fit(x, y),
        baseline=lambda x, y: GaussianNB().fit(x, y),
        cv=5,
        metrics=["accuracy", "log_loss"],
        progress=False,
    )
    cv = StratifiedKFold(5, shuffle=True, random_state=0)
    a = cross_val_score(LogisticRegression(), x, y, cv=cv)
    b = cross_val_score(GaussianNB(), x, y, cv=cv)
    fold = report.folds["accuracy"]
    np.testing.assert_allclose(fold.values, a, rtol=1e-12)
    np.testing.assert_allclose(fold.baseline, b, rtol=1e-12)
    found = report.comparison["accuracy"]
    error = np.sqrt((1 / 5 + 60 / 240) * np.var(a - b, ddof=1))
    t = np.mean(a - b) / error
    assert found.difference == pytest.approx(np.mean(a - b))
    assert found.p_value == pytest.approx(2 * scipy.stats.t.sf(abs(t), 4), rel=1e-9)
    figure = report.metrics["accuracy"]
    half = scipy.stats.t.ppf(0.975, 4) * np.sqrt((1 / 5 + 0.25) * np.var(a, ddof=1))
    assert (figure.low, figure.high) == pytest.approx(
        (np.mean(a) - half, np.mean(a) + half)
    )
    assert report.model == "logistic"
    assert report.latency["n_calls"] == 5


def test_what_is_fitted_must_answer():
    x, y = learning_data(60)
    for fit, told in (
        (lambda x, y: None, "fit returned None"),
        (lambda x, y: 1 / 0, "fit raised ZeroDivisionError on fold 0 .40 samples."),
    ):
        with pytest.raises(InputError, match=told):
            trimtab.evaluate_model(None, (x, y), fit=fit, cv=3, progress=False)
    with pytest.raises(InputError, match="give None or a name"):
        trimtab.evaluate_model(len, (x, y), fit=len, cv=3, progress=False)
    with pytest.raises(InputError, match="baseline: expected a function"):
        trimtab.evaluate_model(None, (x, y), fit=max, baseline="b", cv=3)


def test_groups_stay_together_in_folds():
    x, y = learning_data(120)
    groups = np.arange(120) // 6
    data = trimtab.evaluate.data.open_data((x, y))
    for is_classes in (True, False):
        folds = split_data(4, data, is_classes=is_classes, groups=groups, seed=0)
        for train, test in folds:
            assert not set(groups[train]) & set(groups[test])


class Broken:
    def split(self, x, y, groups):
        yield np.arange(3), np.array([99999])
        yield np.arange(3), np.arange(3)


def test_splitters_that_leave_the_data_are_refused():
    answer, y = hard(N, 0.8)
    with pytest.raises(InputError, match="outside of 600 samples"):
        evaluate(answer, y, cv=Broken())
    with pytest.raises(InputError, match="expected 2 to 1000 folds, got 1"):
        evaluate(answer, y, cv=type("One", (), {"split": lambda *a: [([0], [1])]})())
