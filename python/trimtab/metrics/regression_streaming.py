"""Errors of numbers, streamed: means, R2, the median and the largest.

Enters: truths and predictions, batch by batch. Leaves: what scikit-learn's function of
all of them gives, to rounding, with an interval; NumPy is all it needs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.metrics.accumulate import Accumulator
from trimtab.metrics.inputs import as_numbers, as_weights, check_length, freeze
from trimtab.metrics.interval import Interval
from trimtab.metrics.moments import MeanAccumulator, Sum, average_outputs, shifted
from trimtab.stats.intervals import t_interval
from trimtab.stats.special import Floats, binomial_cdf

__all__ = [
    "LOSSES",
    "MaxErrorAccumulator",
    "MedianErrorAccumulator",
    "R2Accumulator",
    "regression_accumulator",
]

# ---- losses by sample and output ----------------------------------------------------


def _pair(y_true: Any, y_pred: Any) -> tuple[Floats, Floats]:
    """Truths and predictions as matrices (n, m)."""
    truth = as_numbers(y_true, name="y_true")
    found = as_numbers(y_pred, name="y_pred")
    n = check_length(np.atleast_1d(truth), np.atleast_1d(found))
    pair = truth.reshape(n, -1) if n else truth, found.reshape(n, -1) if n else found
    if n and pair[0].shape != pair[1].shape:
        raise InputError(
            f"expected y_true and y_pred of one shape, got {truth.shape} "
            f"and {found.shape}"
        )
    return pair


def _squared(y_true: Any, y_pred: Any) -> Floats:
    truth, found = _pair(y_true, y_pred)
    errors: Floats = (found - truth) ** 2
    return errors


def _absolute(y_true: Any, y_pred: Any) -> Floats:
    truth, found = _pair(y_true, y_pred)
    errors: Floats = np.abs(found - truth)
    return errors


def _relative(y_true: Any, y_pred: Any) -> Floats:
    truth, found = _pair(y_true, y_pred)
    smallest = float(np.finfo(np.float64).eps)
    errors: Floats = np.abs(found - truth) / np.maximum(np.abs(truth), smallest)
    return errors


#: Name -> loss by sample and what is made of its mean.
LOSSES: dict[str, tuple[Any, str]] = {
    "mean_squared_error": (_squared, "identity"),
    "root_mean_squared_error": (_squared, "sqrt"),
    "mean_absolute_error": (_absolute, "identity"),
    "mean_absolute_percentage_error": (_relative, "identity"),
}


def regression_accumulator(
    name: str, *, multioutput: Any = "uniform_average"
) -> Accumulator:
    """Give the streaming form of an error that is a mean.

    Parameters
    ----------
    name : str
        Of `LOSSES`.
    multioutput : str or array-like, default="uniform_average"

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = regression_accumulator("root_mean_squared_error")
    >>> running.update([0.0, 0.0], [3.0, 3.0])
    >>> running.compute()
    3.0
    """
    loss, transform = LOSSES[name]
    return MeanAccumulator(
        loss, transform=transform, multioutput=multioutput, lowest=0.0
    )


class R2Accumulator(Accumulator):
    """The share of the variance that is explained, in O(m) memory for m outputs.

    Parameters
    ----------
    multioutput : str or array-like, default="uniform_average"
        As in `r2_score`.
    force_finite : bool, default=True
    """

    def __init__(
        self, *, multioutput: Any = "uniform_average", force_finite: bool = True
    ) -> None:
        self._multioutput, self._force_finite = freeze(multioutput), force_finite
        self.n = 0
        self._mean: Floats = np.zeros(0)
        self._weights = np.zeros(2)  # sum w, sum w^2
        self._errors = Sum()  # sum w e^2
        # Sums, with d = y - mean of y, over powers k: w d^k, w^2 e^2 d^k, w^2 d^k.
        self._moments: tuple[Floats, ...] = ()
        self._fourth: Floats = np.zeros(0)  # sum w^2 e^4

    @property
    def options(self) -> tuple[Any, ...]:
        """How outputs are averaged, and what constant truths give."""
        return self._multioutput, self._force_finite

    def update(self, y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> None:
        """Add samples.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n,) or (n, m)
        sample_weight : array-like of shape (n,), optional
        """
        truth, found = _pair(y_true, y_pred)
        given = as_weights(sample_weight, len(truth))
        if not len(truth):
            return
        w = np.ones(len(truth)) if given is None else given
        errors, total, squared = (found - truth) ** 2, float(w.sum()), w * w
        mean = w @ truth / total if total else np.zeros(truth.shape[1])
        apart = truth - mean
        moments = (
            np.stack([w @ apart**k for k in range(3)]),
            np.stack([squared @ (errors * apart**k) for k in range(3)]),
            np.stack([squared @ apart**k for k in range(5)]),
        )
        self._add(
            len(truth),
            np.array([total, float(squared.sum())]),
            mean,
            w @ errors,
            moments,
            squared @ (errors * errors),
        )

    def _add(
        self,
        n: int,
        weights: Floats,
        mean: Floats,
        errors: Floats,
        moments: tuple[Floats, ...],
        fourth: Floats,
    ) -> None:
        if not self.n:
            self._mean, self._fourth = mean, np.zeros_like(fourth)
            self._moments = tuple(np.zeros_like(part) for part in moments)
        if len(self._mean) != len(mean):
            raise InputError(
                f"expected {len(self._mean)} outputs as before, got {len(mean)}"
            )
        after = self._weights[0] + weights[0]
        share = weights[0] / after if after else 0.0
        centre = self._mean + (mean - self._mean) * share
        self._moments = tuple(
            shifted(mine, self._mean - centre) + shifted(theirs, mean - centre)
            for mine, theirs in zip(self._moments, moments, strict=True)
        )
        self._mean, self._weights = centre, self._weights + weights
        self._errors.add(errors)
        self._fourth = self._fourth + fourth
        self.n += n

    def _merge(self, other: R2Accumulator) -> None:
        if other.n:
            self._add(
                other.n,
                other._weights,
                other._mean,
                other._errors.value,
                other._moments,
                other._fourth,
            )

    def _by_output(self) -> Floats:
        if not self.n:
            raise InputError("expected at least two samples, got none")
        errors, spread = self._errors.value, self._moments[0][2]
        with np.errstate(divide="ignore", invalid="ignore"):
            values: Floats = 1 - errors / spread
        if self._force_finite:
            values = np.where(spread > 0, values, np.where(errors > 0, 0.0, 1.0))
        return values

    def compute(self) -> Any:
        """Give R2 of all samples; NaN of fewer than two.

        Returns
        -------
        value : float or ndarray
        """
        values, spread = self._by_output(), self._moments[0][2]
        if self.n < 2:
            return math.nan
        if self._multioutput == "variance_weighted":
            weights = spread if spread.any() else None
            return float(np.average(values, weights=weights))
        return average_outputs(values, self._multioutput)

    def interval(
        self, *, alpha: float = 0.05, n_resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Give R2 with the interval of the delta method.

        Of several outputs half-widths are averaged, which is too wide rather than too
        narrow.

        Parameters
        ----------
        alpha : float, default=0.05
        n_resamples : int, default=1000
            Not needed.
        seed : int, default=0
            Not needed.

        Returns
        -------
        interval : Interval

        Raises
        ------
        InputError
            The metric is several numbers.
        """
        value = self.compute()
        if np.ndim(value) and np.size(value) > 1:
            raise InputError('intervals are of one number: not of "raw_values"')
        value = float(np.mean(value))
        effective = float(self._weights[0] ** 2 / self._weights[1])
        spread = self._moments[0][2]
        if effective <= 1 or not (spread > 0).all():
            return Interval(value, math.nan, math.nan, "none", self.n)
        ratio = self._errors.value / spread
        _, mixed, powers = self._moments
        squares = self._fourth - 2 * ratio * mixed[2] + ratio**2 * powers[4]
        errors = np.sqrt(np.maximum(squares, 0.0)) / spread
        error = float(self._output_mean(errors)) * math.sqrt(
            effective / (effective - 1)
        )
        low, high = t_interval(value, error, effective - 1, alpha=alpha)
        return Interval(value, low, min(high, 1.0), "delta", self.n)

    def _output_mean(self, values: Floats) -> float:
        weights = self._multioutput if isinstance(self._multioutput, tuple) else None
        if self._multioutput == "variance_weighted":
            weights = self._moments[0][2]
        return float(np.average(values, weights=weights))


