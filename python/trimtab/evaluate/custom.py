"""Functions of the user as metrics.

Enters: a function of (y_true, y_pred). Leaves: a `Metric` whose accumulator keeps what
it has seen, and whose interval is the bootstrap's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from trimtab.errors import InputError
from trimtab.metrics import Interval, Metric
from trimtab.metrics.accumulate import Accumulator
from trimtab.metrics.metric import Needs
from trimtab.types import Array

__all__ = ["KeptSamples", "is_raw", "metric_of"]

# scikit-learn's names for what is better when it is lower.
_LOWER = ("_error", "_loss", "error", "loss")
# Resamples of a function of which nothing is known but that it may be slow.
_N_RESAMPLES = 400


class KeptSamples(Accumulator):
    """Keeps labels and outputs, and calls the function on all of them.

    Parameters
    ----------
    function : callable
        (y_true, y_pred) -> number.
    name : str
    """

    def __init__(self, function: Callable[[Any, Any], Any], name: str) -> None:
        self._function, self._name = function, name
        self._truth: list[Any] = []
        self._given: list[Any] = []
        self.n = 0

    def update(self, y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> None:
        """Add samples.

        Parameters
        ----------
        y_true, y_pred : ndarray
        sample_weight : array-like, optional
            Whole numbers: how often each sample counts.
        """
        truth, given = np.asarray(y_true), np.asarray(y_pred)
        if sample_weight is not None:
            times = np.asarray(sample_weight).astype(np.intp)
            truth, given = np.repeat(truth, times, 0), np.repeat(given, times, 0)
        self._truth.append(truth)
        self._given.append(given)
        self.n += len(truth)

    def _merge(self, other: KeptSamples) -> None:
        self._truth += other._truth
        self._given += other._given
        self.n += other.n

    @property
    def options(self) -> tuple[Any, ...]:
        """The function itself."""
        return (self._function,)

    def copy(self) -> KeptSamples:
        """Give one that has seen the same; arrays are shared.

        Returns
        -------
        other : KeptSamples
        """
        other = KeptSamples(self._function, self._name)
        other._merge(self)
        return other

    def _all(self) -> tuple[Array, Array]:
        truth, given = np.concatenate(self._truth), np.concatenate(self._given)
        self._truth, self._given = [truth], [given]
        return truth, given

    def _call(self, truth: Array, given: Array) -> float:
        found = np.asarray(self._function(truth, given))
        if found.size != 1 or found.dtype.kind not in "iufb":
            raise InputError(
                f"metric {self._name!r} gave {found.dtype}{list(found.shape)}: "
                "expected one number"
            )
        return float(found.reshape(()))

    def compute(self) -> float:
        """Call the function.

        Returns
        -------
        value : float
        """
        return self._call(*self._all()) if self.n else math.nan

    def interval(
        self, *, alpha: float = 0.05, n_resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Give the figure with the bootstrap's percentile interval.

        Resamples that the function refuses (of one class, say) are drawn again.

        Parameters
        ----------
        alpha : float, default=0.05
        n_resamples : int, default=1000
        seed : int, default=0

        Returns
        -------
        interval : Interval
            Its ends are NaN where the function refuses most resamples.
        """
        truth, given = self._all()
        value = self._call(truth, given)
        rng = np.random.default_rng(seed)
        wanted = min(n_resamples, _N_RESAMPLES)
        found: list[float] = []
        for _ in range(2 * wanted):
            if len(found) == wanted:
                break
            chosen = rng.integers(0, len(truth), len(truth))
            try:
                found.append(self._call(truth[chosen], given[chosen]))
            except Exception:
                continue
        low = high = math.nan
        if len(found) == wanted and np.isfinite(found).all():
            low, high = np.quantile(found, [alpha / 2, 1 - alpha / 2]).tolist()
        return Interval(value, min(low, value), max(high, value), "bootstrap", self.n)


def metric_of(function: Callable[[Any, Any], Any]) -> Metric:
    """Make a metric of a function.

    Parameters
    ----------
    function : callable
        (y_true, y_pred) -> number, of the labels and the model's outputs as they are.
        Lower is better where its name ends with "error" or "loss", or where it has an
        attribute ``greater_is_better`` that is false.

    Returns
    -------
    metric : Metric

    Examples
    --------
    >>> def worst_error(y_true, y_pred):
    ...     return abs(y_true - y_pred).max()
    >>> metric_of(worst_error).greater_is_better
    False
    """
    name = getattr(function, "__name__", type(function).__name__)
    is_greater = not name.endswith(_LOWER)
    return Metric(
        name,
        cast(Needs, "raw"),
        bool(getattr(function, "greater_is_better", is_greater)),
        function,
        lambda: KeptSamples(function, name),
    )


def is_raw(metric: Metric) -> bool:
    """Does a metric take labels and outputs as they come?

    Parameters
    ----------
    metric : Metric

    Returns
    -------
    is_raw : bool

    Examples
    --------
    >>> is_raw(metric_of(max))
    True
    """
    return cast(str, metric.needs) == "raw"
