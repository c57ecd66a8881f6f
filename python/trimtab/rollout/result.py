"""What became of a candidate: states, reasons, figures; text, data, page, picture."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.registry.history import iso_time
from trimtab.report import text_table, write_report
from trimtab.rollout.log import Edge

__all__ = ["RolloutResult"]

#: Version of the layout that `to_dict` writes.
FORMAT = 1


@dataclass(frozen=True, eq=False)
class RolloutResult:
    """What `Rollout.run` returns; shown as a table.

    Parameters
    ----------
    name : str
        Of the model.
    version : int
        The candidate.
    from_version : int or None
        The champion when it began.
    number : int
        Of the rollout; 0 where no journal was kept.
    state : str
        "PROMOTED", "ROLLED_BACK", "REJECTED" or "NEEDS_DATA" once it has ended.
    edges : tuple of Edge
    evidence : dict
        Figures of all tests.
    policy : dict
        Options of the rollout.

    Examples
    --------
    >>> edge = Edge(0.0, "BAKING", "PROMOTED", ("no labels",))
    >>> result = RolloutResult("digits", 4, 3, 1, "PROMOTED", (edge,), {}, {})
    >>> result.ok, result.reasons
    (True, ('no labels',))
    """

    name: str
    version: int
    from_version: int | None
    number: int
    state: str
    edges: tuple[Edge, ...]
    evidence: Mapping[str, Any]
    policy: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Does the candidate serve, and has nothing been found against it?"""
        return self.state == "PROMOTED"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it ended as it did: of the edge that decided, and of those after it."""
        found: dict[str, None] = {}
        for edge in self._deciding():
            found.update(dict.fromkeys(edge.reasons))
        return tuple(found)

    def _deciding(self) -> list[Edge]:
        """The last edge; of what was taken back, all since that began."""
        edges = [edge for edge in self.edges if edge.before != edge.after]
        for turn in ("ROLLING_BACK", "PAUSED"):
            for i, edge in enumerate(edges):
                if edge.after == turn and not self.ok:
                    return edges[i:]
        return edges[-1:]

    @property
    def stages(self) -> list[dict[str, Any]]:
        """Each state it was in: ``state``, ``begun``, ``seconds``, ``share``."""
        found: list[dict[str, Any]] = []
        for edge in self.edges:
            if found:
                found[-1]["seconds"] = max(edge.time - found[-1]["begun"], 0.0)
            share = edge.data.get("share") if edge.before == edge.after else None
            if edge.before == edge.after and share is None:
                continue
            stage = {"state": edge.after, "begun": edge.time, "seconds": None}
            found.append({**stage, "share": share})
        return found

    # ---- as text -------------------------------------------------------------------

    def _rows(self) -> list[list[str]]:
        return [
            [
                iso_time(edge.time),
                edge.before,
                edge.after if edge.before != edge.after else "",
                _share_text(edge),
                "; ".join(edge.reasons),
            ]
            for edge in self.edges
        ]

    @property
    def summary(self) -> str:
        """State and reasons on one line."""
        came = "no version" if self.from_version is None else f"{self.from_version}"
        what = f"{self.name}: version {came} -> {self.version}: {self.state}"
        return what + (f" ({'; '.join(self.reasons)})" if self.reasons else "")

    def __str__(self) -> str:
        """State, reasons, and a table of the edges."""
        heads = ["at", "from", "to", "share", "why"]
        return f"{self.summary}\n{text_table(heads, self._rows())}"

    def __repr__(self) -> str:
        """State and reasons."""
        return f"RolloutResult({self.summary})"

    def _repr_html_(self) -> str:
        from trimtab.rollout.page import fragment_of

        return fragment_of(self)

    # ---- as data -------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "from_version": self.from_version,
            "number": self.number,
            "state": self.state,
            "ok": self.ok,
            "reasons": list(self.reasons),
            "edges": [edge.to_dict() for edge in self.edges],
            "stages": self.stages,
            "evidence": dict(self.evidence),
            "policy": dict(self.policy),
        }

    def to_json(self) -> str:
        """All of it as JSON text.

        Returns
        -------
        text : str
        """
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON, or as a page where the name says so.

        Parameters
        ----------
        path : path
            Ends with ``.json`` or ``.html``.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        from trimtab.rollout.page import page_of

        write_report(path, lambda: page_of(self), self.to_json)

    def plot(self, ax: Any = None) -> Any:
        """Draw the share of requests that the candidate answered, over time.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        ax : matplotlib.axes.Axes

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        from trimtab.rollout.picture import draw_timeline

        return draw_timeline(self, ax)


def _share_text(edge: Edge) -> str:
    share = edge.data.get("share")
    return f"{100 * share:g} %" if isinstance(share, (int, float)) else ""
