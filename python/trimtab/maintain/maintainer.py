"""The loop: look, decide, act, write it down.

Enters: a deployment, a monitor, data that come, a policy. Leaves: a log, and a model
that is as good as what is proven. All that is remembered is in the log, so a process
that was killed goes on where it was.
"""

from __future__ import annotations

import threading
import time as _time
from collections.abc import Callable, Mapping
from typing import Any

from trimtab.errors import TrimtabError
from trimtab.maintain.actions import ACTIONS, Outcome, Task
from trimtab.maintain.log import MaintenanceLog
from trimtab.maintain.observation import Observation
from trimtab.maintain.offer import Offer, Source
from trimtab.maintain.policy import MaintenancePolicy, Rule
from trimtab.monitor.windows import Clock

__all__ = ["Maintainer"]

_DAY_S = 86400.0
_MAX_DETAIL = 2000
# A window of fewer labels says nothing.
_FEW_LABELS = 30


class Maintainer:
    """Looks after one deployment; made by `maintain_model`.

    Parameters
    ----------
    deployment : Deployment
    policy : MaintenancePolicy
    log : MaintenanceLog
    source : Source
        Of new labelled data.
    monitor : Monitor or None
    baseline : dict of str to float
        What metrics should be, by name, where the version does not say.
    clock : Clock
    **given : object
        Further arguments of `trimtab.maintain.actions.Task`.

    Examples
    --------
    >>> Maintainer(deployment, policy, log, source).look()  # doctest: +SKIP
    """

    def __init__(
        self,
        deployment: Any,
        policy: MaintenancePolicy,
        log: MaintenanceLog,
        source: Source,
        *,
        monitor: Any = None,
        baseline: Mapping[str, float] | None = None,
        clock: Clock,
        **given: Any,
    ) -> None:
        self.deployment, self.policy, self.log = deployment, policy, log
        self.monitor, self._source, self._clock = monitor, source, clock
        self._baseline, self._given = dict(baseline or {}), given
        self._requests: tuple[int, int] | None = None
        self._source_trouble = ""
        #: Results of what was done, the newest last: those of `update_model`, ...
        self.results: list[Any] = []

    # ---- looking -----------------------------------------------------------------

    def observe(self) -> tuple[Observation, Offer | None]:
        """See how the deployment is doing.

        Returns
        -------
        observation : Observation
        offer : Offer or None
            New labelled data.
        """
        now, standing = self._clock.time(), self.log.standing
        status = None if self.monitor is None else self.monitor.check()
        window = None if status is None else status.window
        version = getattr(self.deployment, "version", None)
        if version != standing.version or not standing.seq:
            self._write_version(now, version)
        offer = self._offer(now)
        n_new = 0 if offer is None else offer.n_new(standing.data, standing.n_rows)
        promoted = standing.promoted_at
        return Observation(
            now,
            state="no monitor" if status is None else status.state,
            drifted=() if window is None else window.drifted,
            metrics={} if status is None else self._live(status),
            estimates={} if window is None else window.estimates,
            baseline=self._expected(version),
            version=version,
            since_promotion_s=None if promoted is None else now - promoted,
            n_new=n_new,
            since_s={rule: now - at for rule, at in standing.acted.items()},
            **self._counts(),
        ), offer

    def _write_version(self, now: float, version: int | None) -> None:
        windows = getattr(self.monitor, "label_windows", ())
        last = int(windows[-1]["index"]) if windows and self.log.standing.seq else -1
        self.log.write(now, "version", version=version, label_window=last)

    def _live(self, status: Any) -> Mapping[str, Mapping[str, Any]]:
        """Metrics of the newest window that says something of this version alone."""
        windows = getattr(self.monitor, "label_windows", None)
        if not windows:
            metrics: Mapping[str, Mapping[str, Any]] = status.metrics
            return metrics
        for window in reversed(windows):
            is_own = window["index"] > self.log.standing.label_window
            if is_own and window["n_labels"] >= _FEW_LABELS:
                found: Mapping[str, Mapping[str, Any]] = window["metrics"]
                return found
        return {}

    def _offer(self, now: float) -> Offer | None:
        """New data; what cannot be read is told once and tried again."""
        try:
            offer = self._source.look()
        except Exception as error:
            trouble = f"{type(error).__name__}: {error}"[:_MAX_DETAIL]
            if trouble != self._source_trouble:
                self.log.write(now, "held", rule="new_data", reason=trouble)
            self._source_trouble = trouble
            return None
        self._source_trouble = ""
        return offer

    def _expected(self, version: int | None) -> dict[str, float]:
        """What the metrics were where the version was proven."""
        found = dict(self._baseline)
        registry = getattr(self.deployment, "registry", None)
        if registry is None or version is None:
            return found
        try:
            metrics = registry.get(
                f"{self.deployment.registered_name}/{version}"
            ).metrics
        except TrimtabError:
            return found
        for name, value in metrics.items():
            if isinstance(value, Mapping):
                value = value.get("value")
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[name] = float(value)
        return found

    def _counts(self) -> dict[str, Any]:
        """Requests so far, and the share of those since the last look that failed."""
        stats, standing = self.deployment.stats, self.log.standing
        now = (int(stats["n_requests"]), int(stats["n_errors"]))
        before = self._requests or (standing.n_requests, standing.n_errors)
        if before[0] > now[0] or before[1] > now[1]:
            before = (0, 0)  # the counters are those of a new process
        self._requests = now
        n_requests, n_failed = now[0] - before[0], now[1] - before[1]
        rate = n_failed / n_requests if n_requests else 0.0
        return {"error_rate": rate, "n_requests": now[0], "n_errors": now[1]}

    # ---- deciding ----------------------------------------------------------------

    def look(self) -> list[Outcome]:
        """Look once, and do what the policy asks for.

        Returns
        -------
        outcomes : list of Outcome
            Of the rules that acted.
        """
        self._finish_open()
        seen, offer = self.observe()
        found, is_changed = [], False
        for rule in self.policy.rules:
            reason = rule.trigger.reason(seen, rule.name)
            if reason is None or (rule.is_changing and is_changed):
                self.log.standing.held.pop(rule.name, None)
                continue
            since = seen.since_s.get(rule.name)
            if since is not None and since < rule.cooldown_s:
                continue
            against = self._against(rule, seen)
            if against is not None:
                self._hold(seen.time, rule, against)
                continue
            found.append(self._act(rule, reason, seen, offer))
            is_changed = is_changed or rule.is_changing
        return found

    def _hold(self, now: float, rule: Rule, why: str) -> None:
        """Say it once, not at every look."""
        if self.log.standing.held.get(rule.name) != why:
            self.log.write(now, "held", rule=rule.name, reason=why)

    def _against(self, rule: Rule, seen: Observation) -> str | None:
        """Say which limit is against it now."""
        if not rule.is_changing or rule.action == "roll_back":
            return None
        policy, standing = self.policy, self.log.standing
        if seen.n_new == 0:
            return "no labelled rows are new since the last update"
        if standing.n_changes_since(seen.time - _DAY_S) >= policy.max_per_day:
            return f"there were {policy.max_per_day} changes within 24 hours"
        if standing.n_failed:
            pause = min(policy.backoff_s * 2 ** min(standing.n_failed - 1, 20), _DAY_S)
            if seen.time - standing.failed_at < pause:
                return f"{standing.n_failed} failed in a row; a pause of {pause:g} s"
        at = _time.localtime(seen.time)
        if policy.is_quiet(at.tm_hour * 60 + at.tm_min):
            begin, end = policy.quiet_hours or ("", "")
            return f"of the quiet hours from {begin} to {end}"
        return None

    # ---- acting ------------------------------------------------------------------

    def _act(
        self, rule: Rule, reason: str, seen: Observation, offer: Offer | None
    ) -> Outcome:
        """Write down what begins, do it, write down what came of it."""
        self.log.write(
            seen.time,
            "began",
            rule=rule.name,
            action=rule.action,
            reason=reason,
            is_change=rule.is_changing and rule.action != "roll_back",
            observation=seen.to_dict(),
        )
        begun, is_failure = self._clock.monotonic(), False
        task = Task(self.deployment, rule, reason, offer, **self._given)
        try:
            outcome = ACTIONS[rule.action](task)
        except Exception as error:
            is_failure = True
            outcome = Outcome("FAILED", f"{type(error).__name__}: {error}")
        self.log.write(
            self._clock.time(),
            "ended",
            rule=rule.name,
            action=rule.action,
            state=outcome.state,
            detail=outcome.detail[:_MAX_DETAIL],
            is_failure=is_failure,
            seconds=self._clock.monotonic() - begun,
            data=offer.fingerprint if outcome.has_learned and offer else "",
            n_rows=offer.n_rows if outcome.has_learned and offer else 0,
            **outcome.values,
        )
        if outcome.result is not None:
            self.results = [*self.results[-99:], outcome.result]
        version = getattr(self.deployment, "version", None)
        if version != self.log.standing.version:
            self._write_version(self._clock.time(), version)
        return outcome

    def _finish_open(self) -> None:
        """An action of a process that was killed: the registry says what came of it."""
        begun = self.log.standing.open
        if begun is None:
            return
        now = self._clock.time()
        detail = "the process ended; "
        registry = getattr(self.deployment, "registry", None)
        if registry is not None:
            detail += _resumed(registry, self.deployment.registered_name)
        else:
            detail += "nothing was put in place"
        rule, action = begun.get("rule", ""), begun.get("action", "")
        self.log.write(now, "interrupted", rule=rule, action=action, detail=detail)
        self.log.write(
            now,
            "ended",
            rule=rule,
            action=action,
            state="INTERRUPTED",
            detail=detail,
            is_failure=True,
        )

    # ---- running -----------------------------------------------------------------

    def run(
        self,
        stop: threading.Event,
        on_look: Callable[[list[Outcome]], Any] | None = None,
    ) -> None:
        """Look again and again, until somebody sets `stop`.

        Parameters
        ----------
        stop : threading.Event
        on_look : callable, optional
            Called with the outcomes of each look.
        """
        while not stop.is_set():
            outcomes = self.look()
            if on_look is not None:
                on_look(outcomes)
            stop.wait(self.policy.check_s)


def _resumed(registry: Any, name: str) -> str:
    """Finish or undo a rollout that was under way."""
    from trimtab.rollout import resume

    try:
        result = resume(registry, name)
    except TrimtabError as error:
        return f"its rollout could not be resumed: {error}"
    return "no rollout was open" if result is None else f"its rollout: {result.state}"
