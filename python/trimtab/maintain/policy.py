"""What is done about a model in service, when, and how often at most."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.errors import InputError
from trimtab.maintain.trigger import (
    All,
    DataVolume,
    Drift,
    Performance,
    Trigger,
    trigger_from_dict,
    trigger_to_dict,
)

__all__ = ["ACTION_KINDS", "MaintenancePolicy", "Rule"]

#: What a rule may do -> does it change what is served?
ACTION_KINDS: dict[str, bool] = {
    "alert": False,
    "recalibrate": True,
    "requantize": True,
    "update": True,
    "roll_back": True,
}

_NAME = re.compile(r"[a-z0-9_-]{1,64}\Z")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z")
_MAX_POLICY_BYTES = 1 << 20


@dataclass(frozen=True)
class Rule:
    """One thing to do, and when.

    Parameters
    ----------
    name : str
        Small letters, digits, ``-`` and ``_``.
    trigger : Trigger
    action : str
        Key of `ACTION_KINDS`.
    cooldown_s : float, default=3600
        Pause after the rule has acted.
    options : mapping
        For the action: arguments of `update_model` or `optimize_model`.

    Raises
    ------
    InputError
        Name, action or pause is none.

    Examples
    --------
    >>> Rule("night", DataVolume(1000), "update", options={"method": "head_ridge"}).name
    'night'
    """

    name: str
    trigger: Trigger
    action: str
    cooldown_s: float = 3600.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check all of it."""
        if not isinstance(self.name, str) or not _NAME.match(self.name):
            raise InputError(
                f"name of a rule: expected letters a-z, digits, - or _, got "
                f"{self.name!r}"
            )
        if self.action not in ACTION_KINDS:
            raise InputError(
                f"rule {self.name}: expected an action of {list(ACTION_KINDS)}, got "
                f"{self.action!r}"
            )
        if not hasattr(self.trigger, "reason"):
            raise InputError(
                f"rule {self.name}: expected a trigger, got {self.trigger!r:.80}"
            )
        if not _is_number(self.cooldown_s):
            raise InputError(
                f"rule {self.name}: cooldown_s: expected seconds from 0 on, got "
                f"{self.cooldown_s!r}"
            )

    @property
    def is_changing(self) -> bool:
        """Does it change what is served?"""
        return ACTION_KINDS[self.action]


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


def _usual_rules() -> tuple[Rule, ...]:
    """Drift alone only tells; what is proven to be worse is updated or taken back."""
    fell = Performance(drop=0.03)
    return (
        Rule("disappoints", All((fell,), since_promotion_s=86400), "roll_back"),
        Rule("drift", Drift(), "alert"),
        Rule("worse", Performance(), "update"),
        Rule("labels", DataVolume(500), "update"),
    )


