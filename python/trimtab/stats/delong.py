"""The area under the ROC curve: its variance, and that of a difference.

DeLong's structural components, computed from midranks in O(n log n). Enters: classes
(positive or not) and scores, larger for positives. Leaves: areas, intervals, a test.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.stats.intervals import check_alpha, z_score
from trimtab.stats.result import TestResult
from trimtab.stats.special import Floats, normal_quantile

__all__ = [
    "auc_components",
    "delong_interval",
    "delong_test",
    "logit_interval",
    "midranks",
]


def midranks(values: npt.ArrayLike) -> Floats:
    """Ranks from 1; equal values share the mean of theirs.

    Parameters
    ----------
    values : array-like of shape (n,)

    Returns
    -------
    ranks : ndarray of shape (n,)

    Examples
    --------
    >>> midranks([3, 1, 3, 2]).tolist()
    [3.5, 1.0, 3.5, 2.0]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[inverse]
    return ranks


def _checked(y_true: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Scores of positives and of negatives."""
    classes, values = np.asarray(y_true), np.asarray(scores, np.float64)
    is_good = classes.ndim == 1 and classes.shape == values.shape
    if not is_good or not np.isin(classes, (0, 1)).all():
        raise InputError(
            "expected classes 0 and 1 of shape (n,) and as many scores, got "
            f"classes of shape {classes.shape} and scores of shape {values.shape}"
        )
    if np.isnan(values).any():
        raise InputError("scores: expected numbers, got NaN")
    is_positive = classes.astype(bool)
    positives, negatives = values[is_positive], values[~is_positive]
    if not (len(positives) and len(negatives)):
        raise InputError(
            "the area under the ROC curve needs samples of both classes, got "
            f"{len(positives)} positive and {len(negatives)} negative ones"
        )
    return positives, negatives


def auc_components(
    y_true: npt.ArrayLike, scores: npt.ArrayLike
) -> tuple[float, Floats, Floats]:
    """Area under the ROC curve and what each sample adds to it.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        0 or 1.
    scores : array-like of shape (n,)

    Returns
    -------
    auc : float
    of_positives : ndarray
        Share of the negatives that score below each positive; ties count half.
    of_negatives : ndarray
        Share of the positives that score above each negative.

    References
    ----------
    Sun, Xu (2014). Fast implementation of DeLong's algorithm for comparing the areas
    under correlated receiver operating characteristic curves. IEEE Signal Processing
    Letters 21, 1389-1393.

    Examples
    --------
    >>> auc_components([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])[0]
    0.75
    """
    positives, negatives = _checked(y_true, scores)
    n_positive, n_negative = len(positives), len(negatives)
    ranks = midranks(np.concatenate([positives, negatives]))
    above = (ranks[:n_positive] - midranks(positives)) / n_negative
    below = 1 - (ranks[n_positive:] - midranks(negatives)) / n_positive
    return float(above.mean()), above, below


def _variance(values: Floats) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else math.nan


def delong_interval(
    y_true: npt.ArrayLike, scores: npt.ArrayLike, *, alpha: float = 0.05
) -> tuple[float, float, float]:
    """Area under the ROC curve with an interval, normal on the scale of the logit.

    Where all pairs are in order, or none, the variance is 0 and the bound is the exact
    one of min(n_positive, n_negative) pairs that share no sample.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        0 or 1.
    scores : array-like of shape (n,)
    alpha : float, default=0.05

    Returns
    -------
    auc, low, high : float
        NaN ends where a class has a single sample.

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988). Comparing the areas under two or more
    correlated receiver operating characteristic curves: a nonparametric approach.
    Biometrics 44, 837-845.

    Qin, Hotilovac (2008). Comparison of non-parametric confidence intervals for the
    area under the ROC curve of a continuous-scale diagnostic test. Statistical Methods
    in Medical Research 17, 207-221.

    Examples
    --------
    >>> y, s = [0, 0, 0, 1, 1, 1], [0.1, 0.4, 0.6, 0.35, 0.8, 0.9]
    >>> [round(value, 3) for value in delong_interval(y, s)]
    [0.778, 0.173, 0.983]
    """
    auc, above, below = auc_components(y_true, scores)
    error = math.sqrt(_variance(above) + _variance(below))
    n_smallest = min(len(above), len(below))
    low, high = logit_interval(auc, error, n_smallest, alpha=check_alpha(alpha))
    return auc, low, high


def logit_interval(
    auc: float, error: float, n_smallest: float, *, alpha: float = 0.05
) -> tuple[float, float]:
    """Interval of an area, normal on the scale of the logit.

    Parameters
    ----------
    auc, error : float
        Area and its standard error.
    n_smallest : float
        Samples of the smaller class: for areas of 0 and 1, which have no error.
    alpha : float, default=0.05

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> [round(end, 3) for end in logit_interval(0.9, 0.03, 50)]
    [0.824, 0.945]
    """
    if auc <= 0.0 or auc >= 1.0:
        bound = float((alpha / 2) ** (1 / n_smallest)) if n_smallest else math.nan
        return (bound, 1.0) if auc >= 1.0 else (0.0, 1 - bound)
    logit = math.log(auc / (1 - auc))
    half = normal_quantile(1 - alpha / 2) * error / (auc * (1 - auc))
    return _expit(logit - half), _expit(logit + half)


def _expit(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))


def delong_test(
    y_true: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    alpha: float = 0.05,
) -> TestResult:
    """Test that two models have the same area under the ROC curve on one sample.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        0 or 1.
    first, second : array-like of shape (n,)
        Scores of the two models.
    alpha : float, default=0.05
        1 - alpha is the confidence of the interval.

    Returns
    -------
    result : TestResult
        The difference is second less first, the statistic its z.

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988). Comparing the areas under two or more
    correlated receiver operating characteristic curves: a nonparametric approach.
    Biometrics 44, 837-845.

    Examples
    --------
    >>> y = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> a = [0.1, 0.4, 0.6, 0.2, 0.35, 0.8, 0.9, 0.3]
    >>> b = [0.1, 0.2, 0.6, 0.3, 0.55, 0.8, 0.9, 0.7]
    >>> print(delong_test(y, a, b))
    0.1875 [-0.1442, 0.5192], p = 0.268 (delong)
    """
    z_alpha = normal_quantile(1 - check_alpha(alpha) / 2)
    auc_1, above_1, below_1 = auc_components(y_true, first)
    auc_2, above_2, below_2 = auc_components(y_true, second)
    gap = auc_2 - auc_1
    variance = _variance(above_2 - above_1) + _variance(below_2 - below_1)
    error = math.sqrt(variance) if variance >= 0 else math.nan
    z = z_score(gap, error)
    p_value = math.erfc(abs(z) / math.sqrt(2))
    half = z_alpha * error
    return TestResult(gap, gap - half, gap + half, p_value, z, "delong")
