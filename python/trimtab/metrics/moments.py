"""Metrics that are means or ratios of sums: streamed in O(1) memory.

Enters: losses by sample. Leaves: their weighted mean, or a function of it, with the
interval of Student's t. Sums are compensated, moments are merged by Chan's formulas:
what comes out does not depend on how the samples were cut into batches, to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.metrics.accumulate import Accumulator
from trimtab.metrics.inputs import as_weights, freeze
from trimtab.metrics.interval import Interval
from trimtab.stats.intervals import t_interval, wilson_interval
from trimtab.stats.special import Floats

__all__ = [
    "TRANSFORMS",
    "MeanAccumulator",
    "RatioAccumulator",
    "Sum",
    "average_outputs",
    "shifted",
]


def _root(x: Floats) -> Floats:
    values: Floats = np.sqrt(np.maximum(x, 0.0))
    return values


def _exp(x: Floats) -> Floats:
    with np.errstate(over="ignore"):
        values: Floats = np.exp(x)
    return values


def _same(x: Floats) -> Floats:
    return x


#: What is made of the mean: increasing functions, so that intervals go along.
TRANSFORMS: dict[str, Callable[[Floats], Floats]] = {
    "identity": _same,
    "sqrt": _root,
    "exp": _exp,
}


class Sum:
    """A sum of vectors that does not lose what is small (Neumaier's).

    Examples
    --------
    >>> total = Sum()
    >>> for term in (1e16, 1.0, -1e16):
    ...     total.add(np.array([term]))
    >>> float(total.value[0])
    1.0
    """

    def __init__(self) -> None:
        self._total: Floats = np.zeros(())
        self._lost: Floats = np.zeros(())

    def add(self, terms: Floats) -> None:
        """Add a vector.

        Parameters
        ----------
        terms : ndarray
        """
        total = self._total + terms
        is_larger = np.abs(self._total) >= np.abs(terms)
        big = np.where(is_larger, self._total, terms)
        small = np.where(is_larger, terms, self._total)
        self._lost = self._lost + ((big - total) + small)
        self._total = total

    def merge(self, other: Sum) -> None:
        """Add another sum.

        Parameters
        ----------
        other : Sum
        """
        self.add(other._total)
        self.add(other._lost)

    @property
    def value(self) -> Floats:
        """What was added."""
        value: Floats = np.asarray(self._total + self._lost)
        return value


def shifted(moments: Floats, step: npt.ArrayLike) -> Floats:
    """Move sums of powers, sum w (x - c)^k for k = 0, 1, ..., to another centre.

    Parameters
    ----------
    moments : ndarray of shape (p, m)
        For m variables.
    step : array-like of shape (m,)
        Old centre less the new one.

    Returns
    -------
    moments : ndarray of shape (p, m)

    Examples
    --------
    >>> shifted(np.array([[2.0], [0.0], [2.0]]), [3.0]).ravel().tolist()
    [2.0, 6.0, 20.0]
    """
    delta = np.asarray(step, np.float64)
    rows = [
        sum(math.comb(k, j) * moments[j] * delta ** (k - j) for j in range(k + 1))
        for k in range(len(moments))
    ]
    values: Floats = np.array(rows, np.float64)
    return values


def average_outputs(values: Floats, multioutput: Any) -> Any:
    """Average a metric over outputs as scikit-learn does.

    Parameters
    ----------
    values : ndarray of shape (m,)
    multioutput : {"uniform_average", "raw_values"} or tuple of float
        Equal weights, none, or these weights.

    Returns
    -------
    value : float or ndarray

    Raises
    ------
    InputError
        It is no such option.

    Examples
    --------
    >>> average_outputs(np.array([1.0, 3.0]), (3, 1))
    1.5
    """
    if isinstance(multioutput, tuple):
        if len(multioutput) != len(values):
            raise InputError(
                f"multioutput: expected {len(values)} weights, got {len(multioutput)}"
            )
        return float(np.average(values, weights=multioutput))
    if multioutput == "raw_values":
        return values
    if multioutput != "uniform_average":
        raise InputError(
            'multioutput: expected "uniform_average", "raw_values" or weights, got '
            f"{multioutput!r}"
        )
    return float(values.mean())


class MeanAccumulator(Accumulator):
    """A function of the mean of a loss by sample.

    Parameters
    ----------
    loss : callable
        (y_true, y_pred, **options) -> losses of shape (n,) or (n, m).
    transform : {"identity", "sqrt", "exp"}, default="identity"
    multioutput : str or array-like, default="uniform_average"
        How m outputs become one number.
    is_proportion : bool, default=False
        Losses are 0 or 1: the interval is Wilson's.
    lowest, highest : float
        Where the loss cannot go; intervals end there.
    **options : Any
        Of the loss.
    """

    def __init__(
        self,
        loss: Callable[..., Floats],
        *,
        transform: str = "identity",
        multioutput: Any = "uniform_average",
        is_proportion: bool = False,
        lowest: float = -math.inf,
        highest: float = math.inf,
        **options: Any,
    ) -> None:
        self._loss, self._transform = loss, transform
        self._multioutput = freeze(multioutput)
        self._is_proportion = is_proportion
        self._ends = lowest, highest
        self._options = {name: freeze(value) for name, value in options.items()}
        self.n = 0
        self._weight = Sum()
        self._sum = Sum()
        self._mean: Floats = np.zeros(0)
        self._squares: Floats = np.zeros((3, 0))  # sum w^2 (x - mean)^k

    @property
    def options(self) -> tuple[Any, ...]:
        """Loss, transform and their options."""
        given = tuple(sorted(self._options.items()))
        return self._loss, self._transform, self._multioutput, given

    def update(self, y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> None:
        """Add samples.

        Parameters
        ----------
        y_true, y_pred : array-like
        sample_weight : array-like of shape (n,), optional
        """
        losses = np.asarray(self._loss(y_true, y_pred, **self._options), np.float64)
        n = len(losses)
        given = as_weights(sample_weight, n)
        if not n:
            return
        losses = losses.reshape(n, -1)
        if self._transform == "identity" and self._multioutput != "raw_values":
            losses = self._combined(losses)
        weights = np.ones(n) if given is None else given
        total, sums = float(weights.sum()), weights @ losses
        mean = sums / total if total else np.zeros(losses.shape[1])
        apart, squared = losses - mean, weights * weights
        moments = np.stack([squared @ apart**k for k in range(3)])
        self._add(n, np.asarray(total), sums, moments, mean)

    def _combined(self, losses: Floats) -> Floats:
        """One loss by sample, the mean over outputs: its mean has an interval."""
        average_outputs(losses[0], self._multioutput)  # refuses what does not fit
        weights = self._multioutput if isinstance(self._multioutput, tuple) else None
        means: Floats = np.average(losses, axis=1, weights=weights)
        return means[:, None]

    def _add(
        self, n: int, weight: Floats, sums: Floats, moments: Floats, mean: Floats
    ) -> None:
        if self.n and len(self._mean) != len(mean):
            raise InputError(
                f"expected {len(self._mean)} outputs as before, got {len(mean)}"
            )
        if not self.n:
            self._mean, self._squares = mean, np.zeros_like(moments)
        before = float(self._weight.value)
        self._weight.add(weight)
        self._sum.add(sums)
        self.n += n
        after = float(self._weight.value)
        share = float(weight) / after if after else 0.0
        centre = mean if not before else self._mean + (mean - self._mean) * share
        self._squares = shifted(self._squares, self._mean - centre) + shifted(
            moments, mean - centre
        )
        self._mean = centre

    def _merge(self, other: MeanAccumulator) -> None:
        if other.n:
            weight, lost = other._weight, other._sum
            self._add(other.n, weight.value, lost.value, other._squares, other._mean)

    def _means(self) -> Floats:
        weight = float(self._weight.value)
        if not self.n or not weight:
            raise InputError(
                "expected at least one sample of a weight above 0, got "
                f"{self.n} samples of weight {weight:g}"
            )
        return self._sum.value / weight

    def compute(self) -> Any:
        """Give the metric of all samples.

        Returns
        -------
        value : float or ndarray

        Raises
        ------
        InputError
            There is no sample.
        """
        return self._finish(self._means())

    def _finish(self, means: Floats) -> Any:
        changed = TRANSFORMS[self._transform](means)
        if len(changed) == 1 and self._multioutput != "raw_values":
            return float(changed[0])
        return average_outputs(changed, self._multioutput)

    def interval(
        self, *, alpha: float = 0.05, n_resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Give the metric with the interval of Student's t, or Wilson's.

        Weights count as an effective number of samples, (sum w)^2 / sum w^2. Of several
        outputs behind a root the ends are averaged, which is too wide rather than too
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
        means = self._means()
        if self._multioutput == "raw_values" and len(means) > 1:
            raise InputError('intervals are of one number: not of "raw_values"')
        weight = float(self._weight.value)
        effective = weight * weight / float(self._squares[0, 0])
        value = float(np.mean(self._finish(means)))
        if self._is_proportion:
            hits = min(max(value, 0.0), 1.0) * effective
            low, high = wilson_interval(hits, effective, alpha=alpha)
            return Interval(value, low, high, "wilson", self.n)
        lows, highs = np.empty_like(means), np.empty_like(means)
        for i, mean in enumerate(means):
            spread = max(float(self._squares[2, i]), 0.0) / weight**2
            factor = effective / (effective - 1) if effective > 1 else math.nan
            error = math.sqrt(spread * factor)
            ends = t_interval(float(mean), error, effective - 1, alpha=alpha)
            lows[i], highs[i] = np.clip(ends, *self._ends)
        low, high = (float(np.mean(self._finish(ends))) for ends in (lows, highs))
        return Interval(value, low, high, "t", self.n)


class RatioAccumulator(Accumulator):
    """A function of a ratio of sums over samples, as of errors and words.

    Parameters
    ----------
    parts : callable
        (y_true, y_pred, **options) -> numerators (n,) and denominators (n,).
    transform : {"identity", "exp"}, default="identity"
    lowest : float, default=0.0
        The ratio cannot fall below.
    zero_means_all_right : bool, default=True
        The ratio is of errors: where there is none, an upper bound is still known.
    **options : Any
        Of `parts`.
    """

    def __init__(
        self,
        parts: Callable[..., tuple[Floats, Floats]],
        *,
        transform: str = "identity",
        lowest: float = 0.0,
        zero_means_all_right: bool = True,
        **options: Any,
    ) -> None:
        self._parts, self._transform, self._lowest = parts, transform, lowest
        self._is_error_rate = zero_means_all_right
        self._options = {name: freeze(value) for name, value in options.items()}
        self.n = 0
        self._sums = Sum()  # w a, w b
        self._products = Sum()  # w^2 times a a, a b, b b

    @property
    def options(self) -> tuple[Any, ...]:
        """Parts, transform and their options."""
        return self._parts, self._transform, tuple(sorted(self._options.items()))

    def update(self, y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> None:
        """Add samples.

        Parameters
        ----------
        y_true, y_pred : sequence
        sample_weight : array-like of shape (n,), optional
        """
        a, b = self._parts(y_true, y_pred, **self._options)
        given = as_weights(sample_weight, len(a))
        w = np.ones(len(a)) if given is None else given
        self._sums.add(np.array([w @ a, w @ b]))
        squared = w * w
        self._products.add(
            np.array([squared @ (a * a), squared @ (a * b), squared @ (b * b)])
        )
        self.n += len(a)

    def _merge(self, other: RatioAccumulator) -> None:
        self._sums.merge(other._sums)
        self._products.merge(other._products)
        self.n += other.n

    def _ratio(self) -> float:
        if not self.n:
            raise InputError("expected at least one sample, got none")
        above, below = self._sums.value.tolist()
        if below:
            return float(above / below)
        return 0.0 if not above else math.inf

    def compute(self) -> float:
        """Give the metric of all samples.

        Returns
        -------
        value : float
            Infinite where errors stand over nothing.
        """
        return float(TRANSFORMS[self._transform](np.asarray(self._ratio())))

    def interval(
        self, *, alpha: float = 0.05, n_resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Give the metric with the interval of the delta method.

        Where nothing went wrong, the upper end is Wilson's for the share of samples in
        which something does.

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
        ratio, n = self._ratio(), self.n
        value = self.compute()
        below = float(self._sums.value[1])
        if not math.isfinite(ratio) or not below or n < 2:
            return Interval(value, math.nan, math.nan, "none", n)
        aa, ab, bb = self._products.value.tolist()
        spread = max(aa - 2 * ratio * ab + ratio * ratio * bb, 0.0)
        error = math.sqrt(spread * n / (n - 1)) / below
        ends = np.array(t_interval(ratio, error, n - 1, alpha=alpha))
        if ratio == 0.0 and self._is_error_rate:
            ends[1] = wilson_interval(0, n, alpha=alpha)[1]
        low, high = TRANSFORMS[self._transform](np.maximum(ends, self._lowest))
        return Interval(value, float(low), float(high), "delta", n)
