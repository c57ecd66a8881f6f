"""Runs a rollout: from state to state, each edge on the disk before what follows it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from trimtab.deploy.traffic import Traffic
from trimtab.errors import RegistryError, TrimtabError
from trimtab.registry.alias import Alias
from trimtab.registry.registry import Registry
from trimtab.rollout.actions import ACTIONS
from trimtab.rollout.answers import answers_of
from trimtab.rollout.ears import Ears
from trimtab.rollout.evidence import Evidence
from trimtab.rollout.log import Edge, RolloutLog
from trimtab.rollout.policy import Rollout
from trimtab.rollout.result import RolloutResult
from trimtab.rollout.states import FINAL, STATES, Outcome, following

__all__ = ["Driver", "Subject"]

_MAX_LABELS_A_LOOK = 4096
_MAX_LABELS_WAITING = 1 << 16
_MOST_UNDOING = 10
_LONGEST_REASON = 1000


class Subject:
    """What a rollout is of.

    Parameters
    ----------
    registry : Registry
    name, alias : str
    version : int
        The candidate.
    before : Alias or None
        The alias as it was when the rollout began.
    number : int
        Of the rollout.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        alias: str,
        version: int,
        before: Alias | None,
        number: int,
    ) -> None:
        self.registry = registry
        self.name = name
        self.alias = alias
        self.version = version
        self.before = before
        self.number = number

    @property
    def mark(self) -> str:
        """By which an alias tells that this rollout has set it."""
        return f"rollout {self.number}:"

    def is_ours(self, alias: Alias | None) -> bool:
        """Does the alias name the candidate because of this rollout?

        Parameters
        ----------
        alias : Alias or None

        Returns
        -------
        is_ours : bool
        """
        return (
            alias is not None
            and alias.version == self.version
            and alias.reason.startswith(self.mark)
            and (self.before is None or alias.generation > self.before.generation)
        )

    def now(self) -> Alias | None:
        """The alias as it is."""
        return self.registry.alias(self.name, self.alias)


