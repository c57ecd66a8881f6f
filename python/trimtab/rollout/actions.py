"""What is done in each state of a rollout; each action says what it came to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from trimtab.errors import RegistryConflict, RegistryError, SwapError
from trimtab.registry.names import CHAMPION
from trimtab.rollout.states import Outcome

if TYPE_CHECKING:
    from trimtab.rollout.driver import Driver

__all__ = ["ACTIONS"]

_CHALLENGER = "challenger"
# Of requests whose copies the old version gets while the new one bakes, where no labels
# are waited for.
_SHARE_OF_COPIES = 0.1
# Exceptions that are about the request, not about the model.
_CALLERS = {"InputError", "InputTypeError", "OverloadedError", "DeadlineError"}
_VERDICTS = {"passed": "pass", "failed": "fail", "needs_data": "unknown"}


def _begin(driver: Driver) -> Outcome:
    """Is there something to do? Name it, so that it is not collected."""
    subject = driver.subject
    version = subject.registry.get(f"{subject.name}/{subject.version}")
    before = subject.before
    if before is not None and before.version == version.version:
        return Outcome("fail", (f"{version} is {subject.alias} already",))
    if subject.alias == CHAMPION:
        now = subject.registry.alias(subject.name, _CHALLENGER)
        if now is None or now.version != version.version:
            subject.registry.set_alias(
                subject.name, _CHALLENGER, version.version, reason=subject.mark
            )
    return Outcome("pass", (), {"digest": version.digest})


def _validate(driver: Driver) -> Outcome:
    """Every byte of it has its digest; broken, it is set aside."""
    subject = driver.subject
    version = subject.registry.get(f"{subject.name}/{subject.version}")
    layer = version.layer
    try:
        subject.registry.store.check_blob(layer.digest, layer.n_bytes)
    except RegistryError:
        subject.registry.verify(subject.name)
        raise
    return Outcome("pass", (), {"n_bytes": layer.n_bytes})


def _evaluate(driver: Driver) -> Outcome:
    """Gates, where some were given."""
    prove, subject = driver.policy.prove, driver.subject
    if prove is None:
        return Outcome("pass", ("no gates were given",))
    report = prove(subject.registry.get(f"{subject.name}/{subject.version}"))
    reasons = tuple(map(str, getattr(report, "reasons", ())))
    return Outcome(_VERDICTS.get(str(report.state), "fail"), reasons)


def _stage(driver: Driver) -> Outcome:
    """Load it beside the champion, and run it."""
    begun = time.monotonic()
    _load(driver)
    return Outcome("pass", (), {"seconds": time.monotonic() - begun})


def _load(driver: Driver) -> None:
    if driver.arm is None:
        subject = driver.subject
        driver.arm = driver.dep.prepare(f"{subject.name}/{subject.version}")


def _shadow(driver: Driver) -> Outcome:
    """Both answer; only the champion's answers are given out."""
    _load(driver)
    policy, evidence = driver.policy, driver.evidence
    if policy.shadow_requests == 0:
        return Outcome("pass", ("no shadow was asked for",))
    driver.route(driver.arm, "shadow", 1.0)

    def done() -> Outcome | None:
        is_waiting = driver.expects_labels and not policy.late_labels
        if evidence.n_compared < policy.shadow_requests:
            return None
        if is_waiting and not evidence.is_proven:
            return None
        return Outcome("pass", (evidence.quality,), evidence.to_dict())

    outcome = driver.watch(done, policy.max_duration_s, "not enough in time")
    return _explained(driver, outcome, evidence.n_compared, policy.shadow_requests)


def _explained(driver: Driver, outcome: Outcome, n: int, n_wanted: int) -> Outcome:
    """Say what was missing."""
    if outcome.kind != "unknown":
        return outcome
    reasons = [driver.evidence.quality]
    if n < n_wanted:
        reasons.insert(
            0, f"{n} requests in {driver.policy.max_duration_s:g} s, of {n_wanted}"
        )
    if driver.n_label_troubles:
        reasons.append(f"labels could not be had {driver.n_label_troubles} times")
    return Outcome("unknown", tuple(reasons), outcome.data)


def _canary(driver: Driver) -> Outcome:
    """The candidate answers a share of the requests, then a larger one."""
    _load(driver)
    policy, evidence = driver.policy, driver.evidence
    shares = [share for share in policy.canary if share >= _share_so_far(driver)]
    for share in shares:
        driver.note(Outcome("pass", (), {"share": share}))
        evidence.n_answered = 0
        driver.route(driver.arm, "canary", share)

        def done() -> Outcome | None:
            if evidence.n_answered < policy.min_requests:
                return None
            return Outcome("pass", (), evidence.to_dict())

        outcome = driver.watch(done, policy.max_duration_s, "not enough in time")
        if outcome.kind != "pass":
            return _explained(driver, outcome, evidence.n_answered, policy.min_requests)
    if policy.approval == "manual":
        return Outcome("unknown", ("waits for a person",), evidence.to_dict())
    return Outcome("pass", (), evidence.to_dict())


def _share_so_far(driver: Driver) -> float:
    """Resumed: the step that was under way."""
    shares = [
        edge.data["share"]
        for edge in driver.edges
        if edge.before == edge.after == "CANARY"
        and isinstance(edge.data.get("share"), (int, float))
    ]
    return float(shares[-1]) if shares else 0.0


