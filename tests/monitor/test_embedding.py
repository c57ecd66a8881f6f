"""Embeddings: exact merges, moments and distances against NumPy and SciPy, false alarms
and power by simulation."""

from __future__ import annotations

import copy
import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats

from trimtab.errors import InputError
from trimtab.monitor.embedding import Embedding
from trimtab.monitor.embedding_distance import (
    chi_square_mixture_sf,
    frechet_distance,
)

WIDE = np.random.default_rng(0).standard_t(4, (600, 300)) * np.linspace(0.1, 3, 300)
REFERENCE = Embedding.from_data(WIDE)


def counted(rows: np.ndarray, reference: Embedding = REFERENCE) -> Embedding:
    """Count rows as a window."""
    window = reference.empty()
    window.update(rows)
    return window


# ---- counting ------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.data())
def test_eight_parts_in_any_order_merge_into_the_whole_exactly(
    data: st.DataObject,
) -> None:
    n = len(WIDE)
    order = np.random.default_rng(data.draw(st.integers(0, 999))).permutation(n)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), min_size=7, max_size=7)))
    parts = [counted(part) for part in np.split(WIDE[order], cuts)]
    merged = REFERENCE.empty()
    for i in data.draw(st.permutations(range(8))):
        merged.merge(parts[i])
    assert merged == REFERENCE
    assert merged.to_dict() == REFERENCE.to_dict()


def test_rows_count_the_same_one_by_one_in_any_layout_and_dtype() -> None:
    rows = WIDE[:150].astype(np.float32)
    want = counted(rows)
    single = REFERENCE.empty()
    for row in rows:
        single.update(row)
    assert single == want
    assert counted(np.asfortranarray(rows)) == want
    assert counted(np.repeat(rows, 2, axis=1)[:, ::2]) == want
    assert counted(rows.astype(np.float64)) == want


def test_threads_lose_no_row() -> None:
    window = REFERENCE.empty()

    def add() -> None:
        for row in WIDE[:100]:
            window.update(row)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert window == counted(np.tile(WIDE[:100], (4, 1)))


def test_rows_that_are_not_finite_are_counted_and_left_out() -> None:
    rows = WIDE[:20].copy()
    rows[3, 5], rows[7, 0], rows[9] = np.nan, np.inf, -np.inf
    window = counted(rows)
    assert (window.n, window.n_nonfinite) == (17, 3)
    good = counted(np.delete(rows, [3, 7, 9], axis=0))
    assert np.array_equal(window.mean, good.mean)
    window = counted(np.full((5, 300), 1e300))
    assert window.n == 5
    assert np.isfinite(window.mean).all()


def test_moments_of_narrow_embeddings_are_numpys() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(3000, 12)) @ rng.normal(size=(12, 12)) + 5
    reference = Embedding.from_data(rows)
    np.testing.assert_allclose(reference.mean, 0, atol=1e-4)
    window = counted(rows[:500] * 1.1 + 0.3, reference)
    z = (rows[:500] * 1.1 + 0.3 - rows.mean(axis=0)) / rows.std(axis=0)
    # steps of 1/256 of a deviation
    np.testing.assert_allclose(window.mean, z.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(
        window.covariance, np.cov(z.T, bias=True), atol=5e-3, rtol=2e-3
    )


def test_memory_is_bounded() -> None:
    assert REFERENCE.n_bytes <= 65536
    assert len(json.dumps(REFERENCE.to_dict())) < 100_000


# ---- distances -----------------------------------------------------------------------


def test_frechet_distance_is_that_of_scipys_root() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 9, 9))
    one, two = a @ a.T, b @ b.T
    mean, other = rng.normal(size=(2, 9))
    many = 1 << 50
    want = np.sum((mean - other) ** 2) + np.trace(
        one + two - 2 * np.real(linalg.sqrtm(one @ two))
    )
    got = frechet_distance(many, mean, one, many, other, two)
    np.testing.assert_allclose(got, want, rtol=1e-9)
    assert frechet_distance(many, mean, one, many, mean, one) < 1e-9
    singular = np.zeros((9, 9))
    assert frechet_distance(many, mean, singular, many, mean, singular) == 0


@pytest.mark.parametrize("n", [300, 2000])
def test_frechet_distance_is_about_0_where_nothing_moved(n: int) -> None:
    rng = np.random.default_rng(3)
    found = []
    for seed in range(10):
        rows = rng.normal(size=(2000 + n, 100))
        reference = Embedding.from_data(rows[:2000], seed=seed)
        found.append(reference.score(counted(rows[2000:], reference)).effect)
    assert max(found) < 0.02


