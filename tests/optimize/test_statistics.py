"""`TensorStatistics`: what is kept, merged, stored."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.optimize.statistics import TensorStatistics

RNG = np.random.default_rng(4)
BATCHES = [RNG.normal(i, 1 + i, (3, 5, 40)).astype(np.float32) for i in range(6)]


def collected(batches, *, axis: int | None = 1) -> TensorStatistics:
    made = TensorStatistics("x", axis=axis)
    for batch in batches:
        made.update(batch)
    return made


def check_same(a: TensorStatistics, b: TensorStatistics) -> None:
    np.testing.assert_array_equal(a.histogram, b.histogram)
    for name in ("n", "n_nonfinite", "n_batches", "minimum", "maximum", "low_edge"):
        assert getattr(a, name) == getattr(b, name), name
    for name in ("mean", "mean_square", "average_minimum", "average_maximum"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-9), name
    np.testing.assert_array_equal(a.channel_absmax, b.channel_absmax)
    np.testing.assert_allclose(a.channel_mean, b.channel_mean, rtol=1e-9)


def test_statistics_are_those_of_all_batches() -> None:
    made = collected(BATCHES)
    whole = np.concatenate(BATCHES).astype(np.float64)
    assert made.n == whole.size
    assert made.n_batches == len(BATCHES)
    assert (made.minimum, made.maximum) == (whole.min(), whole.max())
    assert made.average_minimum == pytest.approx(np.mean([b.min() for b in BATCHES]))
    assert made.average_maximum == pytest.approx(np.mean([b.max() for b in BATCHES]))
    assert made.mean == pytest.approx(whole.mean())
    assert made.mean_square == pytest.approx(np.mean(whole**2))
    edges = np.linspace(made.low_edge, made.high_edge, 2049)
    np.testing.assert_array_equal(made.histogram, np.histogram(whole, edges)[0])
    absmax = np.abs(whole).max(axis=(0, 2))
    np.testing.assert_array_equal(made.channel_absmax, absmax)
    np.testing.assert_allclose(made.channel_mean, whole.mean(axis=(0, 2)), atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 6))
def test_order_and_parts_do_not_matter(order: list[int], cut: int) -> None:
    first = collected([BATCHES[i] for i in order[:cut]])
    second = collected([BATCHES[i] for i in order[cut:]])
    first.merge(second)
    check_same(first, collected(BATCHES))


def test_batches_of_nothing_but_nan_do_not_move_the_averages() -> None:
    made = collected([*BATCHES, np.full((3, 5, 2), np.nan, np.float32)])
    assert made.n_nonfinite == 30
    assert made.n_batches == len(BATCHES)
    assert made.average_minimum == collected(BATCHES).average_minimum


def test_without_values_the_range_is_empty() -> None:
    made = TensorStatistics("x")
    assert (made.minimum, made.maximum) == (np.inf, -np.inf)
    assert (made.average_minimum, made.average_maximum) == (np.inf, -np.inf)
    assert made.low_edge == made.high_edge == made.width == 0.0
    assert made.channel_absmax is None
    assert made.channel_mean is None


def test_a_refused_batch_changes_nothing() -> None:
    made = collected(BATCHES)
    with pytest.raises(InputError, match="expected 5 channels"):
        made.update(np.zeros((3, 6, 40), np.float32))
    check_same(made, collected(BATCHES))


def test_states_go_through_json_and_pickle() -> None:
    made = collected(BATCHES)
    state = json.loads(json.dumps(made.to_dict()))
    check_same(TensorStatistics.from_dict(state), made)
    check_same(pickle.loads(pickle.dumps(made)), made)
    check_same(copy.deepcopy(made), made)
    back = TensorStatistics.from_dict(state)
    back.merge(made)
    assert back.n == 2 * made.n
    assert made.n == sum(b.size for b in BATCHES)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", None),
        ("name", 3),
        ("axis", "1"),
        ("axis", True),
        ("n_batches", 0),
        ("n_batches", -1),
        ("n_batches", 10**30),
        ("n_batches", 2.0),
        ("average_minimum", "x"),
        ("average_minimum", float("nan")),
        ("average_minimum", -1e9),
        ("average_maximum", 1e9),
        ("average_maximum", None),
        ("histogram", None),
        ("histogram", "%%%"),
        ("histogram", "ä"),
        ("histogram", "AAAA"),
        ("channels", None),
        ("channels", "AAAA"),
    ],
)
def test_states_that_cannot_be_are_refused(key: str, value: object) -> None:
    state = collected(BATCHES).to_dict()
    state[key] = value
    with pytest.raises(InputError):
        TensorStatistics.from_dict(state)
    del state[key]
    if key != "axis":
        with pytest.raises(InputError):
            TensorStatistics.from_dict(state)


def test_statistics_of_different_tensors_do_not_merge() -> None:
    made = collected(BATCHES)
    with pytest.raises(InputError, match="'y'"):
        made.merge(TensorStatistics("y"))
    with pytest.raises(InputError, match="only one of the statistics has channels"):
        made.merge(collected(BATCHES, axis=None))
    with pytest.raises(InputError, match="expected 5 channels"):
        made.merge(collected(BATCHES, axis=2))
    check_same(made, collected(BATCHES))
