"""How a model has been doing, as text, data, one HTML file, and a picture."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from trimtab.monitor.status import Status, WindowResult, plain
from trimtab.report import Cell, count_text, pyplot

if TYPE_CHECKING:
    from trimtab.html import Html
    from trimtab.monitor.monitor import Monitor

__all__ = ["MonitorReport"]

_LEVELS = {"ok": "good", "drift": "warn", "alert": "bad"}
# Features with a course of their own, and windows in a table.
_MAX_COURSES = 60
_MAX_ALERTS = 50
_MAX_METRICS = 4
_MAX_NODES = 5
_FIGURES = ("value", "low", "high")


@dataclass(frozen=True, eq=False)
class MonitorReport:
    """What `Monitor.report` returns.

    Parameters
    ----------
    name, version : str
        Of the model.
    status : Status
    windows : tuple of WindowResult
        Oldest first; the last may not be complete.
    window : str
        How traffic was cut.
    time : float
        When the report was made, seconds since 1970.
    label_windows : tuple of dict
        Metrics by window of predictions, as labels came.

    Examples
    --------
    >>> report = monitor.report()                          # doctest: +SKIP
    >>> report.save("r.html")                              # doctest: +SKIP
    """

    name: str
    version: str
    status: Status
    windows: tuple[WindowResult, ...]
    window: str
    time: float
    label_windows: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, monitor: Monitor, status: Status, time: float) -> MonitorReport:
        """Make the report of a monitor.

        Parameters
        ----------
        monitor : Monitor
        status : Status
            Of `Monitor.check`.
        time : float

        Returns
        -------
        report : MonitorReport
        """
        windows = monitor.windows
        if not windows and status.window is not None:
            windows = (status.window,)
        return cls(
            monitor.name,
            monitor.version,
            status,
            windows,
            str(monitor.window),
            time,
            monitor.label_windows,
        )

    @property
    def ok(self) -> bool:
        """Is there neither drift nor an alert?"""
        return self.status.ok

    # ---- as text ------------------------------------------------------------

    def _title(self) -> str:
        return f"{self.name} {self.version}".strip()

    def __str__(self) -> str:
        """Status, and the last window's table."""
        lines = [f"MonitorReport of {self._title()}, windows of {self.window}"]
        lines.append(str(self.status))
        last = self.status.window
        if last is not None and last.drift is not None:
            lines.append(str(last.drift))
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Status, and the last window's table."""
        return str(self)

    # ---- as a page ----------------------------------------------------------

    def _sections(self) -> list[tuple[str, object]]:
        from trimtab.html import paragraph

        last = self.status.window
        sections: list[tuple[str, object]] = [("Now", self._facts())]
        if len(self.windows) > 1:
            sections.append(("Course", self._course()))
        if self.status.metrics or (last is not None and last.estimates):
            sections.append(("Metrics", self._metrics()))
        if last is not None and last.drift is not None:
            sections.append(("Features", [*last.drift.html_parts(), *self._courses()]))
        elif last is not None:
            sections.append(("Features", paragraph("too few rows to compare")))
        for title, counts in (
            ("Faults of the traffic", {} if last is None else last.faults),
            ("Troubles inside monitoring", {"": self.status.troubles}),
        ):
            if any(counts.values()):
                sections.append((title, _counts_table(counts)))
        return sections

    def _facts(self) -> list[Html]:
        from trimtab.html import badge, fragment, paragraph, table

        status = self.status
        state = fragment(badge(status.state, _LEVELS.get(status.state, "warn")))
        n_windows = count_text(status.n_windows, "window")
        rows: list[list[Cell]] = [
            ["rows", f"{status.n_rows}"],
            ["windows", f"{n_windows} of {self.window}"],
        ]
        if status.skew:
            rows.append(["skew from the start", ", ".join(status.skew[:10])])
        rows += _counter_rows(status.counters)
        parts = [paragraph(state), table(["", ""], rows)]
        parts += [
            paragraph(f"alert: {alert.get('message', '')}")
            for alert in status.alerts[:_MAX_ALERTS]
        ]
        return parts

    def _course(self) -> list[Html]:
        from trimtab.html import figure, grid
        from trimtab.svg import Series, line

        told = [w for w in self.windows if w.drift is not None]
        x = [w.index for w in told]
        worst = [_worst(w) for w in told]
        share = [len(w.drifted) / max(len(w.features), 1) for w in told]
        return [
            grid(
                [
                    figure(
                        line(
                            Series("strongest effect", x, worst),
                            threshold=1.0,
                            x_label="window",
                        ),
                        "strongest effect, in thresholds",
                    ),
                    figure(
                        line(
                            Series("drifted", x, share),
                            y_range=(0.0, 1.0),
                            x_label="window",
                        ),
                        "share of the features that have drifted",
                    ),
                ]
            )
        ]

    def _courses(self) -> list[Html]:
        from trimtab.html import details, short_text, table
        from trimtab.svg import sparkline

        told = [w for w in self.windows if w.drift is not None]
        if len(told) < 2:
            return []
        courses: dict[str, list[float]] = {}
        for window in told:
            assert window.drift is not None
            for feature in window.drift.features:
                course = courses.setdefault(feature.name, [])
                course.append(min(feature.strength, 99.0))
        ranked = sorted(courses.items(), key=lambda item: -item[1][-1])[:_MAX_COURSES]
        rows: list[list[Cell]] = [
            [short_text(name, 60), f"{course[-1]:.2f}", sparkline(course, threshold=1)]
            for name, course in ranked
        ]
        headers = ["feature", "effect now, in thresholds", "course"]
        return [details("course of each feature", table(headers, rows))]

    def _metrics(self) -> list[Html]:
        from trimtab.html import grid, number_text, paragraph, table

        rows: list[list[Cell]] = []
        for name, one in self.status.metrics.items():
            figures = [number_text(one[key]) for key in _FIGURES]
            rows.append([name, *figures, f"{one['n']} labels"])
        last = self.status.window
        estimates = {} if last is None else last.estimates
        for name, one in estimates.items():
            figures = [number_text(one[key]) for key in _FIGURES]
            rows.append([name, *figures, "an estimate, before labels come"])
        parts = [table(["metric", "value", "low", "high", "from"], rows)]
        parts += [
            paragraph(f"{name}: {note}")
            for name, one in estimates.items()
            for note in one.get("notes", ())
        ]
        courses = self._metric_courses()
        parts += [grid(courses)] if courses else []
        if self.status.labels:
            told = ", ".join(f"{n} {what}" for what, n in self.status.labels.items())
            parts.append(paragraph(f"labels: {told}", is_soft=True))
        return parts

    def _metric_courses(self) -> list[Html]:
        """Metrics of labels, and estimates, over windows; with their intervals."""
        labelled: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for window in self.label_windows:
            for name, one in window["metrics"].items():
                labelled.setdefault(name, []).append((window["index"], one))
        estimated: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for result in self.windows:
            for name, one in result.estimates.items():
                estimated.setdefault(name, []).append((result.index, one))
        return [
            _metric_course(f"{name}, {what}", points, where)
            for what, courses, where in (
                ("of labels that came", labelled, "window of predictions with an id"),
                ("an estimate, before labels", estimated, "window"),
            )
            for name, points in list(courses.items())[:_MAX_METRICS]
            if len(points) > 1
        ]

    def to_html(self) -> str:
        """Give the report as one file that needs nothing else.

        Returns
        -------
        html : str
        """
        from trimtab.html import page

        when = datetime.fromtimestamp(self.time, timezone.utc)
        return page(
            f"Monitoring of {self._title()}",
            self._sections(),
            subtitle=f"{when:%Y-%m-%d %H:%M:%S} UTC",
        )

    def _repr_html_(self) -> str:
        from trimtab.html import Html, escape, fragment

        parts: list[Any] = []
        for title, body in self._sections():
            parts.append(Html(f"<h2>{escape(title)}</h2>"))
            parts.extend(body if isinstance(body, list) else [body])
        return str(fragment(*parts))

    # ---- as data ------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON.

        Returns
        -------
        values : dict
        """
        return {
            "name": self.name,
            "version": self.version,
            "time": self.time,
            "window": self.window,
            "ok": self.ok,
            "status": self.status.to_dict(),
            "label_windows": plain(self.label_windows),
            "windows": [
                {
                    "index": w.index,
                    "time": w.time,
                    "n_rows": w.n_rows,
                    "drifted": list(w.drifted),
                    "strongest_effect": plain(_worst(w)),
                    "estimates": plain(w.estimates),
                }
                for w in self.windows
            ],
        }

    def to_json(self) -> str:
        """Give it as JSON text.

        Returns
        -------
        text : str
        """
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report: HTML, or JSON where the name says so.

        Parameters
        ----------
        path : path
            Ends with ``.html`` or ``.json``.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        from trimtab.formats.tensor_file import write_file

        is_json = os.fsdecode(path).endswith(".json")
        text = self.to_json() + "\n" if is_json else self.to_html()
        write_file(os.path.abspath(os.fsdecode(path)), [text.encode()])

    def plot(self, ax: Any = None, *, n_features: int = 6) -> Any:
        """Draw the effects of the strongest features over the windows.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        n_features : int, default=6

        Returns
        -------
        ax : matplotlib.axes.Axes

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        plt = pyplot("MonitorReport.plot")
        if ax is None:
            _, ax = plt.subplots(figsize=(7, 3.5))
        told = [w for w in self.windows if w.drift is not None]
        courses: dict[str, dict[int, float]] = {}
        for window in told:
            assert window.drift is not None
            for feature in window.drift.features:
                found = courses.setdefault(feature.name, {})
                found[window.index] = min(feature.strength, 99.0)
        ranked = sorted(courses, key=lambda name: -max(courses[name].values()))
        for name in ranked[:n_features]:
            ax.plot(list(courses[name]), list(courses[name].values()), label=name)
        ax.axhline(1.0, color="gray", linestyle="--", linewidth=1)
        ax.set_xlabel("window")
        ax.set_ylabel("effect, in thresholds")
        ax.set_title(self._title())
        if ranked:
            ax.legend(fontsize=8)
        return ax


