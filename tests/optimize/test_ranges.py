"""Rules for ranges, against NumPy, brute force, SciPy's entropy and onnxruntime."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnxruntime.quantization.calibrate import HistogramCollector

from trimtab.errors import InputError
from trimtab.optimize.ranges import (
    RANGES,
    clipped_share,
    entropy,
    mean_squared_error,
    minmax,
    moving_average,
    mse,
    percentile,
    quantization_parameters,
)
from trimtab.optimize.statistics import TensorStatistics

RNG = np.random.default_rng(8)
N = 60_000
LARGEST = float(np.finfo(np.float32).max)
SAMPLES: dict[str, np.ndarray] = {
    "normal": RNG.standard_normal(N),
    "relu": np.maximum(RNG.standard_normal(N), 0),
    "relu6": np.clip(RNG.normal(1, 3, N), 0, 6),
    "laplace": RNG.laplace(size=N),
    "heavy tails": RNG.standard_t(3, size=N),
    "uniform": RNG.uniform(-1, 3, N),
    "far from zero": RNG.normal(5, 0.2, N),
    "two humps": np.concatenate([RNG.normal(0, 0.1, N), RNG.normal(8, 0.1, 50)]),
    "negative": -np.abs(RNG.standard_normal(N)),
    "lopsided": RNG.gamma(2.0, 1.0, N) - 0.5,
    "gelu": (lambda x: x * 0.5 * (1 + np.tanh(0.8 * x)))(RNG.normal(0, 3, N)),
}


def statistics(*batches: Any) -> TensorStatistics:
    made = TensorStatistics("x")
    for batch in batches:
        made.update(np.asarray(batch, np.float32))
    return made


def quantized(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """What ONNX's QuantizeLinear and DequantizeLinear make of x."""
    scale, zero_point = quantization_parameters(low, high)
    x = x.astype(np.float32).astype(np.float64)
    q = np.clip(np.rint(x / float(scale)) + zero_point, 0, 255)
    return (q - zero_point) * float(scale)


def true_error(x: np.ndarray, low: float, high: float) -> float:
    return float(np.mean((quantized(x, low, high) - x.astype(np.float32)) ** 2))


# ---- parameters -------------------------------------------------------------------

FLOATS32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=300, deadline=None)
@given(FLOATS32, FLOATS32)
def test_zero_is_exact_and_the_ends_are_reached(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    scale, zero_point = quantization_parameters(low, high)
    assert isinstance(scale, np.float32)
    assert isinstance(zero_point, int)
    assert 0 <= zero_point <= 255
    assert np.isfinite(scale)
    assert scale >= np.finfo(np.float32).tiny  # not denormal
    assert np.isfinite(np.float32(1) / scale)
    step = float(scale)
    room = step * (0.5 + 255 * 2.0**-23)  # of rounding 0, and the scale to float32
    assert (0 - zero_point) * step <= min(low, 0) + room
    assert (255 - zero_point) * step >= max(high, 0) - room


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero_point"),
    [
        (0.0, 0.0, 1.0, 0),
        (0.0, 255.0, 1.0, 0),
        (-255.0, 0.0, 1.0, 255),
        (-127.5, 127.5, 1.0, 128),  # 127.5 to the even neighbour
        (-126.5, 128.5, 1.0, 126),  # so does 126.5
        (3.0, 510.0, 2.0, 0),
        (-510.0, -3.0, 2.0, 255),
        (0.0, 1e-45, np.finfo(np.float32).tiny, 0),
        (-1e300, 1e300, np.finfo(np.float32).max / 127.5, 128),
        (-3.4e38, 3.4e38, 6.8e38 / 255, 128),
    ],
)
def test_parameters_of_known_ranges(low, high, scale, zero_point) -> None:
    found = quantization_parameters(low, high)
    assert found[0] == np.float32(scale)
    assert found[1] == zero_point


