"""From the statistics of a tensor to the range that its integers cover.

Every rule takes `TensorStatistics` and gives (low, high); `quantization_parameters`
makes a scale and a zero point of them. `RANGES` names the rules with their defaults.
Statistics without values or with values beyond float32 are refused (`InputError`).

The entropy and the MSE rule see the histogram as a density that is constant within a
bin, and read it through prefix sums: one candidate costs as much as there are levels,
not as there are bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.optimize.statistics import TensorStatistics

__all__ = [
    "RANGES",
    "clipped_share",
    "entropy",
    "mean_squared_error",
    "minmax",
    "moving_average",
    "mse",
    "percentile",
    "quantization_parameters",
]

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]

#: Levels of an unsigned byte.
_LEVELS = 256
#: The smallest normal float32: kernels may treat smaller scales as 0, and 1 / scale is
#: finite.
_MIN_SCALE = float(np.finfo(np.float32).tiny)
_MAX = float(np.finfo(np.float32).max)


def quantization_parameters(low: float, high: float) -> tuple[np.float32, int]:
    """Scale and zero point of unsigned bytes that cover [low, high] and 0.

    x is stored as q = clip(round(x / scale) + zero_point, 0, 255), rounding halves to
    even, and read as scale (q - zero_point); 0 is exact, as padding and ReLU need.

    Parameters
    ----------
    low, high : float
        Of the values; the range is widened so that it holds 0. Values beyond
        float32's are taken as its largest.

    Returns
    -------
    scale : numpy.float32
        (high - low) / 255, a normal number; 1 where low and high are 0.
    zero_point : int
        round(-low / scale), 0 to 255.

    Raises
    ------
    InputError
        low or high is NaN or infinite, or low > high.

    Examples
    --------
    >>> quantization_parameters(-1.0, 4.1)
    (np.float32(0.02), 50)
    >>> quantization_parameters(2.0, 5.1)
    (np.float32(0.02), 0)
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise InputError(f"expected a range of finite numbers, got [{low}, {high}]")
    scale, zero_point = _parameters(np.array([low]), np.array([high]))
    return np.float32(scale[0]), int(zero_point[0])


def _parameters(low: _Floats, high: _Floats) -> tuple[_Floats, _Floats]:
    """Scales (doubles that are float32s) and zero points of many ranges."""
    low = np.clip(low, -_MAX, 0.0)
    high = np.clip(high, 0.0, _MAX)
    exact = np.maximum((high - low) / (_LEVELS - 1), _MIN_SCALE)
    scale = np.where(high == low, 1.0, exact.astype(np.float32).astype(np.float64))
    return scale, np.clip(np.rint(-low / scale), 0, _LEVELS - 1)


def _check(statistics: TensorStatistics) -> None:
    if statistics.n == 0:
        raise InputError(f"tensor {statistics.name!r}: no values, so no range")
    if max(-statistics.minimum, statistics.maximum) > _MAX:
        raise InputError(
            f"tensor {statistics.name!r}: values between {statistics.minimum:.6g} and "
            f"{statistics.maximum:.6g} are beyond float32, which scales are; leave it "
            "as it is"
        )


def minmax(statistics: TensorStatistics) -> tuple[float, float]:
    """Smallest and largest value: nothing is clipped.

    Parameters
    ----------
    statistics : TensorStatistics

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> statistics = TensorStatistics("x")
    >>> for batch in ([-1.0, 0.5, 3.0], [0.0, 1.0, 7.0]):
    ...     statistics.update(batch)
    >>> minmax(statistics)
    (-1.0, 7.0)
    """
    _check(statistics)
    return statistics.minimum, statistics.maximum