def _worst(window: WindowResult) -> float:
    """The strongest effect of a window, in thresholds; what is gone counts as 99."""
    if window.drift is None:
        return float("nan")
    return max((min(f.strength, 99.0) for f in window.drift.features), default=0.0)


def _metric_course(
    title: str, points: list[tuple[int, dict[str, Any]]], x_label: str
) -> Html:
    from trimtab.html import figure
    from trimtab.svg import Series, line

    x = [index for index, _ in points]
    value, low, high = ([one[key] for _, one in points] for key in _FIGURES)
    drawn = line(Series(title, x, value, low, high), x_label=x_label)
    return figure(drawn, title)


def _counter_rows(counters: Mapping[str, Any]) -> list[list[Cell]]:
    """The few totals that a person looks for."""
    if "n_calls" not in counters:
        return []
    stage = counters["stages"]["request"]
    if not stage["n"]:
        stage = counters["stages"]["compute"]
    n_errors = sum({**counters["errors"], **counters["request_errors"]}.values())
    times = ", ".join(
        f"{name} {1e3 * stage[f'{name}_s']:.3g} ms" for name in ("p50", "p99", "p999")
    )
    odd = [
        f"{n} {what} in {name}"
        for side in ("input", "output")
        for name, counts in zip(
            counters[f"{side}_names"], counters[f"{side}s"], strict=False
        )
        for what in ("nan", "infinite", "constant")
        if (n := counts.get(f"n_{what}"))
    ]
    rows: list[list[Cell]] = [
        ["requests", f"{stage['n']}, {n_errors} failed"],
        ["latency", times],
    ]
    nodes = [
        f"{node['node']} ({node['op_type']}) {100 * node['share']:.3g} %"
        for node in counters.get("nodes", ())[:_MAX_NODES]
    ]
    if nodes:
        rows.append(["nodes that take the time", ", ".join(nodes)])
    return rows + ([["odd values", "; ".join(odd[:10])]] if odd else [])


def _counts_table(counts: Mapping[str, Mapping[str, int]]) -> Html:
    from trimtab.html import table

    rows: list[list[Cell]] = [
        [f"{kind} {name}".strip(), f"{n}"]
        for kind, names in counts.items()
        for name, n in names.items()
    ]
    return table(["what", "times"], rows[:200])
