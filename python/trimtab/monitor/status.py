"""What a check found: one window, and the state of a monitor, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trimtab.monitor.feature import FeatureSketch

if TYPE_CHECKING:
    from trimtab.monitor.drift.report import DriftReport

__all__ = ["Status", "WindowResult", "plain"]


def plain(value: Any) -> Any:
    """Give values as JSON has them; numbers that are not finite are None.

    Parameters
    ----------
    value : object
        Of dicts, lists, tuples, numbers, texts.

    Returns
    -------
    value : object

    Examples
    --------
    >>> plain({"a": (1, math.nan)})
    {'a': [1, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    number = float(value)
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class WindowResult:
    """A window of traffic, compared with the reference.

    Parameters
    ----------
    index : int
        Of windows, counted up; numbers are left out where nobody came.
    time : float
        When it began, by the wall clock (seconds since 1970).
    seconds : float
        How long it was, by the monotonic clock.
    n_rows : int
        Rows that were counted.
    features : tuple of FeatureSketch
    drift : DriftReport or None
        None where there were too few rows to tell.
    drifted : tuple of str
        Features with material drift, strongest first.
    faults : dict
        Kind -> name -> rows: what was absent, or of another shape or type.
    estimates : dict of str to dict
        Metric -> ``{"value", "low", "high", "is_estimate": True, "notes"}``, before
        labels come.
    is_complete : bool
        False: a look at a window that is not over.
    """

    index: int
    time: float
    seconds: float
    n_rows: int
    features: tuple[FeatureSketch, ...]
    drift: DriftReport | None
    drifted: tuple[str, ...] = ()
    faults: dict[str, dict[str, int]] = field(default_factory=dict)
    estimates: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_complete: bool = True

    @property
    def is_drifted(self) -> bool:
        """Is there material drift?"""
        return bool(self.drifted)

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON.

        Returns
        -------
        values : dict
        """
        return {
            "index": self.index,
            "time": self.time,
            "seconds": plain(self.seconds),
            "n_rows": self.n_rows,
            "drifted": list(self.drifted),
            "drift": None if self.drift is None else self.drift.to_dict(),
            "faults": self.faults,
            "estimates": plain(self.estimates),
            "is_complete": self.is_complete,
        }


@dataclass(frozen=True)
class Status:
    """How a model is doing.

    Parameters
    ----------
    state : str
        "learning": the reference is being made of the first traffic; "no data": no
        window with enough rows yet; "ok"; "drift": the last window has material drift;
        "alert": drift that has lasted.
    window : WindowResult or None
        The last one that was looked at.
    alerts : tuple of dict
        Those that are on.
    skew : tuple of str
        Features in which the first traffic differed from the reference already.
    counters : dict
        Totals of the deployment: requests, errors, latency, odd values.
    metrics : dict of str to dict
        Metric -> ``{"value", "low", "high", "n"}``, of labels that came.
    labels : dict of str to int
        How many came, late, twice, or for nobody.
    troubles : dict of str to int
        What went wrong inside monitoring, and how often.
    n_windows, n_rows : int
        Complete windows, and all rows that were counted.

    Examples
    --------
    >>> status = monitor.check()                           # doctest: +SKIP
    >>> status.ok, status.state                            # doctest: +SKIP
    (False, 'drift')
    """

    state: str
    window: WindowResult | None
    alerts: tuple[dict[str, Any], ...] = ()
    skew: tuple[str, ...] = ()
    counters: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)
    n_windows: int = 0
    n_rows: int = 0

    @property
    def ok(self) -> bool:
        """Is there neither drift nor an alert?"""
        return self.state not in ("drift", "alert")

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON.

        Returns
        -------
        values : dict
        """
        values: dict[str, Any] = plain(
            {key: value for key, value in self.__dict__.items() if key != "window"}
        )
        values["ok"] = self.ok
        values["window"] = None if self.window is None else self.window.to_dict()
        return values

    def __str__(self) -> str:
        """A few lines for people."""
        window = self.window
        lines = [f"{self.state}: {self.n_rows} rows in {self.n_windows} windows"]
        if window is not None:
            which = "last window" if window.is_complete else "window that is open"
            lines.append(f"  {which}: {window.n_rows} rows")
            if window.drifted:
                lines.append(f"  drifted: {', '.join(window.drifted[:10])}")
            for kind, names in window.faults.items():
                told = ", ".join(f"{name} ({n})" for name, n in list(names.items())[:5])
                lines.append(f"  {kind}: {told}")
            lines += [
                f"  {name} (an estimate, before labels): {one['value']:.4g} "
                f"[{one['low']:.4g}, {one['high']:.4g}]"
                + "".join(f"; {note}" for note in one.get("notes", ()))
                for name, one in window.estimates.items()
            ]
        if self.skew:
            lines.append(f"  skew from the start: {', '.join(self.skew[:10])}")
        lines += [
            f"  {name}: {one['value']:.4g} [{one['low']:.4g}, {one['high']:.4g}], "
            f"{one['n']} labels"
            for name, one in self.metrics.items()
        ]
        if self.troubles:
            lines.append(f"  troubles inside monitoring: {self.troubles}")
        return "\n".join(lines)
