"""ADWIN and Page-Hinkley: against their definitions and against river.

The oracle of ADWIN keeps all values of the window and takes means of slices; only the
sizes of its buckets follow the rule of the exponential histogram.
"""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.venvs import make_venv, run_python

from trimtab.errors import InputError
from trimtab.monitor.drift import ADWIN, PageHinkley


class Slow:
    """ADWIN2 by its definition, with all values."""

    def __init__(self, delta: float, every: int = 32, min_part: int = 5) -> None:
        self.delta, self.every, self.min_part = delta, every, min_part
        self.values: list[float] = []
        self.sizes: list[int] = []  # of buckets, the oldest first
        self.n = 0

    def merge(self) -> None:
        for size in (2**i for i in range(64)):
            same = [i for i, s in enumerate(self.sizes) if s == size]
            if len(same) <= 5:
                return
            self.sizes[same[0] : same[0] + 2] = [2 * size]

    def update(self, x: float) -> bool:
        self.n += 1
        self.values.append(min(max(x, 0.0), 1.0))
        self.sizes.append(1)
        self.merge()
        if self.n % self.every:
            return False
        is_drift = False
        while self.has_cut():
            del self.values[: self.sizes.pop(0)]
            is_drift = True
        return is_drift

    def has_cut(self) -> bool:
        n = len(self.values)
        if n < 2 * self.min_part:
            return False
        variance = float(np.var(self.values))
        log = math.log(2 * math.log(n) / self.delta)
        for k in np.cumsum(self.sizes):
            if min(k, n - k) < self.min_part:
                continue
            noise = 1 / k + 1 / (n - k)
            gap = abs(np.mean(self.values[:k]) - np.mean(self.values[k:]))
            if gap > math.sqrt(2 * noise * variance * log) + 2 / 3 * noise * log:
                return True
        return False


def stream(seed: int, parts: list[tuple[int, float, float]]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(mean, std, n) for n, mean, std in parts])


@pytest.mark.parametrize("seed", range(4))
def test_adwin_is_its_definition(seed: int) -> None:
    x = stream(seed, [(500, 0.3, 0.1), (400, 0.5, 0.1), (300, 0.5, 0.2), (99, 0.1, 0)])
    fast, slow = ADWIN(delta=0.01), Slow(0.01)
    for value in x:
        assert fast.update(value) == slow.update(value)
        assert fast.width == len(slow.values)
    assert fast.mean == pytest.approx(np.mean(slow.values), rel=1e-9)
    assert fast.variance == pytest.approx(np.var(slow.values), rel=1e-6, abs=1e-12)
    assert fast.n_detections >= 2


def test_false_alarms_of_adwin_are_rare_and_memory_is_logarithmic() -> None:
    rng = np.random.default_rng(5)
    n_alarms = 0
    for _ in range(8):
        adwin = ADWIN()
        n_alarms += len(adwin.update_many(rng.random(8000)))
        assert adwin.n_buckets <= 5 * math.log2(8000)
    assert n_alarms <= 1


@pytest.mark.parametrize(("before", "after"), [(0.2, 0.5), (0.5, 0.2), (0.02, 0.1)])
def test_adwin_finds_a_change_and_forgets_what_was(before: float, after: float) -> None:
    rng = np.random.default_rng(6)
    adwin = ADWIN()
    assert not adwin.update_many(rng.random(3000) < before)
    assert adwin.update_many(rng.random(1000) < after)
    assert adwin.mean == pytest.approx(after, abs=0.05)
    assert adwin.width <= 1500


def test_adwin_of_another_range() -> None:
    x = stream(7, [(2000, 20.0, 5.0), (1000, 45.0, 5.0)])
    places = ADWIN(value_range=(-50, 150)).update_many(x)
    assert places
    assert 2000 <= places[0] < 2300


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(), max_size=300), st.integers(1, 40))
def test_nothing_in_a_stream_is_an_exception(values: list[float], every: int) -> None:
    adwin, test = ADWIN(every=every), PageHinkley()
    for x in values:
        adwin.update(x)
        test.update(x)
    n_bad = sum(x != x for x in values)
    assert adwin.n_skipped == n_bad
    assert adwin.n_seen == len(values) - n_bad
    assert math.isnan(adwin.mean) or 0 <= adwin.mean <= 1
    again = pickle.loads(pickle.dumps(adwin))
    assert again.update(0.5) == adwin.update(0.5)


def page_hinkley(x: np.ndarray, tolerance: float, threshold: float) -> int | None:
    """The first alarm of the sums of Page and Hinkley, written as they are."""
    means = np.cumsum(x) / np.arange(1, len(x) + 1)
    up = np.concatenate([[0], np.cumsum(x - means - tolerance)])
    down = np.concatenate([[0], np.cumsum(x - means + tolerance)])
    alarm = (up - np.minimum.accumulate(up) > threshold) | (
        np.maximum.accumulate(down) - down > threshold
    )
    places = np.flatnonzero(alarm[1:])
    return next((int(place) for place in places if place >= 29), None)


@pytest.mark.parametrize("seed", range(6))
def test_page_hinkley_is_its_definition(seed: int) -> None:
    x = stream(seed, [(400, 0.3, 0.1), (400, 0.3 + 0.4 * (seed - 2.5), 0.1)])
    test = PageHinkley(tolerance=0.01, threshold=5, forget=1.0)
    found = next((i for i, value in enumerate(x) if test.update(value)), None)
    assert found == page_hinkley(x, 0.01, 5)
    assert found is not None


def test_page_hinkley_looks_where_it_is_told() -> None:
    rise = stream(8, [(300, 0.3, 0.05), (300, 0.7, 0.05)])
    for direction, is_found in (("up", True), ("down", False), ("both", True)):
        test = PageHinkley(threshold=10, direction=direction)
        assert any([test.update(x) for x in rise]) == is_found


@pytest.mark.parametrize(
    "make",
    [
        lambda: ADWIN(delta=0),
        lambda: ADWIN(value_range=(1, 1)),
        lambda: ADWIN(value_range=(0, math.inf)),
        lambda: ADWIN(every=0),
        lambda: PageHinkley(threshold=0),
        lambda: PageHinkley(forget=2),
        lambda: PageHinkley(direction="left"),
    ],
)
def test_mistakes_are_refused(make) -> None:
    with pytest.raises(InputError, match="expected"):
        make()


RIVER = """
import json, sys
from river import drift
streams = json.load(open(sys.argv[1]))
found = []
for x in streams:
    adwin = drift.ADWIN(delta=0.002)
    found.append([])
    for i, value in enumerate(x):
        adwin.update(value)
        if adwin.drift_detected:
            found[-1].append(i)
print("found", json.dumps(found))
"""


@pytest.mark.peers
def test_adwin_alarms_where_river_does(tmp_path) -> None:
    """The histograms differ in when buckets merge; alarms are at most 2 looks apart."""
    streams = [
        stream(s, [(800, 0.3, 0.1), (800, 0.3 + 0.05 * s, 0.1)]).tolist()
        for s in range(8)
    ]
    path = tmp_path / "streams.json"
    path.write_text(json.dumps(streams))
    python = make_venv("river-0.22.0", ["river==0.22.0"])
    out = run_python(python, "-c", RIVER, path)
    line = next(x for x in out.splitlines() if x.startswith("found"))
    for x, theirs in zip(streams, json.loads(line[6:]), strict=True):
        ours = ADWIN(delta=0.002).update_many(x)
        assert bool(ours) == bool(theirs)
        if ours:
            assert abs(ours[0] - theirs[0]) <= 64
