"""Bounds for metrics that are not counts of right and wrong: Student's t, bootstrap.

Enters: the paired differences of n samples, or a statistic of any choice of samples.
Leaves: an upper confidence bound of the mean, or of the statistic.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.stats.special import Floats, normal_cdf, normal_quantile, t_quantile

__all__ = [
    "MEAN_BOUNDS",
    "acceleration_of",
    "bca_quantile",
    "mean_upper_bound",
    "statistic_upper_bound",
]

# Numbers drawn at once: 32 MB of float64.
_N_AT_ONCE = 1 << 22
# Groups that the jackknife leaves out one after the other.
_N_GROUPS = 200


def _resampled_means(
    values: Floats, n_resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """Means and standard errors of samples drawn with replacement."""
    n = len(values)
    rng = np.random.default_rng(seed)
    means, errors = np.empty(n_resamples), np.empty(n_resamples)
    step = max(1, _N_AT_ONCE // n)
    for begin in range(0, n_resamples, step):
        end = min(begin + step, n_resamples)
        drawn = values[rng.integers(0, n, (end - begin, n))]
        means[begin:end] = drawn.mean(axis=1)
        errors[begin:end] = drawn.std(axis=1, ddof=1) / math.sqrt(n)
    return means, errors


def _t(values: Floats, alpha: float, n_resamples: int, seed: int) -> float:
    n = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    return float(values.mean()) + t_quantile(1 - alpha, n - 1) * error


def _studentized(values: Floats, alpha: float, n_resamples: int, seed: int) -> float:
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    means, errors = _resampled_means(values, n_resamples, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (means - mean) / errors
    # A draw of equal values has no spread and says that the tail is open.
    t[errors <= 1e-12 * max(error, 1e-300)] = -np.inf
    low = float(np.quantile(t, alpha, method="lower"))
    return math.inf if low == -math.inf else mean - low * error


def _bca(values: Floats, alpha: float, n_resamples: int, seed: int) -> float:
    mean = float(values.mean())
    means, _ = _resampled_means(values, n_resamples, seed)
    apart = values - mean
    return bca_quantile(means, mean, acceleration_of(apart), alpha)


def acceleration_of(apart: Floats, weights: Floats | None = None) -> float:
    """How fast the standard error changes with the truth: a sixth of the skewness.

    Parameters
    ----------
    apart : ndarray
        Influences of samples, of mean 0.
    weights : ndarray, optional
        How many samples have each.

    Returns
    -------
    acceleration : float

    Examples
    --------
    >>> acceleration_of(np.array([-1.0, 0.0, 1.0]))
    0.0
    """
    n = np.ones_like(apart) if weights is None else weights
    scale = float((n * apart**2).sum()) ** 1.5
    return float((n * apart**3).sum()) / (6 * scale) if scale > 0 else 0.0


def bca_quantile(
    found: Floats, estimate: float, acceleration: float, alpha: float
) -> float:
    """Upper end by Efron's bias-corrected and accelerated percentile.

    Parameters
    ----------
    found : ndarray
        The statistic of resamples.
    estimate : float
        That of the sample.
    acceleration : float
    alpha : float

    Returns
    -------
    bound : float

    Examples
    --------
    >>> bca_quantile(np.arange(101.0), 50.0, 0.0, 0.05)
    95.0
    """
    n = len(found)
    below = (found < estimate).sum() + 0.5 * (found == estimate).sum()
    z0 = normal_quantile(min(max(float(below) / n, 0.5 / n), 1 - 0.5 / n))
    z = z0 + normal_quantile(1 - alpha)
    level = 1 - acceleration * z
    share = normal_cdf(z0 + z / level) if level > 0 else 1.0
    return float(np.quantile(found, min(share, 1.0), method="higher"))


#: Name -> upper bound of the mean from (values, alpha, n_resamples, seed).
MEAN_BOUNDS: dict[str, Callable[[Floats, float, int, int], float]] = {
    "t": _t,
    "studentized": _studentized,
    "bca": _bca,
}


def mean_upper_bound(
    differences: npt.ArrayLike,
    *,
    alpha: float = 0.05,
    method: str = "auto",
    n_resamples: int = 2000,
    seed: int = 0,
) -> float:
    """Upper confidence bound of the mean of paired differences.

    "t": mean + t(1 - alpha, n - 1) s / sqrt(n). "studentized": the same with the
    quantile of (mean* - mean) / error* over resamples, which follows the skew of the
    data (Hall 1988). "bca": Efron's (1987) percentile.

    Parameters
    ----------
    differences : array-like of shape (n,)
        Loss of the new model less that of the old one, by sample.
    alpha : float, default=0.05
    method : {"auto", "t", "studentized", "bca"}, default="auto"
        "auto" is the larger one of "t" and "studentized".
    n_resamples : int, default=2000
    seed : int, default=0

    Returns
    -------
    bound : float

    Raises
    ------
    InputError
        There are fewer than two differences, or one is not finite.

    References
    ----------
    Hall (1988). Theoretical comparison of bootstrap confidence intervals. Annals of
    Statistics 16, 927-953.

    Efron (1987). Better bootstrap confidence intervals. Journal of the American
    Statistical Association 82, 171-185.

    Examples
    --------
    >>> round(mean_upper_bound([0.1, -0.2, 0.3, 0.0, 0.1], method="t"), 4)
    0.2332
    """
    values: Floats = np.asarray(differences, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise InputError(
            f"differences: expected two or more finite numbers, got {values.shape}"
        )
    if float(np.ptp(values)) == 0.0:
        return float(values[0])
    names = ("t", "studentized") if method == "auto" else (method,)
    if names[0] not in MEAN_BOUNDS:
        raise InputError(f"method: expected one of {list(MEAN_BOUNDS)}, got {method!r}")
    return max(MEAN_BOUNDS[name](values, alpha, n_resamples, seed) for name in names)


def statistic_upper_bound(
    statistic: Callable[[npt.NDArray[np.intp]], float],
    n: int,
    *,
    alpha: float = 0.05,
    n_resamples: int = 1000,
    seed: int = 0,
) -> float:
    """Upper confidence bound of a statistic that is no mean, as the drop of F1 or AUC.

    Efron's BCa percentile over resamples of the samples; the acceleration comes from
    a jackknife that leaves out one of 200 groups at a time. Resamples for which the
    statistic is not defined (NaN, of one class only) are left out.

    Parameters
    ----------
    statistic : callable
        Indices of samples, which may repeat -> number.
    n : int
        Samples.
    alpha : float, default=0.05
    n_resamples : int, default=1000
    seed : int, default=0

    Returns
    -------
    bound : float
        Infinite where half of the resamples have no statistic.

    Raises
    ------
    InputError
        There are fewer than two samples.

    Examples
    --------
    >>> x = np.arange(100.0)
    >>> bound = statistic_upper_bound(lambda chosen: np.median(x[chosen]), 100)
    >>> 50 < bound < 65
    True
    """
    if n < 2:
        raise InputError(f"expected two or more samples, got {n}")
    rng = np.random.default_rng(seed)
    estimate = float(statistic(np.arange(n)))
    drawn = [float(statistic(rng.integers(0, n, n))) for _ in range(n_resamples)]
    found = np.asarray(drawn)
    found = found[np.isfinite(found)]
    if 2 * len(found) < n_resamples or not math.isfinite(estimate):
        return math.inf
    groups = np.array_split(rng.permutation(n), min(n, _N_GROUPS))
    left = np.asarray(
        [float(statistic(np.delete(np.arange(n), group))) for group in groups]
    )
    apart = left[np.isfinite(left)]
    apart = apart.mean() - apart if len(apart) else np.zeros(1)
    return bca_quantile(found, estimate, acceleration_of(apart), alpha)
