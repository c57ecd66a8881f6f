"""Intervals, paired tests and adjustments: against SciPy and statsmodels."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.stats import (
    benjamini_hochberg,
    bootstrap_interval,
    clopper_pearson,
    corrected_resampled_t_test,
    delong_interval,
    delong_test,
    holm,
    mcnemar_test,
    mean_interval,
    paired_bootstrap,
    required_samples,
    wilson_interval,
)
from trimtab.stats.bootstrap import bootstrap_weights, counts_interval, from_indices
from trimtab.stats.delong import auc_components, logit_interval, midranks
from trimtab.stats.samples import paired_power
from trimtab.stats.special import t_tail

scipy_stats = pytest.importorskip("scipy.stats")
probabilities = st.floats(0, 1)


# ---- many tests ---------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(probabilities, min_size=1, max_size=30))
def test_false_discovery_control_is_scipys(p: list[float]) -> None:
    want = scipy_stats.false_discovery_control(p)
    np.testing.assert_allclose(benjamini_hochberg(p), want, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.lists(probabilities, min_size=1, max_size=30))
def test_holm_is_statsmodels(p: list[float]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    want = multitest.multipletests(p, method="holm")[1]
    np.testing.assert_allclose(holm(p), want, rtol=1e-12)


@pytest.mark.parametrize("adjust", [benjamini_hochberg, holm])
def test_tests_that_were_not_made_do_not_count(adjust: Any) -> None:
    p = [0.01, math.nan, 0.04, math.nan]
    found = adjust(p)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(p))
    np.testing.assert_array_equal(found[[0, 2]], adjust([0.01, 0.04]))
    assert p[0] == 0.01  # what was given stays
    assert adjust([]).shape == (0,)
    for bad in ([1.1], [-0.1], [[0.5]]):
        with pytest.raises(InputError, match="p-values from 0 to 1"):
            adjust(bad)


# ---- intervals ----------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(0, 300), st.sampled_from([0.01, 0.05, 0.2]))
def test_intervals_of_proportions_are_scipys(n: int, k: int, alpha: float) -> None:
    k = min(k, n)
    test = scipy_stats.binomtest(k, n)
    for ours, method in ((wilson_interval, "wilson"), (clopper_pearson, "exact")):
        want = test.proportion_ci(1 - alpha, method=method)
        got = ours(k, n, alpha=alpha)
        assert got == pytest.approx((want.low, want.high), abs=1e-9)


def test_intervals_of_means_are_scipys() -> None:
    x = np.random.default_rng(0).gamma(2, size=40)
    want = scipy_stats.t.interval(0.95, 39, x.mean(), scipy_stats.sem(x))
    assert mean_interval(x) == pytest.approx(want, rel=1e-8)
    result = scipy_stats.bootstrap(
        (x,), np.mean, n_resamples=9999, rng=np.random.default_rng(1), method="BCa"
    )
    bca = mean_interval(x, method="bca", n_resamples=9999)
    # both are random: a percent of the width
    assert bca == pytest.approx(tuple(result.confidence_interval), abs=0.02)


@pytest.mark.parametrize("t", [0.0, 0.5, 2.0, 12.0])
def test_tails_of_student_are_scipys(t: float) -> None:
    for df in (1, 4.5, 300):
        assert t_tail(t, df) == pytest.approx(scipy_stats.t.sf(t, df), rel=1e-8)
    assert t_tail(math.inf, 3) == 0.0


def test_what_does_not_fit_is_refused() -> None:
    for k, n in ((3, 2), (-1, 5), (0, 0), (math.nan, 3)):
        with pytest.raises(InputError, match="0 <= k <= n"):
            wilson_interval(k, n)
    for alpha in (0.0, 1.0, 5):
        with pytest.raises(InputError, match="alpha"):
            wilson_interval(1, 2, alpha=alpha)


# ---- McNemar ------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_statsmodels(n10: int, n01: int) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    table = [[50, n10], [n01, 50]]
    if n10 + n01:
        options = (("exact", {}), ("asymptotic", {"exact": False, "correction": False}))
        for method, option in options:
            want = tables.mcnemar(table, **option)
            got = mcnemar_test(n10, n01, method=method)
            assert got.p_value == pytest.approx(want.pvalue, rel=1e-9)
            assert got.statistic == pytest.approx(want.statistic)
        if abs(n10 - n01) > 1:
            want = tables.mcnemar(table, exact=False, correction=True)
            got = mcnemar_test(n10, n01, method="corrected")
            assert got.p_value == pytest.approx(want.pvalue, rel=1e-9)


@pytest.mark.parametrize(("n10", "n01"), [(5, 15), (4, 4), (0, 3), (0, 1), (7, 8)])
def test_mid_p_is_its_definition(n10: int, n01: int) -> None:
    """More lopsided results, and half of those that are equally so."""
    n = n10 + n01
    k = np.arange(n + 1)
    chance, gap = scipy_stats.binom.pmf(k, n, 0.5), np.abs(2 * k - n)
    seen = abs(n10 - n01)
    want = chance[gap > seen].sum() + chance[gap == seen].sum() / 2
    assert mcnemar_test(n10, n01, method="mid-p").p_value == pytest.approx(want)


def test_mcnemar_without_discordance_and_with_an_interval() -> None:
    for method in ("exact", "mid-p", "asymptotic", "corrected"):
        assert mcnemar_test(0, 0, method=method).p_value == 1.0
    result = mcnemar_test(5, 15, n=200)
    assert result.low < result.difference == 0.05 < result.high
    mirrored = mcnemar_test(15, 5, n=200)
    assert [mirrored.low, mirrored.high] == pytest.approx([-result.high, -result.low])
    for bad in ({"n10": -1, "n01": 2}, {"n10": 5, "n01": 5, "n": 9}):
        with pytest.raises(InputError, match="n10"):
            mcnemar_test(**bad)
    with pytest.raises(InputError, match="method"):
        mcnemar_test(1, 2, method="fisher")


# ---- DeLong -------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_midranks_are_scipys(x: list[int]) -> None:
    np.testing.assert_array_equal(midranks(x), scipy_stats.rankdata(x))


def by_pairs(y: Any, s: Any) -> tuple[float, Any, Any]:
    """DeLong's components from every pair: the definition."""
    up, down = s[y == 1], s[y == 0]
    wins = (up[:, None] > down) + 0.5 * (up[:, None] == down)
    return wins.mean(), wins.mean(axis=1), wins.mean(axis=0)


