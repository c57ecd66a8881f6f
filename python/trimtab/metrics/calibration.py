"""Calibration: do events that are given 80 % happen 80 % of the time?

Enters: classes and probabilities. Leaves: the expected calibration error, and the bins
of a reliability diagram. Bins of equal width are counted in O(bins) memory; those of
equal mass need all confidences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.metrics.accumulate import Accumulator
from trimtab.metrics.inputs import (
    as_labels,
    as_weights,
    check_length,
    class_places,
    freeze,
)
from trimtab.metrics.interval import Interval
from trimtab.metrics.probability_streaming import probabilities_of
from trimtab.stats.intervals import check_alpha
from trimtab.stats.special import Floats

__all__ = ["CalibrationAccumulator", "Reliability", "confidences_of"]

_MAX_BINS = 10_000
_MAX_SCALE = 1024.0
_N_HALVINGS = 20


def confidences_of(y_true: Any, y_pred: Any, labels: Any) -> tuple[Floats, Floats]:
    """Confidence of each sample, and whether what it speaks of came true.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    y_pred : array-like of shape (n,) or (n, k)
        Probabilities.
    labels : sequence or None
        Classes of the columns; None: 0, 1, ...

    Returns
    -------
    confidences, hits : ndarray of shape (n,)
        Of two classes those of the positive one, of more of the predicted one.

    Examples
    --------
    >>> confidences_of([2], [[0.1, 0.2, 0.7]], None)
    (array([0.7]), array([1.]))
    """
    truth = as_labels(y_true, name="y_true")
    probabilities = probabilities_of(y_pred)
    check_length(truth, probabilities)
    places = class_places(truth, labels, probabilities.shape[1])
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], (places == 1).astype(np.float64)
    best = probabilities.argmax(axis=1)
    confidences = probabilities[np.arange(len(best)), best]
    return confidences, (best == places).astype(np.float64)


@dataclass(frozen=True)
class Reliability:
    """Bins of a reliability diagram that hold samples.

    Parameters
    ----------
    confidence, accuracy : ndarray of shape (b,)
        Means in each bin.
    weight : ndarray of shape (b,)
    """

    confidence: Floats
    accuracy: Floats
    weight: Floats


class CalibrationAccumulator(Accumulator):
    """The expected calibration error.

    Parameters
    ----------
    n_bins : int, default=15
    strategy : {"uniform", "quantile"}, default="uniform"
    labels : sequence, optional
        Classes of the columns; 0, 1, ... by default.

    Raises
    ------
    InputError
        An option does not fit.
    """

    def __init__(
        self, *, n_bins: int = 15, strategy: str = "uniform", labels: Any = None
    ) -> None:
        if not 1 <= n_bins <= _MAX_BINS:
            raise InputError(f"n_bins: expected 1 to {_MAX_BINS}, got {n_bins}")
        if strategy not in ("uniform", "quantile"):
            raise InputError(
                f'strategy: expected "uniform" or "quantile", got {strategy!r}'
            )
        self._n_bins, self._strategy, self._labels = n_bins, strategy, freeze(labels)
        self.n = 0
        # By bin sums of w, w confidence, w hit, and w^2 (hit - confidence)^2.
        self._sums: Floats = np.zeros((4, n_bins))
        self._kept: list[Floats] = []

    @property
    def options(self) -> tuple[Any, ...]:
        """Bins and classes."""
        return self._n_bins, self._strategy, self._labels

    def update(self, y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> None:
        """Add samples.

        Parameters
        ----------
        y_true : array-like of shape (n,)
        y_pred : array-like of shape (n,) or (n, k)
            Probabilities.
        sample_weight : array-like of shape (n,), optional
        """
        confidences, hits = confidences_of(y_true, y_pred, self._labels)
        given = as_weights(sample_weight, len(hits))
        weights = np.ones(len(hits)) if given is None else given
        samples = np.stack([confidences, hits, weights])
        self.n += len(hits)
        if self._strategy == "quantile":
            self._kept.append(samples)
        else:
            edges = np.linspace(0.0, 1.0, self._n_bins + 1)
            self._sums += _binned(samples, edges)

    def _merge(self, other: CalibrationAccumulator) -> None:
        self._sums = self._sums + other._sums
        self._kept += other._kept
        self.n += other.n

    def _bins(self) -> Floats:
        if not self.n:
            raise InputError("expected at least one sample, got none")
        sums = self._sums
        if self._strategy == "quantile":
            samples = np.concatenate(self._kept, axis=1)
            shares = np.linspace(0.0, 1.0, self._n_bins + 1)
            sums = _binned(samples, np.quantile(samples[0], shares))
        if not sums[0].any():
            raise InputError("sample_weight: expected one above 0, got none")
        return sums

    def reliability(self) -> Reliability:
        """Give the reliability diagram.

        Returns
        -------
        bins : Reliability
        """
        sums = self._bins()
        weight, confidence, hits = sums[:3, sums[0] > 0]
        return Reliability(confidence / weight, hits / weight, weight)

    def compute(self) -> float:
        """Give the error of all samples.

        Returns
        -------
        error : float
        """
        weight, confidence, hits, _ = self._bins()
        return float(np.abs(hits - confidence).sum() / weight.sum())

    def interval(
        self, *, alpha: float = 0.05, n_resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Give the error with an interval by inverted tests.

        The sampling error of bins makes the error of a sample too large, that of a
        calibrated model too. So the gaps of the bins are scaled, by 0 and more, noise
        as large as theirs is added, and the scales stay for which the error seen is no
        surprise: 0 is in the interval when a calibrated model could well give it.

        Parameters
        ----------
        alpha : float, default=0.05
        n_resamples : int, default=1000
        seed : int, default=0

        Returns
        -------
        interval : Interval
        """
        weight, confidence, hits, squares = self._bins()
        gaps, value = hits - confidence, self.compute()
        spread = np.sqrt(np.maximum(squares - gaps**2 / self.n, 0.0))
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((n_resamples, len(gaps))) * spread
        total, tail = float(weight.sum()), check_alpha(alpha) / 2

        def share_above(scale: float) -> float:
            found = np.abs(scale * gaps + noise).sum(axis=1) / total
            return float((found >= value).mean())

        low = _cross(share_above, tail) * value
        high = min(_cross(share_above, 1 - tail) * value, 1.0)
        return Interval(value, min(low, value), max(high, value), "inverted", self.n)


def _cross(rising: Callable[[float], float], level: float) -> float:
    """Where a function that rises from 0 on reaches a level; 0 if it is above there."""
    low, high = 0.0, 1.0
    if rising(0.0) >= level:
        return 0.0
    while rising(high) < level and high < _MAX_SCALE:
        high *= 2
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) >= level else (middle, high)
    return high


def _binned(samples: Floats, edges: Floats) -> Floats:
    """Sums by bin; bins are open on the left, the first one is closed."""
    confidences, hits, weights = samples
    n_bins = len(edges) - 1
    places = np.searchsorted(edges[1:-1], confidences)
    squares = (weights * (hits - confidences)) ** 2
    rows = (weights, weights * confidences, weights * hits, squares)
    return np.stack([np.bincount(places, row, minlength=n_bins) for row in rows])
