"""What a test of two models gives, whichever test it was."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TestResult"]


@dataclass(frozen=True)
class TestResult:
    """A two-sided test that two figures are equal.

    Parameters
    ----------
    difference : float
        Estimate, second less first; NaN where the test has none.
    low, high : float
        Confidence interval of the difference; NaN where there is none.
    p_value : float
    statistic : float
        What the p-value was read from.
    method : str

    Examples
    --------
    >>> print(TestResult(0.02, 0.01, 0.03, 0.004, 2.9, "delong"))
    0.02 [0.01, 0.03], p = 0.004 (delong)
    """

    __test__ = False  # no test of pytest's

    difference: float
    low: float
    high: float
    p_value: float
    statistic: float
    method: str

    def __str__(self) -> str:
        """Difference, interval and p-value in a line."""
        return (
            f"{self.difference:.4g} [{self.low:.4g}, {self.high:.4g}], "
            f"p = {self.p_value:.3g} ({self.method})"
        )