def test_effect_of_a_moved_mean_is_its_square() -> None:
    rng = np.random.default_rng(4)
    reference = Embedding.from_data(rng.normal(size=(4000, 40)))
    moved = counted(rng.normal(0.5, 1, size=(4000, 40)), reference)
    assert reference.score(moved).effect == pytest.approx(0.25, rel=0.1)
    wider = counted(rng.normal(0, 1.5, size=(4000, 40)), reference)
    assert reference.score(wider).effect == pytest.approx(0.25, rel=0.1)


@pytest.mark.parametrize("df", [1, 2, 5, 40])
@pytest.mark.parametrize("q", [0.9, 0.5, 0.1, 0.01, 1e-4, 1e-8])
def test_mixtures_of_equal_weights_are_chi_squares(df: int, q: float) -> None:
    x = float(stats.chi2.isf(q, df))
    # one degree is the worst case of the approximation; p-values have dozens
    got = chi_square_mixture_sf(3 * x, [3.0] * df)
    assert got == pytest.approx(q, rel=0.25 if df < 3 else 0.05)


def test_mixtures_are_those_of_a_simulation() -> None:
    weights = 0.7 ** np.arange(30)
    rng = np.random.default_rng(5)
    draws = rng.chisquare(1, (200_000, 30)) @ weights
    for q in (0.5, 0.9, 0.99, 0.999):
        x = float(np.quantile(draws, q))
        assert chi_square_mixture_sf(x, weights) == pytest.approx(1 - q, rel=0.15)
    around = [
        chi_square_mixture_sf(float(weights.sum()) * (1 + e), weights)
        for e in (-1e-2, -1e-3, -1e-5, 0, 1e-5, 1e-3, 1e-2)
    ]
    assert around == sorted(around, reverse=True)
    assert chi_square_mixture_sf(0.0, weights) == 1
    assert chi_square_mixture_sf(1.0, []) == 0


def test_the_statistic_is_the_unbiased_estimate_for_the_kernel() -> None:
    rng = np.random.default_rng(6)
    rows = rng.normal(size=(400, 5))
    window = rng.normal(0.7, 1.2, size=(300, 5))
    found = []
    for seed in range(12):
        reference = Embedding.from_data(rows, seed=seed)
        found.append(reference.score(counted(window, reference)).statistic)
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    x, y = (rows - mean) / std, (window - mean) / std

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squares = ((a[:, None] - b[None]) ** 2).sum(axis=2)
        return np.exp(-squares / (2 * reference.space.bandwidth**2))

    def within(a: np.ndarray) -> float:
        k = kernel(a, a)
        return float((k.sum() - np.trace(k)) / (len(a) * (len(a) - 1)))

    want = within(x) + within(y) - 2 * float(kernel(x, y).mean())
    # 48 random frequencies: the mean of twelve draws is within a tenth
    assert np.mean(found) == pytest.approx(want, rel=0.15)
    distances = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))
    median = np.median(distances[np.triu_indices(len(x), 1)])
    assert reference.space.bandwidth == pytest.approx(median, rel=0.02)


# ---- false alarms and power ----------------------------------------------------------


def _low_rank(rng: np.random.Generator, n: int) -> np.ndarray:
    mix = np.random.default_rng(99).normal(size=(15, 120))
    return np.maximum(rng.normal(size=(n, 15)) @ mix, 0)


STREAMS = {
    "normal": lambda rng, n: rng.normal(size=(n, 10)),
    "activations": _low_rank,
    "heavy tails": lambda rng, n: rng.standard_t(3, (n, 100)),
    "clusters": lambda rng, n: rng.normal(size=(n, 6)) + 5 * rng.integers(0, 4, (n, 1)),
}


@pytest.mark.parametrize("stream", sorted(STREAMS))
def test_false_alarms_come_at_the_stated_rate(stream: str) -> None:
    n_reference, n, n_windows = 400, 150, 80
    rng = np.random.default_rng(7)
    p_values = []
    for seed in range(n_windows):
        rows = STREAMS[stream](rng, n_reference + n)
        reference = Embedding.from_data(rows[:n_reference], seed=seed)
        window = counted(rows[n_reference:], reference)
        p_values.append(reference.score(window).p_value)
    for level in (0.05, 0.2):
        n_alarms = int(np.sum(np.array(p_values) < level))
        # not more than chance allows 1 time in 1,000
        assert n_alarms <= stats.binom.isf(1e-3, n_windows, level)
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "shift"),
    [
        ("mean", lambda rng, x: x + 0.25 * x.std(axis=0)),
        ("scale", lambda rng, x: x * 1.3),
        ("one of ten dims", lambda rng, x: x + 1.5 * np.eye(x.shape[1])[0]),
        (
            "a tenth is elsewhere",
            lambda rng, x: x + 6 * (rng.random((len(x), 1)) < 0.1),
        ),
    ],
)
def test_shifts_are_found_within_500_rows(name: str, shift: object) -> None:
    rng = np.random.default_rng(8)
    n_found = 0
    for seed in range(20):
        reference = Embedding.from_data(rng.normal(size=(1000, 10)), seed=seed)
        window = counted(shift(rng, rng.normal(size=(500, 10))), reference)  # type: ignore[operator]
        n_found += reference.score(window).p_value < 0.01
    assert n_found >= 19, name


