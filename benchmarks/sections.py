"""Sections of RESULTS.md that benchmarks write by themselves, in one order."""

from __future__ import annotations

from pathlib import Path

__all__ = ["ORDER", "PAGE", "put_section"]

PAGE = Path(__file__).parent / "RESULTS.md"
#: Name of the benchmark -> title; behind the comparison with other engines.
ORDER = {
    "decode": "# Decoding",
    "train": "# Training",
    "update": "# Updates",
    "rollout": "# Rollouts",
    "serve": "# Serving",
    "monitor": "# Monitoring",
    "optimize": "# Optimised models",
}


def put_section(name: str, text: str, page: Path = PAGE) -> Path:
    """Put a section in its place, or in that of an older one.

    Parameters
    ----------
    name : str
        Of `ORDER`.
    text : str
        Begins with its title.
    page : Path, default=PAGE

    Returns
    -------
    page : Path
    """
    title = ORDER[name]
    kept, mark, mine = page.read_text(encoding="utf-8").partition(f"\n{title}\n")
    if mark:
        _, next_mark, after = mine.partition("\n# ")
        kept = kept + next_mark + after
    later = list(ORDER.values())[list(ORDER).index(name) + 1 :]
    places = [at for one in later if (at := kept.find(f"\n{one}\n")) >= 0]
    at = min(places, default=len(kept))
    made = f"{kept[:at].rstrip()}\n\n{text.rstrip()}\n"
    page.write_text(made + kept[at:], encoding="utf-8")
    return page