class Driver:
    """One rollout under way; only the thread that runs it calls `run`.

    Parameters
    ----------
    dep : Deployment or None
        None: only the registry is put right.
    subject : Subject
    policy : Rollout
    log : RolloutLog
    state : str
        Where it begins.
    edges : sequence of Edge
        What has happened before.
    labels : callable or mapping, optional
    """

    def __init__(
        self,
        dep: Any,
        subject: Subject,
        policy: Rollout,
        log: RolloutLog,
        *,
        state: str = "REGISTERED",
        edges: tuple[Edge, ...] = (),
        labels: Callable[[Any], Any] | Mapping[Any, Any] | None = None,
    ) -> None:
        self.dep = dep
        self.subject = subject
        self.policy = policy
        self.state = state
        self.edges = list(edges)
        self.evidence = Evidence(policy)
        self.ears = Ears(answers_of if policy.loss is None else lambda result: result)
        #: The candidate's arm, and the champion's as it was before the promotion.
        self.arm: Any = None
        self.old_arm: Any = None
        #: What a person has decided: (kind, reason).
        self.decision: tuple[str, str] | None = None
        self._log = log
        self._labels = labels.get if isinstance(labels, Mapping) else labels
        self._given: deque[tuple[Any, Any]] = deque(maxlen=_MAX_LABELS_WAITING)
        self._wake = threading.Event()
        self.has_traffic = False
        self._n_undone = 0
        self.n_label_troubles = 0

    # ---- from state to state -------------------------------------------------------

    def run(self) -> RolloutResult:
        """Go on until nothing follows.

        Returns
        -------
        result : RolloutResult
        """
        try:
            while self.state not in FINAL:
                self.move(self._act())
                if self.state == "ROLLING_BACK" and self._n_undone >= _MOST_UNDOING:
                    break  # `resume` goes on with it
        except BaseException:
            self._leave()
            raise
        finally:
            self.release()
        return self.result()

    def _act(self) -> Outcome:
        try:
            return ACTIONS[STATES[self.state][0]](self)
        except TrimtabError as error:
            reasons = getattr(error, "reasons", None) or (str(error),)
            return Outcome("fail", tuple(map(str, reasons)))
        except Exception as error:
            return Outcome("fail", (f"{type(error).__name__}: {error}",))

    def move(self, outcome: Outcome) -> None:
        """Take the edge that an outcome leads to.

        Parameters
        ----------
        outcome : Outcome
        """
        after = following(self.state, outcome.kind)
        self._n_undone += self.state == after == "ROLLING_BACK"
        if not self.note(outcome, after) and after not in (*FINAL, "ROLLING_BACK"):
            after = "ROLLING_BACK"  # what is not written down does not happen
        self.state = after

    def note(self, outcome: Outcome, after: str | None = None) -> bool:
        """Write an edge, or a note within a state.

        Parameters
        ----------
        outcome : Outcome
        after : str, optional
            The same state by default.

        Returns
        -------
        is_written : bool
        """
        reasons = tuple(reason[:_LONGEST_REASON] for reason in outcome.reasons)
        edge = Edge(time.time(), self.state, after or self.state, reasons, outcome.data)
        try:
            self._log.add(edge)
        except RegistryError as error:
            edge = Edge(
                edge.time,
                edge.before,
                edge.after,
                (*reasons, f"the journal cannot be written: {error}"),
                edge.data,
            )
            self.edges.append(edge)
            return False
        self.edges.append(edge)
        return True

    def _leave(self) -> None:
        """Interrupted: nothing of the candidate stays in service."""
        if self.state in FINAL:
            return
        self.move(Outcome("fail", ("interrupted",)))
        if self.state == "ROLLING_BACK":
            self.move(self._act())

    def result(self) -> RolloutResult:
        """What there is to say at the moment.

        Returns
        -------
        result : RolloutResult
        """
        before = self.subject.before
        return RolloutResult(
            name=self.subject.name,
            version=self.subject.version,
            from_version=None if before is None else before.version,
            number=self.subject.number,
            state=self.state,
            edges=tuple(self.edges),
            evidence=self.evidence.to_dict(),
            policy=self.policy.to_dict(),
        )

    # ---- what actions need -----------------------------------------------------------

    def route(
        self, arm: Any, mode: str, share: float, *, reverse: bool = False
    ) -> None:
        """Let an arm take part; what was heard of others before is over.

        Parameters
        ----------
        arm : Arm
        mode : {"shadow", "canary"}
        share : float
        reverse : bool, default=False
            The candidate serves, and the arm is the old one.
        """
        self.look()
        ears = Ears(self.ears._reduce)
        ears.is_reversed = reverse
        self.ears, self.has_traffic = ears, True
        self.dep.set_traffic(Traffic(arm, mode, share, ears))

    def release(self) -> None:
        """Take the candidate out of the traffic."""
        is_there = self.dep is not None and not getattr(self.dep, "is_closed", False)
        if self.has_traffic and is_there:
            self.has_traffic = False
            self.dep.set_traffic(None)

    def watch(
        self, done: Callable[[], Outcome | None], seconds: float, missing: str
    ) -> Outcome:
        """Look until something is decided.

        Parameters
        ----------
        done : callable
            Gives the outcome once it is there.
        seconds : float
            At most.
        missing : str
            Why it cannot be told then.

        Returns
        -------
        outcome : Outcome
        """
        end = time.monotonic() + seconds
        while True:
            self.look()
            stop = self._stopped()
            if stop:
                return Outcome("fail", tuple(stop), self.evidence.to_dict())
            outcome = done()
            if outcome is not None:
                return outcome
            left_s = end - time.monotonic()
            if left_s <= 0:
                return Outcome("unknown", (missing,), self.evidence.to_dict())
            self._wake.wait(min(self.policy.check_s, left_s))
            self._wake.clear()

    def look(self) -> None:
        """Take what has come since the last look."""
        for event in self.ears.take():
            self.evidence.take(event)
        while self._given:
            self._label(*self._given.popleft())
        if self._labels is not None:
            for request_id in self.evidence.labels.waiting(_MAX_LABELS_A_LOOK):
                try:
                    label = self._labels(request_id)
                except Exception:  # the caller's; no labels are no proof
                    self.n_label_troubles += 1
                    break
                if label is not None:
                    self._label(request_id, label)

    def _label(self, request_id: Any, label: Any) -> None:
        try:
            self.evidence.label(request_id, label)
        except TypeError:  # an id that cannot be one
            self.n_label_troubles += 1

    def _stopped(self) -> list[str]:
        """What ends a stage before its time."""
        if self.decision is not None and self.decision[0] == "abort":
            return [f"aborted: {self.decision[1]}"]
        if getattr(self.dep, "is_closed", False):
            return ["the deployment was closed"]
        moved = self._moved()
        return [*([moved] if moved else ()), *self.evidence.breaches]

    def _moved(self) -> str | None:
        """Has somebody else set the alias?"""
        try:
            now = self.subject.now()
        except RegistryError:
            return None  # out of reach: what serves goes on
        before = self.subject.before
        same = None if now is None else now.generation
        if same == (None if before is None else before.generation):
            return None if self.state != "BAKING" else "the alias has been set back"
        if self.state == "BAKING" and self.subject.is_ours(now):
            return None
        if now is None:
            return f"{self.subject.alias} has been removed"
        return (
            f"{self.subject.alias} was set to version {now.version} by {now.by}: "
            f"{now.reason or 'no reason given'}"
        )

    @property
    def expects_labels(self) -> bool:
        """Is there somebody who knows labels?"""
        is_told = self._labels is not None or self.policy.needs_labels
        return is_told or self.evidence.has_labels

    def give_label(self, request_id: Any, label: Any) -> None:
        """Take a label from any thread; it is looked at at the next look.

        Parameters
        ----------
        request_id : hashable
        label : object
        """
        self._given.append((request_id, label))

    def decide(self, kind: str, reason: str) -> None:
        """Take a person's decision from any thread.

        Parameters
        ----------
        kind : {"approve", "abort"}
        reason : str
        """
        if self.decision is None or kind == "abort":
            self.decision = (kind, reason)
        self._wake.set()