def test_delong_is_its_definition_by_pairs() -> None:
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 80)
    a, b = (np.round(rng.normal(size=80) + shift * y, 1) for shift in (0.6, 1.2))
    for got, want in zip(auc_components(y, a), by_pairs(y, a), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    (auc_a, up_a, down_a), (auc_b, up_b, down_b) = by_pairs(y, a), by_pairs(y, b)
    m, n = (y == 1).sum(), (y == 0).sum()
    covariance = np.cov(up_a, up_b) / m + np.cov(down_a, down_b) / n
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    result = delong_test(y, a, b)
    assert result.difference == pytest.approx(auc_b - auc_a)
    assert result.statistic == pytest.approx((auc_b - auc_a) / error, rel=1e-9)
    want = 2 * scipy_stats.norm.sf(abs(auc_b - auc_a) / error)
    assert result.p_value == pytest.approx(want, rel=1e-9)
    auc, low, high = delong_interval(y, a)
    middle = math.log(auc / (1 - auc))
    half = 1.959964 * math.sqrt(covariance[0, 0]) / (auc * (1 - auc))
    ends = [1 / (1 + math.exp(-x)) for x in (middle - half, middle + half)]
    assert [low, high] == pytest.approx(ends, abs=1e-6)


def test_equal_models_do_not_differ_and_perfect_ones_are_bounded() -> None:
    y, s = np.array([0, 1, 0, 1, 1, 0]), np.array([0.1, 0.3, 0.5, 0.7, 0.8, 0.2])
    same = delong_test(y, s, np.exp(s))
    assert (same.difference, same.p_value) == (0.0, 1.0)
    auc, low, high = delong_interval(y, y)
    # three pairs that share nothing: low^3 = 2.5 %
    assert (auc, low, high) == (1.0, pytest.approx(0.025 ** (1 / 3)), 1.0)
    assert delong_interval(y, 1 - y)[1:] == (0.0, pytest.approx(1 - low))
    assert math.isnan(delong_interval([0, 1, 0], [0.1, 0.2, 0.3])[1])
    assert logit_interval(0.5, 0.0, 9) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("y", "s", "says"),
    [
        ([0, 2], [0.1, 0.2], "classes 0 and 1"),
        ([0, 1], [0.1], "classes 0 and 1"),
        ([1, 1], [0.1, 0.2], "both classes"),
        ([0, 1], [0.1, math.nan], "NaN"),
    ],
)
def test_delong_refuses(y: Any, s: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        delong_interval(y, s)


# ---- bootstrap ----------------------------------------------------------------------


def test_the_bootstrap_of_few_samples_is_the_exhaustive_one() -> None:
    x = np.array([1.0, 2.0, 6.0, 7.0])
    every = np.sort([np.mean(c) for c in itertools.product(x, repeat=4)])
    _, low, high = bootstrap_interval(
        lambda w: w @ x / w.sum(axis=1), 4, method="percentile", n_resamples=20_000
    )
    assert [low, high] == pytest.approx(np.quantile(every, [0.025, 0.975]), abs=0.26)
    found = np.concatenate(list(bootstrap_weights(4, 20_000))) @ x / 4
    assert found.mean() == pytest.approx(every.mean(), abs=0.05)
    assert found.std() == pytest.approx(every.std(), rel=0.03)


@pytest.mark.parametrize("statistic", [np.mean, np.std])
def test_bca_is_scipys(statistic: Any) -> None:
    x = np.random.default_rng(3).gamma(2, size=60)
    want = scipy_stats.bootstrap(
        (x,), statistic, n_resamples=9999, rng=np.random.default_rng(4)
    ).confidence_interval
    by_index = from_indices(lambda chosen: float(statistic(x[chosen])))
    got = bootstrap_interval(by_index, 60, n_resamples=4000)
    assert got[0] == pytest.approx(statistic(x))
    assert got[1:] == pytest.approx(tuple(want), abs=0.05)


def test_strata_and_clusters_are_drawn_whole() -> None:
    strata, clusters = np.repeat([0, 1], [10, 20]), np.repeat(np.arange(10), 3)
    for weights in bootstrap_weights(30, 50, strata=strata):
        assert (weights[:, :10].sum(axis=1) == 10).all()
    for weights in bootstrap_weights(30, 50, clusters=clusters):
        parts = weights.reshape(50, 10, 3)
        assert (parts == parts[:, :, :1]).all()
        assert (parts[:, :, 0].sum(axis=1) == 10).all()
    both = np.repeat([0, 1], 15)
    weights = np.concatenate(
        list(bootstrap_weights(30, 50, strata=both, clusters=clusters))
    )
    assert (weights[:, :15].sum(axis=1) == 15).all()
    with pytest.raises(InputError, match="one stratum"):
        next(bootstrap_weights(30, 5, strata=np.arange(30) % 2, clusters=clusters))
    with pytest.raises(InputError, match="clusters: expected shape"):
        next(bootstrap_weights(30, 5, clusters=[1]))


def test_clusters_widen_the_interval_of_dependent_samples() -> None:
    rng = np.random.default_rng(5)
    x = np.repeat(rng.normal(size=40), 10)

    def mean(w: Any) -> Any:
        return w @ x / w.sum(axis=1)

    _, low, high = bootstrap_interval(mean, 400, clusters=np.repeat(np.arange(40), 10))
    want = mean_interval(x[::10])
    assert [low, high] == pytest.approx(want, abs=0.06)


def test_a_paired_bootstrap_sees_the_pairing() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=300) * 10
    y = x + 0.1 + rng.normal(size=300) * 0.2
    first, second = (lambda w, v=v: w @ v / w.sum(axis=1) for v in (x, y))
    result = paired_bootstrap(first, second, 300)
    assert 0 < result.low < result.difference < result.high < 0.2
    assert result.p_value < 0.01
    same = paired_bootstrap(first, first, 300, n_resamples=200)
    assert (same.difference, same.p_value) == (0.0, 1.0)