def moving_average(statistics: TensorStatistics) -> tuple[float, float]:
    """Mean over the batches of the smallest and of the largest value of each.

    Batches of one sample make it the mean of the samples' ranges. All batches weigh
    the same, so their order does not matter.

    Parameters
    ----------
    statistics : TensorStatistics

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> statistics = TensorStatistics("x")
    >>> for batch in ([-1.0, 0.5, 3.0], [0.0, 1.0, 7.0]):
    ...     statistics.update(batch)
    >>> moving_average(statistics)
    (-0.5, 5.0)
    """
    _check(statistics)
    return statistics.average_minimum, statistics.average_maximum


def percentile(
    statistics: TensorStatistics, *, percent: float = 99.99
) -> tuple[float, float]:
    """Range that holds `percent` of the values; each end loses half of the rest.

    Parameters
    ----------
    statistics : TensorStatistics
    percent : float, default=99.99
        More than 0, at most 100, which is `minmax`.

    Returns
    -------
    low, high : float
        Quantiles, interpolated within a bin of the histogram.

    Raises
    ------
    InputError
        `percent` is out of its range.

    Examples
    --------
    >>> statistics = TensorStatistics("x")
    >>> for batch in ([-1.0, 0.5, 3.0], [0.0, 1.0, 7.0]):
    ...     statistics.update(batch)
    >>> percentile(statistics, percent=100)
    (-1.0, 7.0)
    """
    _check(statistics)
    if not 0.0 < percent <= 100.0:
        raise InputError(f"percent: expected more than 0, at most 100, got {percent}")
    cut = (100.0 - percent) / 200.0 * statistics.n
    below, edges = _cumulated(statistics)
    low = _quantile(cut, below, edges)
    high = _quantile(statistics.n - cut, below, edges, from_above=True)
    return (
        min(max(low, statistics.minimum), statistics.maximum),
        max(min(high, statistics.maximum), statistics.minimum),
    )


def _quantile(
    count: float, below: _Floats, edges: _Floats, *, from_above: bool = False
) -> float:
    """Where `count` values lie below, the outermost such point."""
    at = int(np.searchsorted(below, count, side="left" if from_above else "right"))
    at = min(max(at, 1), below.size - 1)
    inside = below[at] - below[at - 1]
    share = (count - below[at - 1]) / inside if inside else 0.0
    return float(edges[at - 1] + share * (edges[at] - edges[at - 1]))


def _without_zeros(statistics: TensorStatistics) -> _Ints:
    """Counts of the bins, without the exact zeros: what the bin of 0 has more than its
    neighbours. Never all of a bin, so that the range keeps its bins.
    """
    counts = statistics.histogram
    at = round(-statistics.low_edge / statistics.width)
    if 0 <= at < counts.size:
        beside = counts[max(at - 1, 0) : at + 2].sum() - counts[at]
        n_beside = min(at, 1) + min(counts.size - 1 - at, 1)
        counts[at] = min(counts[at], max(round(beside / n_beside), 1))
    return counts


def clipped_share(statistics: TensorStatistics, low: float, high: float) -> float:
    """Share of the values that lie outside of a range.

    Parameters
    ----------
    statistics : TensorStatistics
    low, high : float

    Returns
    -------
    share : float
        0 to 1, interpolated within a bin of the histogram; exactly 0 for a range that
        holds all values.

    Examples
    --------
    >>> statistics = TensorStatistics("x")
    >>> statistics.update([0.0, 1.0, 2.0, 30.0])
    >>> clipped_share(statistics, 0.0, 8.0)
    0.25
    """
    _check(statistics)
    below, edges = _cumulated(statistics)
    share = 0.0
    if low > statistics.minimum:
        share += float(np.interp(low, edges, below))
    if high < statistics.maximum:
        share += statistics.n - float(np.interp(high, edges, below))
    return min(share / statistics.n, 1.0)


def _cumulated(statistics: TensorStatistics) -> tuple[_Floats, _Floats]:
    """Number of values below each edge of the bins, and the edges."""
    counts = statistics.histogram
    below = np.concatenate(([0.0], np.cumsum(counts, dtype=np.float64)))
    edges = np.arange(counts.size + 1, dtype=np.float64) * statistics.width
    return below, edges + statistics.low_edge


