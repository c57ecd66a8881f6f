"""What maintenance did and why, as text, data, a page and a picture."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trimtab.maintain.log import line_of, read_log
from trimtab.report import Cell, pyplot

if TYPE_CHECKING:
    from trimtab.html import Html

__all__ = ["MaintenanceReport"]

_BAD = ("FAILED", "INTERRUPTED", "REJECTED")
_LEVELS = {**dict.fromkeys(_BAD, "bad"), "ROLLED_BACK": "warn", "NEEDS_DATA": "warn"}
_MAX_ROWS = 200


@dataclass(frozen=True, eq=False)
class MaintenanceReport:
    """What `maintain_model` returns: its log, and what it did.

    Parameters
    ----------
    name : str
        Of the deployment.
    records : tuple of dict
        Of the log, the oldest first.
    version : int or None
        That is served now.
    results : tuple of object
        What `update_model` and `rollback_model` returned; of a log that was read, none.

    Examples
    --------
    >>> MaintenanceReport("digits", ()).ok
    True
    """

    name: str
    records: tuple[dict[str, Any], ...]
    version: int | None = None
    results: tuple[Any, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, path: str | os.PathLike[str], name: str = "") -> MaintenanceReport:
        """Make the report of a log.

        Parameters
        ----------
        path : path
        name : str
            Of the deployment.

        Returns
        -------
        report : MaintenanceReport

        Raises
        ------
        InputError
            It cannot be read.

        Examples
        --------
        >>> MaintenanceReport.read("log.ndjson")           # doctest: +SKIP
        """
        records = tuple(read_log(path))
        served = [r["version"] for r in records if r["kind"] == "version"]
        return cls(name, records, served[-1] if served else None)

    @property
    def actions(self) -> tuple[dict[str, Any], ...]:
        """Records of what was done, the oldest first."""
        return tuple(r for r in self.records if r["kind"] == "ended")

    @property
    def ok(self) -> bool:
        """Did nothing fail?"""
        return not any(r.get("is_failure") for r in self.actions)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What failed, or was refused, and why."""
        return tuple(
            f"{r['rule']}: {r['state']}: {r['detail']}"
            for r in self.actions
            if r["state"] in _BAD
        )

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON.

        Returns
        -------
        values : dict
        """
        return {
            "name": self.name,
            "version": self.version,
            "ok": self.ok,
            "reasons": list(self.reasons),
            "records": list(self.records),
        }

    def to_json(self) -> str:
        """Give it as JSON.

        Returns
        -------
        json : str
        """
        return json.dumps(self.to_dict(), indent=1)

    def __str__(self) -> str:
        """Give it a line for each record, in local time."""
        served = "" if self.version is None else f", version {self.version} is served"
        if not self.records:
            return f"{self.name}: nothing was done{served}"
        return "\n".join(
            [f"{self.name}{served}", *(f"  {line_of(r)}" for r in self.records)]
        )

    __repr__ = __str__

    def _body(self) -> list[Html]:
        from trimtab import html

        rows: list[list[Cell]] = []
        for record in self.records[-_MAX_ROWS:]:
            state = record.get("state")
            mark: Cell = (
                html.badge(state, _LEVELS.get(str(state), "good")) if state else ""
            )
            time, _, told = line_of(record).partition("  ")
            rows.append([time, told, mark])
        served = "no version" if self.version is None else f"version {self.version}"
        return [
            html.paragraph(f"{served} is served; {len(self.actions)} actions"),
            html.table(["when", "what", ""], rows),
        ]

    def _repr_html_(self) -> str:
        """Give it to a notebook."""
        from trimtab import html

        return html.fragment(*self._body())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it: ``.html`` or ``.json`` by its name.

        Parameters
        ----------
        path : path

        Raises
        ------
        OSError
            It cannot be written.
        """
        from trimtab import html

        text = self.to_json()
        if not os.fspath(path).endswith(".json"):
            title = f"Maintenance of {self.name}"
            text = html.page(title, [("What was done", self._body())])
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def plot(self, metric: str | None = None) -> Any:
        """Draw a live metric over time, with what was done.

        Parameters
        ----------
        metric : str, optional
            By default the first that was seen.

        Returns
        -------
        figure : matplotlib.figure.Figure

        Raises
        ------
        ImportError
            matplotlib is not there.
        """
        plt = pyplot("MaintenanceReport.plot")
        figure, axes = plt.subplots(figsize=(9, 3.2))
        begun = self.records[0]["time"] if self.records else 0.0
        seen = [
            (r["time"] - begun, m)
            for r in self.records
            if (m := _metric(r, metric)) is not None
        ]
        if seen:
            times = [time for time, _ in seen]
            axes.plot(times, [m["value"] for _, m in seen], "o-", color="#2166ac")
            axes.fill_between(
                times,
                [m["low"] for _, m in seen],
                [m["high"] for _, m in seen],
                color="#2166ac",
                alpha=0.15,
            )
        for n, record in enumerate(self.actions):
            bad = record["state"] in _BAD
            colour = "#b2182b" if bad else "#1b7837"
            at = record["time"] - begun
            axes.axvline(at, color=colour, lw=1, ls="--")
            axes.annotate(
                f"{record['rule']}: {record['state'].lower().replace('_', ' ')}",
                (at, 1.0 - 0.09 * (n % 4)),
                xycoords=("data", "axes fraction"),
                xytext=(3, -9),
                textcoords="offset points",
                fontsize=8,
                color=colour,
            )
        axes.set_xlabel("seconds since the log began")
        axes.set_ylabel(metric or (next(iter(_metrics(self.records)), "")))
        axes.set_title(f"Maintenance of {self.name}")
        figure.tight_layout()
        return figure


def _seen(record: Mapping[str, Any]) -> Mapping[str, Any]:
    found = record.get("observation") or {}
    metrics: Mapping[str, Any] = found.get("metrics") or found.get("estimates") or {}
    return metrics


def _metrics(records: tuple[dict[str, Any], ...]) -> list[str]:
    return [name for record in records for name in _seen(record)]


def _metric(record: Mapping[str, Any], name: str | None) -> Mapping[str, Any] | None:
    metrics = _seen(record)
    found = metrics.get(name) if name else next(iter(metrics.values()), None)
    return found if isinstance(found, Mapping) else None
