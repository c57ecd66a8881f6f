"""Budgets of time, samples of streams, and the queue between serving and looking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.monitor.intake import MAX_LOOKS, Intake
from trimtab.monitor.sampling import Budget, Reservoir, spread_rows


@settings(deadline=None)  # busy machines are no bug
@given(st.floats(1e-6, 1e-1), st.floats(1e-7, 1e-1), st.sampled_from([0.01, 0.05, 1.0]))
def test_looks_stay_within_their_share(call: float, look: float, share: float) -> None:
    budget = Budget(share)
    n_calls, n_looks = 10_000, 0
    for _ in range(n_calls):
        if budget.due():
            n_looks += 1
            budget.learn(call_s=call, copy_s=look / 2, work_s=look / 2)
    allowed = share * n_calls * call / look
    # rounding, the first look, and the few that are taken in any case
    assert n_looks <= 1.5 * allowed + 2 + n_calls / 9999
    assert n_looks >= min(0.6 * allowed, n_calls) - 1


def test_no_budget_means_no_look() -> None:
    budget = Budget(0.0)
    assert not any(budget.due() for _ in range(100))
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError):
            Budget(wrong)


def test_a_clock_that_says_nonsense_does_not_upset_the_budget() -> None:
    budget = Budget(0.01)
    for wrong in (-1.0, float("nan"), float("inf")):
        budget.learn(call_s=wrong, copy_s=wrong, work_s=wrong)
    assert budget.every == 1
    assert budget.due()


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), max_size=12), st.integers(1, 60), st.integers(0, 9))
def test_a_sample_keeps_all_up_to_its_size_in_order(
    sizes: list[int], most: int, seed: int
) -> None:
    sample = Reservoir(most, seed=seed)
    total = sum(sizes)
    rows = np.arange(total).reshape(-1, 1)
    for part in np.split(rows, np.cumsum(sizes)[:-1]) if sizes else []:
        sample.add(part)
    found = sample.rows.ravel()
    assert sample.n_seen == total
    assert len(found) == min(total, most)
    assert np.all(np.diff(found) > 0)
    if total <= most:
        np.testing.assert_array_equal(found, rows.ravel())


def test_a_sample_is_even() -> None:
    hits = np.zeros(1000)
    for seed in range(400):
        sample = Reservoir(100, seed=seed)
        for part in np.split(np.arange(1000).reshape(-1, 1), 20):
            sample.add(part)
        hits[sample.rows.ravel()] += 1
    # binomial(400, 0.1): 6 standard deviations
    assert np.all(np.abs(hits - 40) < 6 * np.sqrt(400 * 0.1 * 0.9))
    assert abs(hits[:500].sum() - hits[500:].sum()) < 6 * np.sqrt(400 * 100 / 4)


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 64))
def test_rows_are_spread_over_a_batch(n_rows: int, most: int) -> None:
    chosen = range(n_rows)[spread_rows(n_rows, most)]
    assert 1 <= len(chosen) <= most


def test_the_queue_is_bounded_and_joins_what_is_alike() -> None:
    woken = []
    intake = Intake(None, None, share=1.0, wake=lambda: woken.append(1))
    x = np.zeros((1, 3), np.float32)
    for _ in range(MAX_LOOKS + 10):
        intake.take({"x": x}, {"y": x[:, 0]})
    assert intake.n_dropped == 10
    assert woken
    intake_x = intake.drain()
    assert [(look.inputs["x"].shape, n) for look, n in intake_x] == [
        ((MAX_LOOKS, 3), MAX_LOOKS)
    ]
    assert intake.drain() == []
    intake.take({"x": x}, {})
    intake.take({"x": np.zeros((1, 4), np.float32)}, {})
    assert len(intake.drain()) == 2


def test_the_queue_holds_copies() -> None:
    intake = Intake(None, None, share=1.0, wake=lambda: None)
    x = np.ones((2, 2))
    intake.take({"x": x}, {})
    x[:] = 0
    [(look, _)] = intake.drain()
    assert look.inputs["x"].all()


def test_large_rows_are_looked_at_one_by_one() -> None:
    intake = Intake(frozenset({"x"}), frozenset(), share=1.0, wake=lambda: None)
    intake.take({"x": np.zeros((4, 3 << 20), np.float32)}, {"y": np.zeros(4)})
    [(look, _)] = intake.drain()
    assert look.inputs["x"].shape[0] == 1
    assert look.outputs == {}