# ---- entropy --------------------------------------------------------------------


def entropy(
    statistics: TensorStatistics, *, symmetric: bool = False
) -> tuple[float, float]:
    r"""Range whose levels lose the least information (Kullback-Leibler divergence).

    For a range of bins a..b, P is the histogram within it, with what lies outside added
    to its first and last bin; Q merges the bins within into the levels and spreads each
    level's count evenly over those of its bins that P fills. The divergence

    .. math:: D = \sum_i \frac{P_i}{n} \log \frac{P_i / n}{Q_i / m}

    with m the sum of Q is the least for the range that is returned. Exact zeros, which
    a ReLU makes many of, are left out: every range holds them.

    Parameters
    ----------
    statistics : TensorStatistics
    symmetric : bool, default=False
        False: both ends are searched, for 256 levels. True: the reference's own form,
        (-T, T) from the histogram of |x| for 128 levels.

    Returns
    -------
    low, high : float
        Within [minimum, maximum]. The whole range where it has no more bins than there
        are levels.

    References
    ----------
    S. Migacz, "8-bit Inference with TensorRT", GPU Technology Conference 2017.

    Examples
    --------
    >>> statistics = TensorStatistics("x")
    >>> for batch in ([-1.0, 0.5, 3.0], [0.0, 1.0, 7.0]):
    ...     statistics.update(batch)
    >>> entropy(statistics)  # fewer values than levels
    (-1.0, 7.0)
    """
    _check(statistics)
    if symmetric:
        return _entropy_symmetric(statistics)
    counts = _without_zeros(statistics)
    counts = counts[: int(np.flatnonzero(counts)[-1]) + 1]
    n_bins = counts.size
    if n_bins <= _LEVELS:
        return minmax(statistics)
    last = n_bins - _LEVELS  # at least as many bins as levels
    zero = min(max(-statistics.low_edge / statistics.width, 0.0), n_bins)  # bin of 0
    first, end = np.zeros(1, np.int64), np.full(1, n_bins)
    starts = np.unique(np.linspace(0, min(last, zero), 17).astype(np.int64))
    ends = np.unique(np.linspace(max(zero, _LEVELS), n_bins, 33).astype(np.int64))
    for _ in range(3):  # a coarse grid of both ends, then finer ones around the best
        pairs = np.stack(np.meshgrid(starts, ends, indexing="ij")).reshape(2, -1)
        pairs = pairs[:, pairs[1] - pairs[0] >= _LEVELS]
        divergence = _divergence(counts, pairs[0], pairs[1], _LEVELS)
        best = int(np.argmin(divergence))
        first, end = pairs[0, best : best + 1], pairs[1, best : best + 1]
        starts = _around(first[0], starts, 0, last)
        ends = _around(end[0], ends, _LEVELS, n_bins)
    low = statistics.low_edge + float(first[0]) * statistics.width
    high = statistics.low_edge + float(end[0]) * statistics.width
    return max(low, statistics.minimum), min(high, statistics.maximum)


def _around(best: np.int64, tried: _Ints, low: int, high: int) -> _Ints:
    """Nine points between the neighbours of the best of those that were tried."""
    step = int(np.diff(tried).max()) if tried.size > 1 else 0
    points = np.linspace(best - step, best + step, 9).astype(np.int64)
    return np.unique(np.clip(np.append(points, best), low, high))


