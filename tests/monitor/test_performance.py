"""Metrics estimated before labels come: what they cover, and when they do not promise.

Measured once beside nannyml 0.13.1 (CBPE, in an environment of its own), with `binary`
below: 3 references of 5000 rows, 20 windows of 500 of each, half of them with inputs
shifted by 0.8. Mean absolute error of accuracy, F1, precision, recall and ROC AUC
0.0146, 0.0156, 0.0225, 0.0163, 0.0132 here and 0.0145, 0.0154, 0.0226, 0.0162, 0.0130
there (shifted: 0.0126, 0.0102, 0.0155, 0.0112, 0.0141 and 0.0127, 0.0102, 0.0154,
0.0112, 0.0139); no estimate is further than 0.008 from the other's. Intervals here
covered 87 to 100 % (94 % of all) at a mean width of 0.074; there 93 to 100 %, at 0.146.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from trimtab.errors import InputError
from trimtab.monitor.calibration import IsotonicCalibration, TemperatureScaling
from trimtab.monitor.expected import expected_metric
from trimtab.monitor.performance import ConfidencePerformance, Estimate

fit = ConfidencePerformance.fit


def binary(seed: int, n: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are too sure of themselves, and labels."""
    random = np.random.default_rng(seed)
    z = random.normal(shift, 1.5, n)
    y = random.random(n) < 1 / (1 + np.exp(-z))
    return 1 / (1 + np.exp(-1.7 * z - 0.3)), y.astype(np.int64)


def several(seed: int, n: int, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """The same of k classes."""
    random = np.random.default_rng(seed)
    z = random.normal(size=(n, k)) * 1.5
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1)[:, :-1] < random.random((n, 1))).sum(axis=1)
    sure = np.exp(1.8 * z)
    return sure / sure.sum(axis=1, keepdims=True), y


def realised(metric: str, y: np.ndarray, scores: np.ndarray) -> float:
    """What scikit-learn says with the labels."""
    if metric == "roc_auc":
        return float(oracle.roc_auc_score(y, scores))
    name, _, average = metric.partition("_")
    predicted = scores >= 0.5 if scores.ndim == 1 else scores.argmax(axis=1)
    options = {"average": average} if average else {}
    function = getattr(oracle, f"{name}_score")
    return float(function(y, predicted.astype(np.int64), **options))


@pytest.mark.parametrize(
    ("make", "metric", "method"),
    [
        (binary, "accuracy", "auto"),
        (binary, "f1", "auto"),
        (binary, "precision", "auto"),
        (binary, "recall", "auto"),
        (binary, "roc_auc", "auto"),
        (binary, "accuracy", "temperature"),
        (several, "accuracy", "auto"),
        (several, "f1_macro", "auto"),
        (several, "recall_macro", "temperature"),
    ],
)
def test_intervals_cover_what_labels_show_later(
    make: Any, metric: str, method: str
) -> None:
    n_windows, n_covered, errors = 40, 0, []
    for seed in range(n_windows):
        scores, y = make(2 * seed, 800)
        estimator = fit(y, scores, metric=metric, method=method, n_draws=100)
        scores, y = make(2 * seed + 1, 400)
        found = estimator.estimate(scores)
        assert found.is_estimate
        assert found.is_reliable, found.notes
        truth = realised(metric, y, scores)
        n_covered += found.low <= truth <= found.high
        errors.append(found.value - truth)
    # 95 % of 40 is 38; 33 or fewer have a chance below 2 %.
    assert n_covered >= 33
    assert abs(np.mean(errors)) < 0.02


def test_shifted_inputs_are_followed_and_raw_confidence_is_not_believed() -> None:
    scores, y = binary(0, 4000)
    accuracy = fit(y, scores)
    for shift in (-1.0, 0.8, 1.5):
        moved, labels = binary(9, 4000, shift)
        truth = realised("accuracy", labels, moved)
        found = accuracy.estimate(moved)
        naive = float(np.maximum(moved, 1 - moved).mean())
        assert abs(found.value - truth) < 0.02
        assert abs(found.value - truth) < abs(naive - truth) / 2


def test_drift_of_labels_is_suspected_and_said() -> None:
    scores, y = binary(0, 3000)
    found = fit(y, scores).estimate(binary(1, 1000, 1.5)[0])
    assert not found.is_reliable
    assert "if the labels themselves have drifted" in found.notes[0]
    assert np.isfinite(found.low)
    assert "an estimate" in str(found)


def test_nothing_is_promised_beyond_the_confidence_of_the_reference() -> None:
    scores, y = binary(0, 3000)
    middle = (scores > 0.2) & (scores < 0.8)
    estimator = fit(y[middle], scores[middle])
    assert estimator.estimate(scores[middle]).is_reliable
    found = estimator.estimate(scores)
    assert "not known" in found.notes[0]
    assert np.isnan(found.low)
    assert np.isnan(found.high)
    assert np.isfinite(found.value)


