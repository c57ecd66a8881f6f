"""The section of RESULTS.md on rollouts, from a result of bench_rollout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.optimize_targets import NOTHING
from benchmarks.report import number, table, target_table
from benchmarks.sections import heading
from benchmarks.targets import Figure, Target, compute

Document = Mapping[str, Any]


def _labels(case: str, key: str, scale: float) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        entry = document.get("labels", {}).get(case)
        if entry is None or entry[key] is None:
            return NOTHING
        return Figure(scale * entry[key], f"{entry['n_runs']} runs")

    return find


def _rollouts(
    case: str, key: str, scale: float, what: str
) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        entry = document.get("rollouts", {}).get(case)
        if entry is None or entry[key] is None:
            return NOTHING
        return Figure(scale * entry[key], what.format(**entry))

    return find


def _killed(key: str) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        entry = document.get("killed", {}).get("rollout")
        if entry is None:
            return NOTHING
        ended = ", ".join(f"{n} {state}" for state, n in entry["ended_in"].items())
        return Figure(float(entry[key]), f"ended in: {ended}")

    return find


_WORSE = "3 points worse"
TARGETS = (
    Target(
        "equal models stopped", "<=", 5, " %", False, _labels("equal", "stopped", 100)
    ),
    Target(
        "3 points worse: caught", ">=", 95, " %", False, _labels(_WORSE, "stopped", 100)
    ),
    Target(
        "3 points worse: requests, median",
        "<=",
        700,
        "",
        False,
        _labels(_WORSE, "median_requests", 1),
    ),
    Target(
        "whole rollouts: equal models stopped",
        "<=",
        5,
        " %",
        False,
        _rollouts("equal", "rolled_back", 100, "of {n_runs}"),
    ),
    Target(
        "whole rollouts: 3 points worse, caught",
        ">=",
        95,
        " %",
        False,
        _rollouts(_WORSE, "rolled_back", 100, "of {n_runs}"),
    ),
    Target(
        "whole rollouts: 3 points worse, labels, median",
        "<=",
        700,
        "",
        False,
        _rollouts(_WORSE, "median_labels", 1, "all tests share alpha"),
    ),
    Target(
        "processes killed in a rollout, all old or new",
        ">=",
        200,
        "",
        False,
        _killed("n_kills"),
    ),
    Target(
        "resumed twice, with another end", "<=", 0, "", False, _killed("n_different")
    ),
)


def _simulated(document: Document) -> str:
    rows = [
        [
            case,
            number(100 * entry["stopped"]),
            ""
            if entry["median_requests"] is None
            else number(entry["median_requests"]),
            "" if entry["p90_requests"] is None else number(entry["p90_requests"]),
            str(entry["n_runs"]),
        ]
        for case, entry in document.get("labels", {}).items()
    ]
    head = ["candidate", "stopped, %", "requests, median", "nine of ten", "runs"]
    return table(head, rows)


def _whole(document: Document) -> str:
    rows = [
        [
            case,
            number(100 * entry["promoted"]),
            number(100 * entry["rolled_back"]),
            number(100 * entry["answered"]),
            number(entry["median_labels"]),
            "" if entry["undone_s"] is None else number(1e3 * entry["undone_s"]),
            str(entry["n_errors"]),
        ]
        for case, entry in document.get("rollouts", {}).items()
    ]
    head = [
        "candidate",
        "promoted, %",
        "rolled back, %",
        "ever answered, %",
        "labels, median",
        "taken back in, ms",
        "errors clients saw",
    ]
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
        heading("rollout", document, source),
        "## Targets of rollouts",
        target_table(compute(document, TARGETS)),
        "## The test of quality",
        "Labels of every request, looked at after each, up to 20,000; both are wrong "
        "on the same requests but for 5 to 7 %.",
        _simulated(document),
        "## Whole rollouts",
        "Shadow until the labels decide, canary, promotion, behind a deployment with a "
        "client that keeps asking. The test of quality has 60 % of alpha here, and all "
        "of it above. Latency is not judged here (factor 1e6): the machine is shared. "
        "3 points is the margin itself, where the proof may err.",
        _whole(document),
    ]
    return "\n\n".join(part for part in parts if part)
