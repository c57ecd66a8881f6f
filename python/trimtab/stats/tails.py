"""Tail probabilities of tests: chi-square, gamma, Kolmogorov, Fisher's exact test.

Enters and leaves: single floats, some ten microseconds each, because a check of many
features asks for hundreds of them. SciPy is what the tests compare with.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["chi_square_tail", "fisher_exact", "gamma_tail", "kolmogorov_tail"]

_N_TERMS = 100_000
_TINY = 1e-300
_EPSILON = 1e-16
# Expected counts above which Fisher's test is as good as the normal approximation.
_IS_MANY = 20_000.0


def gamma_tail(x: float, shape: float) -> float:
    """P(X > x) of the gamma distribution with scale 1: Q(shape, x).

    The series of DLMF 8.11.4 left of the mean, and the continued fraction 8.9.2 by
    Lentz's method right of it.

    Parameters
    ----------
    x : float
    shape : float
        Above 0.

    Returns
    -------
    probability : float

    References
    ----------
    NIST Digital Library of Mathematical Functions, sections 8.9 and 8.11.

    Examples
    --------
    >>> round(gamma_tail(3.0, 1.0), 9) == round(math.exp(-3.0), 9)
    True
    """
    if x <= 0:
        return 1.0
    if math.isinf(x):
        return 0.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        for k in range(1, _N_TERMS):
            term *= x / (shape + k)
            total += term
            if term < _EPSILON * total:
                break
        return max(1 - front * total, 0.0)
    b = x + 1 - shape
    c, d = 1 / _TINY, 1 / b
    h = d
    for k in range(1, _N_TERMS):
        a = -k * (k - shape)
        b += 2
        d = 1 / (a * d + b or _TINY)
        c = a / c + b or _TINY
        h *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return min(front * h, 1.0)


def chi_square_tail(x: float, df: float) -> float:
    """P(X > x) of the chi-square distribution.

    Parameters
    ----------
    x : float
    df : float
        Degrees of freedom; without any, X is 0.

    Returns
    -------
    probability : float

    Examples
    --------
    >>> round(chi_square_tail(3.841458820694124, 1), 9)
    0.05
    """
    if df <= 0:
        return 1.0 if x <= 0 else 0.0
    half = x / 2
    if not (0 < half < 600 and df <= 400 and df == int(df)):
        return gamma_tail(half, df / 2)
    # The finite sums of DLMF 8.4.10 and 8.4.14, all terms positive.
    is_odd = int(df) % 2
    below = math.erfc(math.sqrt(half)) if is_odd else 0.0
    term = 2 * math.sqrt(half / math.pi) if is_odd else 1.0
    total, k = 0.0, 1.5 if is_odd else 1.0
    for _ in range(int(df) // 2):
        total += term
        term *= half / k
        k += 1
    return min(below + math.exp(-half) * total, 1.0)


def kolmogorov_tail(x: float) -> float:
    """P(K > x) of the largest distance of a Brownian bridge from 0.

    The limit of ``sqrt(n m / (n + m)) D`` of two samples of one continuous
    distribution. Both of its theta series are used, each where it converges at once.

    Parameters
    ----------
    x : float

    Returns
    -------
    probability : float

    References
    ----------
    Smirnov (1948). Table for estimating the goodness of fit of empirical
    distributions. Annals of Mathematical Statistics 19, 279-281.

    Examples
    --------
    >>> round(kolmogorov_tail(1.3580986), 6)
    0.05
    """
    if x < 0.04:
        return 1.0
    if x < 1:
        unit = -((math.pi / x) ** 2) / 8
        low = math.exp(unit) + math.exp(9 * unit) + math.exp(25 * unit)
        return 1 - math.sqrt(2 * math.pi) / x * low
    total = 0.0
    for k in (1, 3, 5):
        total += math.exp(-2 * (k * x) ** 2) - math.exp(-2 * ((k + 1) * x) ** 2)
    return min(max(2 * total, 0.0), 1.0)


def fisher_exact(hits: int, n: int, other_hits: int, m: int) -> float:
    """Two-sided p-value that two shares are one, whatever the share.

    The sum over all tables with the same margins that are no more likely than the
    one observed; with more than 20000 expected hits and misses in each sample, the
    normal approximation.

    Parameters
    ----------
    hits, n : int
        0 <= hits <= n.
    other_hits, m : int
        Of the other sample.

    Returns
    -------
    p_value : float

    References
    ----------
    Fisher (1935). The logic of inductive inference. Journal of the Royal Statistical
    Society 98, 39-82.

    Examples
    --------
    >>> round(fisher_exact(1, 9, 11, 14), 4)
    0.0028
    """
    total, size = hits + other_hits, n + m
    if not n or not m or not 0 < total < size:
        return 1.0
    least = min(total, size - total) * min(n, m) / size
    if least > _IS_MANY:
        share = total / size
        error = math.sqrt(share * (1 - share) * (1 / n + 1 / m))
        z = abs(hits / n - other_hits / m) / error
        return math.erfc(z / math.sqrt(2))
    return _sum_unlikely(hits, n, total, size)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _sum_unlikely(hits: int, n: int, total: int, size: int) -> float:
    """Sum of hypergeometric probabilities up to that of `hits`, from the mode out."""
    m = size - n
    low, high = max(0, total - m), min(n, total)
    mode = min(max((n + 1) * (total + 1) // (size + 2), low), high)
    log_all = _log_choose(size, total)

    def log_chance(k: int) -> float:
        return _log_choose(n, k) + _log_choose(m, total - k) - log_all

    def chances(step: int, end: int) -> npt.NDArray[np.float64]:
        """Of the counts beyond the mode, one after the other: by ratios."""
        k = np.arange(mode, end, step, dtype=np.float64)
        if step < 0:
            ratios = k * (m - total + k) / ((n - k + 1) * (total - k + 1))
        else:
            ratios = (n - k) * (total - k) / ((k + 1) * (m - total + k + 1))
        found: npt.NDArray[np.float64] = np.multiply(peak, np.cumprod(ratios))
        return found

    spread = total / size * (1 - total / size) * n * m / max(size - 1, 1)
    reach = int(14 * math.sqrt(spread)) + 60 + abs(hits - mode)
    peak = math.exp(log_chance(mode))
    limit = math.exp(log_chance(hits)) * (1 + 1e-7)
    sides = [chances(1, min(high, mode + reach)), chances(-1, max(low, mode - reach))]
    unlikely = sum(float(side[side <= limit].sum()) for side in sides)
    return min(unlikely + (peak if peak <= limit else 0.0), 1.0)
