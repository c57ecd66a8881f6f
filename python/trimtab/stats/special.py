"""Distribution functions and quantiles: beta, binomial, normal, Student's t.

Enters and leaves: floats or arrays of float64. SciPy has all of them and is what the
tests compare with; the core needs NumPy alone.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "beta_cdf",
    "beta_quantile",
    "binomial_cdf",
    "binomial_pmf",
    "normal_cdf",
    "normal_quantile",
    "t_quantile",
    "t_tail",
]

Floats = npt.NDArray[np.float64]

# Terms of the continued fraction: it needs some sqrt(max(a, b)), 3200 for 1e7.
_N_TERMS = 10000
_TINY = 1e-300
_EPSILON = 1e-14
# Parts into which an interval is cut at once, and cuts at most: also near 0.
_N_PARTS = 64
_N_CUTS = 60

_log_gamma = np.frompyfunc(math.lgamma, 1, 1)


def _lgamma(x: Floats) -> Floats:
    values: Floats = np.asarray(_log_gamma(x), np.float64)
    return values


def beta_cdf(x: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Regularised incomplete beta function I_x(a, b).

    The continued fraction of DLMF 8.17.22, evaluated by Lentz's method as modified by
    Thompson and Barnett, on the side of the mean where it converges fast.

    Parameters
    ----------
    x : array-like
        In [0, 1].
    a, b : array-like
        Above 0; all three are broadcast.

    Returns
    -------
    probability : ndarray of float64

    References
    ----------
    NIST Digital Library of Mathematical Functions, section 8.17(v).

    Thompson, Barnett (1986). Coulomb and Bessel functions of complex arguments and
    order. Journal of Computational Physics 64, 490-509.

    Examples
    --------
    >>> round(float(beta_cdf(0.5, 2, 3)), 6)
    0.6875
    """
    arrays = (np.asarray(value, np.float64) for value in (x, a, b))
    x, a, b = np.broadcast_arrays(*arrays)
    shape = x.shape
    x, a, b = x.ravel(), a.ravel(), b.ravel()
    is_right = x > (a + 1) / (a + b + 2)
    a, b = np.where(is_right, b, a), np.where(is_right, a, b)
    x = np.where(is_right, 1 - x, x)
    with np.errstate(divide="ignore", invalid="ignore"):
        front = a * np.log(x) + b * np.log1p(-x) - np.log(a)
    front = front + _lgamma(a + b) - _lgamma(a) - _lgamma(b)
    is_inside = (x > 0) & (x < 1)
    found = np.where(x >= 1, 1.0, 0.0)
    found[is_inside] = np.exp(front[is_inside]) * _fraction(
        x[is_inside], a[is_inside], b[is_inside]
    )
    values: Floats = np.where(is_right, 1 - found, found).reshape(shape)
    return values


def _fraction(x: Floats, a: Floats, b: Floats) -> Floats:
    """The continued fraction 1/(1 + d1/(1 + d2/(1 + ...)))."""
    result = np.empty_like(x)
    left = np.arange(len(x))  # those that have not converged
    c = np.ones_like(x)
    d = 1 - (a + b) * x / (a + 1)
    d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
    h = d
    for m in range(1, _N_TERMS):
        delta = np.ones_like(x)
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 + term * d
            d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
            c = 1 + term / c
            c = np.where(np.abs(c) < _TINY, _TINY, c)
            delta *= c * d
        h = h * delta
        result[left] = h
        if m % 8 == 0:
            on = np.abs(delta - 1) > _EPSILON
            if not on.any():
                break
            left = left[on]
            x, a, b, c, d, h = (v[on] for v in (x, a, b, c, d, h))
    return result


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Quantile of the beta distribution, by cutting [0, 1] down.

    Parameters
    ----------
    probability : float
    a, b : float

    Returns
    -------
    x : float
        The upper end of the last interval: never below the quantile.

    Examples
    --------
    >>> round(beta_quantile(0.95, 1, 10), 6) == round(1 - 0.05 ** (1 / 10), 6)
    True
    """
    low, high = 0.0, 1.0
    for _ in range(_N_CUTS):
        if high - low < 1e-14 * high:
            break
        edges = np.linspace(low, high, _N_PARTS + 1)
        k = int((beta_cdf(edges[1:-1], a, b) < probability).sum())
        low, high = float(edges[k]), float(edges[k + 1])
    return high


def binomial_cdf(k: npt.ArrayLike, n: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """P(X <= k) for X ~ Bin(n, p), as I_{1-p}(n - k, k + 1) (DLMF 8.17.5).

    Parameters
    ----------
    k, n : array-like of int
        k may be below 0 or above n.
    p : array-like
        In [0, 1].

    Returns
    -------
    probability : ndarray of float64

    Examples
    --------
    >>> round(float(binomial_cdf(0, 2, 0.5)), 9)
    0.25
    """
    arrays = (np.asarray(value, np.float64) for value in (k, n, p))
    hits, trials, chance = np.broadcast_arrays(*arrays)
    inside = (hits >= 0) & (hits < trials)
    found = np.where(hits >= trials, 1.0, 0.0)
    at = hits[inside]
    found[inside] = beta_cdf(1 - chance[inside], trials[inside] - at, at + 1)
    values: Floats = found
    return values


def binomial_pmf(k: npt.ArrayLike, n: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """P(X = k) for X ~ Bin(n, p).

    Parameters
    ----------
    k, n : array-like of int
        0 <= k <= n.
    p : array-like
        In [0, 1].

    Returns
    -------
    probability : ndarray of float64

    Examples
    --------
    >>> binomial_pmf([0, 1, 2], 2, 0.5).round(6)
    array([0.25, 0.5 , 0.25])
    """
    hits, trials, p = (np.asarray(value, np.float64) for value in (k, n, p))
    misses = trials - hits
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.where(hits == 0, 0.0, hits * np.log(p))
        log = log + np.where(misses == 0, 0.0, misses * np.log1p(-p))
    log = log + _lgamma(trials + 1) - _lgamma(hits + 1) - _lgamma(misses + 1)
    values: Floats = np.exp(log)
    return values


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution.

    Parameters
    ----------
    probability : float

    Returns
    -------
    z : float

    Examples
    --------
    >>> round(normal_quantile(0.95), 3)
    1.645
    """
    return NormalDist().inv_cdf(probability)


def normal_cdf(z: float) -> float:
    """Distribution function of the standard normal distribution.

    Parameters
    ----------
    z : float

    Returns
    -------
    probability : float

    Examples
    --------
    >>> normal_cdf(0.0)
    0.5
    """
    return NormalDist().cdf(z)


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t distribution.

    P(|T| > t) = I_x(df/2, 1/2) with x = df/(df + t^2).

    Parameters
    ----------
    probability : float
        In (0.5, 1).
    df : float
        Degrees of freedom.

    Returns
    -------
    t : float

    Examples
    --------
    >>> round(t_quantile(0.95, 10), 3)
    1.812
    """
    x: Any = beta_quantile(2 * (1 - probability), df / 2, 0.5)
    return math.sqrt(df * (1 - x) / x)


def t_tail(t: float, df: float) -> float:
    """P(T > t) of Student's t distribution.

    Parameters
    ----------
    t : float
        At least 0.
    df : float
        Degrees of freedom.

    Returns
    -------
    probability : float

    Examples
    --------
    >>> round(t_tail(1.812, 10), 3)
    0.05
    """
    if math.isinf(t):
        return 0.0
    return 0.5 * float(beta_cdf(df / (df + t * t), df / 2, 0.5))
