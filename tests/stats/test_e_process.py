"""Tests to be looked at always: wealth by its definition, errors by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.stats import (
    BoundedMeanTest,
    EProcess,
    PairedTest,
    QuantileTest,
    TwoProportionTest,
)

SIZES = st.floats(0.01, 0.99)


def paired_run(test: PairedTest, rng, worse: float, better: float, n: int):
    """After how many requests it rejects; infinity if it does not."""
    draws = rng.random(n)
    taken = 0
    for i in np.flatnonzero(draws < worse + better):
        if test.null:
            test.update(0.0, int(i) - taken)
        test.update(1.0 if draws[i] < worse else -1.0)
        taken = int(i) + 1
        if test.is_rejected:
            return taken
    return math.inf


# ---- fair: no bet gains in the mean while the hypothesis holds ------------------


@given(SIZES, st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_a_bet_on_a_mean_neither_gains_nor_loses_where_it_holds(
    null: float, n: int
) -> None:
    mean = 0.0
    for values in itertools.product((0.0, 1.0), repeat=n):
        test = BoundedMeanTest(null)
        for value in values:
            test.update(value)
        chance = math.prod(null if value else 1 - null for value in values)
        mean += chance * test.value
    assert mean == pytest.approx(1.0, rel=1e-9)


@given(SIZES, st.floats(0, 1), st.lists(st.booleans(), min_size=2, max_size=8))
@settings(max_examples=25, deadline=None)
def test_two_equal_or_better_shares_gain_nothing_in_the_mean(
    champion: float, part: float, arms: list[bool]
) -> None:
    shares = {False: champion, True: champion * part}
    mean = 0.0
    for hits in itertools.product((False, True), repeat=len(arms)):
        test = TwoProportionTest()
        chance = 1.0
        for arm, hit in zip(arms, hits, strict=True):
            test.update(is_candidate=arm, hit=hit)
            chance *= shares[arm] if hit else 1 - shares[arm]
        mean += chance * test.value
    assert mean <= 1 + 1e-9


@given(st.lists(st.floats(-1, 1), max_size=30), st.floats(-0.9, 0.9))
@settings(max_examples=60, deadline=None)
def test_wealth_is_the_mean_over_bets_of_products(values, margin: float) -> None:
    test = PairedTest(margin)
    shares = [1 / 512, 1 / 128, 1 / 64, 1 / 32, *(k / 20 for k in range(1, 20)), 0.98]
    wealth = np.ones(len(shares))
    for value in values:
        test.update(value)
        wealth *= [1 + f * (value - margin) / (margin + 1) for f in shares]
    assert test.value == pytest.approx(wealth.mean(), rel=1e-9)
    assert test.n == len(values)


def test_many_of_a_value_are_as_many_updates() -> None:
    one, many = PairedTest(0.01), PairedTest(0.01)
    for value, n in ((1.0, 3), (0.0, 50), (-1.0, 2)):
        many.update(value, n)
        for _ in range(n):
            one.update(value)
    assert many.value == pytest.approx(one.value, rel=1e-12)
    assert (many.n, many.n_worse, many.n_better) == (55, 3, 2)
    assert many.difference == pytest.approx(1 / 55)


# ---- how often they err, and how soon they find ---------------------------------


def test_equal_models_are_stopped_as_seldom_as_promised() -> None:
    rng = np.random.default_rng(0)
    ends = [paired_run(PairedTest(), rng, 0.025, 0.025, 3000) for _ in range(200)]
    assert np.isfinite(ends).mean() <= 0.05


def test_three_points_are_found_within_seven_hundred_requests() -> None:
    rng = np.random.default_rng(1)
    ends = [paired_run(PairedTest(), rng, 0.05, 0.02, 5000) for _ in range(100)]
    assert np.isfinite(ends).mean() >= 0.95
    assert np.median(ends) <= 700


def test_an_equal_model_is_proven_to_lose_less_than_three_points() -> None:
    rng = np.random.default_rng(2)
    ends = [paired_run(PairedTest(-0.03), rng, 0.025, 0.025, 3000) for _ in range(60)]
    assert np.isfinite(ends).mean() >= 0.95
    wrong = [paired_run(PairedTest(-0.03), rng, 0.02, 0.05, 3000) for _ in range(100)]
    assert np.isfinite(wrong).mean() <= 0.09  # 5 % and two standard errors


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize(("champion", "candidate"), [(0.1, 0.1), (0.02, 0.02)])
def test_equal_error_rates_are_stopped_seldom_at_any_split(
    share: float, champion: float, candidate: float
) -> None:
    rng = np.random.default_rng(3)
    stopped = 0
    for _ in range(40):
        test = TwoProportionTest()
        arms = rng.random(1000) < share
        hits = rng.random(1000) < np.where(arms, candidate, champion)
        for arm, hit in zip(arms, hits, strict=True):
            test.update(is_candidate=bool(arm), hit=bool(hit))
        stopped += test.is_rejected
    assert stopped <= 5


def test_a_worse_error_rate_is_found_at_any_split() -> None:
    rng = np.random.default_rng(4)
    for share in (0.05, 0.5):
        test = TwoProportionTest()
        arms = rng.random(8000) < share
        hits = rng.random(8000) < np.where(arms, 0.3, 0.1)
        for arm, hit in zip(arms, hits, strict=True):
            test.update(is_candidate=bool(arm), hit=bool(hit))
        assert test.is_rejected
        assert test.shares[1] > test.shares[0]


def latencies(rng, factor: float, n: int, noise: float = 0.0) -> QuantileTest:
    """Lognormal times on a machine whose load moves slowly."""
    test = QuantileTest(factor=1.5)
    for i in range(n):
        load = math.exp(noise * math.sin(i / 200))
        for arm in (False, True):
            seconds = 0.01 * load * rng.lognormal(0, 0.3) * (factor if arm else 1)
            test.update(seconds, is_candidate=arm)
    return test


def test_latency_as_good_as_allowed_is_not_rejected_whatever_the_load() -> None:
    rng = np.random.default_rng(5)
    for factor in (0.5, 1.0, 1.4):
        assert sum(latencies(rng, factor, 500, 1.0).is_rejected for _ in range(6)) <= 1


def test_a_slow_candidate_is_rejected_in_two_windows() -> None:
    test = latencies(np.random.default_rng(6), 2.5, 120)
    assert test.is_rejected
    assert test.n_worse_windows >= 2
    assert test.to_dict()["candidate_s"] > 1.5 * test.to_dict()["champion_s"]


def test_one_pause_is_no_regression() -> None:
    test = QuantileTest(window=25)
    for i in range(600):
        test.update(0.01, is_candidate=False)
        test.update(1.0 if 200 <= i < 215 else 0.01, is_candidate=True)
    assert not test.is_rejected


# ---- edges ------------------------------------------------------------------------


def test_it_stays_rejected_and_the_p_value_never_grows() -> None:
    test = PairedTest()
    test.update(1.0, 20)
    assert test.is_rejected
    low = test.p_value
    test.update(-1.0, 1000)
    assert test.is_rejected
    assert test.p_value == low
    assert test.value < 1


def test_wealth_beyond_a_float_is_told_by_its_logarithm() -> None:
    test = PairedTest()
    test.update(1.0, 10_000)
    assert math.isfinite(test.value)
    assert test.log_value > 6000
    test.update(-1.0, 10_000_000)
    assert math.isfinite(test.log_value)


@pytest.mark.parametrize("null", [0.0, 1.0, -0.1, math.nan])
def test_a_mean_outside_of_its_bounds_is_refused(null: float) -> None:
    with pytest.raises(InputError, match="null"):
        BoundedMeanTest(null)


@pytest.mark.parametrize("value", [-1.1, 1.1, math.nan])
def test_a_value_outside_of_its_bounds_is_refused_and_changes_nothing(value) -> None:
    test = PairedTest()
    with pytest.raises(InputError, match="value"):
        test.update(value)
    assert test.n == 0
    assert test.value == 1.0


def test_other_arguments_are_checked() -> None:
    with pytest.raises(InputError):
        EProcess(3, 1.5)
    with pytest.raises(InputError, match="factor"):
        QuantileTest(factor=0)


def test_one_arm_alone_says_nothing() -> None:
    test = TwoProportionTest()
    for _ in range(5000):
        test.update(is_candidate=True, hit=True)
    assert test.n == 0
    assert math.isnan(test.shares[0])
