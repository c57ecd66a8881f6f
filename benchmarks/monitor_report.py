"""The section of RESULTS.md on monitoring, from a result of bench_monitor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.optimize_targets import NOTHING
from benchmarks.report import number, table, target_table
from benchmarks.sections import heading
from benchmarks.targets import Figure, Target, compute

Document = Mapping[str, Any]


def _cost(model: str) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        entry = document.get("overhead", {}).get(model)
        if entry is None:
            return NOTHING
        cost = entry["cost"]["monitored"]
        detail = (
            f"of {1e3 * entry['off_s']:.3g} ms; middle half {100 * cost['low']:.1f} to "
            f"{100 * cost['high']:.1f} %; {100 * entry['looked_share']:.0f} % of the "
            "rows looked at"
        )
        return Figure(100 * cost["median"], detail)

    return find


def _table(document: Document, _: int) -> Figure:
    entry = document.get("table", {}).get("float32")
    if entry is None:
        return NOTHING
    best = {name: 1e3 * value for name, value in entry["best_s"].items()}
    return Figure(
        best["trimtab"], f"NumPy's histograms {best['numpy_histogram']:.0f} ms"
    )


def _check(key: str, scale: float = 1.0) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        entry = document.get("check", {}).get("50_features")
        if entry is None:
            return NOTHING
        return Figure(scale * float(entry[key]), f"{entry['n_features']} features")

    return find


def _found(key: str) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        ours = document.get("detection", {}).get("trimtab")
        if ours is None:
            return NOTHING
        part = ours["alert"]
        detail = (
            f"of {part['n_shifts']} shifts; median delay {part['median_samples']:.0f} "
            "samples"
            if key == "n_found"
            else f"{part['n_false']} of {part['n_quiet_windows']} quiet windows"
        )
        return Figure(float(part[key]), detail)

    return find


TARGETS = (
    *(
        Target(f"monitoring on against off, {x}", "<=", limit, " %", False, _cost(x))
        for x, limit in (
            ("efficientnet_lite0_dynamo", 1),
            ("minilm_dynamo", 1),
            ("tabular_50", 5),
        )
    ),
    Target("sketch of 100,000 x 50 float32, one core", "<=", 15, " ms", False, _table),
    Target(
        "check of 50 features from sketches",
        "<=",
        5,
        " ms",
        False,
        _check("median_ms"),
    ),
    Target(
        "memory of a window of 50 features",
        "<=",
        64,
        " KB",
        False,
        _check("sketch_bytes", 1 / 1024),
    ),
    Target("shifts found within 2,000 samples", ">=", 28, "", False, _found("n_found")),
    Target(
        "false alarms per 100 quiet windows",
        "<=",
        1,
        "",
        False,
        _found("false_per_100"),
    ),
    Target(
        "sketches of 8 processes merge to one process' bytes",
        ">=",
        1,
        "",
        False,
        _check("merge_is_exact"),
    ),
)


def _peers(document: Document) -> str:
    rows = [
        [
            engine,
            view,
            f"{part['n_found']} of {part['n_shifts']}",
            number(part["false_per_100"]),
            str(part["n_quiet_windows"]),
            number(result["check_ms"]),
        ]
        for engine, result in document.get("detection", {}).items()
        for view, part in result.items()
        if isinstance(part, dict)
    ]
    head = [
        "engine",
        "what counts as an alarm",
        "found",
        "false per 100",
        "quiet windows",
        "ms a window",
    ]
    return table(head, rows, left=2)


def _tables(document: Document) -> str:
    rows = [
        [name, *(number(1e3 * value) for value in entry["best_s"].values())]
        for name, entry in document.get("table", {}).items()
    ]
    head = ["table", "TableSketch, ms", "NumPy histograms", "NumPy, all of it"]
    return table(head, rows)


def section(document: Document, source: Path) -> str:
    """The whole section.

    Parameters
    ----------
    document : mapping
    source : Path
        The file that it stands in.

    Returns
    -------
    text : str
    """
    parts = [
        heading("monitor", document, source, threads="one thread a call"),
        "## Targets of monitoring",
        target_table(compute(document, TARGETS)),
        "## Shifts found and false alarms",
        "Windows of 500 rows: 30 streams of real data with a change, 30 without.",
        _peers(document),
        "## Tables of 50 columns",
        "100,000 rows where the name says nothing else; the best of the rounds.",
        _tables(document),
    ]
    return "\n\n".join(part for part in parts if part)
