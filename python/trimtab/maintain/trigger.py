"""When something is to be done: triggers, and their table.

Enters: an `Observation`. Leaves: the reason to act, or None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

from trimtab.errors import InputError
from trimtab.maintain.observation import Observation

__all__ = [
    "TRIGGERS",
    "All",
    "DataVolume",
    "Drift",
    "ErrorRate",
    "Performance",
    "Schedule",
    "Trigger",
    "trigger_from_dict",
    "trigger_to_dict",
]

_DAY_S = 86400.0


class Trigger(Protocol):
    """What decides whether a rule acts."""

    kind: ClassVar[str]

    def reason(self, seen: Observation, rule: str) -> str | None:
        """Say why to act.

        Parameters
        ----------
        seen : Observation
        rule : str
            Name of the rule that asks.

        Returns
        -------
        reason : str or None
            None: there is none.
        """


def _positive(what: str, value: float, *, can_be_zero: bool = False) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise InputError(f"{what}: expected a number above 0, got {value!r}")
    if value == 0 and not can_be_zero:
        raise InputError(f"{what}: expected a number above 0, got 0")


@dataclass(frozen=True)
class Drift:
    """Inputs or outputs have changed.

    Parameters
    ----------
    state : {"alert", "drift"}, default="alert"
        "alert": drift that has lasted; "drift": of the last window.
    features : tuple of str
        Only these count; by default all.

    Raises
    ------
    InputError
        There is no such state.

    Examples
    --------
    >>> Drift().reason(Observation(0.0, "alert", ("brightness",)), "r")
    'drift of brightness has lasted'
    """

    state: str = "alert"
    features: tuple[str, ...] = ()
    kind: ClassVar[str] = "drift"

    def __post_init__(self) -> None:
        """Check the state."""
        if self.state not in ("alert", "drift"):
            raise InputError(f"state: expected 'alert' or 'drift', got {self.state!r}")
        object.__setattr__(self, "features", tuple(self.features))

    def reason(self, seen: Observation, rule: str) -> str | None:
        """Say which features drift; see `Trigger`.

        Parameters
        ----------
        seen : Observation
        rule : str

        Returns
        -------
        reason : str or None
        """
        states = ("alert",) if self.state == "alert" else ("alert", "drift")
        named = [
            name for name in seen.drifted if not self.features or name in self.features
        ]
        if seen.state not in states or (self.features and not named):
            return None
        what = ", ".join(named[:5]) or "inputs or outputs"
        return f"drift of {what}" + (" has lasted" if seen.state == "alert" else "")


@dataclass(frozen=True)
class Performance:
    """A live metric is worse than it should be, beyond doubt.

    It fires where the whole confidence interval is on the wrong side.

    Parameters
    ----------
    metric : str, default="accuracy"
        Key of `trimtab.metrics.METRICS`.
    threshold : float, optional
        The worst value that is borne. By default `drop` below what the version had
        where it was proven.
    drop : float, default=0.02
    min_labels : int, default=50
        Fewer say nothing.
    with_estimates : bool, default=False
        Before labels come the monitor's estimate counts.

    Raises
    ------
    InputError
        No metric is called so, or a number is out of its range.

    Examples
    --------
    >>> live = {"accuracy": {"value": 0.8, "low": 0.77, "high": 0.83, "n": 600}}
    >>> Performance(threshold=0.9).reason(Observation(0.0, metrics=live), "r")
    'accuracy is 0.8 [0.77, 0.83] of 600 labels, worse than 0.9'
    """

    metric: str = "accuracy"
    threshold: float | None = None
    drop: float = 0.02
    min_labels: int = 50
    with_estimates: bool = False
    kind: ClassVar[str] = "performance"

    def __post_init__(self) -> None:
        """Check name and numbers."""
        from trimtab.metrics import find_metric

        find_metric(self.metric)
        _positive("drop", self.drop, can_be_zero=True)
        _positive("min_labels", self.min_labels)
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise InputError(f"threshold: expected a number, got {self.threshold!r}")

    def reason(self, seen: Observation, rule: str) -> str | None:
        """Say how bad it is; see `Trigger`.

        Parameters
        ----------
        seen : Observation
        rule : str

        Returns
        -------
        reason : str or None
        """
        from trimtab.metrics import find_metric

        live = seen.metrics.get(self.metric)
        told = "" if live is None else f" of {live.get('n', 0)} labels"
        if live is None or (live.get("n") or 0) < self.min_labels:
            live = seen.estimates.get(self.metric) if self.with_estimates else None
            told = " as estimated before labels"
        if live is None:
            return None
        sign = 1.0 if find_metric(self.metric).greater_is_better else -1.0
        worst = self.threshold
        if worst is None:
            base = seen.baseline.get(self.metric)
            if base is None:
                return None
            worst = base - sign * self.drop
        value, low, high = (live.get(key) for key in ("value", "low", "high"))
        best = high if sign > 0 else low
        if best is None or sign * best >= sign * worst:
            return None
        return (
            f"{self.metric} is {value:.4g} [{low:.4g}, {high:.4g}]{told}, worse than "
            f"{worst:.4g}"
        )


@dataclass(frozen=True)
class Schedule:
    """So much time has passed since the rule last acted.

    Parameters
    ----------
    every_s : float

    Raises
    ------
    InputError
        It is not above 0.

    Examples
    --------
    >>> Schedule(3600).reason(Observation(0.0, since_s={"hourly": 4000.0}), "hourly")
    'the last time was 66.7 minutes ago'
    """

    every_s: float = _DAY_S
    kind: ClassVar[str] = "schedule"

    def __post_init__(self) -> None:
        """Check the number."""
        _positive("every_s", self.every_s)

    def reason(self, seen: Observation, rule: str) -> str | None:
        """Say when the last time was; see `Trigger`.

        Parameters
        ----------
        seen : Observation
        rule : str

        Returns
        -------
        reason : str or None
        """
        last = seen.since_s.get(rule)
        if last is None:
            return "never done before"
        if last < self.every_s:
            return None
        return f"the last time was {last / 60:.1f} minutes ago"


@dataclass(frozen=True)
class DataVolume:
    """So many labelled rows have come that nothing has learned from.

    Parameters
    ----------
    rows : int, default=500

    Raises
    ------
    InputError
        It is not above 0.

    Examples
    --------
    >>> DataVolume(100).reason(Observation(0.0, n_new=120), "r")
    '120 labelled rows are new'
    """

    rows: int = 500
    kind: ClassVar[str] = "data_volume"

    def __post_init__(self) -> None:
        """Check the number."""
        _positive("rows", self.rows)

    def reason(self, seen: Observation, rule: str) -> str | None:
        """Say how many; see `Trigger`.

        Parameters
        ----------
        seen : Observation
        rule : str

        Returns
        -------
        reason : str or None
        """
        return (
            f"{seen.n_new} labelled rows are new" if seen.n_new >= self.rows else None
        )


@dataclass(frozen=True)
class ErrorRate:
    """Too many requests fail.

    Parameters
    ----------
    share : float, default=0.05
        Of the requests since the last look.

    Raises
    ------
    InputError
        It is not above 0.

    Examples
    --------
    >>> ErrorRate(0.01).reason(Observation(0.0, error_rate=0.25), "r")
    '25 % of the requests since the last look failed'
    """

    share: float = 0.05
    kind: ClassVar[str] = "error_rate"

    def __post_init__(self) -> None:
        """Check the number."""
        _positive("share", self.share)

    def reason(self, seen: Observation, rule: str) -> str | None:
        """Say how many; see `Trigger`.

        Parameters
        ----------
        seen : Observation
        rule : str

        Returns
        -------
        reason : str or None
        """
        if seen.error_rate < self.share:
            return None
        share = f"{100 * seen.error_rate:.3g} %"
        return f"{share} of the requests since the last look failed"


@dataclass(frozen=True)
class All:
    """Several triggers fire at once.

    Parameters
    ----------
    triggers : tuple of Trigger
    since_promotion_s : float, optional
        Only so long after a version was put in place.

    Raises
    ------
    InputError
        There is none.

    Examples
    --------
    >>> both = All((Drift(), DataVolume(100)))
    >>> both.reason(Observation(0.0, "alert", ("x",), n_new=500), "r")
    'drift of x has lasted; 500 labelled rows are new'
    """

    triggers: tuple[Trigger, ...]
    since_promotion_s: float | None = None
    kind: ClassVar[str] = "all"

    def __post_init__(self) -> None:
        """Check that there is one."""
        object.__setattr__(self, "triggers", tuple(self.triggers))
        if not self.triggers or not all(hasattr(t, "reason") for t in self.triggers):
            raise InputError(f"triggers: expected some, got {self.triggers!r:.80}")
        if self.since_promotion_s is not None:
            _positive("since_promotion_s", self.since_promotion_s)

    def reason(self, seen: Observation, rule: str) -> str | None:
        """Give the reasons of all; see `Trigger`.

        Parameters
        ----------
        seen : Observation
        rule : str

        Returns
        -------
        reason : str or None
        """
        if self.since_promotion_s is not None and (
            seen.since_promotion_s is None
            or seen.since_promotion_s > self.since_promotion_s
        ):
            return None
        reasons = [trigger.reason(seen, rule) for trigger in self.triggers]
        found = [reason for reason in reasons if reason is not None]
        return "; ".join(found) if len(found) == len(reasons) else None


#: Kind -> trigger.
TRIGGERS: dict[str, type[Any]] = {
    one.kind: one for one in (Drift, Performance, Schedule, DataVolume, ErrorRate, All)
}


def trigger_to_dict(trigger: Trigger) -> dict[str, Any]:
    """Give a trigger as plain data.

    Parameters
    ----------
    trigger : Trigger

    Returns
    -------
    values : dict

    Examples
    --------
    >>> trigger_to_dict(DataVolume(10))
    {'kind': 'data_volume', 'rows': 10}
    """
    values: dict[str, Any] = {"kind": trigger.kind}
    for one in fields(trigger):  # type: ignore[arg-type]
        value = getattr(trigger, one.name)
        if isinstance(value, tuple):
            value = [trigger_to_dict(v) if hasattr(v, "kind") else v for v in value]
        values[one.name] = value
    return values


def trigger_from_dict(values: Any, *, depth: int = 0) -> Trigger:
    """Make a trigger of plain data, such as a file holds.

    Parameters
    ----------
    values : mapping
    depth : int
        Of triggers within triggers so far: one of `All` is as deep as it goes.

    Returns
    -------
    trigger : Trigger

    Raises
    ------
    InputError
        It is none.

    Examples
    --------
    >>> trigger_from_dict({"kind": "schedule", "every_s": 60})
    Schedule(every_s=60)
    """
    if not isinstance(values, Mapping) or values.get("kind") not in TRIGGERS:
        raise InputError(
            f"trigger: expected {{'kind': one of {list(TRIGGERS)}, ...}}, got "
            f"{values!r:.80}"
        )
    kind = TRIGGERS[values["kind"]]
    known = {one.name for one in fields(kind)}
    given = {key: value for key, value in values.items() if key != "kind"}
    if not set(given) <= known:
        raise InputError(
            f"trigger {values['kind']}: expected {sorted(known)}, got {sorted(given)}"
        )
    if "triggers" in given:
        if depth or not isinstance(given["triggers"], list | tuple):
            raise InputError("triggers: expected a list, and none within another")
        given["triggers"] = tuple(
            trigger_from_dict(one, depth=1) for one in given["triggers"]
        )
    try:
        made: Trigger = kind(**given)
    except TypeError as error:
        raise InputError(f"trigger {values['kind']}: {error}") from None
    return made
