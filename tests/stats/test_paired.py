"""Paired bounds of a drop: against SciPy, and by simulation: do they hold?"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.stats import special
from trimtab.stats.paired import (
    clopper_pearson_upper,
    drop_upper_bound,
    exact_upper,
    power_table,
    tango_upper,
)
from trimtab.stats.resampling import mean_upper_bound, statistic_upper_bound

scipy_special = pytest.importorskip("scipy.special")
scipy_stats = pytest.importorskip("scipy.stats")


@settings(max_examples=200, deadline=None)
@given(
    st.floats(0, 1),
    st.floats(0.5, 1e5),
    st.floats(0.5, 1e5),
)
def test_the_incomplete_beta_function_is_scipys(x: float, a: float, b: float) -> None:
    # log gamma of 1e5 is 1e6: its rounding alone is 1e-10 of the result
    got = float(special.beta_cdf(x, a, b))
    assert got == pytest.approx(scipy_special.betainc(a, b, x), rel=2e-9, abs=1e-12)


@pytest.mark.parametrize("p", [0.9, 0.95, 0.975, 0.999])
@pytest.mark.parametrize("df", [1, 2, 9, 200, 10000])
def test_quantiles_are_scipys(p: float, df: int) -> None:
    assert special.t_quantile(p, df) == pytest.approx(scipy_stats.t.ppf(p, df), 1e-8)
    assert special.normal_quantile(p) == pytest.approx(scipy_stats.norm.ppf(p), 1e-9)
    assert special.beta_quantile(p, 3, df) == pytest.approx(
        scipy_stats.beta.ppf(p, 3, df), 1e-9
    )


def test_the_binomial_is_scipys_at_its_edges_too() -> None:
    k = np.arange(-1, 13)
    for p in (0.0, 1e-6, 0.3, 1.0):
        want = scipy_stats.binom.cdf(k, 12, p)
        assert special.binomial_cdf(k, 12, p) == pytest.approx(want, abs=1e-14)
        inside = k[1:-1]
        want = scipy_stats.binom.pmf(inside, 12, p)
        assert special.binomial_pmf(inside, 12, p) == pytest.approx(want, abs=1e-14)


@pytest.mark.parametrize(("k", "n"), [(0, 30), (1, 30), (7, 500), (30, 30)])
def test_clopper_pearson_is_scipys(k: int, n: int) -> None:
    test = scipy_stats.binomtest(k, n, alternative="less")
    want = test.proportion_ci(0.95, method="exact").high
    assert clopper_pearson_upper(k, n) == pytest.approx(want, 1e-9)


def test_no_discordance_gives_the_rule_of_three() -> None:
    for n in (50, 719, 10000):
        want = 1 - 0.05 ** (1 / n)
        assert drop_upper_bound(0, 0, n, can_improve=False) == want
        # Berger and Boos spend 1/500 of alpha, and its root is found to 1/500
        assert want <= drop_upper_bound(0, 0, n) <= want * 1.004
    assert clopper_pearson_upper(0, 1000) == pytest.approx(3 / 1000, rel=0.01)


def test_tangos_bound_is_the_published_one() -> None:
    """Tango (1998), table II: 1 and 0 of 30 etc. solved by brute force in float64."""

    def likelihood_z(b: int, c: int, n: int, drop: float) -> float:
        q = np.linspace(0, (1 - drop) / 2, 2_000_001)[1:-1]
        log = b * np.log(q + drop) + c * np.log(q)
        log += (n - b - c) * np.log(1 - 2 * q - drop)
        best = q[log.argmax()]
        return (b - c - n * drop) / np.sqrt(n * (2 * best + drop * (1 - drop)))

    for b, c, n in ((1, 3, 44), (9, 2, 60), (12, 5, 1000)):
        bound = tango_upper(b, c, n)
        assert likelihood_z(b, c, n, bound) == pytest.approx(-1.6449, abs=2e-3)


@pytest.mark.parametrize("n", [20, 40])
def test_the_exact_bound_holds_at_every_pair_of_probabilities(n: int) -> None:
    """No simulation: every outcome of n samples, weighted by its probability."""
    pairs = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    if n > 20:  # the far outcomes have no weight below
        pairs = [(b, c) for b, c in pairs if b + c <= 16]
    bounds = np.array([exact_upper(b, c, n) for b, c in pairs])
    b, c = np.array(pairs).T
    for p10, p01 in ((0.01, 0), (0.03, 0.01), (0.05, 0.05), (0.1, 0.02), (0.02, 0.1)):
        p = [p10, p01, 1 - p10 - p01]
        weights = scipy_stats.multinomial.pmf(np.stack([b, c, n - b - c], 1), n, p)
        missed = weights[bounds < p10 - p01 - 1e-12].sum()
        assert missed <= 0.05 + 1e-9, (p10, p01, missed)


@pytest.mark.parametrize(
    ("p10", "p01", "n"),
    [
        (0.0005, 0.0, 2000),
        (0.001, 0.001, 1000),
        (0.002, 0.0, 1400),
        (0.004, 0.003, 500),
        (0.01, 0.006, 1000),
        (0.04, 0.02, 300),
    ],
)
def test_the_bound_is_below_the_drop_in_at_most_one_of_twenty(
    p10: float, p01: float, n: int
) -> None:
    rng = np.random.default_rng(5)
    n_runs = 2000
    counts = rng.multinomial(n, [p10, p01, 1 - p10 - p01], size=n_runs)
    kinds, times = np.unique(counts[:, :2], axis=0, return_counts=True)
    missed = sum(
        int(t)
        for (b, c), t in zip(kinds.tolist(), times, strict=True)
        # bounds far above the drop are not worth the time
        if tango_upper(b, c, n) < 1.2 * (p10 - p01) + 1e-4
        and drop_upper_bound(b, c, n) < p10 - p01
    )
    # three standard errors of a count of 5 %
    assert missed <= n_runs * 0.05 + 3 * np.sqrt(n_runs * 0.05 * 0.95)


def test_where_the_usual_approximation_fails() -> None:
    """Wald's bound says that nothing can have changed; it is wrong all the time."""
    assert drop_upper_bound(0, 0, 500, method="wald") == 0.0
    assert drop_upper_bound(0, 0, 500, method="exact") > 0.0059


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 400), st.data())
def test_more_harm_never_lowers_the_bound(n: int, data: st.DataObject) -> None:
    b = data.draw(st.integers(0, 6))
    c = data.draw(st.integers(0, 6))
    bound = drop_upper_bound(b, c, n)
    assert drop_upper_bound(b + 1, c, n) >= bound - 2e-4
    assert drop_upper_bound(b, c + 1, n) <= bound + 2e-4
    assert bound > (b - c) / n


