"""After a crash: a rollout goes on or is undone, by its last edge and the alias."""

from __future__ import annotations

import contextlib
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError, RegistryError
from trimtab.registry.alias import Alias
from trimtab.rollout.driver import Driver, Subject
from trimtab.rollout.handle import owning_rollouts
from trimtab.rollout.log import Edge, RolloutLog, last_number, read_log
from trimtab.rollout.policy import Rollout
from trimtab.rollout.result import RolloutResult
from trimtab.rollout.states import FINAL, RESUME, Outcome

if TYPE_CHECKING:
    from trimtab.registry.registry import Registry
    from trimtab.rollout.policy import Labels

__all__ = ["read_rollout", "resume", "settle"]

_ACTING = ("BAKING", "ROLLING_BACK")


def read_rollout(
    registry: Registry, name: str, number: int | None = None
) -> RolloutResult | None:
    """Read what the journal says of a rollout; nothing is changed.

    Parameters
    ----------
    registry : Registry
    name : str
    number : int, optional
        The newest by default.

    Returns
    -------
    result : RolloutResult or None
        None where there is none.

    Raises
    ------
    RegistryError
        The journal is damaged.

    Examples
    --------
    >>> read_rollout(registry, "digits").state             # doctest: +SKIP
    'PROMOTED'
    """
    wanted = last_number(registry.store, name) if number is None else number
    found = read_log(registry.store, name, wanted) if wanted > 0 else None
    if found is None:
        return None
    head, edges = found
    subject, policy = _head(registry, name, wanted, head)
    return RolloutResult(
        name=name,
        version=subject.version,
        from_version=None if subject.before is None else subject.before.version,
        number=wanted,
        state=_state(edges),
        edges=tuple(edges),
        evidence=next((e.data for e in edges[::-1] if "tests" in e.data), {}),
        policy=policy.to_dict(),
    )


def _state(edges: list[Edge]) -> str:
    return edges[-1].after if edges else "REGISTERED"


def _head(
    registry: Registry, name: str, number: int, head: dict[str, Any]
) -> tuple[Subject, Rollout]:
    """What a journal's first record says."""
    what = f"rollout {number} of {name}"
    version, alias, before = (head.get(k) for k in ("version", "alias", "before"))
    if type(version) is not int or not isinstance(alias, str):
        raise RegistryError(f"{what}: it does not say what it is of")
    plain = head.get("policy")
    known = {field.name for field in fields(Rollout)} - {"loss", "prove"}
    options = (
        {k: v for k, v in plain.items() if k in known}
        if isinstance(plain, dict)
        else {}
    )
    try:
        policy = Rollout(**options)
    except (InputError, TypeError, ValueError) as error:
        raise RegistryError(f"{what}: {error}") from None
    was = Alias.from_dict(before, what) if isinstance(before, dict) else None
    return Subject(registry, name, alias, version, was, number), policy


def resume(
    registry: Registry,
    name: str,
    dep: Any = None,
    *,
    policy: Rollout | None = None,
    labels: Labels | None = None,
) -> RolloutResult | None:
    """Go on with a rollout whose process has ended, or undo it.

    With a deployment, the shadow, the step of the canary or the baking that was under
    way begins anew, with fresh tests. Without one, a candidate that no alias names is
    given up, and one that the alias names stays.

    Parameters
    ----------
    registry : Registry
    name : str
    dep : Deployment, optional
        That serves this name.
    policy : Rollout, optional
        By default as the journal has it; functions are not in it.
    labels : callable or mapping, optional

    Returns
    -------
    result : RolloutResult or None
        None where every rollout has ended by itself.

    Raises
    ------
    RegistryConflict
        It is under way.

    Examples
    --------
    >>> resume(registry, "digits", deployment)             # doctest: +SKIP
    """
    with owning_rollouts(registry, name):
        return settle(registry, name, dep, policy=policy, labels=labels)


def settle(
    registry: Registry,
    name: str,
    dep: Any = None,
    *,
    policy: Rollout | None = None,
    labels: Labels | None = None,
) -> RolloutResult | None:
    """Do what `resume` does, with its lock held.

    Parameters
    ----------
    registry, name, dep, policy, labels
        As `resume` takes them.

    Returns
    -------
    result : RolloutResult or None

    Examples
    --------
    >>> settle(registry, "digits") is None                 # doctest: +SKIP
    True
    """
    number = last_number(registry.store, name)
    found = read_log(registry.store, name, number) if number else None
    if found is None:
        return None
    head, edges = found
    state = _state(edges)
    if state in FINAL or state not in RESUME:
        return None
    subject, stored = _head(registry, name, number, head)
    is_ours = subject.is_ours(subject.now())
    after = RESUME[state][dep is None][is_ours]
    with contextlib.closing(RolloutLog(registry.store, name, number)) as log:
        driver = Driver(
            dep,
            subject,
            policy or stored,
            log,
            state=state,
            edges=tuple(edges),
            labels=labels,
        )
        names = "names" if is_ours else "does not name"
        why = f"its process had ended; {subject.alias} {names} the candidate"
        driver.note(Outcome("pass", (why,)), after)
        driver.state = after
        return driver.run()
