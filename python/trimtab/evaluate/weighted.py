"""A metric as a function of how often each row counts: what the bootstrap asks for.

Enters: a metric and its rows. Leaves: weights (m, n) -> m figures. Counts of classes,
means of losses, areas under curves and calibration errors are computed for all
resamples at once, others one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from trimtab.metrics import Metric
from trimtab.metrics.accumulate import Accumulator
from trimtab.metrics.calibration import CalibrationAccumulator, confidences_of
from trimtab.metrics.confusion import ConfusionAccumulator
from trimtab.metrics.curves import CURVES
from trimtab.metrics.moments import MeanAccumulator
from trimtab.metrics.scores import ScoresAccumulator
from trimtab.metrics.tally import STATISTICS, Tally
from trimtab.types import Array

__all__ = ["weighted_metric"]

Weighted = Callable[[Array], Array]

# What is made of the mean of a loss.
_TRANSFORMS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda mean: mean,
    "sqrt": np.sqrt,
    "exp": np.exp,
}


def weighted_metric(metric: Metric, y_true: Array, y_pred: Array) -> Weighted:
    """Give a metric of these rows as a function of their weights.

    Parameters
    ----------
    metric : Metric
    y_true, y_pred : ndarray
        Dim 0 counts rows.

    Returns
    -------
    weighted : callable
        Weights of shape (m, n) -> m figures; NaN where weights do not define one.

    Examples
    --------
    >>> from trimtab.metrics import METRICS
    >>> of = weighted_metric(METRICS["accuracy"], np.array([0, 1]), np.array([0, 0]))
    >>> of(np.array([[1.0, 1.0], [2.0, 0.0]])).tolist()
    [0.5, 1.0]
    """
    kept = metric.accumulator()
    for kind, make in _FAST.items():
        if type(kept) is kind:
            found: Weighted | None = make(kept, y_true, y_pred)
            if found is not None:
                return found
    return _one_by_one(metric, y_true, y_pred)


def _of_counts(kept: Any, y_true: Array, y_pred: Array) -> Weighted | None:
    """Rows of the same classes count together."""
    if y_true.ndim != 1 or y_pred.ndim != 1:
        return None
    statistic, options = kept.options
    labels, codes = np.unique(np.stack([y_true, y_pred]), return_inverse=True)
    codes = codes.reshape(2, -1)
    cells, place = np.unique(codes, axis=1, return_inverse=True)
    order = np.argsort(place.reshape(-1), kind="stable")
    starts = np.searchsorted(place.reshape(-1)[order], np.arange(cells.shape[1]))
    names = tuple(labels.tolist())

    def weighted(weights: Array) -> Array:
        given = np.asarray(weights, np.float64)[:, order]
        counts = np.add.reduceat(given, starts, axis=1)
        tally = Tally(names, cells[0], cells[1], counts)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(STATISTICS[statistic](tally, **dict(options)))

    return weighted


def _of_mean(kept: Any, y_true: Array, y_pred: Array) -> Weighted | None:
    """A loss of each row, and its weighted mean."""
    loss, transform, multioutput, options = kept.options
    losses = np.asarray(loss(y_true, y_pred, **dict(options)), np.float64)
    losses = losses.reshape(len(losses), -1)
    if losses.shape[1] > 1:
        if transform != "identity" or multioutput != "uniform_average":
            return None
        losses = losses.mean(axis=1, keepdims=True)
    flat = losses[:, 0]

    def weighted(weights: Array) -> Array:
        given = np.asarray(weights, np.float64)
        return np.asarray(_TRANSFORMS[transform](given @ flat / given.sum(axis=1)))

    return weighted


def _of_curve(kept: Any, y_true: Array, y_pred: Array) -> Weighted | None:
    """An area of two classes: weights of either at each distinct score."""
    curve, *_, pos_label, capacity = kept.options
    is_plain = y_pred.ndim == 1 and pos_label in (None, 1) and capacity is None
    if not is_plain or not np.isin(y_true, (0, 1)).all():
        return None
    order = np.argsort(-y_pred, kind="stable")
    falls = np.append(True, np.diff(y_pred[order]) != 0)
    starts, positive = np.flatnonzero(falls), y_true[order] == 1

    def weighted(weights: Array) -> Array:
        given = np.asarray(weights, np.float64)[:, order]
        above = np.add.reduceat(given * positive, starts, axis=1)
        below = np.add.reduceat(given * ~positive, starts, axis=1)
        return np.asarray(CURVES[curve](above, below))

    return weighted


def _of_bins(kept: Any, y_true: Array, y_pred: Array) -> Weighted | None:
    """The calibration error: confidence less hits, by bin."""
    n_bins, strategy, labels = kept.options
    if strategy != "uniform":
        return None
    confidences, hits = confidences_of(y_true, y_pred, labels)
    place = np.clip((confidences * n_bins).astype(int), 0, n_bins - 1)
    gaps = np.zeros((len(hits), n_bins))
    gaps[np.arange(len(hits)), place] = hits - confidences

    def weighted(weights: Array) -> Array:
        given = np.asarray(weights, np.float64)
        return np.asarray(np.abs(given @ gaps).sum(axis=1) / given.sum(axis=1))

    return weighted


_FAST: dict[type[Accumulator], Callable[[Any, Array, Array], Weighted | None]] = {
    CalibrationAccumulator: _of_bins,
    ConfusionAccumulator: _of_counts,
    MeanAccumulator: _of_mean,
    ScoresAccumulator: _of_curve,
}


def _one_by_one(metric: Metric, y_true: Array, y_pred: Array) -> Weighted:
    def of(row: Array) -> float:
        drawn = row > 0
        kept = metric.accumulator()
        try:
            kept.update(y_true[drawn], y_pred[drawn], sample_weight=row[drawn])
            return float(kept.compute())
        except Exception:  # a resample that does not define the metric
            return math.nan

    def weighted(weights: Array) -> Array:
        return np.array([of(row) for row in weights])

    return weighted
