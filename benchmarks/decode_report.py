"""The section of RESULTS.md on decoding, from a result of bench_decode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.optimize_targets import NOTHING
from benchmarks.report import number, table, target_table
from benchmarks.sections import heading
from benchmarks.targets import Figure, Target, compute

Document = Mapping[str, Any]


def _entries(document: Document) -> dict[str, Any]:
    return {**document.get("weights", {}), **document.get("attention", {})}


def _share(name: str) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        entry = _entries(document).get(name)
        if entry is None:
            return NOTHING
        low, high = (100 * entry[f"share_{end}"] for end in ("low", "high"))
        return Figure(100 * entry["share"], f"middle half {low:.0f} to {high:.0f}")

    return find


TARGETS = tuple(
    Target(f"{name}, share of the memory's bandwidth", ">=", 70, " %", False, find)
    for name, find in (
        (name, _share(name))
        for name in (
            "int8_blocks",
            "int4_blocks",
            "int8_channels",
            "int8_qdq_blocks",
            "int4_qdq_blocks",
            "cache_4096",
        )
    )
)


def _calls(document: Document) -> str:
    rows = [
        [
            name,
            entry["about"],
            number(entry["n_bytes"] / 2**20),
            number(1e3 * entry["call_s"]["trimtab"]),
            number(1e3 * entry["call_s"]["onnxruntime"]),
            f"{entry['ratio']['median']:.2f} "
            f"({entry['ratio']['low']:.2f} to {entry['ratio']['high']:.2f})",
            number(entry["n_bytes"] / entry["call_s"]["trimtab"] / 1e9),
            f"{entry['differs_by']:.0e}",
        ]
        for name, entry in _entries(document).items()
    ]
    head = [
        "case",
        "what",
        "read, MB",
        "ours, ms",
        "onnxruntime, ms",
        "ratio (middle half)",
        "ours, GB/s",
        "outputs differ by",
    ]
    return table(head, rows, left=2)


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
            "decode",
            document,
            source,
            "onnxruntime makes int8 of the row where it takes DequantizeLinear for "
            "itself, which is the difference of its outputs",
            threads="1 thread",
        ),
        "## Targets of decoding",
        target_table(compute(document, TARGETS)),
        "## Calls",
        _calls(document),
    ]
    return "\n\n".join(part for part in parts if part)
