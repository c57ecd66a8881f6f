"""The section of RESULTS.md on updates, from a result of bench_update."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.optimize_targets import NOTHING
from benchmarks.report import number, table, target_table
from benchmarks.sections import heading
from benchmarks.targets import Figure, Target, compute

Document = Mapping[str, Any]

# Accuracy on the new domain that is usual at so many new labels.
_USUAL = {50: 0.734, 200: 0.808, 1000: 0.892}


def _head(document: Document, _: int) -> Figure:
    entry = document.get("head", {}).get("head")
    if entry is None:
        return NOTHING
    return Figure(entry["median_s"], f"fastest {entry['fastest_s']:.3f} s")


def _shift(n: int) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        entry = document.get("shift", {}).get(f"{n} auto")
        if entry is None:
            return NOTHING
        return Figure(entry["new"], f"mean of {entry['n_cases']} seeds")

    return find


def _within(document: Document, _: int) -> Figure:
    entries = [
        e for e in document.get("shift", {}).values() if e.get("name") == "served"
    ]
    if not entries:
        return NOTHING
    n, most = (sum(e[key] for e in entries) for key in ("n_within", "n_cases"))
    return Figure(100 * n / most, f"{n} of {most}")


def _poison(key: str, of: str) -> Callable[[Document, int], Figure]:
    def find(document: Document, _: int) -> Figure:
        counts = [e for e in document.get("poison", {}).values() if of in e]
        if not counts:
            return NOTHING
        n, most = (sum(e[k] for e in counts) for k in (key, of))
        return Figure(100 * n / most, f"{n} of {most}")

    return find


TARGETS = (
    Target("head, 1,000 x 1,280 features", "<=", 0.2, " s", False, _head),
    *(
        Target(f"digits under shift, {n} new labels", ">=", least, "", False, _shift(n))
        for n, least in _USUAL.items()
    ),
    Target("old digits within the budget", ">=", 100, " %", False, _within),
    Target(
        "poisoned updates blocked",
        ">=",
        90,
        " %",
        False,
        _poison("blocked", "poisoned"),
    ),
    Target(
        "clean updates promoted", ">=", 90, " %", False, _poison("promoted", "clean")
    ),
)


def _shifts(document: Document) -> str:
    rows = [
        [
            str(entry["n"]),
            entry["name"],
            f"{entry['new']:.3f}",
            f"{entry['old']:.3f}",
            f"{entry['worst_drop']:.3f}",
            f"{entry['n_within']} of {entry['n_cases']}",
            number(entry["seconds"]),
        ]
        for entry in document.get("shift", {}).values()
    ]
    head = ["new labels", "who", "new", "old", "worst drop", "within budget", "s"]
    return table(head, rows)


def _cases(document: Document) -> str:
    rows = [
        [
            case,
            "poisoned" if entry["is_poisoned"] else "clean",
            f"{entry['n_promoted']} of {entry['n']}",
            ", ".join(entry["against"]),
        ]
        for case, entry in document.get("poison", {}).items()
        if "is_poisoned" in entry
    ]
    return table(["update", "kind", "promoted", "what was against it"], rows)


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
        heading("update", document, source),
        "## Targets of updates",
        target_table(compute(document, TARGETS)),
        "## Digits under shift",
        "A CNN of digits, then pictures that are flipped, paler and noisy. Accuracy on "
        "new and old digits that nobody learned from; `auto` is what `update_model` "
        "takes of the same labels, with which it chooses and proves too; `served` what "
        "serves after its gates.",
        _shifts(document),
        "## Poisoned and clean updates",
        _cases(document),
    ]
    return "\n\n".join(part for part in parts if part)
