"""How well a classifier is doing before labels come: estimated by its confidence.

Scores are calibrated on a reference with labels; of the calibrated probabilities of a
window the expected metric follows (confidence-based performance estimation, CBPE). It
is an estimate: it holds as long as a score means what it meant on the reference. Where
inputs move, but the chance of a class at a given score does not, it follows them; where
the classes themselves become more or less frequent, or mean something else, it does
not, and nothing but labels can tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.metrics.inputs import as_labels, as_numbers, check_length
from trimtab.monitor.calibration import (
    ClassCalibration,
    IsotonicCalibration,
    TemperatureScaling,
)
from trimtab.monitor.expected import CountedMetric, RankedMetric, expected_metric
from trimtab.monitor.schema import scores_of
from trimtab.stats.intervals import check_alpha
from trimtab.stats.special import Floats

__all__ = ["ConfidencePerformance", "Estimate"]

Places = npt.NDArray[np.intp]
METHODS = ("auto", "isotonic", "temperature")
_MIN_ROWS = 50
# Counts of (true, predicted) classes: k^2 for each draw.
_MAX_CLASSES = 128
# Rows beyond the confidence that the reference has: how far, and how many.
_MARGIN = 0.01
_MAX_BEYOND = 0.01
# Share of the predictions that go to other classes than on the reference.
_MAX_MOVED = 0.1


@dataclass(frozen=True)
class Estimate:
    """A metric that nobody has measured.

    Parameters
    ----------
    value : float
    low, high : float
        What labels of these rows would show, with the confidence asked for; NaN where
        nothing is promised.
    n : int
        Rows.
    notes : tuple of str
        Why not to rely on it.
    is_estimate : bool
        True.

    Examples
    --------
    >>> print(Estimate(0.91, 0.88, 0.93, 500))
    0.91 [0.88, 0.93] (an estimate, before labels)
    """

    value: float
    low: float
    high: float
    n: int
    notes: tuple[str, ...] = ()
    is_estimate: bool = True

    @property
    def is_reliable(self) -> bool:
        """Is there nothing to say against it?"""
        return not self.notes

    def __str__(self) -> str:
        """Figures, and that they are an estimate."""
        notes = "".join(f"; {note}" for note in self.notes)
        return (
            f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}] "
            f"(an estimate, before labels{notes})"
        )


class ConfidencePerformance:
    """Estimates one metric of a classifier by its scores; made by `fit`.

    Notes
    -----
    Intervals of 95 % covered what labels showed later in 90 to 98 % of seeded windows
    (references of 800 to 1000 rows, windows of 400 to 500), with one exception: each
    class calibrated by itself (``method="isotonic"`` of more than two classes) is a
    little optimistic on small references, and covered 80 %.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> scores = random.random(4000)
    >>> y = (random.random(4000) < scores).astype(int)
    >>> fitted = ConfidencePerformance.fit(y[:2000], scores[:2000])
    >>> found = fitted.estimate(scores[2000:])
    >>> truth = float(((scores >= 0.5) == y)[2000:].mean())
    >>> found.low <= truth <= found.high
    True
    """

    def __init__(
        self,
        metric: str,
        target: CountedMetric | RankedMetric,
        calibration: Any,
        *,
        n_classes: int,
        by_top: bool,
        threshold: float,
        alpha: float,
        n_draws: int,
        seed: int,
        confidence: Floats,
        shares: Floats,
    ) -> None:
        self.metric = metric
        self.n_classes = n_classes
        self._target, self._calibration = target, calibration
        self._by_top, self._threshold = by_top, threshold
        self._alpha, self._n_draws, self._seed = alpha, n_draws, seed
        self._range = float(confidence.min()), float(confidence.max())
        self._n, self._shares = len(confidence), shares

    @classmethod
    def fit(
        cls,
        y_true: Any,
        scores: Any,
        *,
        metric: str = "accuracy",
        method: str = "auto",
        classes: Sequence[str] | None = None,
        threshold: float = 0.5,
        alpha: float = 0.05,
        n_draws: int = 200,
        seed: int = 0,
    ) -> ConfidencePerformance:
        """Calibrate scores on a reference that the model was not trained on.

        Parameters
        ----------
        y_true : array-like of shape (n,)
            Classes, by number or by name.
        scores : array-like of shape (n,) or (n, k)
            Of the second of two classes; or a column for each class, as probabilities
            or as logits.
        metric : str, default="accuracy"
            "roc_auc" of two classes, or any of `METRICS` that is made of counts of
            classes.
        method : {"auto", "isotonic", "temperature"}, default="auto"
            How scores are calibrated. By default isotonic for two classes and for the
            accuracy; for other metrics of more classes one temperature for all logits,
            or each class by itself, whichever makes labels likelier that it was not
            fitted on.
        classes : sequence of str, optional
            Names of the columns.
        threshold : float, default=0.5
            From which score on the second of two classes is predicted.
        alpha : float, default=0.05
            1 - alpha is the confidence.
        n_draws : int, default=200
            References, and labels of a window, that are drawn for the interval.
        seed : int, default=0

        Returns
        -------
        estimator : ConfidencePerformance

        Raises
        ------
        InputError
            The arguments do not fit each other, or there are too few rows.
        ImportError
            scikit-learn is not installed.
        """
        check_alpha(alpha)
        if method not in METHODS or n_draws < 20:
            raise InputError(
                f"expected a method of {METHODS} and 20 or more draws, got {method!r} "
                f"and {n_draws!r}"
            )
        p = _probabilities(scores)
        k = p.shape[1]
        y = _class_numbers(y_true, classes, k)
        check_length(y, p)
        if len(y) < _MIN_ROWS or len(np.unique(y)) < 2:
            raise InputError(
                f"a reference: expected {_MIN_ROWS} rows or more of two classes or "
                f"more, got {len(y)} rows of {len(np.unique(y))}"
            )
        target = expected_metric(metric, k)
        by_top = k > 2 and metric in ("accuracy", "accuracy_score")
        if k > _MAX_CLASSES and not by_top:
            raise InputError(
                f"metric: of {k} classes the accuracy is estimated, and nothing else"
            )
        options: dict[str, Any] = {
            "n_draws": n_draws,
            "random": np.random.default_rng(seed),
        }
        predicted = _predicted(p, threshold)
        fitted: Any
        if method == "temperature":
            by_top, fitted = False, TemperatureScaling(p, y, **options)
        elif k == 2:
            fitted = IsotonicCalibration(p[:, 1], y == 1, **options)
        elif by_top:
            fitted = IsotonicCalibration(_confidence(p), y == predicted, **options)
        else:
            kinds = (TemperatureScaling, ClassCalibration)
            kind = kinds[1] if method == "isotonic" else _likelier(kinds, p, y)
            fitted = kind(p, y, **options)
        return cls(
            metric,
            target,
            fitted,
            n_classes=k,
            by_top=by_top,
            threshold=threshold,
            alpha=alpha,
            n_draws=n_draws,
            seed=seed,
            confidence=_confidence(p),
            shares=np.bincount(predicted, minlength=k) / len(p),
        )

    def estimate(self, scores: Any, *, n_rows: int | None = None) -> Estimate:
        """Estimate the metric of a window.

        Parameters
        ----------
        scores : array-like of shape (n,) or (n, k)
            As in `fit`.
        n_rows : int, optional
            Rows of the window that these are an even sample of.

        Returns
        -------
        estimate : Estimate
            Its interval holds what the labels of these rows would show: they are
            drawn, from calibrations that are drawn, and of a sample the rows are too.

        Raises
        ------
        InputError
            The scores have another shape.
        """
        p = _probabilities(scores)
        if p.shape[1] != self.n_classes:
            raise InputError(
                f"scores: expected those of {self.n_classes} classes, got {p.shape[1]}"
            )
        if not len(p):
            return Estimate(math.nan, math.nan, math.nan, 0, ("there are no rows",))
        predicted = _predicted(p, self._threshold)
        notes, is_known = self._notes(p, predicted)
        is_sample = n_rows is not None and n_rows > len(p)
        value, draws = self._draw(p, predicted, is_sample)
        draws = draws[np.isfinite(draws)]
        low = high = math.nan
        if is_known and len(draws) >= self._n_draws // 2 and math.isfinite(value):
            ends = np.quantile(draws, [self._alpha / 2, 1 - self._alpha / 2])
            low, high = min(float(ends[0]), value), max(float(ends[1]), value)
        return Estimate(value, low, high, len(p), notes)

    def _draw(
        self, p: Floats, predicted: Places, is_sample: bool
    ) -> tuple[float, Floats]:
        """The expected metric, and those of drawn labels."""
        k = p.shape[1]
        is_flag = self._by_top or k == 2
        if self._by_top:  # was it right? two classes, of which 1 is always predicted
            at, scores, k = self._calibration.at(_confidence(p)), p[:, 0], 2
            predicted = np.ones(len(p), np.intp)
        elif isinstance(self._calibration, IsotonicCalibration):
            at, scores = self._calibration.at(p[:, 1]), p[:, 1]
        else:
            at, scores = self._calibration.at(p), p[:, -1]
        random = np.random.default_rng(self._seed)
        rows = np.arange(len(p))
        found = np.full(self._n_draws, math.nan)
        value = math.nan
        for i in range(self._n_draws + 1):
            q = at.draw(i)
            if q.ndim == 1:
                q = np.stack([1 - q, q], axis=1)
            if i == 0:
                value = self._target.expected(q, predicted, scores)
                continue
            if is_sample:
                rows = random.integers(0, len(p), len(p))
                q = q[rows]
            chance = random.random((len(p), 1))
            if is_flag:
                y = (chance[:, 0] < q[:, 1]).astype(np.intp)
            else:
                y = (q.cumsum(axis=1)[:, :-1] < chance).sum(axis=1)
            found[i - 1] = self._target.drawn(y, predicted[rows], scores[rows], k)
        return value, found

    def _notes(self, p: Floats, predicted: Places) -> tuple[tuple[str, ...], bool]:
        """What is against the estimate; is the calibration known where it is needed?"""
        notes = []
        low, high = self._range
        confidence = _confidence(p)
        beyond = (confidence < low - _MARGIN) | (confidence > high + _MARGIN)
        share = float(beyond.mean())
        is_known = share <= max(_MAX_BEYOND, 5 / self._n)
        if not is_known:
            notes.append(
                f"{100 * share:.0f} % of the rows have a confidence beyond the "
                f"reference's, {low:.3g} to {high:.3g}: what it means there is not "
                "known, and no interval is given"
            )
        shares = np.bincount(predicted, minlength=len(self._shares)) / len(p)
        moved = float(np.abs(shares - self._shares).sum()) / 2
        # Two samples of one mix differ by about so much.
        noise = 0.5 * math.sqrt(len(shares) * (1 / len(p) + 1 / self._n))
        if moved > _MAX_MOVED + noise:
            notes.append(
                f"{100 * moved:.0f} % of the predictions go to other classes than on "
                "the reference: if the labels themselves have drifted, this is wrong"
            )
        return tuple(notes), is_known

    def __repr__(self) -> str:
        """Metric and reference."""
        return (
            f"ConfidencePerformance({self.metric} of {self.n_classes} classes by "
            f"{type(self._calibration).__name__} of {self._n} rows)"
        )


def _probabilities(scores: Any) -> Floats:
    """A column for each class."""
    given = as_numbers(scores, name="scores")
    if given.ndim == 2 and given.shape[1] > 1:
        return scores_of(given) if len(given) else given
    given = given.reshape(len(given), -1) if given.ndim else given
    if given.ndim != 2 or (given.shape[1:] != (1,) and given.size):
        raise InputError(
            f"scores: expected shape (n,) or (n, n_classes), got {np.shape(scores)}"
        )
    one = given.reshape(-1)
    if ((one < 0) | (one > 1)).any():
        raise InputError("scores: expected those of one class from 0 to 1")
    return np.stack([1 - one, one], axis=1)


def _class_numbers(y_true: Any, classes: Sequence[str] | None, k: int) -> Places:
    labels = as_labels(y_true, name="y_true")
    if labels.dtype.kind == "U":
        place = {str(name): i for i, name in enumerate(classes or ())}
        unknown = sorted(set(labels.tolist()) - place.keys())
        if unknown:
            raise InputError(
                f"y_true: expected classes of {list(place)[:8]}, got {unknown[:8]}; "
                "name the columns of the scores with classes="
            )
        labels = np.array([place[label] for label in labels.tolist()])
    y: Places = labels.astype(np.intp)
    if len(y) and (y.min() < 0 or y.max() >= k):
        raise InputError(
            f"y_true: expected classes from 0 to {k - 1}, got {y.min()} to {y.max()}"
        )
    return y


def _likelier(kinds: Sequence[Any], p: Floats, y: Places) -> Any:
    """The kind of calibration that says more of the half that it has not seen."""
    half = np.random.default_rng(0).permutation(len(y)) % 2 == 0
    losses = []
    for kind in kinds:
        loss = 0.0
        for part in (half, ~half):
            fitted = kind(p[part], y[part], n_draws=20, random=np.random.default_rng(0))
            found = fitted.at(p[~part]).draw(0)[np.arange((~part).sum()), y[~part]]
            loss -= float(np.log(np.maximum(found, 1e-6)).sum())
        losses.append(loss)
    return kinds[int(np.argmin(losses))]


def _predicted(p: Floats, threshold: float) -> Places:
    if p.shape[1] == 2:
        return (p[:, 1] >= threshold).astype(np.intp)
    places: Places = p.argmax(axis=1)
    return places


def _confidence(p: Floats) -> Floats:
    """What the calibration goes by: the second of two classes, else the best."""
    found: Floats = p[:, 1] if p.shape[1] == 2 else p.max(axis=1)
    return found