class MedianErrorAccumulator(Accumulator):
    """The median of absolute errors; it keeps them all.

    Parameters
    ----------
    multioutput : str or array-like, default="uniform_average"
        As in `median_absolute_error`.
    """

    def __init__(self, *, multioutput: Any = "uniform_average") -> None:
        self._multioutput = freeze(multioutput)
        self.n = 0
        self._errors: list[Floats] = []
        self._weights: list[Floats | None] = []

    @property
    def options(self) -> tuple[Any, ...]:
        """How outputs are averaged."""
        return (self._multioutput,)

    def update(self, y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> None:
        """Add samples.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n,) or (n, m)
        sample_weight : array-like of shape (n,), optional
        """
        errors = _absolute(y_true, y_pred)
        given = as_weights(sample_weight, len(errors))
        if len(errors):
            self._errors.append(errors)
            self._weights.append(given)
            self.n += len(errors)

    def _merge(self, other: MedianErrorAccumulator) -> None:
        self._errors += other._errors
        self._weights += other._weights
        self.n += other.n

    def _all(self) -> tuple[Floats, Floats | None]:
        if not self.n:
            raise InputError("expected at least one sample, got none")
        if len({errors.shape[1] for errors in self._errors}) > 1:
            raise InputError("expected as many outputs in every batch")
        errors = np.concatenate(self._errors)
        if all(weights is None for weights in self._weights):
            return errors, None
        pairs = zip(self._errors, self._weights, strict=True)
        weights = [np.ones(len(e)) if w is None else w for e, w in pairs]
        return errors, np.concatenate(weights)

    def compute(self) -> Any:
        """Give the median of all samples.

        Returns
        -------
        value : float or ndarray
        """
        errors, weights = self._all()
        if weights is None:
            return average_outputs(np.median(errors, axis=0), self._multioutput)
        medians = [_weighted_median(column, weights) for column in errors.T]
        return average_outputs(np.array(medians), self._multioutput)

    def interval(
        self, *, alpha: float = 0.05, n_resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Give the median between two order statistics: for any distribution.

        There is none for weighted samples, several outputs, or too few samples.

        Parameters
        ----------
        alpha : float, default=0.05
        n_resamples : int, default=1000
            Not needed.
        seed : int, default=0
            Not needed.

        Returns
        -------
        interval : Interval
        """
        errors, weights = self._all()
        value, n = float(np.mean(self.compute())), self.n
        rank = _rank_below(n, alpha / 2)
        if weights is not None or errors.shape[1] != 1 or not rank:
            return Interval(value, math.nan, math.nan, "none", n)
        ordered = np.sort(errors[:, 0])
        low, high = float(ordered[rank - 1]), float(ordered[n - rank])
        return Interval(value, low, high, "order statistics", n)


def _rank_below(n: int, tail: float) -> int:
    """The largest rank whose value is above the median at most `tail` of the time."""
    low, high = 0, n // 2
    while low < high:
        middle = (low + high + 1) // 2
        if float(binomial_cdf(middle - 1, n, 0.5)) <= tail:
            low = middle
        else:
            high = middle - 1
    return low


def _weighted_median(values: Floats, weights: Floats) -> float:
    """Where half of the weight is below; between two values, their mean."""
    is_there = weights > 0
    order = np.argsort(values[is_there], kind="stable")
    ordered, mass = values[is_there][order], np.cumsum(weights[is_there][order])
    if not len(mass):
        return math.nan
    half = 0.5 * mass[-1]
    i = min(int(np.searchsorted(mass, half)), len(mass) - 1)
    above = i if mass[i] - half > np.finfo(np.float64).eps else i + 1
    return float(ordered[i] + ordered[min(above, len(mass) - 1)]) / 2


class MaxErrorAccumulator(Accumulator):
    """The largest absolute error; without interval: the next may be any larger."""

    def __init__(self) -> None:
        self.n = 0
        self._largest = 0.0

    def update(self, y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> None:
        """Add samples.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n,)
        sample_weight : array-like of shape (n,), optional
            Samples of weight 0 do not count.

        Raises
        ------
        InputError
            There are several outputs.
        """
        errors = _absolute(y_true, y_pred)
        weights = as_weights(sample_weight, len(errors))
        if not len(errors):
            return
        if errors.shape[1] != 1:
            raise InputError(f"max_error: expected one output, got {errors.shape[1]}")
        if weights is not None:
            errors = errors[weights > 0]
        self._largest = float(np.max(errors, initial=self._largest))
        self.n += len(errors)

    def _merge(self, other: MaxErrorAccumulator) -> None:
        self._largest = max(self._largest, other._largest)
        self.n += other.n

    def compute(self) -> float:
        """Give the largest error of all samples.

        Returns
        -------
        value : float

        Raises
        ------
        InputError
            There is no sample.
        """
        if not self.n:
            raise InputError("expected at least one sample, got none")
        return self._largest
