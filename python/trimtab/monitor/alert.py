"""When drift is worth waking somebody: sustained, material, said once.

Enters: the drift reports of windows, one after the other. Leaves: few alerts. A single
window proves little, and the same news twice is noise: `AlertRule` says how many
windows of the last ones must agree, and for how long a feature then stays silent;
`AlertPolicy` follows a deployment by it.
"""

from __future__ import annotations

import time as _time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.errors import InputError
from trimtab.monitor.drift.report import DriftReport, FeatureDrift
from trimtab.report import count_text

__all__ = ["Alert", "AlertPolicy", "AlertRule"]

_MAX_WINDOWS = 64
_MAX_NAMED = 5


@dataclass(frozen=True)
class AlertRule:
    """What makes drift an alert.

    Parameters
    ----------
    effect : float, default=1.0
        How many times its threshold an effect must be.
    needed, of : int, default=2 of 3
        So many of the last windows must show the same feature drifting.
    hold_off : int, default=10
        Windows for which a feature that was alerted is not alerted again, should it
        recover and drift anew.

    Raises
    ------
    InputError
        A number is out of its range.

    Examples
    --------
    >>> AlertRule(needed=3, of=5).hold_off
    10
    """

    effect: float = 1.0
    needed: int = 2
    of: int = 3
    hold_off: int = 10

    def __post_init__(self) -> None:
        """Check the numbers."""
        is_good = (
            1 <= self.needed <= self.of <= _MAX_WINDOWS
            and self.effect > 0
            and self.hold_off >= 0
        )
        if not is_good:
            raise InputError(
                f"an alert rule: expected 1 <= needed <= of <= {_MAX_WINDOWS}, effect "
                f"> 0 and hold_off >= 0, got {self}"
            )