@pytest.mark.parametrize(
    ("low", "high"),
    [(math.nan, 1), (0, math.nan), (-math.inf, 0), (0, math.inf), (2, 1)],
)
def test_no_range_is_refused(low: float, high: float) -> None:
    with pytest.raises(InputError, match="range of finite numbers"):
        quantization_parameters(low, high)


# ---- rules ------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RANGES)
@pytest.mark.parametrize("name", SAMPLES)
def test_every_rule_gives_a_range_within_the_values(rule: str, name: str) -> None:
    made = statistics(SAMPLES[name])
    low, high = RANGES[rule](made)
    assert made.minimum <= low <= high <= made.maximum
    assert isinstance(low, float)
    assert isinstance(high, float)


@pytest.mark.parametrize("rule", RANGES)
@pytest.mark.parametrize(
    "values",
    [
        [0.0],
        [3.0],
        [-2.5] * 40,
        [0.0, 1e-45, -1e-45],
        [-1e-45],
        [3.4e38, -3.4e38],
        [0.0] * 100 + [1.0],
        [-1.0, 1.0],
        [5.0, 5.0 + 2**-20],
        np.linspace(1, 2, 3000),
        np.linspace(-2, -1, 3000),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("error")
def test_special_values_give_ranges_that_can_be_used(rule: str, values: Any) -> None:
    made = statistics(values)
    low, high = RANGES[rule](made)
    assert made.minimum <= low <= high <= made.maximum
    scale, _ = quantization_parameters(low, high)
    assert np.isfinite(scale)
    assert scale > 0


@pytest.mark.parametrize("rule", RANGES)
@pytest.mark.filterwarnings("error")
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-LARGEST, LARGEST), min_size=1, max_size=20),
    st.integers(0, 3000),
)
@example([5e-324], 0)  # a share of it is 0, which is less than the least value
def test_any_doubles_give_ranges_that_can_be_used(
    rule: str, values: list[float], n_more: int
) -> None:
    made = TensorStatistics("x")
    made.update(np.array(values))
    made.update(np.linspace(0.0, values[0], n_more))
    low, high = RANGES[rule](made)
    assert made.minimum <= low <= high <= made.maximum
    assert np.isfinite(quantization_parameters(low, high)[0])
    assert 0.0 <= clipped_share(made, low, high) <= 1.0


@pytest.mark.parametrize("rule", RANGES)
def test_without_values_there_is_no_range(rule: str) -> None:
    with pytest.raises(InputError, match="'x': no values"):
        RANGES[rule](TensorStatistics("x"))
    with pytest.raises(InputError, match="'x': no values"):
        RANGES[rule](statistics([math.nan]))


@pytest.mark.parametrize("rule", RANGES)
def test_values_beyond_float32_are_refused(rule: str) -> None:
    for value in (1e39, -1e308):
        made = TensorStatistics("x")
        made.update(np.array([0.0, value]))
        with pytest.raises(InputError, match=r"'x': values .* beyond float32"):
            RANGES[rule](made)


def test_minmax_and_moving_average_are_what_they_say() -> None:
    batches = [RNG.standard_normal(100 * (i + 1)) for i in range(4)]
    made = statistics(*batches)
    x = np.concatenate(batches).astype(np.float32)
    assert minmax(made) == (x.min(), x.max())
    low, high = moving_average(made)
    assert low == pytest.approx(np.mean([b.min() for b in batches]))
    assert high == pytest.approx(np.mean([b.max() for b in batches]))


# ---- percentile -------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("percent", [99.0, 99.9, 99.99, 100.0])
def test_percentiles_are_numpys_within_a_bin(name: str, percent: float) -> None:
    made = statistics(SAMPLES[name])
    x = SAMPLES[name].astype(np.float32)
    cut = (100 - percent) / 2
    low, high = percentile(made, percent=percent)
    # "nearest" values on both sides: between two, every point is a quantile
    for found, at in ((low, cut), (high, 100 - cut)):
        below = np.percentile(x, at, method="lower")
        above = np.percentile(x, at, method="higher")
        assert below - made.width <= found <= above + made.width