# ---- bad input -----------------------------------------------------------------------


def test_references_that_hardly_move_are_no_trouble() -> None:
    constant = np.tile(np.arange(80.0), (20, 1))
    reference = Embedding.from_data(constant)
    same = reference.score(counted(constant, reference))
    assert same.p_value > 0.9
    assert same.effect == 0
    other = reference.score(counted(constant + 1, reference))
    assert other.p_value < 1e-6
    assert other.effect > 0.1
    zeros = Embedding.from_data(np.zeros((10, 3)))
    assert zeros.score(counted(np.ones((10, 3)), zeros)).p_value < 1e-6


def test_windows_without_rows_have_no_score() -> None:
    score = REFERENCE.score(REFERENCE.empty())
    assert np.isnan(score.p_value)
    assert score.to_dict()["p_value"] is None
    assert np.isnan(REFERENCE.empty().covariance).all()


def test_what_is_no_embedding_is_refused() -> None:
    for rows in (np.zeros((4, 3)), np.zeros((0, 3)), np.full((20, 3), np.nan)):
        with pytest.raises(InputError, match="at least 8"):
            Embedding.from_data(rows)
    with pytest.raises(InputError, match="pool_embedding"):
        Embedding.from_data(np.zeros((9, 3, 4)))
    with pytest.raises(InputError):
        Embedding.from_data([["a"]] * 9)
    with pytest.raises(InputError):
        Embedding.from_data([[1.0], [1.0, 2.0]])
    with pytest.raises(InputError, match="65536"):
        Embedding.from_data(np.zeros((9, 65537), np.int8))
    with pytest.raises(InputError, match="seed"):
        Embedding.from_data(WIDE, seed=-1)
    with pytest.raises(InputError, match="300 numbers"):
        REFERENCE.empty().update(np.zeros((1, 4)))


def test_embeddings_of_other_references_do_not_merge() -> None:
    for other in (Embedding.from_data(WIDE, seed=1), Embedding.from_data(WIDE[:300])):
        with pytest.raises(InputError, match="different spaces"):
            REFERENCE.empty().merge(other)
        with pytest.raises(InputError, match="different spaces"):
            REFERENCE.score(other)


# ---- storing -------------------------------------------------------------------------


def test_json_gives_back_the_same() -> None:
    plain = json.loads(json.dumps(REFERENCE.to_dict()))
    again = Embedding.from_dict(plain)
    assert again == REFERENCE
    window = counted(WIDE[:50])
    assert again.score(window) == REFERENCE.score(window)
    again.merge(window)
    assert again != REFERENCE
    assert REFERENCE.copy() == REFERENCE
    narrow = Embedding.from_data(WIDE[:, :7])
    assert Embedding.from_dict(narrow.to_dict()) == narrow


HOSTILE = [
    ("n", -1),
    ("n", 1 << 40),
    ("n", 5),  # the sums are those of more rows
    ("n", "x"),
    ("n_nonfinite", -5),
    ("sum", "AAAA"),
    ("sum", "***"),
    ("products", None),
    ("space", 7),
    ("space.width", 0),
    ("space.width", 1 << 40),
    ("space.width", 299),
    ("space.seed", 1),
    ("space.seed", -1),
    ("space.exponent", 1 << 20),
    ("space.center", [0.0] * 3),
    ("space.center", [float("nan")] * 64),
    ("space.deviation", [0.0] * 64),
    ("space.bandwidth", 0.0),
    ("space.bandwidth", float("inf")),
    ("space.digest", 1),
]


@pytest.mark.parametrize(("path", "value"), HOSTILE)
def test_dicts_that_cannot_be_are_refused(path: str, value: object) -> None:
    plain = copy.deepcopy(REFERENCE.to_dict())
    *outer, last = path.split(".")
    target = plain
    for key in outer:
        target = target[key]
    target[last] = value
    with pytest.raises(InputError, match="cannot be read"):
        Embedding.from_dict(plain)
    del target[last]
    with pytest.raises(InputError, match="cannot be read"):
        Embedding.from_dict(plain)
