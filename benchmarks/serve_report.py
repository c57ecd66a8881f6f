"""The section of RESULTS.md on serving, from a result of bench_serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.optimize_targets import NOTHING
from benchmarks.report import number, table, target_table
from benchmarks.sections import heading
from benchmarks.targets import Figure, Target, compute

Document = Mapping[str, Any]


def _requests(find: Callable[[Any], tuple[float, str]]) -> Any:
    def figure(document: Document, _: int) -> Figure:
        entry = document.get("swap", {}).get("requests")
        return NOTHING if entry is None else Figure(*find(entry))

    return figure


def _memory(document: Document, _: int) -> Figure:
    entry = document.get("swap", {}).get("memory")
    if entry is None:
        return NOTHING
    before, after = (entry[f"{when}_bytes"] / 2**20 for when in ("before", "after"))
    detail = f"{before:.1f} MB, then {after:.1f} MB"
    return Figure(100 * entry["growth"], detail)


def _during(entry: Any) -> str:
    return f"of {entry['during']['n_requests']} during {entry['n_swaps']} swaps"


def _ratio(entry: Any) -> tuple[float, str]:
    before, during = (1e3 * entry[when]["p99_s"] for when in ("before", "during"))
    return entry["p99_ratio"], f"{before:.3g} ms, then {during:.3g} ms"


TARGETS = (
    Target(
        "requests that failed while versions were swapped",
        "<=",
        0,
        "",
        False,
        _requests(lambda e: (e["during"]["n_errors"], _during(e))),
    ),
    Target(
        "answers of two versions, or not of the one named",
        "<=",
        0,
        "",
        False,
        _requests(lambda e: (e["during"]["n_mixed"], _during(e))),
    ),
    Target("p99 during swaps / p99 before", "<=", 3, "", False, _requests(_ratio)),
    Target("resident growth over 100 swaps", "<=", 1, " %", False, _memory),
)


def _batching(document: Document) -> str:
    rows = [
        [
            name,
            number(entry["weights_bytes"] / 2**20),
            number(entry["alone_per_s"]),
            number(entry["together_per_s"]),
            f"{entry['ratio']['median']:.2f} "
            f"({entry['ratio']['low']:.2f} to {entry['ratio']['high']:.2f})",
            number(entry["rows_per_batch"]),
            number(1e3 * entry["p99_s"]["alone"]),
            number(1e3 * entry["p99_s"]["together"]),
        ]
        for name, entry in document.get("batching", {}).items()
    ]
    head = [
        "net",
        "weights, MB",
        "alone, 1/s",
        "together, 1/s",
        "ratio (middle half)",
        "rows a batch",
        "p99 alone, ms",
        "p99 together, ms",
    ]
    return table(head, rows)


def _promotion(document: Document) -> str:
    rows = [
        [
            {"set_alias": "changing an alias", "until_served": "until it is served"}[
                name
            ],
            str(entry["n"]),
            *(number(1e3 * entry[key]) for key in ("p50_s", "p99_s", "max_s")),
        ]
        for name, entry in document.get("promotion", {}).items()
    ]
    return table(["what", "times", "p50, ms", "p99, ms", "max, ms"], rows)


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
        heading(
            "serve",
            document,
            source,
            "8 Python threads ask, each as fast as it is answered",
        ),
        "## Targets of serving",
        target_table(compute(document, TARGETS)),
        "## Requests run together",
        _batching(document),
        "## Promotions",
        _promotion(document),
    ]
    return "\n\n".join(part for part in parts if part)
