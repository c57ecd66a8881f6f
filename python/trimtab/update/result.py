"""What updating did, what is proven of it, and why the rest was not taken."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab import html
from trimtab.report import text_table, write_report
from trimtab.update.trials import CHAMPION, Trial

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.update.statistics import HeadStatistics

__all__ = ["STATES", "UpdateResult"]

#: State -> what it means.
STATES: dict[str, str] = {
    "PROMOTED": "proven, and serving",
    "ROLLED_BACK": "proven, then taken back by the rollout",
    "REJECTED": "not proven: what serves goes on",
    "NEEDS_DATA": "too few rows to prove it: what serves goes on",
    "READY": "proven; nobody was asked to let it serve",
}
_LEVELS = {"PROMOTED": "good", "READY": "good", "NEEDS_DATA": "warning"}
_HEADERS = ["method", "select", "old rows", "seconds", "why not"]


@dataclass(frozen=True, eq=False)
class UpdateResult:
    """What `trimtab.update_model` returns; shown as a table.

    Parameters
    ----------
    state : str
        Key of `STATES`.
    reasons : tuple of str
        Why it is not better than that.
    model : Model or None
        The best that is proven.
    metric : str
    candidates : tuple of Trial
        The champion first, then each method in the order in which it was tried.
    gates : GateReport or None
        None where nothing was left to be proven.
    version : int or None
        In the registry.
    n_rows : dict of str to int
        By part of the data.
    detail : dict
        What the method that was taken has chosen.
    statistics : HeadStatistics or None
        Of the rows that were learned from: given as ``reference=`` of the next update
        they stand for those rows.
    rollout : RolloutResult or None
    notes : tuple of str
        What was left out of the data.
    seconds : float
    seed : int

    Examples
    --------
    >>> result = trimtab.update_model(model, (x, y))       # doctest: +SKIP
    >>> result.state, result.model                         # doctest: +SKIP
    ('READY', Model(...))
    """

    state: str
    reasons: tuple[str, ...]
    model: Model | None
    metric: str
    candidates: tuple[Trial, ...]
    gates: Any
    version: int | None
    n_rows: dict[str, int]
    detail: dict[str, Any]
    statistics: HeadStatistics | None
    rollout: Any
    notes: tuple[str, ...]
    seconds: float
    seed: int

    @property
    def ok(self) -> bool:
        """Is there a model that is proven, and was not taken back?"""
        return self.state in ("PROMOTED", "READY")

    @property
    def taken(self) -> Trial | None:
        """The method that went to the gates, or None."""
        found = [trial for trial in self.candidates if not trial.why_not]
        return found[0] if found else None

    @property
    def method(self) -> str:
        """Its name, or ""."""
        return "" if self.taken is None else self.taken.method

    # ---- as text ------------------------------------------------------------

    def _lines(self) -> list[str]:
        parts = ", ".join(f"{n} {name}" for name, n in self.n_rows.items())
        lines = [
            f"{self.state}: {STATES[self.state]}",
            f"method   {self.method or 'none'}",
            f"metric   {self.metric}",
            f"data     {parts} rows; seed {self.seed}",
            f"time     {self.seconds:.1f} s",
        ]
        if self.version is not None:
            lines.insert(2, f"version  {self.version}")
        lines += [f"why      {reason}" for reason in self.reasons]
        return lines + [f"note     {note}" for note in self.notes]

    def _rows(self) -> list[list[str | int | float]]:
        return [
            [
                trial.method,
                _short(trial.select),
                _short(trial.reference),
                f"{trial.seconds:.2f}" if trial.method != CHAMPION else "",
                trial.why_not or "taken",
            ]
            for trial in self.candidates
        ]

    def __str__(self) -> str:
        """Summary, a table of the methods, and the gates."""
        lines = "\n".join(f"  {line}" for line in self._lines())
        text = f"UpdateResult\n{lines}\n{text_table(_HEADERS, self._rows())}"
        return text if self.gates is None else f"{text}\n{self.gates}"

    def __repr__(self) -> str:
        """Summary, a table of the methods, and the gates."""
        return str(self)

    def _repr_html_(self) -> str:
        from trimtab.update.result_plot import scores_figure

        state = html.badge(self.state, _LEVELS.get(self.state, "bad"))
        parts = [html.paragraph(html.Html(f"{state} {html.escape(self._lines()[0])}"))]
        parts += [html.paragraph(line, is_soft=True) for line in self._lines()[1:]]
        parts.append(html.figure(scores_figure(self), f"{self.metric} by method"))
        parts.append(html.table(_HEADERS, self._rows()))
        shown = getattr(self.gates, "_repr_html_", None)
        if shown is not None:
            parts.append(html.Html(shown()))
        return str(html.fragment(*parts))

    # ---- as data ------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Give all but models and statistics as plain values.

        Returns
        -------
        values : dict
            Numbers that are not finite are None.
        """
        trials = [
            {
                "method": trial.method,
                "select": trial.select,
                "reference": trial.reference,
                "seconds": trial.seconds,
                "why_not": trial.why_not,
                "detail": {} if trial.candidate is None else trial.candidate.detail,
            }
            for trial in self.candidates
        ]
        values: dict[str, Any] = _plain(
            {
                "format": 1,
                "state": self.state,
                "ok": self.ok,
                "reasons": self.reasons,
                "method": self.method,
                "metric": self.metric,
                "candidates": trials,
                "gates": None if self.gates is None else self.gates.to_dict(),
                "version": self.version,
                "n_rows": self.n_rows,
                "detail": self.detail,
                "rollout": None if self.rollout is None else self.rollout.to_dict(),
                "notes": self.notes,
                "seconds": self.seconds,
                "seed": self.seed,
            }
        )
        return values

    def to_json(self) -> str:
        """Give `to_dict` as JSON text.

        Returns
        -------
        text : str
        """
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report, as JSON, or as HTML where the name says so.

        Parameters
        ----------
        path : path
            Ends with ``.json`` or ``.html``.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        write_report(path, lambda: f"<!doctype html>{self._repr_html_()}", self.to_json)

    def plot(self, ax: Any = None) -> Any:
        """Draw the metric of each method, on new rows and on old ones.

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
        from trimtab.update.result_plot import draw_scores

        return draw_scores(self, ax)


def _short(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else ""


def _plain(value: Any) -> Any:
    """Values as JSON has them."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # of NumPy
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
