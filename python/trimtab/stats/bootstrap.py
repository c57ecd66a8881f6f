"""The bootstrap of any statistic: plain, stratified, of clusters, and paired.

A statistic here takes weights, how often each of n samples was drawn, of shape
(m, n) for m resamples at once, and gives m numbers; `from_indices` makes one of a
function of indices. Enters: such statistics. Leaves: intervals, and a paired test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.stats.intervals import check_alpha
from trimtab.stats.resampling import acceleration_of, bca_quantile
from trimtab.stats.result import TestResult
from trimtab.stats.special import Floats

__all__ = [
    "bootstrap_interval",
    "bootstrap_weights",
    "counts_error",
    "counts_interval",
    "from_indices",
    "paired_bootstrap",
    "percentile_interval",
]

Statistic = Callable[[Floats], npt.ArrayLike]
Indices = npt.NDArray[np.intp]

# Weights made at once: 32 MB of float64.
_N_AT_ONCE = 1 << 22
# Groups that the jackknife leaves out one after the other.
_N_GROUPS = 200
# Cells up to which the influence of each is computed.
_MAX_CELLS = 2000


def from_indices(statistic: Callable[[Indices], float]) -> Statistic:
    """Make a statistic of weights from one of indices, which repeat.

    Parameters
    ----------
    statistic : callable
        Indices of the chosen samples -> number.

    Returns
    -------
    statistic : callable
        Weights (m, n) -> m numbers.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 6.0])
    >>> median = from_indices(lambda chosen: float(np.median(x[chosen])))
    >>> median(np.array([[1, 1, 1], [0, 0, 3]])).tolist()
    [2.0, 6.0]
    """

    def weighted(weights: Floats) -> Floats:
        counts = np.asarray(weights).astype(np.intp)
        all_of_them = np.arange(counts.shape[-1])
        return np.array([statistic(np.repeat(all_of_them, row)) for row in counts])

    return weighted


def _units(n: int, labels: npt.ArrayLike | None, what: str) -> Indices:
    """Number of each sample's group; every sample is one where there are no labels."""
    if labels is None:
        return np.arange(n)
    given = np.asarray(labels)
    if given.shape != (n,):
        raise InputError(f"{what}: expected shape ({n},), got {given.shape}")
    return np.unique(given, return_inverse=True)[1]


def _strata(
    n: int, strata: npt.ArrayLike | None, clusters: npt.ArrayLike | None
) -> tuple[Indices, list[Indices]]:
    """Unit of each sample, and the units of each stratum."""
    if n < 1:
        raise InputError(f"n: expected at least one sample, got {n}")
    unit = _units(n, clusters, "clusters")
    n_units = int(unit.max()) + 1
    if strata is None:
        return unit, [np.arange(n_units)]
    stratum = _units(n, strata, "strata")
    of_unit = np.empty(n_units, np.intp)
    of_unit[unit] = stratum
    if (of_unit[unit] != stratum).any():
        raise InputError("strata: expected each cluster to lie in one stratum")
    return unit, [np.flatnonzero(of_unit == s) for s in range(int(stratum.max()) + 1)]


