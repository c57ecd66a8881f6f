"""The benchmark of detection, smaller: what changed is found, what did not is quiet."""

from __future__ import annotations

import pytest
from benchmarks.bench_detection import measure, sustained


@pytest.mark.slow
def test_shifts_are_found_and_quiet_streams_raise_no_alarm() -> None:
    """30 streams that change and 30 that do not; the targets of the benchmark."""
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    alert = measure(n_quiet=7)["alert"]
    assert alert["n_shifts"] == 30
    assert alert["n_found"] >= 28, alert["missed"]
    assert alert["n_quiet_windows"] >= 200
    assert alert["false_per_100"] <= 1


def test_two_of_three_begin_once() -> None:
    flags = [True, False, False, True, True, True, False, False, True, True]
    found = [i for i, holds in enumerate(sustained(flags)) if holds]
    assert found == [4, 9]
