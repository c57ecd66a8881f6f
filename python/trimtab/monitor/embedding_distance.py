"""Distances of embeddings from their sums: MMD with its p-value, and Frechet's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from trimtab.stats.special import normal_cdf

__all__ = ["chi_square_mixture_sf", "frechet_distance", "mmd_test"]

Floats = npt.NDArray[np.float64]


def mmd_test(
    n: int, mean: Floats, second: Floats, m: int, other: Floats, other_second: Floats
) -> tuple[float, float]:
    """Test whether random features of two samples have the same mean.

    Parameters
    ----------
    n : int
        Rows of one sample, 2 at least.
    mean : ndarray of float64, of shape (k,)
        Of its features; the kernel is ``2 / k`` times a product of features.
    second : ndarray of float64, of shape (k, k)
        Mean of the products of features.
    m, other, other_second : int and ndarray
        The same of the other sample.

    Returns
    -------
    statistic : float
        Unbiased estimate of MMD^2; may be negative.
    p_value : float
        By the asymptotic distribution: the squared norm of a normal vector with the
        pooled covariance of the features, which is a sum of weighted chi-squares.

    References
    ----------
    A. Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012.
    A. Rahimi, B. Recht, "Random Features for Large-Scale Kernel Machines", NIPS 2007.

    Examples
    --------
    >>> one, two = np.eye(2), np.eye(2) + 1
    >>> statistic, p_value = mmd_test(90, np.zeros(2), one, 90, np.ones(2), two)
    >>> round(statistic, 1), p_value < 1e-6
    (2.0, True)
    """
    kernel = 2.0 / len(mean)
    own = kernel * float(np.trace(second))
    own_other = kernel * float(np.trace(other_second))
    within = (n * kernel * float(mean @ mean) - own) / (n - 1)
    within_other = (m * kernel * float(other @ other) - own_other) / (m - 1)
    statistic = within + within_other - 2 * kernel * float(mean @ other)
    scatter = n * (second - np.outer(mean, mean))
    scatter += m * (other_second - np.outer(other, other))
    covariance = scatter / (n + m - 2) * (1 / n + 1 / m)
    weights = np.maximum(np.linalg.eigvalsh(covariance), 0)
    delta = mean - other
    return statistic, chi_square_mixture_sf(float(delta @ delta), weights)


def chi_square_mixture_sf(x: float, weights: npt.ArrayLike) -> float:
    """P(sum of weights times chi-squares of one degree > x), by a saddlepoint.

    Parameters
    ----------
    x : float
    weights : array-like of float
        Not negative.

    Returns
    -------
    probability : float
        Within a few percent of itself, in the tails too.

    References
    ----------
    D. Kuonen, "Saddlepoint Approximations for Distributions of Quadratic Forms in
    Normal Variables", Biometrika 86(4), 1999.

    Examples
    --------
    >>> round(chi_square_mixture_sf(3.841459, [1.0]), 2)
    0.05
    """
    w = np.asarray(weights, np.float64)
    largest = float(w.max(initial=0.0))
    if x <= 0:
        return 1.0
    if largest == 0:
        return 0.0
    w = w[w > 1e-12 * largest] / largest
    x = x / largest
    excess = x - float(w.sum())

    def slope(t: float) -> float:
        return float((w / (1 - 2 * t * w)).sum()) - x

    low, high = -len(w) / (2 * x), 0.5
    if abs(excess) < 1e-4 * math.sqrt(2 * float(w @ w)):
        return _at_the_mean(w)
    t = _bisect(slope, low, high)
    log_mgf = -0.5 * float(np.log1p(-2 * t * w).sum())
    curvature = 2 * float(np.square(w / (1 - 2 * t * w)).sum())
    r = math.copysign(math.sqrt(max(2 * (t * x - log_mgf), 0.0)), t)
    u = t * math.sqrt(curvature)
    if r == 0 or u / r <= 0:
        return _at_the_mean(w)
    return min(max(normal_cdf(-(r + math.log(u / r) / r)), 0.0), 1.0)


def _at_the_mean(w: Floats) -> float:
    """Limit of the formula where x is the mean, by the skewness."""
    skewness = 8 * float((w**3).sum()) / (2 * float(w @ w)) ** 1.5
    return normal_cdf(-skewness / 6)


def _bisect(slope: Callable[[float], float], low: float, high: float) -> float:
    """The zero of a function that rises from `low` to `high`."""
    for _ in range(80):
        middle = 0.5 * (low + high)
        if slope(middle) < 0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def frechet_distance(
    n: int, mean: Floats, covariance: Floats, m: int, other: Floats, other_cov: Floats
) -> float:
    """Squared Frechet (Wasserstein-2) distance of normals with these moments.

    Parameters
    ----------
    n : int
        Rows that the moments are of: what they give by chance is taken off, to first
        order and as if rows were normal.
    mean : ndarray of float64, of shape (k,)
    covariance : ndarray of float64, of shape (k, k)
    m, other, other_cov : int and ndarray
        The same of the other sample.

    Returns
    -------
    distance : float
        Not negative.

    References
    ----------
    D. Dowson, B. Landau, "The Frechet Distance between Multivariate Normal
    Distributions", J. Multivariate Analysis 12, 1982.

    Examples
    --------
    >>> n, mean, cov = 10**9, np.zeros(2), np.eye(2)
    >>> round(frechet_distance(n, mean, cov, n, mean + 1, 4 * cov), 3)
    4.0
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.maximum(np.linalg.eigvalsh(root @ other_cov @ root), 0)
    delta = mean - other
    traces = float(np.trace(covariance) + np.trace(other_cov))
    distance = float(delta @ delta) + traces - 2 * float(np.sqrt(inner).sum())
    pooled = np.maximum(
        np.linalg.eigvalsh((n * covariance + m * other_cov) / (n + m)), 0
    )
    sums = pooled[:, None] + pooled[None]
    pairs = np.divide(
        pooled[:, None] * pooled[None], sums, out=np.zeros_like(sums), where=sums > 0
    )
    by_chance = float(pooled.sum()) + 0.5 * float(pairs.sum() + np.trace(pairs))
    return max(distance - by_chance * (1 / n + 1 / m), 0.0)