def test_large_counts_agree_with_the_exact_bound() -> None:
    exact = drop_upper_bound(100, 90, 5000, method="exact")
    assert drop_upper_bound(100, 90, 5000, method="tango") == pytest.approx(exact, 0.01)


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="n10 \\+ n01 <= n"):
        drop_upper_bound(5, 6, 10)
    with pytest.raises(InputError, match="alpha"):
        drop_upper_bound(0, 0, 10, alpha=0.7)
    with pytest.raises(InputError, match="method"):
        drop_upper_bound(0, 0, 10, method="guess")


def test_the_power_table_falls_with_n_and_rises_with_discordance() -> None:
    small, large = power_table(500), power_table(5000)
    assert [u for _, u in small] == sorted(u for _, u in small)
    assert all(a > b for (_, a), (_, b) in zip(small, large, strict=True))


DRAWS = {
    "normal": lambda rng, n: rng.normal(0.1, 1, n),
    "exponential": lambda rng, n: rng.exponential(1, n),
    "few large losses": lambda rng, n: np.where(
        rng.random(n) < 0.2, rng.exponential(5, n), 0
    ),
}
MEANS = {"normal": 0.1, "exponential": 1.0, "few large losses": 1.0}


@pytest.mark.parametrize("name", DRAWS)
def test_the_bound_of_a_mean_holds(name: str) -> None:
    rng = np.random.default_rng(11)
    n_runs = 150
    missed = sum(
        mean_upper_bound(DRAWS[name](rng, 150), n_resamples=300, seed=i) < MEANS[name]
        for i in range(n_runs)
    )
    assert missed <= n_runs * 0.05 + 3 * np.sqrt(n_runs * 0.05 * 0.95)


def test_bca_and_t_are_scipys() -> None:
    values = np.random.default_rng(3).exponential(1, 200)
    want = scipy_stats.bootstrap(
        (values,), np.mean, confidence_level=0.9, method="BCa", n_resamples=20000
    ).confidence_interval.high
    got = mean_upper_bound(values, method="bca", n_resamples=20000)
    assert got == pytest.approx(want, rel=0.01)
    want = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.9).high
    assert mean_upper_bound(values, method="t") == pytest.approx(want, rel=1e-8)


def test_a_statistic_of_any_kind_gets_scipys_bound() -> None:
    values = np.random.default_rng(4).exponential(1, 150)
    want = scipy_stats.bootstrap(
        (values,), np.std, confidence_level=0.9, method="BCa", n_resamples=5000
    ).confidence_interval.high
    got = statistic_upper_bound(lambda i: values[i].std(), 150, n_resamples=4000)
    assert got == pytest.approx(want, rel=0.03)
    assert statistic_upper_bound(lambda i: float("nan"), 150) == float("inf")


def test_values_without_a_mean_are_refused() -> None:
    for bad in ([1.0], [1.0, np.nan], [[1.0, 2.0]]):
        with pytest.raises(InputError, match="two or more finite"):
            mean_upper_bound(bad)
