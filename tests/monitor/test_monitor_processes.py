"""Many processes: snapshots that merge exactly, once, and forks that begin anew."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.monitor.monitor import Monitor
from trimtab.monitor.reference import Reference
from trimtab.monitor.start import monitor_model

N = 8
COLUMNS = {
    "x": np.random.default_rng(0).normal(size=2000),
    "c": np.random.default_rng(1).choice(["a", "b", "c"], 2000),
}
REFERENCE = Reference.from_data(COLUMNS)


def monitor(reference: Reference = REFERENCE, **options: Any) -> Monitor:
    """One without a thread."""
    options = {"window": 100_000, "background": False, "labels": False, **options}
    return monitor_model(reference=reference, **options)


def traffic(seed: int, n: int = 1000) -> dict[str, np.ndarray]:
    """Rows with gaps, infinities and categories that nobody knows."""
    random = np.random.default_rng(seed)
    x = random.normal(size=n) * 10.0 ** random.integers(-3, 4, n)
    x[random.random(n) < 0.01] = np.nan
    x[random.random(n) < 0.01] = np.inf
    return {"x": x, "c": random.choice(["a", "b", "c", "z"], n)}


def totals(watching: Monitor) -> dict[str, bytes]:
    """Bytes of everything that was counted."""
    assert watching._live is not None
    tally = watching._live.take(reset=False)
    return {name: sketch.to_bytes() for name, sketch in tally.sketches.items()}


PROGRAM = """
import sys
import numpy as np
from tests.monitor.test_monitor_processes import Reference, monitor, traffic
seed, reference, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
watching = monitor(Reference.from_json(open(reference).read()))
data = traffic(seed)
for part in np.array_split(np.arange(1000), seed + 2):
    watching.observe({name: column[part] for name, column in data.items()})
watching.snapshot(out)
"""


def test_eight_processes_make_what_one_makes(tmp_path: Path) -> None:
    stored = tmp_path / "reference.json"
    stored.write_text(REFERENCE.to_json())
    paths = [tmp_path / f"{i}.snapshot" for i in range(N)]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), str(i), stored, path],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for i, path in enumerate(paths)
    ]
    assert [process.wait(300) for process in running] == [0] * N
    one, many = monitor(), monitor()
    for i in range(N):
        one.observe(traffic(i))
    for path in np.random.default_rng(3).permutation(paths):
        many.merge(path)
    assert totals(many) == totals(one)
    a, b = one.check().window, many.check().window
    assert a is not None
    assert b is not None
    assert a.n_rows == b.n_rows == N * 1000
    assert [f.to_dict() for f in a.features] == [f.to_dict() for f in b.features]
    assert a.faults == b.faults


events = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 30), st.booleans()), max_size=12
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events, st.sampled_from([7, 20, 100_000]))
def test_snapshots_that_follow_each_other_hold_each_row_once(
    events: list[tuple[int, int, bool]], window: int
) -> None:
    workers = [monitor(window=window, min_rows=10**6) for _ in range(3)]
    one, many = monitor(), monitor()
    for i, (worker, n, sends) in enumerate(events):
        rows = traffic(i, n)
        one.observe(rows)
        workers[worker].observe(rows)
        if sends:
            many.merge(workers[worker].snapshot(reset=True))
    for worker in workers:
        many.merge(worker.snapshot(reset=True))
    assert totals(many) == totals(one)


def test_windows_do_not_notice_snapshots() -> None:
    plain, taken = monitor(window=300), monitor(window=300)
    for i in range(7):
        for watching in (plain, taken):
            watching.observe(traffic(i, 100))
        taken.snapshot(reset=True)
    assert [w.n_rows for w in taken.windows] == [300, 300]
    for a, b in zip(plain.windows, taken.windows, strict=True):
        assert [f.to_dict() for f in a.features] == [f.to_dict() for f in b.features]


def test_no_row_is_merged_twice() -> None:
    worker, many = monitor(), monitor()
    worker.observe(traffic(0))
    first = worker.snapshot()
    many.merge(first)
    for again in (first, worker.snapshot(), worker.snapshot(reset=True)):
        with pytest.raises(InputError, match="already"):
            many.merge(again)
    worker.observe(traffic(1, 10))
    many.merge(worker.snapshot(reset=True))
    assert many.status().n_rows == 1010
    with pytest.raises(InputError, match="already"):
        worker.merge(worker.snapshot())


def test_damaged_snapshots_are_refused() -> None:
    worker, many = monitor(), monitor()
    worker.observe(traffic(0))
    good = worker.snapshot()
    random = np.random.default_rng(0)
    for _ in range(300):
        bad = bytearray(good)
        bad[random.integers(len(bad))] ^= 1 << random.integers(8)
        with pytest.raises(InputError):
            many.merge(bytes(bad))
    for cut in (0, 1, 15, 16, 100, len(good) - 1):
        with pytest.raises(InputError):
            many.merge(good[:cut])
    assert many.status().n_rows == 0
    many.merge(good)


def test_snapshots_of_another_reference_are_refused() -> None:
    other = monitor(
        Reference.from_data({"x": np.arange(9.0), "c": ["a", "b", "c"] * 3})
    )
    other.observe(traffic(0))
    with pytest.raises(InputError):
        monitor().merge(other.snapshot())


def test_a_snapshot_needs_a_reference() -> None:
    watching = monitor_model(background=False, labels=False)
    with pytest.raises(InputError, match="reference"):
        watching.snapshot()
    with pytest.raises(InputError, match="reference"):
        watching.merge(b"")


def test_rows_of_a_snapshot_that_could_not_be_written_are_not_lost(
    tmp_path: Path,
) -> None:
    worker, many = monitor(), monitor()
    worker.observe(traffic(0, 50))
    with pytest.raises(OSError, match="nowhere"):
        worker.snapshot(tmp_path / "nowhere" / "x", reset=True)
    many.merge(worker.snapshot(reset=True))
    assert many.status().n_rows == 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_counts_for_itself(tmp_path: Path) -> None:
    watching = monitor(background=True, interval_s=0.01)
    watching.observe(traffic(0, 500))
    context = multiprocessing.get_context("fork")

    def child(path: Path) -> None:
        watching.observe(traffic(1, 30))
        assert watching._worker.is_alive
        watching.snapshot(path)

    path = tmp_path / "child"
    process = context.Process(target=child, args=(path,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    many = monitor()
    many.merge(path)
    assert many.status().n_rows == 30
    many.merge(watching.snapshot())
    assert many.status().n_rows == 530
    watching.close()
