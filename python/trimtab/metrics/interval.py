"""A figure with its confidence interval, as every metric gives it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Interval"]


@dataclass(frozen=True)
class Interval:
    """A figure, and the two-sided interval that covers the truth.

    Parameters
    ----------
    value : float
        The metric itself; NaN where the data do not define it.
    low, high : float
        Ends of the interval; NaN where there is none.
    method : str
        How it was made: "wilson", "t", "delta", "delong", "bootstrap"...; "none" where
        no interval exists.
    n : int
        Samples that it rests on.

    Examples
    --------
    >>> print(Interval(0.9, 0.84, 0.94, "wilson", 120))
    0.9 [0.84, 0.94]
    """

    value: float
    low: float
    high: float
    method: str
    n: int

    def __str__(self) -> str:
        """Figure and interval in four digits."""
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"
