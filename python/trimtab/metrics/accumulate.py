"""Streaming metrics: fed batch by batch, merged across processes, computed at the end.

Enters: y_true and y_pred of some samples at a time. Leaves: the metric of all of them,
to rounding the one that all samples at once give.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, TypeVar

from trimtab.errors import InputError
from trimtab.metrics.interval import Interval

__all__ = ["Accumulator", "at_once"]

Self = TypeVar("Self", bound="Accumulator")


class Accumulator(ABC):
    """What a metric must remember of the samples it has seen.

    ``n`` is the number of samples. Accumulators of the same metric and options merge;
    they can be pickled.
    """

    n: int = 0

    @abstractmethod
    def update(self, y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> None:
        """Add samples.

        Parameters
        ----------
        y_true, y_pred : array-like
            As the metric's function takes them; there may be none.
        sample_weight : array-like of shape (n,), optional
        """

    @abstractmethod
    def _merge(self: Self, other: Self) -> None:
        """Add what another one, of the same kind and options, has seen."""

    @abstractmethod
    def compute(self) -> Any:
        """Give the metric of all samples.

        Returns
        -------
        value : float
            An array where the options ask for several numbers.
        """

    def interval(
        self, *, alpha: float = 0.05, n_resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Give the metric with a confidence interval.

        Parameters
        ----------
        alpha : float, default=0.05
            1 - alpha is the confidence.
        n_resamples : int, default=1000
            Of the bootstrap, where there is one.
        seed : int, default=0

        Returns
        -------
        interval : Interval
            Its ends are NaN where the metric has none.
        """
        nan = float("nan")
        return Interval(self.compute(), nan, nan, "none", self.n)

    @property
    def options(self) -> tuple[Any, ...]:
        """What accumulators must have in common to merge."""
        return ()

    def merge(self: Self, other: Self) -> None:
        """Add what another accumulator has seen; it stays as it is.

        Parameters
        ----------
        other : Accumulator
            Of the same metric, with the same options.

        Raises
        ------
        InputError
            They count different things.
        """
        if type(self) is not type(other) or self.options != other.options:
            raise InputError(
                f"merge: expected a {type(self).__name__} with options "
                f"{self.options}, got a {type(other).__name__} with "
                f"{getattr(other, 'options', None)}"
            )
        self._merge(other.copy() if other is self else other)

    def copy(self: Self) -> Self:
        """Give one that has seen the same and goes its own way.

        Returns
        -------
        other : Accumulator
        """
        return copy.deepcopy(self)


def at_once(running: Accumulator, y_true: Any, y_pred: Any, sample_weight: Any) -> Any:
    """Give the metric of samples that are all there.

    Parameters
    ----------
    running : Accumulator
        That has seen nothing.
    y_true, y_pred : array-like
    sample_weight : array-like of shape (n,) or None

    Returns
    -------
    value : Any

    Examples
    --------
    >>> from trimtab.metrics import METRICS
    >>> at_once(METRICS["accuracy"].accumulator(), [0, 1], [0, 0], None)
    0.5
    """
    running.update(y_true, y_pred, sample_weight=sample_weight)
    return running.compute()
