"""Intervals of metrics that are made of counts of classes.

Enters: the counts. Leaves: (low, high, method). A proportion has Wilson's interval, F1
of one class too: F1 = 2 J / (1 + J), where J is the proportion of hits among all that
is true or predicted. All others have the BCa bootstrap of the counts. Where it sees too
little spread, means of proportions of classes have the intervals of these put together
(MOVER: a class is all right or all wrong), and others, when no answer is wrong, the
value at the most errors that none among n is compatible with.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trimtab.metrics.tally import STATISTICS, Tally, parts_of
from trimtab.stats.bootstrap import counts_interval
from trimtab.stats.intervals import wilson_interval
from trimtab.stats.special import Floats

__all__ = ["interval_of"]


def interval_of(
    statistic: str,
    tally: Tally,
    effective: float,
    options: dict[str, Any],
    *,
    alpha: float,
    n_resamples: int,
    seed: int,
) -> tuple[float, float, str]:
    """Give the interval of a statistic of counts.

    Parameters
    ----------
    statistic : str
        Of `STATISTICS`.
    tally : Tally
        Of one confusion matrix.
    effective : float
        Effective number of samples.
    options : dict
        Of the statistic.
    alpha : float
    n_resamples, seed : int

    Returns
    -------
    low, high : float
    method : str

    References
    ----------
    Zou, Donner (2008). Construction of confidence limits about effect measures: a
    general approach. Statistics in Medicine 27, 1693-1702.

    Examples
    --------
    >>> zero = np.array([0])
    >>> right = Tally((0,), zero, zero, np.array([[50.0]]))
    >>> low, high, method = interval_of(
    ...     "accuracy", right, 50, {}, alpha=0.05, n_resamples=100, seed=0
    ... )
    >>> round(low, 4), high, method
    (0.9287, 1.0, 'wilson')
    """
    scale = effective / float(tally.total[0])
    found = _proportion(statistic, tally, options)
    if found is not None:
        k, n, is_f1 = found
        if n <= 0:
            return math.nan, math.nan, "none"
        low, high = wilson_interval(min(k, n) * scale, n * scale, alpha=alpha)
        if is_f1:
            low, high = 2 * low / (1 + low), 2 * high / (1 + high)
        return low, high, "wilson"
    shares = _mean_of_proportions(statistic, tally, options)
    if shares is not None and _is_at_an_end(*shares[:2]):
        return _mover(*shares, scale, alpha)
    return _bootstrap(statistic, tally, effective, options, alpha, n_resamples, seed)


def _proportion(
    statistic: str, tally: Tally, options: dict[str, Any]
) -> tuple[float, float, bool] | None:
    """Hits, trials, and whether it is F1; None where the metric is no proportion."""
    average, labels = options.get("average"), options.get("labels")
    hits, total = float(tally.hits.sum()), float(tally.total[0])
    is_share = statistic in ("precision", "recall", "f_score")
    is_accuracy = statistic == "accuracy" or (
        is_share
        and labels is None
        and (average == "micro" or (statistic, average) == ("recall", "weighted"))
    )
    if is_accuracy:
        return hits, total, False
    if not is_share or average not in ("binary", "micro"):
        return None
    parts = parts_of(tally, labels, average, options["pos_label"])
    hit, true, predicted = (
        float(x[0, 0]) for x in (parts.hits, parts.true, parts.predicted)
    )
    if statistic == "f_score":
        is_plain = average == "binary" and options["beta"] == 1
        return (hit, true + predicted - hit, True) if is_plain else None
    return hit, predicted if statistic == "precision" else true, False


def _mean_of_proportions(
    statistic: str, tally: Tally, options: dict[str, Any]
) -> tuple[Floats, Floats, float] | None:
    """Hits and trials of each class, and what classes without trials count as."""
    if statistic == "balanced_accuracy" and not options["adjusted"]:
        return tally.hits[0], tally.true[0], math.nan
    if statistic not in ("precision", "recall") or options["average"] != "macro":
        return None
    parts = parts_of(tally, options["labels"], "macro", None)
    trials = parts.predicted if statistic == "precision" else parts.true
    instead = options["zero_division"]
    return parts.hits[0], trials[0], 0.0 if instead == "warn" else float(instead)


def _is_at_an_end(hits: Floats, trials: Floats) -> bool:
    """Is a class all right or all wrong? There the bootstrap sees no spread."""
    is_there = trials > 0
    return bool(((hits <= 0) | (hits >= trials))[is_there].any())


def _mover(
    hits: Floats, trials: Floats, instead: float, scale: float, alpha: float
) -> tuple[float, float, str]:
    is_there = trials > 0
    k = int(is_there.sum()) if math.isnan(instead) else len(trials)
    if not is_there.any():
        return math.nan, math.nan, "none"
    shares = hits[is_there] / trials[is_there]
    ends = np.array(
        [
            wilson_interval(min(h, t) * scale, t * scale, alpha=alpha)
            for h, t in zip(hits[is_there], trials[is_there], strict=True)
        ]
    )
    fixed = 0.0 if math.isnan(instead) else instead * (k - len(shares))
    middle = (float(shares.sum()) + fixed) / k
    down, up = np.sqrt(((shares[:, None] - ends) ** 2).sum(axis=0)) / k
    return max(middle - float(down), 0.0), min(middle + float(up), 1.0), "mover"


def _bootstrap(
    statistic: str,
    tally: Tally,
    effective: float,
    options: dict[str, Any],
    alpha: float,
    n_resamples: int,
    seed: int,
) -> tuple[float, float, str]:
    def values(counts: Floats) -> Floats:
        one = Tally(tally.labels, tally.rows, tally.columns, counts)
        return STATISTICS[statistic](one, **options)

    if not (tally.rows != tally.columns).any():
        return _all_right(statistic, tally, effective, options, alpha)
    counts = tally.counts[0] * (effective / float(tally.total[0]))
    low, high = counts_interval(
        values, counts, alpha=alpha, n_resamples=n_resamples, seed=seed
    )
    return low, high, "bootstrap"


def _all_right(
    statistic: str,
    tally: Tally,
    effective: float,
    options: dict[str, Any],
    alpha: float,
) -> tuple[float, float, str]:
    """No error was seen: the bound with as many as none is compatible with."""
    share = wilson_interval(0, effective, alpha=alpha)[1]
    k = len(tally.labels)
    true = tally.true[0] / tally.total[0]
    rows, columns = np.nonzero(~np.eye(k, dtype=bool))
    estimate = float(STATISTICS[statistic](tally, **options)[0])
    if not len(rows) or not math.isfinite(estimate):
        return math.nan, math.nan, "none"
    diagonal = np.arange(k)
    cells = np.concatenate([true * (1 - share), true[rows] * share / (k - 1)])
    spread = Tally(
        tally.labels,
        np.concatenate([diagonal, rows]),
        np.concatenate([diagonal, columns]),
        cells[None, :] * effective,
    )
    low = float(STATISTICS[statistic](spread, **options)[0])
    return min(low, estimate), estimate, "no error seen"
