"""Intervals of areas under curves.

ROC: every area is a mean over pairs, so each sample has an influence (DeLong's
structural components); means over classes add influences up by sample. The interval is
normal on the scale of the logit. Average precision: on the same scale, with the
standard error of the bootstrap of counts by score, for two classes; for more the BCa
bootstrap of samples.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.metrics.curves import ScoreTable, average_precision
from trimtab.stats.bootstrap import bootstrap_interval, counts_error
from trimtab.stats.delong import logit_interval
from trimtab.stats.intervals import check_alpha, wilson_interval
from trimtab.stats.special import Floats

__all__ = ["multiclass_interval", "table_interval"]

Flags = npt.NDArray[np.bool_]
# Scores that the bootstrap tells apart.
_N_SCORES = 512


def table_interval(
    curve: str,
    table: ScoreTable,
    value: float,
    *,
    alpha: float,
    n_resamples: int,
    seed: int,
) -> tuple[float, float, str]:
    """Give the interval of two classes.

    Parameters
    ----------
    curve : str
        Of `CURVES`.
    table : ScoreTable
    value : float
        The area.
    alpha : float
    n_resamples, seed : int

    Returns
    -------
    low, high : float
    method : str

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.random(200) < 0.5
    >>> table = ScoreTable.of(rng.normal(size=200) + y, y, None)
    >>> low, high, method = table_interval(
    ...     "roc_auc", table, 0.75, alpha=0.05, n_resamples=1, seed=0
    ... )
    >>> low < 0.76 < high, method
    (True, 'delong')
    """
    check_alpha(alpha)
    n_positive, n_negative = table.effective
    if not n_positive or not n_negative:
        return math.nan, math.nan, "none"
    if curve == "roc_auc":
        smallest = min(n_positive, n_negative)
        low, high = logit_interval(value, table.roc_error(), smallest, alpha=alpha)
        return low, high, "delong"
    if value == 1.0:
        # No negative stands above a positive: as many as that is compatible with.
        share = wilson_interval(0, n_negative, alpha=alpha)[1]
        return 1 / (1 + share * n_negative / n_positive), 1.0, "no error seen"
    small = table.cut(_N_SCORES)
    counts = small.sums[:2] * ((n_positive + n_negative) / float(table.sums[:2].sum()))
    k = counts.shape[1]

    def area(cells: Floats) -> Floats:
        return average_precision(cells[:, :k], cells[:, k:])

    error = counts_error(area, counts.ravel(), n_resamples=n_resamples, seed=seed)
    if math.isnan(error) or value <= 0.0:
        return math.nan, math.nan, "none"
    low, high = logit_interval(value, error, n_positive, alpha=alpha)
    return low, high, "bootstrap"


def _influence(
    scores: Floats, is_positive: Flags, weights: Floats
) -> tuple[float, Floats]:
    """Area, and by how much each sample moves it (times n), of mean 0."""
    _, places = np.unique(-scores, return_inverse=True)
    k = int(places.max()) + 1
    up = np.bincount(places[is_positive], weights[is_positive], minlength=k)
    down = np.bincount(places[~is_positive], weights[~is_positive], minlength=k)
    p, n = float(up.sum()), float(down.sum())
    if not p or not n:
        return math.nan, np.full(len(scores), math.nan)
    above = (np.cumsum(up) - up / 2)[places] / p
    below = (n - np.cumsum(down) + down / 2)[places] / n
    area = float((down * (np.cumsum(up) - up / 2)).sum()) / (p * n)
    total = float(weights.sum())
    moves = np.where(
        is_positive, (below - area) * total / p, (above - area) * total / n
    )
    return area, moves


def _of_classes(targets: Flags, scores: Floats, w: Floats, average: str) -> Floats:
    k = targets.shape[1]
    if average == "micro":
        _, moves = _influence(scores.ravel(), targets.ravel(), np.repeat(w, k))
        together: Floats = moves.reshape(-1, k).sum(axis=1) / k
        return together
    shares = w @ targets / w.sum()
    parts = shares / shares.sum() if average == "weighted" else np.full(k, 1 / k)
    total: Floats = np.zeros(len(targets))
    areas = np.zeros(k)
    for c in np.flatnonzero(parts):
        areas[c], moves = _influence(scores[:, c], targets[:, c], w)
        total += parts[c] * moves
    if average == "weighted":  # the shares are estimates too
        total += (targets - shares) @ (areas - parts @ areas) / shares.sum()
    return total


def _of_pairs(targets: Flags, scores: Floats, average: str) -> Floats:
    k, n = targets.shape[1], len(targets)
    total, mass = np.zeros(n), 0.0
    for a, b in itertools.combinations(range(k), 2):
        rows = np.flatnonzero(targets[:, a] | targets[:, b])
        share = len(rows) / n if average == "weighted" else 1.0
        mass += share
        for c in (a, b):
            _, moves = _influence(scores[rows, c], targets[rows, c], np.ones(len(rows)))
            total[rows] += share * moves / 2 * n / len(rows)
    values: Floats = total / mass
    return values


def multiclass_interval(
    curve: str,
    targets: Flags,
    scores: Floats,
    weights: Floats | None,
    *,
    pairs: bool,
    average: str,
    value: float,
    alpha: float,
    n_resamples: int,
    seed: int,
) -> tuple[float, float, str]:
    """Give the interval of an average over classes.

    Parameters
    ----------
    curve : str
        Of `CURVES`.
    targets : ndarray of bool of shape (n, k)
    scores : ndarray of shape (n, k)
    weights : ndarray of shape (n,) or None
    pairs : bool
        Classes are held against each other one, not against all others.
    average : {"micro", "macro", "weighted"}
    value : float
        The area.
    alpha : float
    n_resamples, seed : int

    Returns
    -------
    low, high : float
    method : str

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> targets = np.eye(3, dtype=bool)[rng.integers(0, 3, 300)]
    >>> low, high, method = multiclass_interval(
    ...     "roc_auc", targets, rng.random((300, 3)), None, pairs=False,
    ...     average="macro", value=0.5, alpha=0.05, n_resamples=1, seed=0)
    >>> round(high - low, 1), method
    (0.1, 'delong')
    """
    check_alpha(alpha)
    if not math.isfinite(value):
        return math.nan, math.nan, "none"
    w = np.ones(len(targets)) if weights is None else weights
    if curve == "roc_auc":
        moves = (
            _of_pairs(targets, scores, average)
            if pairs
            else _of_classes(targets, scores, w, average)
        )
        n = float(w.sum()) ** 2 / float(w @ w)
        spread = float(((w * moves) ** 2).sum()) / float(w.sum()) ** 2
        error = math.sqrt(spread * n / (n - 1)) if n > 1 else math.nan
        counts = targets.sum(axis=0)
        smallest = float(counts[counts > 0].min())
        low, high = logit_interval(value, error, smallest, alpha=alpha)
        return low, high, "delong"
    statistic = _precision_of_weights(targets, scores, w, average)
    _, low, high = bootstrap_interval(
        statistic, len(targets), alpha=alpha, n_resamples=n_resamples, seed=seed
    )
    return low, high, "bootstrap"


def _precision_of_weights(
    targets: Flags, scores: Floats, w: Floats, average: str
) -> Any:
    """The average precision of resamples: (m, n) -> (m,)."""
    k = targets.shape[1]
    sorted_by = []
    for c in range(k):
        order = np.argsort(-scores[:, c], kind="stable")
        ordered = scores[order, c]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        sorted_by.append((order, starts, targets[order, c]))

    def area(drawn: Floats, c: int) -> Floats:
        order, starts, is_positive = sorted_by[c]
        weights = (drawn * w)[:, order]
        up = np.add.reduceat(weights * is_positive, starts, axis=1)
        return average_precision(up, np.add.reduceat(weights, starts, axis=1) - up)

    def micro(drawn: Floats) -> Floats:
        flat, order = scores.ravel(), np.argsort(-scores.ravel(), kind="stable")
        starts = np.flatnonzero(np.r_[True, flat[order][1:] != flat[order][:-1]])
        weights = np.repeat(drawn * w, k, axis=1)[:, order]
        up = np.add.reduceat(weights * targets.ravel()[order], starts, axis=1)
        return average_precision(up, np.add.reduceat(weights, starts, axis=1) - up)

    def averaged(drawn: Floats) -> Floats:
        areas = np.stack([area(drawn, c) for c in range(k)], axis=1)
        if average == "macro":
            return np.asarray(areas.mean(axis=1))
        shares = (drawn * w) @ targets
        values: Floats = (areas * shares).sum(axis=1) / shares.sum(axis=1)
        return values

    return micro if average == "micro" else averaged
