"""Paired comparison of right and wrong answers: how far can accuracy have dropped?

Two models answer the same n samples. n10 counts those that only the old one gets
right, n01 those that only the new one gets right; the drop is p10 - p01. Enters: the
two counts and n. Leaves: an upper confidence bound of the drop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from trimtab.errors import InputError
from trimtab.stats.special import (
    Floats,
    beta_quantile,
    binomial_cdf,
    binomial_pmf,
    normal_quantile,
)

__all__ = [
    "BOUNDS",
    "clopper_pearson_upper",
    "drop_upper_bound",
    "exact_upper",
    "power_table",
    "tango_upper",
    "wald_upper",
]

# Discordant pairs up to which the exact bound is computed: a second at most. Beyond,
# the two bounds differ by less than a hundredth.
_N_EXACT = 200
# Share of alpha that is spent on where p01 can lie (Berger and Boos).
_NUISANCE_SHARE = 1 / 500
_N_NUISANCE = 32  # values of p01 tried there: four for each standard error
_N_HALVINGS = 60


def clopper_pearson_upper(k: int, n: int, alpha: float = 0.05) -> float:
    """Exact upper bound of a proportion: k of n (Clopper and Pearson 1934).

    For k = 0 it is 1 - alpha^(1/n), which is the "rule of three": about 3/n.

    Parameters
    ----------
    k, n : int
    alpha : float, default=0.05
        One-sided: the bound is below the truth at most this often.

    Returns
    -------
    bound : float

    References
    ----------
    Clopper, Pearson (1934). The use of confidence or fiducial limits illustrated in
    the case of the binomial. Biometrika 26, 404-413.

    Examples
    --------
    >>> round(clopper_pearson_upper(0, 1000), 5)
    0.00299
    """
    if k >= n:
        return 1.0
    return 1 - alpha ** (1 / n) if k == 0 else beta_quantile(1 - alpha, k + 1, n - k)


def wald_upper(n10: int, n01: int, n: int, alpha: float = 0.05) -> float:
    """Bound by the normal approximation; too low where discordance is rare.

    U = d + z sqrt((p10 + p01 - d^2) / n) with d = p10 - p01.

    Parameters
    ----------
    n10, n01, n : int
    alpha : float, default=0.05

    Returns
    -------
    bound : float

    Examples
    --------
    >>> round(wald_upper(12, 5, 1000), 5)
    0.01377
    """
    drop = (n10 - n01) / n
    spread = max((n10 + n01) / n - drop * drop, 0.0)
    return drop + normal_quantile(1 - alpha) * math.sqrt(spread / n)


def _score(n10: Floats, n01: Floats, n: int, drop: float) -> Floats:
    """Tango's z for the hypothesis p10 - p01 = drop, with p01 at its likeliest."""
    a = 2.0 * n
    b = (2.0 * n - n10 + n01) * drop - n10 - n01
    c = -n01 * drop * (1 - drop)
    p01 = (np.sqrt(np.maximum(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * p01 + drop * (1 - drop))
    above = n10 - n01 - n * drop
    with np.errstate(divide="ignore", invalid="ignore"):
        z: Floats = np.where(
            variance > 0, above / np.sqrt(variance), np.sign(above) * np.inf
        )
    return np.where(above == 0, 0.0, z)


def tango_upper(n10: int, n01: int, n: int, alpha: float = 0.05) -> float:
    """Score bound of Tango (1998): all drops that a score test does not reject.

    Parameters
    ----------
    n10, n01, n : int
    alpha : float, default=0.05

    Returns
    -------
    bound : float

    References
    ----------
    Tango (1998). Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design. Statistics in Medicine 17, 891-908.

    Examples
    --------
    >>> round(tango_upper(12, 5, 1000), 4)
    0.0147
    """
    z = normal_quantile(1 - alpha)
    low, high = (n10 - n01) / n, 1.0
    pair = np.float64(n10), np.float64(n01)
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        if float(_score(*pair, n, middle)) > -z:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=4096)
def exact_upper(n10: int, n01: int, n: int, alpha: float = 0.05) -> float:
    """Exact unconditional bound: it holds at every p10 and p01.

    Results are ordered by Tango's bound. A drop is ruled out when, however rare n01's
    event is, a result as good as the one seen has a probability of at most alpha
    (Buehler 1957; Lloyd and Moldovan 2007). p01 is searched in a confidence interval
    of its own, whose error is taken off alpha (Berger and Boos 1994).

    Parameters
    ----------
    n10, n01, n : int
    alpha : float, default=0.05

    Returns
    -------
    bound : float

    References
    ----------
    Buehler (1957). Confidence intervals for the product of two binomial parameters.
    Journal of the American Statistical Association 52, 482-493.

    Berger, Boos (1994). P values maximized over a confidence set for the nuisance
    parameter. Journal of the American Statistical Association 89, 1012-1016.

    Lloyd, Moldovan (2007). Exact one-sided confidence limits for the difference
    between two correlated proportions. Statistics in Medicine 26, 3369-3384.

    Examples
    --------
    >>> round(exact_upper(0, 0, 1000), 4), round(exact_upper(12, 5, 1000), 4)
    (0.003, 0.0147)
    """
    spent = alpha * _NUISANCE_SHARE
    limit = tango_upper(n10, n01, n, alpha)
    p01 = _nuisance(n01, n, spent)
    counts = _counts(p01, n)
    largest = _largest_n10(counts, n, limit, normal_quantile(1 - alpha))
    weights = binomial_pmf(counts[None, :], n, p01[:, None])

    def probability(drop: float) -> float:
        """Of a result as good as the one seen, at the least favourable p01."""
        inside = p01 <= (1 - drop) / 2
        if not inside.any():
            return 0.0
        q = p01[inside, None]
        p = np.minimum((q + drop) / (1 - q), 1.0)
        chances = weights[inside]
        row, column = np.nonzero(chances > 1e-15)
        terms = binomial_cdf(largest[column], (n - counts)[column], p[row, 0])
        chances[chances <= 1e-15] = 0.0
        chances[row, column] *= terms
        return float(chances.sum(axis=1).max()) + 1e-12

    return _largest_drop(probability, alpha - spent, (n10 - n01) / n, limit)


def _largest_drop(
    probability: Callable[[float], float], alpha: float, estimate: float, guess: float
) -> float:
    """Where a falling probability crosses alpha, from above to 1/500 of the way.

    False position (the Illinois variant) on its logarithm, which is nearly straight.
    """
    width = guess - estimate

    def above(drop: float) -> float:
        return math.log(max(probability(drop), 1e-300) / alpha)

    low, high = guess, guess
    at_low = at_high = above(guess)
    step = width / 16
    while at_high > 0 and high < 1:
        low, at_low = high, at_high
        high = min(1.0, high + step)
        at_high, step = above(high), 2 * step
    while at_low <= 0 and low > estimate:
        high, at_high = low, at_low
        low = max(estimate, low - step)
        at_low, step = above(low), 2 * step
    while high - low > width / 500:
        middle = low + (high - low) * at_low / (at_low - at_high)
        middle = min(max(middle, low + width / 1000), high - width / 1000)
        here = above(middle)
        if here > 0:
            low, at_low, at_high = middle, here, at_high / 2
        else:
            high, at_high, at_low = middle, here, at_low / 2
    return high


def _nuisance(n01: int, n: int, spent: float) -> Floats:
    """Values of p01 to try: its two-sided exact interval, evenly in arcsin sqrt."""
    high = clopper_pearson_upper(n01, n, spent / 2)
    low = 1 - clopper_pearson_upper(n - n01, n, spent / 2) if n01 else 0.0
    angles = np.linspace(
        math.asin(math.sqrt(low)), math.asin(math.sqrt(high)), _N_NUISANCE
    )
    values: Floats = np.sin(angles) ** 2
    return values


def _counts(p01: Floats, n: int) -> Floats:
    """Values of n01 that matter: all but 1e-13 of the probability."""
    low, high = (n * float(p) for p in (p01[0], p01[-1]))
    first = max(0, math.floor(low - 8 * math.sqrt(low) - 10))
    last = min(n, math.ceil(high + 8 * math.sqrt(high) + 15))
    return np.arange(first, last + 1, dtype=np.float64)


def _largest_n10(n01: Floats, n: int, limit: float, z: float) -> Floats:
    """For each n01 the largest n10 whose score bound is at most `limit`; -1: none."""
    low = np.full_like(n01, -1.0)
    high = n - n01 + 1
    for _ in range(n.bit_length() + 1):
        middle = np.floor((low + high) / 2)
        is_in = _score(np.maximum(middle, 0.0), n01, n, limit) <= -z + 1e-9
        is_in &= middle >= 0
        is_open = high - low > 1
        low = np.where(is_open & (is_in | (middle < 0)), middle, low)
        high = np.where(is_open & ~(is_in | (middle < 0)), middle, high)
    return low


#: Name -> upper bound of the drop from (n10, n01, n, alpha).
BOUNDS: dict[str, Callable[[int, int, int, float], float]] = {
    "exact": exact_upper,
    "tango": tango_upper,
    "wald": wald_upper,
}


def drop_upper_bound(
    n10: int,
    n01: int,
    n: int,
    *,
    alpha: float = 0.05,
    method: str = "auto",
    can_improve: bool = True,
) -> float:
    """Upper confidence bound of the drop p10 - p01 of a paired comparison.

    Parameters
    ----------
    n10 : int
        Samples that only the old model gets right.
    n01 : int
        Samples that only the new model gets right.
    n : int
        All samples.
    alpha : float, default=0.05
        One-sided: the bound is below the true drop at most this often.
    method : {"auto", "exact", "tango", "wald"}, default="auto"
        "auto" is "exact" up to 200 discordant pairs, then "tango".
    can_improve : bool, default=True
        False: n01 is 0 by its nature (agreement with the old model), and the bound
        is Clopper and Pearson's of one proportion.

    Returns
    -------
    bound : float

    Raises
    ------
    InputError
        The counts do not fit.

    Examples
    --------
    >>> round(drop_upper_bound(0, 0, 600), 4)
    0.005
    >>> round(drop_upper_bound(3, 0, 1000, can_improve=False), 4)
    0.0077
    """
    if n < 1 or n10 < 0 or n01 < 0 or n10 + n01 > n:
        raise InputError(f"expected n10 + n01 <= n, got {n10} + {n01} and {n}")
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha: expected a number in (0, 0.5), got {alpha}")
    if not can_improve:
        return clopper_pearson_upper(n10, n, alpha)
    if method == "auto":
        method = "exact" if n10 + n01 <= _N_EXACT else "tango"
    if method not in BOUNDS:
        raise InputError(f"method: expected one of {list(BOUNDS)}, got {method!r}")
    return BOUNDS[method](n10, n01, n, alpha)


def power_table(
    n: int, *, alpha: float = 0.05, discordance: tuple[float, ...] = (0, 0.002, 0.01)
) -> list[tuple[float, float]]:
    """Give what n samples can prove: the bound where nothing has become worse.

    Parameters
    ----------
    n : int
    alpha : float, default=0.05
    discordance : tuple of float
        Shares of samples that are judged differently, half of them each way.

    Returns
    -------
    table : list of (float, float)
        Discordance, and the bound that it leads to.

    Examples
    --------
    >>> [(d, round(u, 4)) for d, u in power_table(500)]
    [(0, 0.006), (0.002, 0.0071), (0.01, 0.0097)]
    """
    table = []
    for share in discordance:
        half = math.ceil(share * n / 2)
        table.append((share, drop_upper_bound(half, half, n, alpha=alpha)))
    return table
