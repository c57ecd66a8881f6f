"""The proof: a confidence bound of how much worse a candidate is than float32.

Enters: scores of both on the same samples. Leaves: a `Bound`. What bounds it depends
on the scores: discordant pairs for right and wrong, Student's t and the bootstrap for
other scores, a bootstrap over samples for metrics that give one number for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.optimize.metrics import Metric, scores_of
from trimtab.stats.paired import clopper_pearson_upper, drop_upper_bound
from trimtab.stats.resampling import mean_upper_bound, statistic_upper_bound
from trimtab.types import Array

__all__ = ["Bound", "Scored", "bound_drop", "drop_of", "predict_bound", "score"]


# Resamples that are enough to say what the guard will say.
_N_FORECAST = 200


@dataclass(frozen=True)
class Bound:
    """How much a metric drops, and at most how much.

    Parameters
    ----------
    drop : float
        On the samples that were seen.
    upper : float
        Bound of the drop on all data like these.
    alpha : float
        The bound is too low at most this often.
    n : int
        Samples.
    method : str
        "exact", "clopper-pearson", "t and studentised bootstrap" or "BCa bootstrap".
    n10, n01 : int or None
        Samples that became worse and better, where scores have two values.

    Examples
    --------
    >>> print(Bound(0.0, 0.005, 0.05, 600, "exact", 0, 0))
    drop 0, at most 0.005 (95 %, 600 samples, 0 worse and 0 better, exact)
    """

    drop: float
    upper: float
    alpha: float
    n: int
    method: str
    n10: int | None = None
    n01: int | None = None

    def __str__(self) -> str:
        """Give it in one line."""
        pairs = "" if self.n10 is None else f"{self.n10} worse and {self.n01} better, "
        return (
            f"drop {self.drop:.4g}, at most {self.upper:.4g} "
            f"({100 * (1 - self.alpha):g} %, {self.n} samples, {pairs}{self.method})"
        )


@dataclass(frozen=True, eq=False)
class Scored:
    """Answers with what is needed to compare them.

    Parameters
    ----------
    scores : ndarray
        Of shape (n,), or () where the metric gives one number.
    truth, outputs : ndarray
        Kept for metrics of one number, which resampling computes again.
    expected : float, default=0.0
        See `Metric.forecast`.
    """

    scores: Array
    truth: Any = None
    outputs: Any = None
    expected: float = 0.0

    @property
    def value(self) -> float:
        """The metric."""
        return float(self.scores.mean())


def score(metric: Metric, truth: Any, outputs: Array, *, whose: str) -> Scored:
    """Score outputs and keep what comparing needs.

    Parameters
    ----------
    metric : Metric
    truth, outputs : ndarray
    whose : str
        What messages call the outputs.

    Returns
    -------
    scored : Scored

    Raises
    ------
    InputError
        The metric fails, or is not finite for float32.

    Examples
    --------
    >>> from trimtab.optimize.metrics import METRICS
    >>> y = np.array([0, 1])
    >>> score(METRICS["accuracy"], y, np.eye(2), whose="f32").value
    1.0
    """
    scores = scores_of(metric, truth, outputs, whose=whose)
    if whose == "f32" and not np.isfinite(scores).all():
        first = (
            "" if scores.ndim == 0 else f" for sample {np.argmin(np.isfinite(scores))}"
        )
        raise InputError(
            f"metric {metric.name!r} is NaN or infinite{first} for {whose}"
        )
    keeps = scores.ndim == 0
    return Scored(scores, truth if keeps else None, outputs if keeps else None)


def drop_of(before: Scored, after: Scored) -> float:
    """Drop of the metric on these samples; infinite where it is not a number.

    Parameters
    ----------
    before, after : Scored

    Returns
    -------
    drop : float

    Examples
    --------
    >>> drop_of(Scored(np.array([1.0, 1.0])), Scored(np.array([1.0, 0.0])))
    0.5
    """
    drop = before.value - after.value
    return drop if math.isfinite(drop) else math.inf


def bound_drop(
    metric: Metric, before: Scored, after: Scored, *, alpha: float = 0.05, seed: int = 0
) -> Bound:
    """Bound the drop of a metric.

    Parameters
    ----------
    metric : Metric
    before, after : Scored
        Of float32 and of the candidate, on the same samples.
    alpha : float, default=0.05
    seed : int, default=0

    Returns
    -------
    bound : Bound

    Examples
    --------
    >>> from trimtab.optimize.metrics import METRICS
    >>> ones = Scored(np.ones(600))
    >>> round(bound_drop(METRICS["accuracy"], ones, ones).upper, 4)
    0.005
    """
    if before.scores.ndim == 0:
        return _bound_number(metric, before, after, alpha, seed)
    lost = before.scores - after.scores
    n = len(lost)
    if not np.isfinite(lost).all():
        return Bound(math.inf, math.inf, alpha, n, "not finite")
    pairs = _discordant(metric, before.scores, lost)
    if pairs is None:
        upper = mean_upper_bound(lost, alpha=alpha, seed=seed)
        upper = max(upper, _rare(lost, alpha))
        return Bound(float(lost.mean()), upper, alpha, n, "t and studentised bootstrap")
    n10, n01, width = pairs
    upper = width * drop_upper_bound(
        n10, n01, n, alpha=alpha, can_improve=metric.can_improve
    )
    method = "exact" if metric.can_improve else "clopper-pearson"
    return Bound(width * (n10 - n01) / n, upper, alpha, n, method, n10, n01)


def _discordant(
    metric: Metric, scores: Array, lost: Array
) -> tuple[int, int, float] | None:
    """Samples that lose and gain, and how much; None where that is not one number."""
    changes = np.unique(np.abs(lost[lost != 0]))
    if metric.is_binary:
        width = 1.0
    elif len(changes) == 1 and len(np.unique(scores)) <= 2:
        width = float(changes[0])
    elif len(changes) == 0:
        width = float(np.ptp(scores)) or 1.0
    else:
        return None
    return int((lost > 0).sum()), int((lost < 0).sum()), width


def _rare(lost: Array, alpha: float) -> float:
    """Bound for losses that few samples have, which no resampling can stand for.

    As many samples as Clopper and Pearson allow lose as much as the worst one did.
    """
    n, n_worse = len(lost), int((lost > 0).sum())
    if n_worse > 20 or n_worse == 0:
        return -math.inf
    return clopper_pearson_upper(n_worse, n, alpha) * float(lost.max())


def _bound_number(
    metric: Metric,
    before: Scored,
    after: Scored,
    alpha: float,
    seed: int,
    n_resamples: int = 1000,
) -> Bound:
    """Bootstrap over samples, for F1, AUC and the like."""
    n = len(after.outputs)
    drop = drop_of(before, after)
    if not math.isfinite(drop):
        return Bound(drop, drop, alpha, n, "not finite")

    def lost(chosen: npt.NDArray[np.intp]) -> float:
        truth = before.truth[chosen]
        try:
            old = metric.score(truth, before.outputs[chosen])
            new = metric.score(truth, after.outputs[chosen])
        except Exception:  # of one class only, say
            return math.nan
        return float(old) - float(new)

    upper = statistic_upper_bound(
        lost, n, alpha=alpha, n_resamples=n_resamples, seed=seed
    )
    # What no sample shows, no resample does: as for no discordant pair.
    floor = clopper_pearson_upper(0, n, alpha) * _influence(lost, n, seed)
    return Bound(drop, max(upper, drop + floor), alpha, n, "BCa bootstrap")


def _influence(
    lost: Callable[[npt.NDArray[np.intp]], float], n: int, seed: int
) -> float:
    """How far one sample moves the drop, times n: 1 for a share of samples."""
    rng = np.random.default_rng(seed)
    every = np.arange(n)
    whole = lost(every)
    tried = rng.permutation(n)[:50]
    moved = [abs(lost(np.delete(every, i)) - whole) * n for i in tried]
    return max([x for x in moved if math.isfinite(x)], default=1.0) or 1.0


def predict_bound(
    metric: Metric, before: Scored, after: Scored, n: int, *, alpha: float = 0.05
) -> float:
    """Say which bound n other samples would give if they are like these.

    Parameters
    ----------
    metric : Metric
    before, after : Scored
        On the samples of the search.
    n : int
        Samples of the guard.
    alpha : float, default=0.05

    Returns
    -------
    bound : float

    Examples
    --------
    >>> from trimtab.optimize.metrics import METRICS
    >>> ones = Scored(np.ones(100))
    >>> round(predict_bound(METRICS["accuracy"], ones, ones, 600), 4)
    0.005
    """
    drop = drop_of(before, after)
    if not math.isfinite(drop):
        return drop
    if before.scores.ndim == 0:
        here = _bound_number(metric, before, after, alpha, 0, _N_FORECAST)
        return drop + (here.upper - drop) * math.sqrt(here.n / n)
    lost = before.scores - after.scores
    pairs = _discordant(metric, before.scores, lost)
    if pairs is None:
        return drop + 1.645 * float(lost.std()) / math.sqrt(n)
    n10, n01, width = pairs
    grow = n / len(lost)
    n_worse = min(n, math.ceil(max(n10 * grow, after.expected * n)))
    return width * drop_upper_bound(
        n_worse,
        min(n - n_worse, math.floor(n01 * grow)),
        n,
        alpha=alpha,
        # A forecast: near enough where there are some pairs, and much faster.
        method="tango" if n10 + n01 > 3 else "auto",
        can_improve=metric.can_improve,
    )
