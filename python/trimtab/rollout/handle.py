"""A rollout on a thread of its own: labels go in, a person decides, a result comes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError, RegistryConflict
from trimtab.registry.files import guarded
from trimtab.registry.locks import try_locked
from trimtab.registry.names import parse_reference
from trimtab.registry.version import ModelVersion
from trimtab.rollout.driver import Driver, Subject
from trimtab.rollout.log import RolloutLog, last_number, lock_path

if TYPE_CHECKING:
    from trimtab.registry.registry import Registry
    from trimtab.rollout.policy import Labels, Rollout
    from trimtab.rollout.result import RolloutResult

__all__ = ["RolloutHandle", "owning_rollouts", "start_rollout", "subject_of"]


class RolloutHandle:
    """A rollout under way; made by `Rollout.start`.

    Parameters
    ----------
    driver : Driver
    body : callable
        Runs it, and gives its result.

    Examples
    --------
    >>> handle = Rollout().start(deployment, "digits/4")   # doctest: +SKIP
    >>> handle.label("request-17", 3)                      # doctest: +SKIP
    >>> handle.wait().state                                # doctest: +SKIP
    'PROMOTED'
    """

    def __init__(self, driver: Driver, body: Callable[[], RolloutResult]) -> None:
        self._driver = driver
        self._body = body
        self._result: RolloutResult | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, name="trimtab-rollout", daemon=True
        )

    def start(self) -> None:
        """Begin; `Rollout.start` has done it."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._body()
        except BaseException as error:
            self._error = error

    def label(self, request_id: Any, y: Any) -> None:
        """Tell what a request's answer should have been; before or after it comes.

        Parameters
        ----------
        request_id : hashable
        y : object
            One, or one a row.
        """
        self._driver.give_label(request_id, y)

    @property
    def state(self) -> str:
        """In which state it is."""
        return self._driver.state

    @property
    def status(self) -> RolloutResult:
        """What there is to say at the moment."""
        return self._result or self._driver.result()

    def approve(self, reason: str = "") -> None:
        """Let the candidate become the champion, once the canary is over.

        Parameters
        ----------
        reason : str, optional
        """
        self._driver.decide("approve", reason or "no reason given")

    def abort(self, reason: str = "") -> None:
        """Take the candidate out; within one look the champion serves alone.

        Parameters
        ----------
        reason : str, optional
        """
        self._driver.decide("abort", reason or "no reason given")

    @property
    def is_running(self) -> bool:
        """Has it not ended yet?"""
        return self._thread.is_alive()

    def wait(self, timeout_s: float | None = None) -> RolloutResult:
        """Wait for its end.

        Parameters
        ----------
        timeout_s : float, optional
            Then what there is to say is given, though it goes on.

        Returns
        -------
        result : RolloutResult

        Raises
        ------
        Exception
            What ended the thread, if it was no outcome.
        """
        self._thread.join(timeout_s)
        if self._error is not None:
            raise self._error
        return self.status


def subject_of(dep: Any, version: Any, *, number: int = 0) -> Subject:
    """Find out what a rollout is of.

    Parameters
    ----------
    dep : Deployment
    version : int, str or ModelVersion
    number : int, default=0
        Of the rollout.

    Returns
    -------
    subject : Subject

    Raises
    ------
    InputError
        The deployment has no registry, or the version is none.

    Examples
    --------
    >>> subject_of(deployment, "digits/4").version         # doctest: +SKIP
    4
    """
    registry = dep.registry
    if registry is None:
        raise InputError(
            "this deployment has no registry, and so no versions: "
            "deploy_model('digits', registry='models')"
        )
    if isinstance(version, bool) or not isinstance(version, (int, str, ModelVersion)):
        raise InputError(
            "version: expected a number, a reference ('digits/4') or a ModelVersion, "
            f"got {type(version).__name__}"
        )
    if isinstance(version, int):
        name = dep.registered_name
        found = registry.get(f"{name}/{version}")
    else:
        name = parse_reference(str(version)).name
        found = registry.get(version)
    before = registry.alias(name, dep.alias)
    return Subject(registry, name, dep.alias, found.version, before, number)


@contextlib.contextmanager
def owning_rollouts(registry: Registry, name: str) -> Iterator[None]:
    """Be the only one who rolls out versions of a model.

    Parameters
    ----------
    registry : Registry
    name : str

    Returns
    -------
    context : context manager

    Raises
    ------
    RegistryConflict
        Somebody else is.

    Examples
    --------
    >>> with owning_rollouts(registry, "digits"):          # doctest: +SKIP
    ...     pass
    """
    with contextlib.ExitStack() as stack:
        with guarded(f"a rollout of {name}"):
            path = lock_path(registry.store, name)
            is_held = stack.enter_context(try_locked(path))
        if not is_held:
            raise RegistryConflict(
                f"{name}: another rollout is under way (number "
                f"{last_number(registry.store, name)}): wait for its end, or abort it"
            )
        yield


def start_rollout(
    policy: Rollout, dep: Any, version: Any, labels: Labels | None
) -> RolloutHandle:
    """Begin a rollout on a thread; what a killed one has left is put right before.

    Parameters
    ----------
    policy : Rollout
    dep : Deployment
    version : int, str or ModelVersion
    labels : callable or mapping, optional

    Returns
    -------
    handle : RolloutHandle

    Raises
    ------
    InputError
        It cannot be begun.

    Examples
    --------
    >>> start_rollout(Rollout(), deployment, 4, None)      # doctest: +SKIP
    """
    from trimtab.rollout.recovery import settle

    if labels is not None and not isinstance(labels, Mapping) and not callable(labels):
        raise InputError(
            f"labels: expected a function or a mapping, got {type(labels).__name__}"
        )
    registry, name = dep.registry, subject_of(dep, version).name
    stack = contextlib.ExitStack()
    with stack:
        stack.enter_context(owning_rollouts(registry, name))
        settle(registry, name)
        subject = subject_of(dep, version, number=last_number(registry.store, name) + 1)
        log = RolloutLog(registry.store, name, subject.number)
        stack.callback(log.close)
        log.begin(time.time(), head_of(subject, policy))
        driver = Driver(dep, subject, policy, log, labels=labels)
        return _started(driver, stack.pop_all())
    raise AssertionError("unreachable")


def _started(driver: Driver, owned: contextlib.ExitStack) -> RolloutHandle:
    """The thread owns the lock and the journal."""

    def body() -> RolloutResult:
        with owned:
            return driver.run()

    handle = RolloutHandle(driver, body)
    handle.start()
    return handle


def head_of(subject: Subject, policy: Rollout) -> dict[str, Any]:
    """What the first record of a journal says.

    Parameters
    ----------
    subject : Subject
    policy : Rollout

    Returns
    -------
    head : dict

    Examples
    --------
    >>> head_of(subject, Rollout())["version"]             # doctest: +SKIP
    4
    """
    return {
        "version": subject.version,
        "alias": subject.alias,
        "before": None if subject.before is None else subject.before.to_dict(),
        "policy": policy.to_dict(),
    }