def _wait(driver: Driver) -> Outcome:
    """A person decides; the canary goes on, and is watched."""
    policy, evidence = driver.policy, driver.evidence
    if policy.approval != "manual":
        return Outcome("unknown", driver.edges[-1].reasons, evidence.to_dict())
    _load(driver)
    if policy.canary and not driver.has_traffic:
        driver.route(driver.arm, "canary", policy.canary[-1])

    def done() -> Outcome | None:
        kind, reason = driver.decision or ("", "")
        if kind != "approve":
            return None
        return Outcome("pass", (f"approved: {reason}",), evidence.to_dict())

    return driver.watch(done, policy.max_duration_s, "nobody has decided")


def _promote(driver: Driver) -> Outcome:
    """The alias names the candidate, if it still says what it said; then it serves."""
    subject, dep = driver.subject, driver.dep
    driver.old_arm = dep.champion
    reason = f"{subject.mark} {driver.evidence.quality}"
    try:
        now = subject.registry.set_alias(
            subject.name,
            subject.alias,
            subject.version,
            expected=subject.before,
            reason=reason,
        )
    except RegistryConflict as error:
        return Outcome("fail", (str(error),))
    if dep.version != subject.version:
        dep.swap(subject.version)
    return Outcome("pass", (), {"generation": now.generation})


def _bake(driver: Driver) -> Outcome:
    """The candidate serves; the old version gets copies, ready to take over."""
    policy, evidence, subject = driver.policy, driver.evidence, driver.subject
    dep = driver.dep
    if dep.version != subject.version:
        dep.swap(subject.version)  # resumed
    if driver.old_arm is None and subject.before is not None:
        driver.old_arm = dep.prepare(f"{subject.name}/{subject.before.version}")
    is_late = policy.late_labels and driver.expects_labels
    if driver.old_arm is not None:
        share = 1.0 if is_late else _SHARE_OF_COPIES
        driver.route(driver.old_arm, "shadow", share, reverse=True)
    end = time.monotonic() + _left_to_bake(driver)
    counted = _counts(dep)

    def done() -> Outcome | None:
        nonlocal counted
        now = _counts(dep)
        evidence.errors(now[0] - counted[0], now[1] - counted[1])
        counted = now
        if time.monotonic() < end:
            return None
        if is_late and not evidence.is_proven:
            return None
        return Outcome("pass", (evidence.quality,), evidence.to_dict())

    limit_s = max(policy.bake_s, policy.max_duration_s if is_late else 0.0)
    outcome = driver.watch(done, limit_s + policy.check_s, evidence.quality)
    return _explained(driver, outcome, 0, 0)


def _left_to_bake(driver: Driver) -> float:
    """Seconds; of a rollout that is resumed, what is left by the journal."""
    begun = [edge.time for edge in driver.edges if edge.after == "BAKING"]
    baked = time.time() - begun[0] if begun else 0.0
    return driver.policy.bake_s - min(max(baked, 0.0), driver.policy.bake_s)


def _counts(dep: object) -> tuple[int, int]:
    """Errors that are not the caller's, and requests."""
    stats = dep.stats  # type: ignore[attr-defined]
    errors = sum(n for kind, n in stats["errors"].items() if kind not in _CALLERS)
    return errors, int(stats["n_requests"])


def _undo(driver: Driver) -> Outcome:
    """The champion serves alone; where the alias names the candidate, it goes back."""
    subject, dep = driver.subject, driver.dep
    if dep is not None and getattr(dep, "is_closed", False):
        dep = None  # nothing serves here any more
    troubles: list[str] = []
    now = None
    try:
        now = subject.now()
        if subject.is_ours(now):
            why = driver.edges[-1].reasons[:1] if driver.edges else ()
            now = subject.registry.rollback(
                subject.name,
                alias=subject.alias,
                expected=now,
                reason=f"{subject.mark} {'; '.join(why)}"[:1000],
            )
    except RegistryError as error:
        troubles.append(str(error))
    if dep is not None:
        # serve what is right, whatever the registry says
        wanted = [subject.before] if troubles else [now, subject.before]
        troubles += _serve_one_of(driver, [v.version for v in wanted if v is not None])
        driver.release()
    if not troubles:
        return Outcome("pass", (), {"alias": None if now is None else now.version})
    time.sleep(min(driver.policy.check_s, 1.0))
    return Outcome("fail", tuple(troubles))


def _serve_one_of(driver: Driver, versions: list[int]) -> list[str]:
    """The first that can; if none can, anything but the candidate will do."""
    subject, dep = driver.subject, driver.dep
    troubles: list[str] = []
    for version in versions:
        if dep.version == version:
            return []
        try:
            dep.swap(version)
            return []
        except (SwapError, RegistryError) as error:
            troubles.append(str(error))
    return troubles if dep.version == subject.version else []


#: Action -> what does it.
ACTIONS: dict[str, Callable[[Driver], Outcome]] = {
    "begin": _begin,
    "validate": _validate,
    "evaluate": _evaluate,
    "stage": _stage,
    "shadow": _shadow,
    "canary": _canary,
    "wait": _wait,
    "promote": _promote,
    "bake": _bake,
    "undo": _undo,
}