@dataclass(frozen=True)
class Alert:
    """Features that have begun to drift, or drift more than was said before.

    Parameters
    ----------
    state : {"raised", "escalated", "cleared"}
        "escalated": a warning that has become critical; "cleared": it is over.
    severity : {"warning", "critical"}
        Critical: an effect that is called large, or a feature that is gone.
    drifted : tuple of str
        Features, the strongest first.
    window : int
        Number of the window.
    time : float
        Unix seconds.
    message : str
    """

    state: Literal["raised", "escalated", "cleared"]
    severity: Literal["warning", "critical"]
    drifted: tuple[str, ...]
    window: int
    time: float
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Give it as sinks take it."""
        return {
            "name": "drift",
            "state": self.state,
            "severity": self.severity,
            "drifted": list(self.drifted),
            "window": self.window,
            "time": self.time,
            "message": self.message,
        }


@dataclass
class _Course:
    """The last windows of one feature, as bits; the newest is the lowest."""

    drifts: int = 0
    severe: int = 0
    severity: str = ""  # what was said; "" while there is nothing to say
    silent_until: int = -1


class AlertPolicy:
    """Follow the windows of a deployment and say what matters, once.

    Parameters
    ----------
    rule : AlertRule, optional

    Examples
    --------
    >>> from trimtab.monitor import FeatureSketch
    >>> from trimtab.monitor.drift import detect
    >>> a = FeatureSketch.from_values("x", [-2, -0.5, 0.5, 2] * 99, edges=[-1, 0, 1])
    >>> b = FeatureSketch.from_values("x", [0.5, 2] * 99, edges=[-1, 0, 1])
    >>> policy = AlertPolicy()
    >>> [len(policy.observe(detect([a], [x]))) for x in (a, b, b, b, b)]
    [0, 0, 1, 0, 0]
    """

    def __init__(self, rule: AlertRule | None = None) -> None:
        self.rule = rule or AlertRule()
        self.renew()

    def renew(self) -> None:
        """Forget everything, as in a process that begins."""
        self._courses: dict[str, _Course] = {}
        self.n_windows = 0
        self.n_held_off = 0
        self._said: dict[str, Alert] = {}

    @property
    def active(self) -> tuple[dict[str, Any], ...]:
        """What was raised and has not cleared, as plain data, one for each alert."""
        return tuple(alert.to_dict() for alert in dict.fromkeys(self._said.values()))

    def update(self, result: Any) -> tuple[dict[str, Any], ...]:
        """Take a window of the monitor.

        Parameters
        ----------
        result : WindowResult or DriftReport
            Its `drift` is read, `index` and `time`; a window that was not compared
            says nothing.

        Returns
        -------
        records : tuple of dict
            Alerts as sinks take them.
        """
        report = result if isinstance(result, DriftReport) else result.drift
        if report is None:
            return ()
        alerts = self.observe(
            report,
            window=getattr(result, "index", None),
            time=getattr(result, "time", None),
        )
        return tuple(alert.to_dict() for alert in alerts)

    def observe(
        self,
        report: DriftReport,
        *,
        window: int | None = None,
        time: float | None = None,
    ) -> tuple[Alert, ...]:
        """Take the report of a window.

        Parameters
        ----------
        report : DriftReport
        window : int, optional
            Its number; counted from 0 by default.
        time : float, optional
            Unix seconds; now by default.

        Returns
        -------
        alerts : tuple of Alert
            Features of one state and severity are one alert.
        """
        place = self.n_windows
        self.n_windows += 1
        groups: dict[tuple[str, str], list[FeatureDrift]] = {}
        for feature in report.features:
            if feature.state in ("empty", "untested", "new"):
                continue
            news = self._follow(feature, place)
            if news:
                groups.setdefault(news, []).append(feature)
        number = place if window is None else window
        now = _time.time() if time is None else time
        return tuple(
            self._say(state, severity, found, number, now)
            for (state, severity), found in sorted(groups.items())
        )

    def _follow(self, feature: FeatureDrift, place: int) -> tuple[str, str] | None:
        """Shift a feature's bits by one window; state and severity of what is new."""
        rule = self.rule
        course = self._courses.setdefault(feature.name, _Course())
        is_material = feature.is_drifted and feature.strength >= rule.effect
        mask = (1 << rule.of) - 1
        course.drifts = (course.drifts << 1 | is_material) & mask
        course.severe = (
            course.severe << 1 | (is_material and feature.is_severe)
        ) & mask
        is_critical = course.severe.bit_count() >= rule.needed
        severity = "critical" if is_critical else "warning"
        if course.severity and not course.drifts:
            said, course.severity = course.severity, ""
            return ("cleared", said) if feature.name in self._said else None
        if course.drifts.bit_count() < rule.needed:
            return None
        if not course.severity:
            course.severity = severity
            if place < course.silent_until:
                self.n_held_off += 1
                return None
            course.silent_until = place + 1 + rule.hold_off
            return "raised", severity
        if course.severity == "warning" and is_critical:
            course.severity = severity
            return "escalated", severity
        return None

    def _say(
        self,
        state: Any,
        severity: Any,
        features: Iterable[FeatureDrift],
        window: int,
        time: float,
    ) -> Alert:
        found = sorted(features, key=lambda feature: -feature.strength)
        names = tuple(feature.name for feature in found)
        alert = Alert(
            state, severity, names, window, time, _message(state, found, self.rule)
        )
        for name in names:
            if state == "cleared":
                self._said.pop(name, None)
            else:
                self._said[name] = alert
        return alert


def _message(state: str, features: list[FeatureDrift], rule: AlertRule) -> str:
    told = ", ".join(_told(feature) for feature in features[:_MAX_NAMED])
    more = len(features) - _MAX_NAMED
    names = told + (f" and {more} more" if more > 0 else "")
    what = count_text(len(features), "feature")
    if state == "cleared":
        return f"drift of {what} is over: {names}"
    verb = "drifts more" if state == "escalated" else "drifts"
    if len(features) > 1:
        verb = verb.replace("drifts", "drift")
    return f"{what} {verb} in {rule.needed} of {rule.of} windows: {names}"


def _told(feature: FeatureDrift) -> str:
    if feature.state in ("vanished", "changed"):
        return f"{feature.name} ({feature.state})"
    scores = [score for score in feature.scores if score.effect == score.effect]
    if not scores:
        return feature.name
    best = max(scores, key=lambda score: score.effect / score.threshold)
    sign = ">" if best.effect > best.threshold else "<="
    return f"{feature.name} ({best.method} {best.effect:.2g} {sign} {best.threshold:g})"
