"""What monitoring costs and what it finds.

``python -m benchmarks.bench_monitor [STAGE ...]`` prints a JSON line per figure and
writes ``results/<date>-<kind of machine>-monitor.json``, `-partial` unless every stage
has run in full. A stage leaves its figures in the cache, so that the next can be run
alone and again:

    table      TableSketch against NumPy's histograms
    overhead   calls of a deployment, watched and not
    check      a window of 50 features compared; eight processes merged
    detection  thirty shifts and thirty quiet streams, evidently and nannyml beside

The figures go to RESULTS.md too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import bench_detection, monitor_check, monitor_overhead, monitor_table
from benchmarks.monitor_report import section
from benchmarks.rounds import QUICK, Effort
from benchmarks.stages import Benchmark, Stage, note

PACKAGES = ("trimtab", "numpy")


def overhead(*, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Measure what counting and looking add to a call.

    Parameters
    ----------
    quick : bool

    Returns
    -------
    entries : iterator of (str, dict)
    """
    with tempfile.TemporaryDirectory() as folder:
        effort = QUICK if quick else Effort()
        for entry in monitor_overhead.measure(Path(folder), effort):
            yield entry["model"], entry


def detection(*, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ours, and unless quick the peers.

    Parameters
    ----------
    quick : bool

    Returns
    -------
    entries : iterator of (str, dict)
    """
    yield "trimtab", bench_detection.measure(4 if quick else 20)
    for name in () if quick else bench_detection.PEERS:
        try:
            yield name, bench_detection.measure_peer(name)
        except Exception as error:
            note(f"{name}: not measured: {error}")


STAGES: dict[str, Stage] = {
    "table": monitor_table.table,
    "overhead": overhead,
    "check": monitor_check.check,
    "detection": detection,
}


BENCHMARK = Benchmark("monitor", __doc__, PACKAGES, STAGES, section)


if __name__ == "__main__":
    raise SystemExit(BENCHMARK.main())