def test_undefined_resamples_are_left_out() -> None:
    def share(w: Any) -> Any:
        return np.where(w[:, 0] > 0, 1.0, np.nan)

    assert bootstrap_interval(share, 2)[1:] == (1.0, 1.0)
    never = bootstrap_interval(lambda w: np.full(len(w), np.nan), 5)
    assert all(math.isnan(x) for x in never)
    with pytest.raises(InputError, match="numbers for weights"):
        bootstrap_interval(lambda w: w, 5)
    with pytest.raises(InputError, match="method"):
        bootstrap_interval(share, 2, method="magic")


def test_the_bootstrap_of_counts_is_that_of_samples() -> None:
    x = np.repeat([0.0, 1.0, 5.0], [20, 50, 30])
    values = np.array([0.0, 1.0, 5.0])
    cells = counts_interval(
        lambda c: c @ values / c.sum(axis=1), np.array([20.0, 50, 30]), n_resamples=4000
    )
    _, low, high = bootstrap_interval(
        lambda w: w @ x / w.sum(axis=1), 100, n_resamples=4000
    )
    assert cells == pytest.approx((low, high), abs=0.05)


# ---- cross-validation, sample sizes -------------------------------------------------


def test_without_correction_it_is_students_test() -> None:
    x = np.random.default_rng(7).normal(0.3, 1, 10)
    want = scipy_stats.ttest_1samp(x, 0.0)
    got = corrected_resampled_t_test(x, n_train=1e15, n_test=1)
    assert got.statistic == pytest.approx(want.statistic, rel=1e-9)
    assert got.p_value == pytest.approx(want.pvalue, rel=1e-7)
    limits = want.confidence_interval(0.95)
    assert [got.low, got.high] == pytest.approx([limits.low, limits.high], rel=1e-6)


