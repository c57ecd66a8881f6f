"""The section of RESULTS.md on training, from a result of bench_train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.optimize_targets import NOTHING
from benchmarks.report import number, table, target_table
from benchmarks.sections import heading
from benchmarks.targets import Figure, Target, compute
from benchmarks.train_cases import CASES

Document = Mapping[str, Any]


def _ratio(name: str) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        entry = document.get("steps", {}).get(name)
        if entry is None:
            return NOTHING
        ratio = entry["ratio"]
        detail = f"middle half {ratio['low']:.2f} to {ratio['high']:.2f}"
        return Figure(ratio["median"], detail + ("; noisy" if ratio["noisy"] else ""))

    return find


TARGETS = tuple(
    Target(f"fine-tuning step against PyTorch, {x}", "<=", 1, "", False, _ratio(x))
    for x in CASES
)


def _steps(document: Document) -> str:
    rows = [
        [
            name,
            entry["about"],
            number(1e3 * entry["step_s"]["trimtab"]),
            number(1e3 * entry["step_s"]["torch"]),
            number(entry["resident_bytes"]["trimtab"] / 1e6),
            number(entry["resident_bytes"]["torch"] / 1e6),
            f"{entry['largest_difference_of_losses']:.0e}",
        ]
        for name, entry in document.get("steps", {}).items()
    ]
    head = [
        "network",
        "one step",
        "ours, ms",
        "PyTorch, ms",
        "ours, MB",
        "PyTorch, MB",
        "first losses differ by",
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
    n_threads = {entry["threads"] for entry in document["steps"].values()}
    parts = [
        heading(
            "train",
            document,
            source,
            "PyTorch without torch.compile, with its fused optimizers",
            threads=f"{', '.join(map(str, sorted(n_threads)))} threads",
        ),
        "## Targets of training",
        target_table(compute(document, TARGETS)),
        "## Steps",
        "The same network, weights and batch on both sides; one step is forward, "
        "backward and the update.",
        _steps(document),
    ]
    return "\n\n".join(parts)
