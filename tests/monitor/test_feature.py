"""Sketches of one feature: counts, quantiles, merges, and what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trimtab.errors import InputError
from trimtab.monitor.feature import FeatureSketch

EDGES = np.array([-1.0, 0.0, 0.5, 2.0])
values = hnp.arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32))


def sketch(x: np.ndarray) -> FeatureSketch:
    """Count an array in the bins of this file."""
    return FeatureSketch.from_values("x", x, edges=EDGES)


@given(values)
def test_every_value_is_counted_once(x: np.ndarray) -> None:
    found = sketch(x)
    assert found.n_values == len(x)
    assert found.n_missing == np.isnan(x).sum()
    finite = x[np.isfinite(x)].astype(np.float64)
    inner = np.concatenate([[-np.inf], EDGES, [np.inf]])
    for i, count in enumerate(found.counts):
        assert count == ((finite >= inner[i]) & (finite < inner[i + 1])).sum()


@given(values, values)
def test_parts_merge_into_the_whole(a: np.ndarray, b: np.ndarray) -> None:
    both, whole = sketch(a).merge(sketch(b)), sketch(np.concatenate([a, b]))
    np.testing.assert_array_equal(both.counts, whole.counts)
    assert both.n_missing == whole.n_missing
    assert both.n_infinite == whole.n_infinite
    np.testing.assert_equal(both.minimum, whole.minimum)
    np.testing.assert_equal(both.maximum, whole.maximum)
    if whole.n:
        scale = max(abs(whole.minimum), abs(whole.maximum))
        np.testing.assert_allclose(both.mean, whole.mean, atol=1e-12 * scale)
        np.testing.assert_allclose(both.variance, whole.variance, atol=1e-12 * scale**2)


def test_quantiles_are_those_of_the_values_to_a_bin() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    edges = np.quantile(x, np.linspace(0, 1, 65)[1:-1])
    found = FeatureSketch.from_values("x", x, edges=edges)
    for q in (0.0, 0.01, 0.25, 0.5, 0.9, 0.999, 1.0):
        rank = np.mean(x <= found.quantile(q))
        assert abs(rank - q) < 1 / 64
    assert found.quantile(0) == x.min()
    assert found.quantile(1) == x.max()


def test_categories_are_counted_by_text_and_none_is_missing() -> None:
    found = FeatureSketch.from_values(
        "colour", ["red", None, "blue", "red", "mauve"], categories=["red", "blue"]
    )
    assert found.counts.tolist() == [2, 1, 1]
    assert (found.n_missing, found.n_distinct) == (1, 3.0)
    assert math.isnan(found.mean)
    assert math.isclose(found.missing_share, 0.2)


@given(values)
def test_it_survives_json(x: np.ndarray) -> None:
    found = sketch(x)
    again = FeatureSketch.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.has_bins_of(found)
    for key, value in vars(found).items():
        np.testing.assert_equal(getattr(again, key), value)


def test_other_bins_do_not_merge() -> None:
    other = FeatureSketch.from_values("x", [1.0], edges=[0.0])
    with pytest.raises(InputError, match="different bins"):
        sketch(np.zeros(3)).merge(other)


@pytest.mark.parametrize(
    "change",
    [
        {"edges": [0.0, 0.0]},
        {"edges": [math.inf]},
        {"counts": [1, 2]},
        {"counts": [-1, 0, 0, 0, 0]},
        {"counts": [10**30] * 5},
        {"kind": "nominal"},
        {"mean": "high"},
        {"n_missing": -1},
        {"edges": None},
    ],
)
def test_broken_plain_data_is_refused(change: dict[str, object]) -> None:
    plain = sketch(np.zeros(3)).to_dict() | change
    with pytest.raises(InputError):
        FeatureSketch.from_dict(plain)


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(InputError, match="quantile"):
        sketch(np.zeros(3)).quantile(1.5)
    with pytest.raises(InputError, match="neither"):
        FeatureSketch.from_values("x", [1.0])
    assert math.isnan(sketch(np.empty(0)).quantile(0.5))