def test_the_correction_is_nadeaus_and_bengios() -> None:
    x = np.array([0.02, 0.01, 0.03, 0.015, 0.025])
    t = x.mean() / math.sqrt((1 / 5 + 20 / 80) * x.var(ddof=1))
    got = corrected_resampled_t_test(x, n_train=80, n_test=20)
    assert got.statistic == pytest.approx(t)
    assert got.p_value == pytest.approx(2 * scipy_stats.t.sf(t, 4), rel=1e-8)
    equal = corrected_resampled_t_test([0.0, 0.0], n_train=1, n_test=1)
    assert (equal.p_value, equal.low, equal.high) == (1.0, 0.0, 0.0)
    assert corrected_resampled_t_test([0.1, 0.1], n_train=1, n_test=1).p_value == 0.0
    for bad in ([0.1], [0.1, math.nan]):
        with pytest.raises(InputError, match="differences"):
            corrected_resampled_t_test(bad, n_train=1, n_test=1)
    with pytest.raises(InputError, match="n_test"):
        corrected_resampled_t_test([0.1, 0.2], n_train=1, n_test=0)


def test_required_samples_have_the_power_they_promise() -> None:
    n = required_samples(0.02, discordance=0.06)
    assert paired_power(n, 0.02, discordance=0.06) == pytest.approx(0.8, abs=1e-3)
    rng = np.random.default_rng(8)
    drawn = rng.multinomial(n, [0.03, 0.03, 0.94], size=4000)
    drop = (drawn[:, 0] - drawn[:, 1]) / n
    spread = np.sqrt(((drawn[:, 0] + drawn[:, 1]) / n - drop**2) / n)
    proven = (drop + 1.6449 * spread < 0.02).mean()
    assert proven == pytest.approx(0.8, abs=0.02)
    with pytest.raises(InputError, match="no number of samples"):
        required_samples(0.01, discordance=0.05, difference=-0.02)
    with pytest.raises(InputError, match="cannot be"):
        required_samples(0.01, discordance=0.01, difference=0.02)
