"""Tails of distributions against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from trimtab.stats.tails import (
    chi_square_tail,
    fisher_exact,
    gamma_tail,
    kolmogorov_tail,
)

# Relative, down to where float64 ends; SciPy's own are no better far out.
CLOSE = dict(rel=1e-10, abs=1e-300)


@settings(max_examples=200, deadline=None)
@given(shape=st.floats(0.01, 2000), ratio=st.floats(0, 8))
def test_the_gamma_tail_is_that_of_scipy(shape: float, ratio: float) -> None:
    x = ratio * shape
    expected = float(special.gammaincc(shape, x))
    # Where 1 - P cancels, P is right to 1e-10.
    assert gamma_tail(x, shape) == pytest.approx(expected, rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("df", [1, 2, 3, 9, 31, 63, 254])
def test_the_chi_square_tail_is_that_of_scipy(df: int) -> None:
    for x in np.concatenate([np.linspace(0, 6 * df, 200), [1e3]]):
        if (expected := stats.chi2.sf(x, df)) > 1e-250:
            assert chi_square_tail(float(x), df) == pytest.approx(expected, **CLOSE)


def test_the_kolmogorov_tail_is_that_of_scipy() -> None:
    for x in np.linspace(0, 8, 1001):
        expected = float(special.kolmogorov(x))
        assert kolmogorov_tail(float(x)) == pytest.approx(expected, rel=1e-10)


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 400), m=st.integers(1, 400), data=st.data())
def test_fisher_is_that_of_scipy(n: int, m: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    expected = stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue
    assert fisher_exact(a, n, b, m) == pytest.approx(expected, rel=1e-8, abs=1e-300)


@pytest.mark.parametrize(
    ("a", "n", "b", "m"),
    [
        (3, 100_000, 9, 500),
        (0, 1_000_000, 40, 3000),
        (5_000, 100_000, 620, 10_000),
    ],
)
def test_rare_hits_of_large_samples_are_exact(a: int, n: int, b: int, m: int) -> None:
    expected = stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue
    assert fisher_exact(a, n, b, m) == pytest.approx(expected, rel=1e-6)


def test_many_hits_take_the_normal_approximation() -> None:
    table = [[50_000, 950_000], [50_900, 949_100]]
    expected = stats.fisher_exact(table).pvalue
    found = fisher_exact(50_000, 1_000_000, 50_900, 1_000_000)
    assert math.log(found) == pytest.approx(math.log(expected), rel=0.01)


@pytest.mark.parametrize(
    "case", [(0, 0, 0, 0), (0, 9, 0, 0), (0, 9, 0, 4), (9, 9, 4, 4)]
)
def test_what_cannot_differ_has_p_1(case: tuple[int, int, int, int]) -> None:
    assert fisher_exact(*case) == 1.0


def test_ends() -> None:
    assert gamma_tail(math.inf, 2) == 0
    assert gamma_tail(-1, 2) == 1
    assert chi_square_tail(0, 0) == 1
    assert chi_square_tail(1, 0) == 0
