"""Promote and roll back at once, by hand: no shadow, no canary, but nothing broken."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from trimtab.errors import InputError, RegistryError, TrimtabError
from trimtab.registry.alias import Alias
from trimtab.registry.naming import ANY
from trimtab.rollout.handle import owning_rollouts, subject_of
from trimtab.rollout.log import Edge
from trimtab.rollout.recovery import settle
from trimtab.rollout.result import RolloutResult

if TYPE_CHECKING:
    from trimtab.registry.registry import Registry
    from trimtab.registry.version import ModelVersion

__all__ = ["first_that_serves", "go_back", "promote_model", "rollback_model"]

_T = TypeVar("_T")


def promote_model(
    dep: Any,
    version: int | str | ModelVersion,
    *,
    reason: str = "",
    expected: int | Alias | str | None = ANY,
) -> RolloutResult:
    """Let a version serve, here and wherever the alias is followed.

    It is loaded and examined before the alias names it: what cannot serve is not
    promoted.

    Parameters
    ----------
    dep : Deployment
        With a registry.
    version : int, str or ModelVersion
    reason : str, optional
    expected : int, Alias, None or "any"
        What the alias must name now, as `Registry.promote` takes it.

    Returns
    -------
    result : RolloutResult

    Raises
    ------
    SwapError
        It cannot serve; nothing has changed.
    RegistryConflict
        The alias is not what was expected, or a rollout is under way.

    Examples
    --------
    >>> promote_model(deployment, "digits/4", reason="by hand")  # doctest: +SKIP
    """
    found = subject_of(dep, version)
    with owning_rollouts(dep.registry, found.name):
        settle(dep.registry, found.name)
        subject = subject_of(dep, version)
        arm = dep.prepare(f"{subject.name}/{subject.version}")  # or refused, here
        before = subject.before
        wanted = before if expected == ANY and before is not None else expected
        dep.registry.set_alias(
            subject.name,
            subject.alias,
            subject.version,
            expected=wanted,
            reason=reason,
        )
        if dep.version != subject.version:
            dep.swap(arm)
    return _told(subject, "REGISTERED", "PROMOTED", subject.version, reason)


def rollback_model(
    dep: Any, *, to: str | int = "previous", reason: str = ""
) -> RolloutResult:
    """Let a version serve that has served before.

    A version that cannot be loaded any more is passed over, with the next one before
    it.

    Parameters
    ----------
    dep : Deployment
        With a registry.
    to : "previous" or int, default="previous"
        A number: that version.
    reason : str, optional

    Returns
    -------
    result : RolloutResult
        Its `version` is the one that serves no more; its edge tells which one does.

    Raises
    ------
    InputError
        `to` is neither.
    RegistryError
        There is nothing to go back to that can serve; nothing has changed.

    Examples
    --------
    >>> rollback_model(deployment, reason="complaints")    # doctest: +SKIP
    """
    if isinstance(to, bool) or not (to == "previous" or isinstance(to, int)):
        raise InputError(f"to: expected 'previous' or a version's number, got {to!r}")
    registry = dep.registry
    champion = dep.champion.version
    found = subject_of(dep, champion if champion is not None else 1)
    name = found.name
    with owning_rollouts(registry, name):
        settle(registry, name)
        now = registry.alias(name, dep.alias)
        if now is None:
            raise RegistryError(f"there is no alias {name}@{dep.alias}")
        arm, troubles = first_that_serves(
            lambda number: dep.prepare(f"{name}/{number}"), name, now, to
        )
        alias = go_back(registry, name, now, arm.version, reason=reason)
        if dep.version != alias.version:
            dep.swap(arm)
    subject = subject_of(dep, now.version)
    reasons = "; ".join([reason, *troubles])
    return _told(subject, "PROMOTED", "ROLLED_BACK", alias.version, reasons)


def first_that_serves(
    prepare: Callable[[int], _T], name: str, now: Alias, to: str | int
) -> tuple[_T, list[str]]:
    """Prepare what is wanted; of what was there before, the newest that can serve.

    Parameters
    ----------
    prepare : callable
        Of a version's number; raises where it cannot serve.
    name : str
    now : Alias
    to : "previous" or int

    Returns
    -------
    prepared : object
    troubles : list of str
        Why newer ones were passed over.

    Raises
    ------
    RegistryError
        None can.

    Examples
    --------
    >>> now = Alias("champion", 3, "", 7, "me", "", "", ((2, ""), (1, "")))
    >>> first_that_serves(lambda number: number, "digits", now, "previous")
    (2, [])
    """
    wanted = [to] if isinstance(to, int) else [number for number, _ in now.before]
    troubles: list[str] = []
    for number in wanted:
        try:
            return prepare(number), troubles
        except TrimtabError as error:
            troubles.append(str(error))
    raise RegistryError(
        f"{name}@{now.alias}: nothing to go back to can serve"
        + "".join(f"; {trouble}" for trouble in troubles)
    )


def go_back(
    registry: Registry,
    name: str,
    now: Alias,
    number: int,
    *,
    reason: str,
    by: str | None = None,
) -> Alias:
    """Let an alias name an earlier version.

    Parameters
    ----------
    registry : Registry
    name : str
    now : Alias
        As it was read.
    number : int
    reason : str
    by : str, optional

    Returns
    -------
    alias : Alias

    Examples
    --------
    >>> go_back(registry, "digits", now, 2, reason="slow")  # doctest: +SKIP
    """
    if now.before and now.before[0][0] == number:
        return registry.rollback(
            name, alias=now.alias, expected=now, reason=reason, by=by
        )
    return registry.set_alias(
        name, now.alias, number, expected=now, reason=reason, by=by
    )


def _told(
    subject: Any, before: str, after: str, serves: int, reason: str
) -> RolloutResult:
    reasons = (reason.strip("; "),) if reason.strip("; ") else ()
    edge = Edge(time.time(), before, after, reasons, {"serves": serves})
    return RolloutResult(
        name=subject.name,
        version=subject.version,
        from_version=None if subject.before is None else subject.before.version,
        number=0,
        state=after,
        edges=(edge,),
        evidence={},
        policy={},
    )