@pytest.mark.parametrize("name", ["normal", "lopsided", "heavy tails", "uniform"])
def test_percentiles_are_onnxruntimes_within_a_bin(name: str) -> None:
    x = SAMPLES[name].astype(np.float32)
    collector = HistogramCollector(
        method="percentile",
        symmetric=False,
        num_bins=2048,
        num_quantized_bins=2048,
        percentile=99.9,
        scenario="same",
    )
    collector.collect({"x": [x]})
    theirs = collector.compute_collection_result()["x"]
    made = statistics(x)
    ours = percentile(made, percent=99.9)
    width = (x.max() - x.min()) / 2048 + made.width
    for mine, other in zip(ours, map(float, theirs[:2]), strict=True):
        # in a gap between values every point is the quantile
        between = np.count_nonzero((x > min(mine, other)) & (x < max(mine, other)))
        assert between <= 1 + np.count_nonzero(np.abs(x - mine) <= width)


@pytest.mark.parametrize("percent", [0.0, -1.0, 100.1, math.nan])
def test_percent_is_a_share(percent: float) -> None:
    with pytest.raises(InputError, match="percent"):
        percentile(statistics([1.0]), percent=percent)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_clipped_share_is_the_share_of_values_outside(name: str) -> None:
    x = SAMPLES[name].astype(np.float32)
    made = statistics(x)
    assert clipped_share(made, made.minimum, made.maximum) == 0.0
    for percent in (99.9, 90.0, 50.0):
        low, high = percentile(made, percent=percent)
        # values within a bin of an end may fall on its other side
        near = np.count_nonzero(np.abs(x - low) <= made.width)
        near += np.count_nonzero(np.abs(x - high) <= made.width)
        outside = np.mean((x < low) | (x > high))
        assert abs(clipped_share(made, low, high) - outside) <= near / x.size
    assert clipped_share(made, made.maximum + 1, made.maximum + 2) == 1.0


# ---- entropy ----------------------------------------------------------------------


def divergence(counts: np.ndarray, first: int, end: int, levels: int) -> float:
    """Kullback-Leibler divergence of a range, bin by bin as Migacz describes it."""
    p = counts[first:end].astype(np.float64)
    p[0] += counts[:first].sum()
    p[-1] += counts[end:].sum()
    q = np.zeros_like(p)
    width = end - first
    for level in range(levels):
        bins = slice(level * width // levels, (level + 1) * width // levels)
        filled = p[bins] > 0
        if filled.any():
            q[bins][filled] = counts[first:end][bins].sum() / filled.sum()
    p, q = p / p.sum(), q / q.sum()
    if (q[p > 0] == 0).any():
        return math.inf
    return float(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])))


def without_zeros(made: TensorStatistics) -> np.ndarray:
    """Counts where the bin of 0 has no more than the mean of its neighbours."""
    counts = made.histogram
    at = round(-made.low_edge / made.width)
    if 0 <= at < 2048:
        beside = [counts[i] for i in (at - 1, at + 1) if 0 <= i < 2048]
        counts[at] = min(counts[at], max(round(sum(beside) / len(beside)), 1))
    return counts