def bootstrap_weights(
    n: int,
    n_resamples: int,
    *,
    strata: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    seed: int = 0,
) -> Iterator[Floats]:
    """Draw resamples: how often each sample is in each.

    Parameters
    ----------
    n : int
        Samples.
    n_resamples : int
    strata : array-like of shape (n,), optional
        Labels: as many are drawn of each stratum as it has.
    clusters : array-like of shape (n,), optional
        Labels of samples that belong together (of one speaker, say): whole clusters
        are drawn.
    seed : int, default=0

    Returns
    -------
    weights : iterator of ndarray of shape (m, n)
        Some of the resamples at a time; all together they are `n_resamples`.

    Examples
    --------
    >>> weights, = bootstrap_weights(4, 3, strata=[0, 0, 1, 1])
    >>> weights[:, :2].sum(axis=1).tolist()
    [2.0, 2.0, 2.0]
    """
    unit, groups = _strata(n, strata, clusters)
    rng = np.random.default_rng(seed)
    n_units = sum(map(len, groups))
    step = max(1, _N_AT_ONCE // n)
    for begin in range(0, n_resamples, step):
        m = min(step, n_resamples - begin)
        counts = np.empty((m, n_units))
        for group in groups:
            size = len(group)
            drawn = rng.integers(0, size, (m, size))
            drawn += np.arange(m)[:, None] * size
            hits = np.bincount(drawn.ravel(), minlength=m * size)
            counts[:, group] = hits.reshape(m, size)
        yield counts if clusters is None else counts[:, unit]


def _values(statistic: Statistic, weights: Floats) -> Floats:
    found = np.asarray(statistic(weights), np.float64)
    if found.shape != (len(weights),):
        raise InputError(
            f"statistic: expected {len(weights)} numbers for weights of shape "
            f"{weights.shape}, got shape {found.shape}"
        )
    return found


def _acceleration(
    statistic: Statistic,
    n: int,
    strata: npt.ArrayLike | None,
    clusters: npt.ArrayLike | None,
    seed: int,
) -> float:
    """From a jackknife that leaves out one of 200 groups of units at a time."""
    unit, groups = _strata(n, strata, clusters)
    order = np.random.default_rng(seed).permutation(sum(map(len, groups)))
    parts = np.array_split(order, min(len(order), _N_GROUPS))
    part_of = np.empty(len(order), np.intp)
    for i, part in enumerate(parts):
        part_of[part] = i
    mine, step = part_of[unit], max(1, _N_AT_ONCE // n)
    left = []
    for begin in range(0, len(parts), step):
        some = np.arange(begin, min(begin + step, len(parts)))
        left.append(_values(statistic, (mine != some[:, None]).astype(np.float64)))
    found = np.concatenate(left)
    found = found[np.isfinite(found)]
    return acceleration_of(found.mean() - found) if len(found) else 0.0


def percentile_interval(
    found: Floats, estimate: float, *, alpha: float = 0.05, method: str = "percentile"
) -> tuple[float, float]:
    """Interval from the statistic of resamples.

    Parameters
    ----------
    found : ndarray
        NaN where the statistic of a resample is not defined.
    estimate : float
        That of the sample.
    alpha : float, default=0.05
    method : {"percentile", "basic"}, default="percentile"
        "basic" mirrors the percentiles at the estimate, which takes off its bias.

    Returns
    -------
    low, high : float
        NaN where half of the resamples have no statistic.

    Examples
    --------
    >>> percentile_interval(np.arange(101.0), 50.0, alpha=0.1)
    (5.0, 95.0)
    """
    good = found[np.isfinite(found)]
    if 2 * len(good) < len(found) or not math.isfinite(estimate) or not len(good):
        return math.nan, math.nan
    low, high = (float(np.quantile(good, q)) for q in (alpha / 2, 1 - alpha / 2))
    return (
        (low, high)
        if method == "percentile"
        else (
            2 * estimate - high,
            2 * estimate - low,
        )
    )


def bootstrap_interval(
    statistic: Statistic,
    n: int,
    *,
    alpha: float = 0.05,
    method: str = "bca",
    n_resamples: int = 1000,
    strata: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Estimate with its bootstrap interval.

    Parameters
    ----------
    statistic : callable
        Weights (m, n) -> m numbers; NaN where weights do not define it.
    n : int
        Samples.
    alpha : float, default=0.05
    method : {"bca", "percentile", "basic"}, default="bca"
    n_resamples : int, default=1000
    strata, clusters : array-like of shape (n,), optional
        As in `bootstrap_weights`.
    seed : int, default=0

    Returns
    -------
    estimate, low, high : float
        NaN ends where half of the resamples have no statistic.

    Raises
    ------
    InputError
        An argument does not fit.

    References
    ----------
    Efron (1987). Better bootstrap confidence intervals. Journal of the American
    Statistical Association 82, 171-185.

    Davison, Hinkley (1997). Bootstrap methods and their application. Cambridge.

    Examples
    --------
    >>> x = np.arange(100.0)
    >>> mean = lambda weights: weights @ x / weights.sum(axis=1)
    >>> [round(value, 1) for value in bootstrap_interval(mean, 100)]
    [49.5, 43.7, 54.7]
    """
    check_alpha(alpha)
    if method not in ("bca", "percentile", "basic") or n_resamples < 1:
        raise InputError(
            'method: expected "bca", "percentile" or "basic" and a resample or more, '
            f"got {method!r} and {n_resamples}"
        )
    drawn = bootstrap_weights(
        n, n_resamples, strata=strata, clusters=clusters, seed=seed
    )
    found = np.concatenate([_values(statistic, weights) for weights in drawn])
    estimate = float(_values(statistic, np.ones((1, n)))[0])
    low, high = percentile_interval(
        found,
        estimate,
        alpha=alpha,
        method="basic" if method == "basic" else "percentile",
    )
    if method == "bca" and math.isfinite(low):
        good = found[np.isfinite(found)]
        a = _acceleration(statistic, n, strata, clusters, seed)
        low = -bca_quantile(-good, -estimate, -a, alpha / 2)
        high = bca_quantile(good, estimate, a, alpha / 2)
    return estimate, low, high


def counts_interval(
    statistic: Statistic,
    counts: Floats,
    *,
    alpha: float = 0.05,
    n_resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of a statistic of counts: samples fall into cells, and which is all.

    The BCa bootstrap of the samples, at the cost of the cells.

    Parameters
    ----------
    statistic : callable
        Counts (m, c) -> m numbers.
    counts : ndarray of shape (c,)
        Of samples in each cell; effective ones where they are weighted.
    alpha : float, default=0.05
    n_resamples : int, default=1000
    seed : int, default=0

    Returns
    -------
    low, high : float
        NaN where half of the resamples have no statistic.

    Examples
    --------
    >>> share = lambda counts: counts[:, 0] / counts.sum(axis=1)
    >>> [round(end, 2) for end in counts_interval(share, np.array([30.0, 70.0]))]
    [0.2, 0.39]
    """
    found = _drawn(statistic, counts, n_resamples, seed)
    estimate = float(_values(statistic, counts[None, :])[0])
    low, high = percentile_interval(found, estimate, alpha=alpha)
    is_whole = counts >= 1
    if not math.isfinite(low) or int(is_whole.sum()) > _MAX_CELLS:
        return low, high
    left = np.repeat(counts[None, :], int(is_whole.sum()), axis=0)
    left[np.arange(len(left)), np.flatnonzero(is_whole)] -= 1
    jackknife, weights = _in_parts(statistic, left), counts[is_whole]
    is_good = np.isfinite(jackknife)
    a = 0.0
    if is_good.any():
        jackknife, weights = jackknife[is_good], weights[is_good]
        a = acceleration_of(np.average(jackknife, weights=weights) - jackknife, weights)
    good = found[np.isfinite(found)]
    low = -bca_quantile(-good, -estimate, -a, alpha / 2)
    return low, bca_quantile(good, estimate, a, alpha / 2)


def counts_error(
    statistic: Statistic, counts: Floats, *, n_resamples: int = 1000, seed: int = 0
) -> float:
    """Standard error of the logit of a share that is a statistic of counts, as a share.

    Parameters
    ----------
    statistic : callable
        Counts (m, c) -> m numbers in [0, 1].
    counts : ndarray of shape (c,)
    n_resamples : int, default=1000
    seed : int, default=0

    Returns
    -------
    error : float
        That of the logit times p (1 - p): what `logit_interval` takes.

    Examples
    --------
    >>> share = lambda counts: counts[:, 0] / counts.sum(axis=1)
    >>> round(counts_error(share, np.array([30.0, 70.0])), 3)
    0.046
    """
    found = _drawn(statistic, counts, n_resamples, seed)
    p = float(_values(statistic, counts[None, :])[0])
    found = np.clip(found[np.isfinite(found)], 1e-9, 1 - 1e-9)
    if 2 * len(found) < n_resamples or len(found) < 2:
        return math.nan
    return float(np.std(np.log(found / (1 - found)), ddof=1)) * p * (1 - p)


def _drawn(statistic: Statistic, counts: Floats, n: int, seed: int) -> Floats:
    """The statistic of resamples of the counts."""
    total, rng = float(counts.sum()), np.random.default_rng(seed)
    drawn = rng.multinomial(max(round(total), 1), counts / total, size=n)
    return _in_parts(statistic, drawn.astype(np.float64))


def _in_parts(statistic: Statistic, counts: Floats) -> Floats:
    """The statistic of many counts, some at a time."""
    step = max(1, _N_AT_ONCE // (4 * counts.shape[1]))
    parts = range(0, len(counts), step)
    return np.concatenate([_values(statistic, counts[i : i + step]) for i in parts])


def paired_bootstrap(
    first: Statistic,
    second: Statistic,
    n: int,
    *,
    alpha: float = 0.05,
    method: str = "bca",
    n_resamples: int = 2000,
    strata: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    seed: int = 0,
) -> TestResult:
    """Compare two models by a statistic of the same resamples.

    Parameters
    ----------
    first, second : callable
        The statistic of either model: weights (m, n) -> m numbers.
    n : int
        Samples, which both models have answered.
    alpha : float, default=0.05
    method : {"bca", "percentile", "basic"}, default="bca"
        Of the interval.
    n_resamples : int, default=2000
    strata, clusters : array-like of shape (n,), optional
        As in `bootstrap_weights`.
    seed : int, default=0

    Returns
    -------
    result : TestResult
        The difference is second less first. The p-value is twice the smaller share of
        resamples on either side of 0 and at least 2 / (n_resamples + 1).

    References
    ----------
    Efron, Tibshirani (1993). An introduction to the bootstrap. Chapman and Hall.

    Examples
    --------
    >>> x = np.arange(100.0)
    >>> mean = lambda weights: weights @ x / weights.sum(axis=1)
    >>> more = lambda weights: weights @ (x + x % 3) / weights.sum(axis=1)
    >>> result = paired_bootstrap(mean, more, 100)
    >>> round(result.difference, 2), result.p_value < 0.01
    (0.99, True)
    """
    kept: list[Floats] = []

    def difference(weights: Floats) -> Floats:
        return _values(second, weights) - _values(first, weights)

    def recorded(weights: Floats) -> Floats:
        kept.append(difference(weights))
        return kept[-1]

    estimate, low, high = bootstrap_interval(
        recorded,
        n,
        alpha=alpha,
        method=method,
        n_resamples=n_resamples,
        strata=strata,
        clusters=clusters,
        seed=seed,
    )
    found = np.concatenate(kept)[:n_resamples]
    found = found[np.isfinite(found)]
    p_value = math.nan
    if math.isfinite(estimate) and len(found):
        tail = min(int((found <= 0).sum()), int((found >= 0).sum()))
        p_value = min(1.0, 2 * (tail + 1) / (len(found) + 1))
    return TestResult(
        estimate, low, high, p_value, estimate, f"paired bootstrap {method}"
    )
