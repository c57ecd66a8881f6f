"""Two-sided confidence intervals of proportions and means.

Enters: counts, values, or an estimate with its standard error. Leaves: (low, high).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.stats.paired import clopper_pearson_upper
from trimtab.stats.resampling import mean_upper_bound
from trimtab.stats.special import normal_quantile, t_quantile

__all__ = [
    "check_alpha",
    "clopper_pearson",
    "mean_interval",
    "t_interval",
    "wilson_interval",
    "z_score",
]


def check_alpha(alpha: float) -> float:
    """Refuse what is no error probability.

    Parameters
    ----------
    alpha : float

    Returns
    -------
    alpha : float

    Raises
    ------
    InputError
        It is not in (0, 1).

    Examples
    --------
    >>> check_alpha(0.05)
    0.05
    """
    if not 0 < alpha < 1:
        raise InputError(
            f"alpha: expected a number in (0, 1), as 0.05 for 95 %; got {alpha}"
        )
    return alpha


def _check_counts(k: float, n: float) -> None:
    if not (0 <= k <= n and 0 < n < math.inf):
        raise InputError(f"expected 0 <= k <= n and n above 0, got k={k} and n={n}")


def wilson_interval(k: float, n: float, *, alpha: float = 0.05) -> tuple[float, float]:
    """Interval of a proportion that inverts the score test.

    Its coverage is 1 - alpha on average over proportions; at some it falls below
    (`clopper_pearson` never does and is wider).

    Parameters
    ----------
    k, n : float
        Hits and trials; effective numbers where samples are weighted.
    alpha : float, default=0.05

    Returns
    -------
    low, high : float

    References
    ----------
    Wilson (1927). Probable inference, the law of succession, and statistical
    inference. Journal of the American Statistical Association 22, 209-212.

    Brown, Cai, DasGupta (2001). Interval estimation for a binomial proportion.
    Statistical Science 16, 101-133.

    Examples
    --------
    >>> [round(end, 4) for end in wilson_interval(90, 100)]
    [0.8256, 0.9448]
    """
    _check_counts(k, n)
    z = normal_quantile(1 - check_alpha(alpha) / 2)
    p, ratio = k / n, z * z / n
    middle = (p + ratio / 2) / (1 + ratio)
    half = z / (1 + ratio) * math.sqrt(p * (1 - p) / n + ratio / (4 * n))
    low = 0.0 if k == 0 else max(middle - half, 0.0)
    return low, 1.0 if k == n else min(middle + half, 1.0)


def clopper_pearson(k: int, n: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """Exact interval of a proportion: it covers at least 1 - alpha, always.

    Parameters
    ----------
    k, n : int
        Hits and trials.
    alpha : float, default=0.05

    Returns
    -------
    low, high : float

    References
    ----------
    Clopper, Pearson (1934). The use of confidence or fiducial limits illustrated in
    the case of the binomial. Biometrika 26, 404-413.

    Examples
    --------
    >>> [round(end, 4) for end in clopper_pearson(90, 100)]
    [0.8238, 0.951]
    """
    _check_counts(k, n)
    each = check_alpha(alpha) / 2
    low = 1 - clopper_pearson_upper(n - k, n, each)
    return low, clopper_pearson_upper(k, n, each)


def t_interval(
    estimate: float, standard_error: float, df: float, *, alpha: float = 0.05
) -> tuple[float, float]:
    """Interval of an estimate with a standard error, by Student's t.

    Parameters
    ----------
    estimate, standard_error : float
    df : float
        Degrees of freedom; NaN ends where there are none.
    alpha : float, default=0.05

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> [round(end, 3) for end in t_interval(1.0, 0.1, 9)]
    [0.774, 1.226]
    """
    check_alpha(alpha)
    if not (df > 0 and math.isfinite(standard_error)):
        return math.nan, math.nan
    half = t_quantile(1 - alpha / 2, df) * standard_error if standard_error else 0.0
    return estimate - half, estimate + half


def z_score(estimate: float, standard_error: float) -> float:
    """Estimate over its standard error; infinite where there is no error at all.

    Parameters
    ----------
    estimate, standard_error : float

    Returns
    -------
    z : float

    Examples
    --------
    >>> z_score(3.0, 2.0), z_score(-1.0, 0.0), z_score(0.0, 0.0)
    (1.5, -inf, 0.0)
    """
    if standard_error != 0.0:
        return estimate / standard_error
    return math.copysign(math.inf, estimate) if estimate else 0.0


def mean_interval(
    values: npt.ArrayLike,
    *,
    alpha: float = 0.05,
    method: str = "t",
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of a mean.

    Parameters
    ----------
    values : array-like of shape (n,)
        Two or more, finite.
    alpha : float, default=0.05
    method : {"t", "studentized", "bca", "auto"}, default="t"
        As in `mean_upper_bound`; "auto" takes the wider of the first two ends.
    n_resamples : int, default=2000
    seed : int, default=0

    Returns
    -------
    low, high : float

    References
    ----------
    Efron (1987). Better bootstrap confidence intervals. Journal of the American
    Statistical Association 82, 171-185.

    Examples
    --------
    >>> [round(end, 3) for end in mean_interval([0.1, -0.2, 0.3, 0.0, 0.1])]
    [-0.166, 0.286]
    """
    x = np.asarray(values, np.float64)
    each = check_alpha(alpha) / 2

    def upper(numbers: npt.NDArray[np.float64]) -> float:
        return mean_upper_bound(
            numbers, alpha=each, method=method, n_resamples=n_resamples, seed=seed
        )

    return -upper(-x), upper(x)
