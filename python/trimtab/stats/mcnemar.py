"""McNemar's test: do two models err equally often on the same samples?

n10 counts the samples that only the first model gets right, n01 those that only the
second one gets right; the others say nothing about which one is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from trimtab.errors import InputError
from trimtab.stats.intervals import check_alpha
from trimtab.stats.paired import tango_upper
from trimtab.stats.result import TestResult
from trimtab.stats.special import binomial_cdf, binomial_pmf

__all__ = ["METHODS", "mcnemar_test"]


def _exact(n10: int, n01: int) -> tuple[float, float]:
    """All results that are as lopsided or more, at even chances."""
    few, n = min(n10, n01), n10 + n01
    return float(few), min(1.0, 2 * float(binomial_cdf(few, n, 0.5)))


def _mid_p(n10: int, n01: int) -> tuple[float, float]:
    """The same, with half of the probability of results that are equally lopsided."""
    few, n = min(n10, n01), n10 + n01
    here = float(binomial_pmf(few, n, 0.5))
    if n10 == n01:
        return float(few), 1 - here / 2
    return float(few), max(0.0, 2 * float(binomial_cdf(few, n, 0.5)) - here)


def _chi_square(gap: float, n: int) -> tuple[float, float]:
    """Survival function of chi-square with one degree of freedom."""
    statistic = gap * gap / n
    return statistic, math.erfc(math.sqrt(statistic / 2))


def _asymptotic(n10: int, n01: int) -> tuple[float, float]:
    return _chi_square(abs(n10 - n01), n10 + n01)


def _corrected(n10: int, n01: int) -> tuple[float, float]:
    return _chi_square(max(abs(n10 - n01) - 1.0, 0.0), n10 + n01)


#: Name -> (statistic, two-sided p-value) from (n10, n01).
METHODS: dict[str, Callable[[int, int], tuple[float, float]]] = {
    "exact": _exact,
    "mid-p": _mid_p,
    "asymptotic": _asymptotic,
    "corrected": _corrected,
}


def mcnemar_test(
    n10: int,
    n01: int,
    *,
    n: int | None = None,
    method: str = "exact",
    alpha: float = 0.05,
) -> TestResult:
    """Test that two models are right equally often.

    Parameters
    ----------
    n10, n01 : int
        Samples that only the first, only the second model gets right.
    n : int, optional
        All samples: then the difference of accuracies, second less first, comes with
        Tango's score interval.
    method : {"exact", "mid-p", "asymptotic", "corrected"}, default="exact"
        "exact" never errs more often than it says; "mid-p" is less conservative and
        hardly ever above; "asymptotic" needs some 25 discordant samples; "corrected"
        is Edwards' continuity correction of it, as conservative as "exact".
    alpha : float, default=0.05
        1 - alpha is the confidence of the interval.

    Returns
    -------
    result : TestResult
        Its statistic is min(n10, n01), or chi-square for the last two methods.

    Raises
    ------
    InputError
        The counts do not fit.

    References
    ----------
    McNemar (1947). Note on the sampling error of the difference between correlated
    proportions or percentages. Psychometrika 12, 153-157.

    Fagerland, Lydersen, Laake (2013). The McNemar test for binary matched-pairs data:
    mid-p and asymptotic are better than exact conditional. BMC Medical Research
    Methodology 13, 91.

    Examples
    --------
    >>> round(mcnemar_test(5, 15).p_value, 4)
    0.0414
    >>> print(mcnemar_test(5, 15, n=200, method="mid-p"))
    0.05 [0.006785, 0.09879], p = 0.0266 (mcnemar mid-p)
    """
    check_alpha(alpha)
    if method not in METHODS:
        raise InputError(f"method: expected one of {list(METHODS)}, got {method!r}")
    if min(n10, n01) < 0 or (n is not None and (n < 1 or n10 + n01 > n)):
        raise InputError(
            "expected counts of samples with n10 + n01 <= n, "
            f"got n10={n10}, n01={n01}, n={n}"
        )
    statistic, p_value = METHODS[method](n10, n01) if n10 + n01 else (0.0, 1.0)
    difference = low = high = math.nan
    if n is not None:
        difference = (n01 - n10) / n
        low = -tango_upper(n10, n01, n, alpha / 2)
        high = tango_upper(n01, n10, n, alpha / 2)
    return TestResult(difference, low, high, p_value, statistic, f"mcnemar {method}")
