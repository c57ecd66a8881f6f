"""Sections of RESULTS.md that benchmarks write by themselves, in one order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["ORDER", "PAGE", "heading", "put_section"]

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


def heading(
    name: str,
    document: Mapping[str, Any],
    source: Path,
    *notes: str,
    threads: str = "",
) -> str:
    """Begin a section: what made it, when, where and with what.

    Parameters
    ----------
    name : str
        Of `ORDER`.
    document : mapping
    source : Path
        The file that it stands in.
    *notes : str
        More items of the list.
    threads : str, optional
        How many a call has.

    Returns
    -------
    text : str
    """
    machine, versions = document["machine"], document["versions"]
    where = [f"{machine['cpu']}, {machine['n_cpus']} cores, {machine['isa']}", threads]
    timed = [run.get("minutes", 0) for run in document.get("stages", {}).values()]
    took = f"; {sum(timed):.0f} minutes in all" if timed else ""
    items = [
        "Machine: " + "; ".join(part for part in where if part),
        ", ".join(f"{package} {version}" for package, version in versions.items()),
        *notes,
    ]
    listed = "\n".join(f"- {item}" for item in items)
    commits = commits_of(document)
    at = f"commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}"
    return f"""{ORDER[name]}

Made by `{document["command"]}` on {document["date"]} at {at}
([{source.name}](results/{source.name})){took}.

{listed}"""


def commits_of(document: Mapping[str, Any]) -> list[str]:
    """Commits that stages were measured at, each once.

    Parameters
    ----------
    document : mapping of str to object
        Stages say ``commit``: one, or more with commas between where the parts of a
        stage were measured one after the other.

    Returns
    -------
    commits : list of str
    """
    said = [run.get("commit", "") for run in document.get("stages", {}).values()]
    found = dict.fromkeys(part for text in said for part in text.split(", ") if part)
    return list(found) or [document["commit"]]


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