@dataclass(frozen=True)
class MaintenancePolicy:
    """Rules, and limits of what they may do.

    Parameters
    ----------
    rules : tuple of Rule
        Asked in their order; of those that change what is served one a look acts. By
        default: a version that disappoints within a day is rolled back; drift that
        lasts is told; a metric of labels that falls by 2 points, or 500 new labelled
        rows, make an update.
    max_per_day : int, default=4
        Changes, of all rules together, in any 24 hours. Rolling back does not count.
    backoff_s : float, default=600
        Pause after a change that failed; each further failure in a row doubles it, to
        a day at most.
    quiet_hours : (str, str), optional
        Local times such as ("22:00", "06:00") between which nothing is changed; what
        is bad is rolled back all the same.
    check_s : float, default=60
        Between two looks.

    Raises
    ------
    InputError
        Two rules have one name, or a number or time is none.

    Examples
    --------
    >>> policy = MaintenancePolicy(max_per_day=1, quiet_hours=("22:00", "06:00"))
    >>> [rule.name for rule in policy.rules]
    ['disappoints', 'drift', 'worse', 'labels']
    """

    rules: tuple[Rule, ...] = field(default_factory=_usual_rules)
    max_per_day: int = 4
    backoff_s: float = 600.0
    quiet_hours: tuple[str, str] | None = None
    check_s: float = 60.0

    def __post_init__(self) -> None:
        """Check all of it."""
        object.__setattr__(self, "rules", tuple(self.rules))
        names = [rule.name for rule in self.rules]
        if len(set(names)) != len(names):
            raise InputError(f"rules: expected names that differ, got {names}")
        if not isinstance(self.max_per_day, int) or self.max_per_day < 0:
            raise InputError(
                f"max_per_day: expected a number from 0 on, got {self.max_per_day!r}"
            )
        for name in ("backoff_s", "check_s"):
            if not _is_number(getattr(self, name)) or getattr(self, name) == 0:
                raise InputError(
                    f"{name}: expected seconds above 0, got {getattr(self, name)!r}"
                )
        if self.quiet_hours is not None:
            object.__setattr__(self, "quiet_hours", tuple(self.quiet_hours))
            hours = self.quiet_hours
            if len(hours) != 2 or not all(_CLOCK.match(str(h)) for h in hours):
                raise InputError(
                    f"quiet_hours: expected two times such as '22:00', got {hours!r}"
                )

    def is_quiet(self, minute: int) -> bool:
        """Is nothing changed at this minute of the day?

        Parameters
        ----------
        minute : int
            0 to 1439, local time.

        Returns
        -------
        is_quiet : bool

        Examples
        --------
        >>> MaintenancePolicy(quiet_hours=("22:00", "06:00")).is_quiet(23 * 60)
        True
        """
        if self.quiet_hours is None:
            return False
        begin, end = (int(h[:2]) * 60 + int(h[3:]) for h in self.quiet_hours)
        if begin <= end:
            return begin <= minute < end
        return minute >= begin or minute < end

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON.

        Returns
        -------
        values : dict
        """
        return {
            "rules": [
                {
                    "name": rule.name,
                    "trigger": trigger_to_dict(rule.trigger),
                    "action": rule.action,
                    "cooldown_s": rule.cooldown_s,
                    "options": dict(rule.options),
                }
                for rule in self.rules
            ],
            "max_per_day": self.max_per_day,
            "backoff_s": self.backoff_s,
            "quiet_hours": None if self.quiet_hours is None else [*self.quiet_hours],
            "check_s": self.check_s,
        }

    @classmethod
    def from_dict(cls, values: Any) -> MaintenancePolicy:
        """Make a policy of plain data.

        Parameters
        ----------
        values : mapping

        Returns
        -------
        policy : MaintenancePolicy

        Raises
        ------
        InputError
            Something in it is unknown, or none.

        Examples
        --------
        >>> MaintenancePolicy.from_dict({"max_per_day": 2, "rules": []}).max_per_day
        2
        """
        given = _known(values, "policy", cls.__dataclass_fields__)
        if "rules" in given:
            if not isinstance(given["rules"], list | tuple):
                raise InputError("rules: expected a list")
            given["rules"] = tuple(_rule(one) for one in given["rules"])
        return cls(**given)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> MaintenancePolicy:
        """Read a policy from a JSON file.

        Parameters
        ----------
        path : path

        Returns
        -------
        policy : MaintenancePolicy

        Raises
        ------
        InputError
            It cannot be read, or holds no policy.

        Examples
        --------
        >>> MaintenancePolicy.read("policy.json")          # doctest: +SKIP
        """
        try:
            with open(path, "rb") as file:
                data = file.read(_MAX_POLICY_BYTES + 1)
            if len(data) > _MAX_POLICY_BYTES:
                raise InputError(f"{os.fspath(path)}: more than a megabyte")
            return cls.from_dict(json.loads(data))
        except OSError as error:
            raise InputError(f"{os.fspath(path)}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{os.fspath(path)}: no JSON: {error}") from None


def _rule(values: Any) -> Rule:
    given = _known(values, "rule", Rule.__dataclass_fields__)
    for key in ("name", "trigger", "action"):
        if key not in given:
            raise InputError(f"rule: expected a {key} in {values!r:.80}")
    given["trigger"] = trigger_from_dict(given["trigger"])
    if not isinstance(given.get("options", {}), Mapping):
        raise InputError(f"rule {given['name']}: options: expected names and values")
    return Rule(**given)


def _known(values: Any, what: str, names: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(values, Mapping) or not set(values) <= set(names):
        raise InputError(f"{what}: expected {sorted(names)}, got {values!r:.120}")
    return dict(values)
