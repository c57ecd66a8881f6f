"""The states of a rollout: what is done in each, and what follows.

The alias of the registry is the only truth of what serves. Every edge is on the disk
before what it leads to begins, so that a process that is killed anywhere is resumed, or
undone, from the last edge and the alias alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["FINAL", "RESUME", "STATES", "Outcome"]

#: State -> (action, when it passes, when it fails, when it cannot be told).
STATES: dict[str, tuple[str, str, str, str]] = {
    "REGISTERED": ("begin", "VALIDATING", "REJECTED", "REJECTED"),
    "VALIDATING": ("validate", "EVALUATING", "REJECTED", "REJECTED"),
    "EVALUATING": ("evaluate", "STAGED", "REJECTED", "NEEDS_DATA"),
    "STAGED": ("stage", "SHADOW", "REJECTED", "REJECTED"),
    "SHADOW": ("shadow", "CANARY", "ROLLING_BACK", "NEEDS_DATA"),
    "CANARY": ("canary", "PROMOTING", "ROLLING_BACK", "PAUSED"),
    "PAUSED": ("wait", "PROMOTING", "ROLLING_BACK", "NEEDS_DATA"),
    "PROMOTING": ("promote", "BAKING", "ROLLING_BACK", "ROLLING_BACK"),
    "BAKING": ("bake", "PROMOTED", "ROLLING_BACK", "ROLLING_BACK"),
    "ROLLING_BACK": ("undo", "ROLLED_BACK", "ROLLING_BACK", "ROLLING_BACK"),
}

#: Nothing follows; the candidate serves in the first of them only.
FINAL = ("PROMOTED", "ROLLED_BACK", "REJECTED", "NEEDS_DATA")

#: State in which the process ended -> what follows with a deployment at hand, and
#: without one; each where the alias does not name the candidate by this rollout, and
#: where it does.
RESUME: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "REGISTERED": (("VALIDATING", "ROLLING_BACK"), ("ROLLED_BACK", "ROLLING_BACK")),
    "VALIDATING": (("VALIDATING", "ROLLING_BACK"), ("ROLLED_BACK", "ROLLING_BACK")),
    "EVALUATING": (("EVALUATING", "ROLLING_BACK"), ("ROLLED_BACK", "ROLLING_BACK")),
    "STAGED": (("STAGED", "ROLLING_BACK"), ("ROLLED_BACK", "ROLLING_BACK")),
    "SHADOW": (("SHADOW", "ROLLING_BACK"), ("ROLLED_BACK", "ROLLING_BACK")),
    "CANARY": (("CANARY", "ROLLING_BACK"), ("ROLLED_BACK", "ROLLING_BACK")),
    "PAUSED": (("PAUSED", "ROLLING_BACK"), ("ROLLED_BACK", "ROLLING_BACK")),
    "PROMOTING": (("ROLLED_BACK", "BAKING"), ("ROLLED_BACK", "PROMOTED")),
    "BAKING": (("ROLLED_BACK", "BAKING"), ("ROLLED_BACK", "PROMOTED")),
    "ROLLING_BACK": (("ROLLED_BACK", "ROLLING_BACK"), ("ROLLED_BACK", "ROLLING_BACK")),
}

_COLUMN = {"pass": 1, "fail": 2, "unknown": 3}


@dataclass(frozen=True)
class Outcome:
    """What an action came to.

    Parameters
    ----------
    kind : {"pass", "fail", "unknown"}
    reasons : tuple of str
        For people.
    data : dict
        Figures behind it, as plain values.
    """

    kind: str
    reasons: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)


def following(state: str, outcome: str) -> str:
    """Say what comes next.

    Parameters
    ----------
    state : str
    outcome : {"pass", "fail", "unknown"}

    Returns
    -------
    state : str

    Examples
    --------
    >>> following("CANARY", "fail")
    'ROLLING_BACK'
    """
    return STATES[state][_COLUMN[outcome]]