def test_smaller_references_and_windows_and_samples_make_wider_intervals() -> None:
    def width(n_reference: int, n_window: int, n_rows: int | None = None) -> float:
        scores, y = binary(0, n_reference)
        found = fit(y, scores).estimate(binary(1, n_window)[0], n_rows=n_rows)
        return found.high - found.low

    assert width(200, 2000) > 1.5 * width(8000, 2000)
    assert width(4000, 200) > 1.5 * width(4000, 4000)
    assert width(4000, 500, 5000) > width(4000, 500)


def test_an_all_right_reference_is_not_sure_of_itself() -> None:
    random = np.random.default_rng(0)
    scores = np.where(random.random(300) < 0.5, 0.02, 0.98)
    found = fit((scores > 0.5).astype(int), scores).estimate(scores)
    assert found.low < found.value
    assert found.value > 0.99


@pytest.mark.parametrize("metric", ["accuracy", "f1", "roc_auc", "recall"])
def test_expected_metrics_are_those_of_drawn_labels_on_average(metric: str) -> None:
    random = np.random.default_rng(3)
    scores = random.random(400).round(2)  # with ties
    p = np.stack([1 - scores, scores], axis=1)
    predicted = (scores >= 0.5).astype(np.intp)
    target = expected_metric(metric, 2)
    drawn = []
    for _ in range(400):
        y = (random.random(400) < scores).astype(np.intp)
        value = target.drawn(y, predicted, scores, 2)
        assert value == pytest.approx(realised(metric, y, scores), abs=1e-12)
        drawn.append(value)
    mean, error = np.mean(drawn), np.std(drawn) / 20
    expected = target.expected(p, predicted, scores)
    assert abs(expected - mean) < 4 * error + 5e-4  # a ratio of means, for F1


def test_isotonic_calibration_is_scikit_learns_where_rows_are_many() -> None:
    from sklearn.isotonic import IsotonicRegression

    scores, y = binary(0, 40_000)
    ours = IsotonicCalibration(
        scores, y == 1, n_draws=20, random=np.random.default_rng(0)
    )
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, y)
    at = np.linspace(0.05, 0.95, 50)
    assert np.abs(ours.at(at).draw(0) - theirs.predict(at)).max() < 0.05


def test_the_temperature_is_that_of_scikit_learn() -> None:
    base = pytest.importorskip("sklearn.calibration")
    if not hasattr(base, "_TemperatureScaling"):
        pytest.skip("scikit-learn before 1.8")
    scores, y = several(0, 3000)
    ours = TemperatureScaling(scores, y, n_draws=5, random=np.random.default_rng(0))
    theirs = base._TemperatureScaling().fit(np.log(scores), y)
    assert 1 / ours.temperature == pytest.approx(theirs.beta_, rel=1e-3)


def test_classes_by_name_logits_and_single_columns_are_taken() -> None:
    scores, y = several(0, 900)
    names = ["a", "b", "c", "d"]
    one = fit(np.array(names)[y], scores, classes=names)
    two = fit(y, np.log(scores))  # logits
    assert one.estimate(scores).value == pytest.approx(two.estimate(scores).value)
    flat, flags = binary(0, 500)
    whole = np.stack([1 - flat, flat], axis=1)
    assert fit(flags, flat).estimate(whole) == fit(flags, whole).estimate(flat[:, None])
    empty = one.estimate(np.empty((0, 4)))
    assert np.isnan(empty.value)
    assert empty.n == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"metric": "mean_squared_error"},
        {"metric": "astrology"},
        {"metric": "f1", "scores": np.full((100, 3), 1 / 3)},
        {"metric": "roc_auc", "scores": np.full((100, 3), 1 / 3)},
        {"scores": np.linspace(0, 2, 100)},
        {"scores": np.linspace(0, 1, 99)},
        {"y_true": np.zeros(100, int)},
        {"y_true": ["cat"] * 100},
        {"y_true": np.full(100, 7)},
        {"y_true": np.arange(20) % 2, "scores": np.linspace(0, 1, 20)},
        {"method": "magic"},
        {"alpha": 2},
        {"scores": np.full(100, np.nan)},
    ],
)
def test_what_cannot_be_fitted_is_refused(wrong: dict[str, Any]) -> None:
    given = {"y_true": np.arange(100) % 2, "scores": np.linspace(0, 1, 100), **wrong}
    with pytest.raises(InputError):
        fit(given.pop("y_true"), given.pop("scores"), **given)


def test_a_window_of_other_classes_is_refused() -> None:
    scores, y = several(0, 500)
    with pytest.raises(InputError, match="4 classes"):
        fit(y, scores).estimate(scores[:, :3])


def test_an_estimate_is_a_value() -> None:
    assert Estimate(0.5, 0.4, 0.6, 10) == Estimate(0.5, 0.4, 0.6, 10)
