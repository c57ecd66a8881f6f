"""Detectors against SciPy on the values themselves, and by simulation.

With an edge between all different values a sketch holds what the values hold, so the
statistics must be SciPy's. Under no drift a test may find something in a share alpha of
the cases: counted in simulations with fixed seeds, to within what their size allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from trimtab.monitor import FeatureSketch
from trimtab.monitor.drift import DETECTORS, detect
from trimtab.monitor.drift.cells import cells_of

NUMERIC = [d for d in DETECTORS.values() if "numeric" in d.kinds]
CATEGORICAL = [d for d in DETECTORS.values() if "categorical" in d.kinds]
QUANTILES = np.arange(1, 32) / 32
NORMAL_EDGES = np.concatenate([[-3.3], stats.norm.ppf(QUANTILES), [3.3]])


def numeric(values: np.ndarray, edges: np.ndarray, name: str = "x") -> FeatureSketch:
    return FeatureSketch.from_values(name, values, edges=edges)


def all_edges(*arrays: np.ndarray) -> np.ndarray:
    different = np.unique(np.concatenate(arrays))
    return (different[1:] + different[:-1]) / 2


# ---- against SciPy -----------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), m=st.integers(1, 60))
def test_ks_with_all_edges_is_that_of_scipy(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n).round(1), rng.normal(0.5, size=m).round(1)
    edges = all_edges(a, b)
    if not len(edges) or a.min() == a.max():
        return
    found = DETECTORS["kolmogorov_smirnov"].score(numeric(a, edges), numeric(b, edges))
    assert found.statistic == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)


def test_ks_has_the_p_value_of_the_limit() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=4000), rng.normal(0.05, size=3000)
    edges = all_edges(a, b)
    found = DETECTORS["kolmogorov_smirnov"].score(numeric(a, edges), numeric(b, edges))
    expected = stats.ks_2samp(a, b, method="asymp").pvalue
    assert found.p_value == pytest.approx(expected, rel=0.05)


def test_ks_of_bins_is_never_above_that_of_values() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        a, b = rng.normal(size=300), rng.normal(0.2, size=200)
        pair = numeric(a, NORMAL_EDGES), numeric(b, NORMAL_EDGES)
        found = DETECTORS["kolmogorov_smirnov"].score(*pair)
        assert found.statistic <= stats.ks_2samp(a, b).statistic + 1e-12


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 12))
def test_chi_square_and_g_are_those_of_scipy(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    names = [str(i) for i in range(k)]
    counts = rng.integers(20, 90, (2, k))
    a, b = (
        FeatureSketch("x", "categorical", np.append(row, 0), categories=tuple(names))
        for row in counts
    )
    pearson = stats.chi2_contingency(counts, correction=False)
    found = DETECTORS["chi_square"].score(a, b)
    assert found.statistic == pytest.approx(pearson.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(pearson.pvalue, rel=1e-10)
    likelihood = stats.chi2_contingency(
        counts, correction=False, lambda_="log-likelihood"
    )
    found = DETECTORS["jensen_shannon"].score(a, b)
    distance = jensenshannon(*(row / row.sum() for row in counts), base=2)
    assert found.statistic == pytest.approx(distance, rel=1e-9)
    # Williams' factor makes G a few per cent smaller.
    assert likelihood.pvalue <= found.p_value * (1 + 1e-9)
    g = stats.chi2.isf(found.p_value, k - 1)
    assert g == pytest.approx(likelihood.statistic, rel=0.05)


def test_psi_is_the_sum_of_both_divergences() -> None:
    counts = np.array([[400, 300, 300], [200, 500, 300]])
    a, b = (
        FeatureSketch("x", "categorical", np.append(r, 0), categories=("a", "b", "c"))
        for r in counts
    )
    p, q = ((row + 0.5) / (row.sum() + 1.5) for row in counts)
    expected = stats.entropy(p, q) + stats.entropy(q, p)
    found = DETECTORS["population_stability_index"].score(a, b)
    assert found.statistic == pytest.approx(expected, rel=1e-12)
    assert found.effect == pytest.approx(expected - 2 * (2 / 1000), rel=1e-12)


def test_wasserstein_of_fine_bins_is_that_of_scipy() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=3000), rng.normal(0.3, 1.2, size=2000)
    edges = np.linspace(-5, 5, 256)
    found = DETECTORS["wasserstein"].score(numeric(a, edges), numeric(b, edges))
    # Within a bin values are taken as spread evenly.
    expected = stats.wasserstein_distance(a, b)
    assert found.statistic == pytest.approx(expected, rel=0.02)
    assert found.effect == pytest.approx(expected / a.std(), rel=0.02)


def test_missing_has_the_p_value_of_fisher() -> None:
    a = numeric(np.array([1.0] * 95 + [np.nan] * 5), np.array([1.0]))
    b = numeric(np.array([1.0] * 40 + [np.nan] * 8 + [np.inf] * 2), np.array([1.0]))
    found = DETECTORS["missing_share"].score(a, b)
    expected = stats.fisher_exact([[5, 95], [10, 40]]).pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert found.statistic == pytest.approx(0.15)


# ---- by simulation -----------------------------------------------------------------

DRAWS: dict[str, tuple[Callable, np.ndarray]] = {
    "normal": (lambda rng, n: rng.normal(size=n), NORMAL_EDGES),
    "exponential": (
        lambda rng, n: rng.exponential(size=n),
        stats.expon.ppf(QUANTILES),
    ),
    "two peaks": (
        lambda rng, n: rng.normal(size=n) / 10 + rng.integers(0, 2, n),
        np.linspace(-0.3, 1.3, 40),
    ),
    "few values": (lambda rng, n: rng.poisson(1.5, size=n), np.arange(10) + 0.5),
}
N_RUNS = 400


def most(alpha: float, n: int = N_RUNS) -> float:
    """Share that a test with this alpha exceeds in one of 20,000 simulations."""
    return float(stats.binom.isf(5e-5, n, alpha)) / n


@pytest.mark.parametrize("sizes", [(5000, 120), (600, 600)], ids=str)
@pytest.mark.parametrize("draw", DRAWS)
def test_without_drift_p_values_are_small_as_rarely_as_they_say(
    draw: str, sizes: tuple[int, int]
) -> None:
    rng = np.random.default_rng(11)
    make, edges = DRAWS[draw]
    detectors = [d for d in NUMERIC if d.name != "missing_share"]
    p = np.array(
        [
            [d.measure(*pair).p_value for d in detectors]
            for pair in (
                tuple(numeric(make(rng, n), edges) for n in sizes)
                for _ in range(N_RUNS)
            )
        ]
    )
    for column, detector in zip(p.T, detectors, strict=True):
        for alpha in (0.1, 0.05, 0.01, 0.002):
            share = float(np.mean(column <= alpha))
            assert share <= most(alpha), (detector.name, alpha, share)


def test_without_drift_categories_and_gaps_are_quiet() -> None:
    rng = np.random.default_rng(12)
    names = [str(i) for i in range(20)]
    chances = 0.6 ** np.arange(20)
    chances /= chances.sum()
    found = []
    for _ in range(N_RUNS):
        pair = [
            FeatureSketch(
                "x",
                "categorical",
                np.append(rng.multinomial(n, chances), 0),
                categories=tuple(names),
                n_missing=int(rng.binomial(n, 0.02)),
            )
            for n in (3000, 150)
        ]
        found.append([d.measure(*pair).p_value for d in CATEGORICAL])
    for column, detector in zip(np.array(found).T, CATEGORICAL, strict=True):
        for alpha in (0.05, 0.01):
            share = float(np.mean(column <= alpha))
            assert share <= most(alpha), (detector.name, alpha, share)


@pytest.mark.parametrize(
    ("method", "mean", "scale"),
    [
        ("population_stability_index", 0.5, 1.0),
        ("population_stability_index", 0.0, 1.5),
        ("jensen_shannon", 0.5, 1.0),
        ("jensen_shannon", 0.0, 1.5),
        ("kolmogorov_smirnov", 0.4, 1.0),
        ("chi_square", 0.5, 1.0),
        ("wasserstein", 0.4, 1.0),
    ],
)
def test_what_matters_is_found(method: str, mean: float, scale: float) -> None:
    rng = np.random.default_rng(13)
    n_found = 0
    for _ in range(40):
        a = numeric(rng.normal(size=10_000), NORMAL_EDGES)
        b = numeric(rng.normal(mean, scale, size=1000), NORMAL_EDGES)
        score = DETECTORS[method].score(a, b)
        n_found += score.is_drift
    assert n_found >= 39


@pytest.mark.parametrize("method", [d.name for d in NUMERIC])
def test_what_does_not_matter_is_not_drift_however_significant(method: str) -> None:
    rng = np.random.default_rng(14)
    a = numeric(rng.normal(size=200_000), NORMAL_EDGES)
    b = numeric(rng.normal(0.05, size=200_000), NORMAL_EDGES)
    score = DETECTORS[method].score(a, b)
    assert not score.is_drift_by_effect
    assert math.isnan(score.p_value) or score.p_value < 1e-9


def test_effects_do_not_grow_with_small_windows() -> None:
    rng = np.random.default_rng(15)
    a = numeric(rng.normal(size=20_000), NORMAL_EDGES)
    for method in ("population_stability_index", "chi_square", "jensen_shannon"):
        effects = {
            m: np.mean(
                [
                    DETECTORS[method]
                    .score(a, numeric(rng.normal(1, 1, size=m), NORMAL_EDGES))
                    .effect
                    for _ in range(40)
                ]
            )
            for m in (200, 5000)
        }
        assert effects[200] == pytest.approx(effects[5000], rel=0.2), method


# ---- what sketches may hold --------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    counts=st.lists(
        st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=40
    ),
    kind=st.sampled_from(["numeric", "categorical"]),
    moments=st.lists(st.floats(), min_size=4, max_size=4),
)
def test_nothing_that_a_sketch_holds_is_an_exception(
    counts: list[tuple[int, int]], kind: str, moments: list[float]
) -> None:
    k = len(counts) - 1
    bins = {"numeric": {"edges": np.arange(k) * 1.0}, "categorical": {}}[kind]
    if kind == "categorical":
        bins = {"categories": tuple(map(str, range(k)))}
    low, high, mean, variance = moments
    a, b = (
        FeatureSketch(
            "x",
            kind,
            np.array(column, np.int64),
            n_missing=column[0],
            minimum=min(low, high),
            maximum=max(low, high),
            mean=mean,
            variance=abs(variance),
            **bins,
        )
        for column in zip(*counts, strict=True)
    )
    methods = [name for name in DETECTORS if name != "mmd"]
    report = detect([a], [b], methods=methods)
    for score in report.scores:
        assert math.isnan(score.p_value) or 0 <= score.p_value <= 1
        assert math.isnan(score.effect) or score.effect >= 0
    report.to_json()


def test_cells_hold_all_values_and_enough_of_them() -> None:
    rng = np.random.default_rng(16)
    for _ in range(50):
        counts = rng.poisson(rng.exponential(20, 30), (2, 30))
        a, b = (
            FeatureSketch(
                "x", "numeric", row, edges=np.arange(29.0), minimum=-1, maximum=30
            )
            for row in counts
        )
        cells = cells_of(a, b)
        assert cells.n == counts[0].sum()
        assert cells.m == counts[1].sum()
        total = cells.reference + cells.window
        expected = total * min(cells.n, cells.m) / (cells.n + cells.m)
        assert expected.min() >= 5 or cells.df == 0
