"""What a rule may do, and the table of it.

Each takes a `Task` and gives an `Outcome`; what it raises is a failure, which is logged
and waited on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.maintain.offer import Offer
from trimtab.maintain.policy import Rule

__all__ = ["ACTIONS", "Outcome", "Task"]

# Options of a rule that requantises; all others are those of `optimize_model`.
_REQUANTIZE = ("margin", "forget", "max_drop", "seed")


@dataclass(frozen=True, eq=False)
class Task:
    """A rule that acts, with what it may need.

    Parameters
    ----------
    deployment : Deployment
    rule : Rule
    reason : str
    offer : Offer or None
        New labelled data.
    reference : object or None
        Labelled data that must not be forgotten.
    train_fn : callable or None
        Of `update_model`.
    original : object or None
        The model in float32 that a quantised one was made of.
    on_alert : callable or None
        Called with (rule, reason).
    rollout : object or None
        Of `update_model`.
    """

    deployment: Any
    rule: Rule
    reason: str
    offer: Offer | None = None
    reference: Any = None
    train_fn: Callable[..., Any] | None = None
    original: Any = None
    on_alert: Callable[[str, str], Any] | None = None
    rollout: Any = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of it.

    Parameters
    ----------
    state : str
        "ALERTED", or of the update: "PROMOTED", "READY", "REJECTED", "NEEDS_DATA",
        "ROLLED_BACK".
    detail : str
        For people.
    values : dict
        Plain data for the log.
    has_learned : bool
        Were the new data tried?
    result : object
        What the function that did it returned.
    """

    state: str
    detail: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    has_learned: bool = False
    result: Any = None


def _alert(task: Task) -> Outcome:
    if task.on_alert is not None:
        task.on_alert(task.rule.name, task.reason)
    return Outcome("ALERTED", task.reason)


def _update(task: Task, **forced: Any) -> Outcome:
    from trimtab.update import update_model

    if task.offer is None:
        return Outcome("NEEDS_DATA", "no labelled data have come")
    options = {**task.rule.options, **forced}
    result = update_model(
        task.deployment,
        task.offer.data,
        **{
            "reference": task.reference,
            "train_fn": task.train_fn,
            "rollout": task.rollout,
            "reason": f"{task.rule.name}: {task.reason}",
            "progress": False,
            **options,
        },
    )
    values = {"version": result.version, "method": result.method}
    detail = "; ".join(result.reasons) if result.reasons else str(result.method or "")
    return Outcome(result.state, detail, values, True, result)


def _recalibrate(task: Task) -> Outcome:
    return _update(task, method="recalibrate")


def _requantize(task: Task) -> Outcome:
    from trimtab.maintain.requantize import requantize

    if task.offer is None:
        return Outcome("NEEDS_DATA", "no labelled data have come")
    options = dict(task.rule.options)
    own = {key: options.pop(key) for key in _REQUANTIZE if key in options}
    state, reasons, version, report = requantize(
        task.deployment,
        task.original,
        task.offer.data,
        reference=task.reference,
        rollout=task.rollout,
        reason=f"{task.rule.name}: {task.reason}",
        options=options,
        **own,
    )
    values = {"version": version}
    return Outcome(state, "; ".join(reasons), values, True, report)


def _roll_back(task: Task) -> Outcome:
    from trimtab.rollout import rollback_model

    result = rollback_model(
        task.deployment, reason=f"{task.rule.name}: {task.reason}", **task.rule.options
    )
    version = getattr(task.deployment, "version", None)
    return Outcome(
        "ROLLED_BACK", f"version {version} serves again", {"version": version},
        result=result,
    )  # fmt: skip


#: Kind -> what does it; the keys are those of `trimtab.maintain.policy.ACTION_KINDS`.
ACTIONS: dict[str, Callable[[Task], Outcome]] = {
    "alert": _alert,
    "recalibrate": _recalibrate,
    "requantize": _requantize,
    "update": _update,
    "roll_back": _roll_back,
}