def _entropy_symmetric(statistics: TensorStatistics) -> tuple[float, float]:
    counts = _without_zeros(statistics)
    first = round(statistics.low_edge / statistics.width)
    cells = np.arange(counts.size) + first
    # bin [-(k + 1) w, -k w) holds magnitudes of bin k
    magnitudes = np.where(cells < 0, -1 - cells, cells)[counts > 0]
    folded = np.zeros(int(magnitudes.max()) + 1, np.int64)
    np.add.at(folded, magnitudes, counts[counts > 0])
    largest = max(-statistics.minimum, statistics.maximum)
    levels = _LEVELS // 2
    if folded.size <= levels:
        return -largest, largest
    ends = np.arange(levels, folded.size + 1)
    divergence = np.concatenate(
        [
            _divergence(folded, np.zeros_like(part), part, levels)
            for part in np.array_split(ends, 1 + ends.size // 256)
        ]
    )
    threshold = float(ends[np.argmin(divergence)]) * statistics.width
    return -min(threshold, largest), min(threshold, largest)


def _divergence(counts: _Ints, first: _Ints, end: _Ints, levels: int) -> _Floats:
    """D of each range of bins from `first` to before `end`; see `entropy`.

    With C_j values and Z_j filled bins in level j, of which P has P_j values,
    n D = sum P_i log P_i - sum P_j log(C_j / Z_j) - n log(n / m).
    """
    x = counts.astype(np.float64)
    n = x.sum()
    values = np.concatenate(([0.0], np.cumsum(x)))
    filled = np.concatenate(([0], np.cumsum(counts > 0)))
    terms = np.concatenate(([0.0], np.cumsum(_x_log_x(x))))
    steps = np.arange(levels + 1)
    edges = first[:, None] + (end - first)[:, None] * steps // levels
    in_level = np.diff(values[edges])
    n_filled = np.diff(filled[edges]).astype(np.float64)
    of_p = in_level.copy()
    n_p_log_p = terms[end] - terms[first]
    for at, bins, outside in (
        (0, first, values[first]),
        (-1, end - 1, n - values[end]),
    ):
        n_p_log_p += _x_log_x(x[bins] + outside) - _x_log_x(x[bins])
        of_p[:, at] += outside
        n_filled[:, at] += (outside > 0) & (counts[bins] == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(in_level > 0, in_level / n_filled, 0.0)
        cross = np.where(of_p > 0, of_p * np.log(share), 0.0).sum(axis=1)
        inside = values[end] - values[first]
        divergence: _Floats = (n_p_log_p - cross) / n - np.log(n / inside)
    return np.where(np.isnan(divergence), np.inf, divergence)


def _x_log_x(x: _Floats) -> _Floats:
    result: _Floats = x * np.log(np.where(x > 0, x, 1.0))
    return result


# ---- mean squared error -----------------------------------------------------------


def mse(statistics: TensorStatistics) -> tuple[float, float]:
    """Range with the least mean squared error, of rounding and clipping together.

    Both ends together and each alone are moved by turns, from the whole range down to
    a thirtieth of it, then in smaller and smaller steps around the best. The error of
    a candidate is
    `mean_squared_error`.

    Parameters
    ----------
    statistics : TensorStatistics

    Returns
    -------
    low, high : float
        Within [minimum, maximum], which is also the answer where nothing is better.

    References
    ----------
    Y. Choukroun et al., "Low-bit Quantization of Neural Networks for Efficient
    Inference", ICCV Workshops 2019.

    Examples
    --------
    >>> statistics = TensorStatistics("x")
    >>> for batch in ([-1.0, 0.5, 3.0], [0.0, 1.0, 7.0]):
    ...     statistics.update(batch)
    >>> mse(statistics)
    (-1.0, 7.0)
    """
    _check(statistics)
    low, high = min(statistics.minimum, 0.0), max(statistics.maximum, 0.0)
    if low == high:
        return statistics.minimum, statistics.maximum
    density = _Density(statistics)
    best = np.ones(2)  # shares of the low and of the high end
    shares = np.geomspace(1.0, 1.0 / 30.0, 13)
    for _ in range(4):
        for ends in _moves(low, high):
            pairs = np.minimum(best * shares[:, None] ** ends, 1.0)
            error = density.errors(low * pairs[:, 0], high * pairs[:, 1])
            best = pairs[np.argmin(error)]
        ratio = math.sqrt(float(shares[0] / shares[1]))
        shares = ratio ** np.arange(2.0, -3.0, -1.0)
    share_low, share_high = map(float, best)
    found_low, found_high = statistics.minimum, statistics.maximum
    if share_low < 1.0:
        found_low = min(max(found_low, low * share_low), statistics.maximum)
    if share_high < 1.0:
        found_high = max(min(found_high, high * share_high), statistics.minimum)
    return found_low, found_high


def _moves(low: float, high: float) -> list[_Floats]:
    """Which ends of the range move: both, the high one, the low one."""
    if low == 0.0 or high == 0.0:
        return [np.array([float(low < 0.0), float(high > 0.0)])]
    return [np.array(ends) for ends in ((1.0, 1.0), (0.0, 1.0), (1.0, 0.0))]


def mean_squared_error(statistics: TensorStatistics, low: float, high: float) -> float:
    """Mean squared error of the values stored as unsigned bytes of a range.

    Parameters
    ----------
    statistics : TensorStatistics
    low, high : float
        The range, as for `quantization_parameters`.

    Returns
    -------
    error : float
        As if the values of a bin were spread over it evenly, but for exact zeros, which
        have no error.

    Examples
    --------
    >>> statistics = TensorStatistics("x")
    >>> for batch in ([-1.0, 0.5, 3.0], [0.0, 1.0, 7.0]):
    ...     statistics.update(batch)
    >>> mean_squared_error(statistics, -1.0, 7.0) < 0.0002
    True
    """
    _check(statistics)
    error = _Density(statistics).errors(np.array([low]), np.array([high]))
    return float(error[0])


class _Density:
    r"""A histogram as a density whose rounding errors cost one lookup a level.

    Lengths are in units of a bin, counted from 0 (not from the first bin), so that
    neither tiny nor huge values leave the range of doubles.

    With levels L_j, s apart, and b_j half way between L_j and the next, values between
    b_(j-1) and b_j become L_j. Summed by parts, their mean squared error is

    .. math:: E[x^2] + L^2 - 2 L E[x] - 2 s \sum_j G(b_j)

    (times the mass) with L the last level and G(b) the integral of (b - x) over the
    density below b.
    """

    def __init__(self, statistics: TensorStatistics) -> None:
        mass = _without_zeros(statistics) / statistics.n
        self._width = statistics.width
        self._first = statistics.low_edge / statistics.width
        left = np.arange(mass.size) + self._first
        below = np.concatenate(([0.0], np.cumsum(mass)))
        self._whole = float(below[-1])
        self._first_moment = float((mass * (left + 0.5)).sum())
        self._second_moment = float((mass * (left * (left + 1.0) + 1.0 / 3.0)).sum())
        # G at the left edge of each bin, its slope there, half of its curvature
        steps = np.concatenate(([0.0], np.cumsum(below[:-1] + 0.5 * mass)))
        self._table = (steps, below, 0.5 * np.append(mass, 0.0))

    def errors(self, low: _Floats, high: _Floats) -> _Floats:
        """Mean squared error for each range."""
        scale, zero_point = _parameters(low, high)
        step = scale / self._width
        first = (0.5 - zero_point) * step - self._first
        x = np.arange(_LEVELS - 1) * step[:, None] + first[:, None]
        np.maximum(x, 0.0, out=x)
        bins = np.minimum(x, self._table[0].size - 1.0).astype(np.intp)
        x -= bins
        values, slopes, curvatures = (column.take(bins) for column in self._table)
        sums = (values + x * (slopes + x * curvatures)).sum(axis=1)
        last = (_LEVELS - 1 - zero_point) * step
        error = self._second_moment - 2.0 * step * sums
        error += last * (last * self._whole - 2.0 * self._first_moment)
        result: _Floats = np.maximum(error, 0.0) * self._width**2
        return result


RANGES: dict[str, Callable[[TensorStatistics], tuple[float, float]]] = {
    "minmax": minmax,
    "moving_average": moving_average,
    "percentile": percentile,
    "entropy": entropy,
    "mse": mse,
}
"""Rules by name, each with its defaults."""