@pytest.mark.parametrize("name", ["normal", "gelu"])
def test_the_symmetric_threshold_is_the_best_by_the_definition(name: str) -> None:
    made = statistics(SAMPLES[name][:2000])
    counts = without_zeros(made)
    cells = np.arange(2048) + round(made.low_edge / made.width)
    magnitudes = np.where(cells < 0, -1 - cells, cells)
    n_bins = int(magnitudes[counts > 0].max()) + 1
    folded = np.bincount(
        magnitudes[counts > 0], weights=counts[counts > 0], minlength=n_bins
    )
    all_ends = range(128, n_bins + 1)
    best = min(divergence(folded, 0, end, 128) for end in all_ends)
    low, high = entropy(made, symmetric=True)
    assert low == -high
    largest = max(made.maximum, -made.minimum)
    end = n_bins if high == largest else round(high / made.width)
    assert divergence(folded, 0, end, 128) == pytest.approx(best, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", SAMPLES)
def test_no_other_pair_of_ends_is_much_better(name: str) -> None:
    made = statistics(SAMPLES[name][:20_000])
    counts = without_zeros(made)
    n_bins = int(np.flatnonzero(counts)[-1]) + 1
    low, high = entropy(made)
    first = round((low - made.low_edge) / made.width) if low > made.minimum else 0
    end = n_bins
    if high < made.maximum:
        end = round((high - made.low_edge) / made.width)
    found = divergence(counts, first, end, 256)
    zero = np.clip(round(-made.low_edge / made.width), 0, n_bins)
    rng = np.random.default_rng(0)
    for _ in range(150):
        a = int(rng.integers(0, min(zero, n_bins - 256) + 1))
        b = int(rng.integers(max(zero, a + 256), n_bins + 1))
        assert found <= divergence(counts, a, b, 256) * 1.1 + 1e-4


@pytest.mark.parametrize("name", ["normal", "laplace"])
def test_the_symmetric_threshold_is_no_worse_than_onnxruntimes(name: str) -> None:
    x = SAMPLES[name].astype(np.float32)
    collector = HistogramCollector(
        method="entropy",
        symmetric=True,
        num_bins=2047,
        num_quantized_bins=128,
        percentile=99.9,
        scenario="same",
    )
    collector.collect({"x": [x]})
    theirs = float(collector.compute_collection_result()["x"][1])
    made = statistics(x)
    counts = made.histogram
    cells = np.arange(2048) + round(made.low_edge / made.width)
    folded = np.bincount(np.where(cells < 0, -1 - cells, cells), weights=counts)
    n_bins = int(np.flatnonzero(folded)[-1]) + 1
    ours = entropy(made, symmetric=True)[1]

    def at(threshold: float) -> float:
        end = min(max(round(threshold / made.width), 128), n_bins)
        return divergence(folded[:n_bins], 0, end, 128)

    assert at(ours) <= at(theirs) * 1.01


def test_zeros_of_a_relu_do_not_pull_the_threshold() -> None:
    """Half of all values in one bin made the divergence of a short range the least."""
    made = statistics(SAMPLES["relu"])
    assert entropy(made)[1] > 3.0


# ---- mean squared error -----------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("share", [1.0, 0.7, 0.4])
def test_the_error_of_a_range_is_that_of_the_values(name: str, share: float) -> None:
    x = SAMPLES[name]
    made = statistics(x)
    low, high = made.minimum * share, made.maximum * share
    error = mean_squared_error(made, low, high)
    # a bin is up to 1/4 of a step: values within it are not spread quite evenly
    assert error == pytest.approx(true_error(x, low, high), rel=0.02)


@pytest.mark.parametrize("name", SAMPLES)
def test_no_other_range_has_a_much_smaller_error(name: str) -> None:
    """Brute force over both ends on the values themselves."""
    x = SAMPLES[name][-8000:]
    made = statistics(x)
    low, high = mse(made)
    found = true_error(x, low, high)
    shares = np.linspace(0.04, 1.0, 21)
    lows = [min(made.minimum, 0.0) * s for s in shares]
    highs = [max(made.maximum, 0.0) * s for s in shares]
    best = min(true_error(x, a, b) for a in set(lows) for b in set(highs))
    assert found <= best * 1.03


def test_the_whole_range_is_kept_where_nothing_is_better() -> None:
    x = SAMPLES["uniform"]
    made = statistics(x)
    assert mse(made) == (made.minimum, made.maximum)
