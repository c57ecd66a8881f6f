"""Streamed errors of numbers, against scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trimtab.errors import InputError
from trimtab.metrics import METRICS
from trimtab.metrics.moments import Sum

from .cut import agree, streamed

NAMES = [name for name, metric in METRICS.items() if metric.needs == "values"]
numbers = st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda x: round(x, 6))


@st.composite
def samples(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    n, m = draw(st.integers(2, 30)), draw(st.integers(1, 3))
    shape = (n,) if m == 1 else (n, m)
    pair = [draw(hnp.arrays(np.float64, shape, elements=numbers)) for _ in range(2)]
    weights = draw(st.none() | hnp.arrays(np.float64, n, elements=st.floats(0.1, 10)))
    return *pair, weights


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(samples(), st.integers(0, 30), st.integers(0, 30))
def test_batches_give_what_scikit_learn_gives(
    name: str, data: tuple[Any, Any, Any], a: int, b: int
) -> None:
    y, p, w = data
    if name == "max_error" and (y.ndim > 1 or w is not None):
        return
    metric = METRICS[name]
    want = metric(y, p, sample_weight=w)
    # R2 is 1 - S / T: rounding is relative to S / T, which can be any size.
    tolerance = 1e-12 * max(1.0, abs(float(want))) if name == "r2" else 1e-12
    agree(streamed(metric, y, p, w, cuts=(a, b)).compute(), want, tolerance)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "max_error"])
@pytest.mark.parametrize("multioutput", ["raw_values", "uniform_average", [0.3, 0.7]])
def test_outputs_are_averaged_as_scikit_learn_does(name: str, multioutput: Any) -> None:
    rng = np.random.default_rng(0)
    y, p, w = rng.normal(size=(50, 2)), rng.normal(size=(50, 2)), rng.random(50)
    metric = METRICS[name]
    got = streamed(metric, y, p, w, multioutput=multioutput).compute()
    agree(got, metric(y, p, sample_weight=w, multioutput=multioutput))


@pytest.mark.parametrize("force_finite", [True, False])
@pytest.mark.parametrize("right", [True, False])
def test_r2_of_constant_truths(force_finite: bool, right: bool) -> None:
    y, p = np.full(6, 2.0), np.full(6, 2.0 if right else 3.0)
    metric = METRICS["r2"]
    with np.errstate(all="ignore"):
        want = metric(y, p, force_finite=force_finite)
    agree(streamed(metric, y, p, force_finite=force_finite).compute(), want)


def test_r2_of_variances_and_of_one_sample() -> None:
    rng = np.random.default_rng(1)
    y, p = rng.normal(size=(40, 3)) * [1, 5, 0], rng.normal(size=(40, 3))
    metric, option = METRICS["r2"], {"multioutput": "variance_weighted"}
    agree(streamed(metric, y, p, **option).compute(), metric(y, p, **option))
    assert np.isnan(streamed(metric, [1.0], [2.0]).compute())


def test_values_far_from_zero_keep_their_digits() -> None:
    rng = np.random.default_rng(2)
    y = 1e8 + rng.normal(size=10_000)
    p = y + rng.normal(size=10_000)
    for name in ("r2", "mean_squared_error"):
        got = streamed(METRICS[name], y, p, cuts=(1, 5000)).compute()
        # y itself is rounded to 1.5e-8: what is left are the digits of the sums
        agree(got, METRICS[name](y, p))


def test_order_and_cut_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    y, p = np.exp(rng.normal(0, 9, 2000)), np.exp(rng.normal(0, 9, 2000))
    metric = METRICS["mean_squared_error"]
    forth = streamed(metric, y, p, cuts=tuple(range(1, 2000))).compute()
    agree(forth, streamed(metric, y[::-1], p[::-1]).compute(), 1e-15)


def test_compensated_sums_lose_nothing() -> None:
    total = Sum()
    for term in [1e100, 1.0, -1e100] * 10:
        total.add(np.array([term]))
    assert total.value[0] == 10.0


def test_zero_weights_count_for_nothing() -> None:
    y, p, w = [1.0, 2.0, 9.0, 4.0], [1.0, 3.0, 0.0, 3.0], [1.0, 1.0, 0.0, 1.0]
    for name in NAMES:
        metric = METRICS[name]
        kept = (
            streamed(metric, y, p, w, cuts=(2, 3)).compute()
            if name != "max_error"
            else 1.0
        )
        agree(kept, metric(y[:2] + y[3:], p[:2] + p[3:]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("y", "p", "says"),
    [
        ([1.0, np.nan], [1.0, 2.0], "y_true: expected finite"),
        ([1.0, 2.0], [1.0, np.inf], "y_pred: expected finite"),
        ([1.0, 2.0], [1.0], "as many predictions"),
        (["a", "b"], [1.0, 2.0], "expected numbers"),
        ([[1.0, 2.0]], [[1.0]], "one shape"),
    ],
)
def test_what_is_no_number_is_refused(name: str, y: Any, p: Any, says: str) -> None:
    running = METRICS[name].accumulator()
    with pytest.raises(InputError, match=says):
        running.update(y, p)
    assert running.n == 0
    with warnings.catch_warnings(), pytest.raises(InputError):
        warnings.simplefilter("ignore")
        METRICS[name](y, p)


def test_the_interval_of_a_root_is_the_root_of_the_interval() -> None:
    rng = np.random.default_rng(4)
    y, p = rng.normal(size=100), rng.normal(size=100)
    square = METRICS["mean_squared_error"].interval(y, p)
    root = METRICS["root_mean_squared_error"].interval(y, p)
    agree([root.low**2, root.high**2], [square.low, square.high])


def test_the_interval_of_a_mean_is_scipys() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(5)
    y, p = rng.normal(size=30), rng.normal(size=30)
    got = streamed(METRICS["mean_absolute_error"], y, p).interval(alpha=0.1)
    losses = np.abs(y - p)
    want = scipy_stats.t.interval(0.9, 29, losses.mean(), scipy_stats.sem(losses))
    agree([got.low, got.high], want, 1e-8)


def test_the_interval_of_r2_is_that_of_its_influences() -> None:
    """The infinitesimal jackknife, by differences in the weights of samples."""
    rng = np.random.default_rng(6)
    y = rng.normal(size=40) + 5
    p = y + rng.normal(size=40)
    step, r2 = 1e-6, METRICS["r2"].function
    moves = []
    for i in range(40):
        w = np.ones(40)
        w[i] += step
        moves.append((r2(y, p, sample_weight=w) - r2(y, p)) / step)
    error = np.sqrt(np.square(moves).sum() * 40 / 39)
    got = streamed(METRICS["r2"], y, p).interval()
    assert (got.value - got.low) / 2.0227 == pytest.approx(error, rel=1e-3)
