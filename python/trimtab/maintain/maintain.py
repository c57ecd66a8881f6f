"""maintain_model: the loop that keeps a model well, unattended."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trimtab.errors import InputError
from trimtab.maintain.log import MaintenanceLog, log_path
from trimtab.maintain.maintainer import Maintainer
from trimtab.maintain.offer import Source
from trimtab.maintain.policy import MaintenancePolicy
from trimtab.maintain.report import MaintenanceReport
from trimtab.monitor.windows import Clock, SystemClock

__all__ = ["maintain_model"]


def maintain_model(
    deployment: Any,
    policy: MaintenancePolicy
    | Mapping[str, Any]
    | str
    | os.PathLike[str]
    | None = None,
    *,
    monitor: Any = None,
    new_data: Any = None,
    reference: Any = None,
    train_fn: Callable[..., Any] | None = None,
    original: Any = None,
    rollout: Any = None,
    baseline: Mapping[str, float] | None = None,
    on_alert: Callable[[str, str], Any] | None = None,
    log: str | os.PathLike[str] | None = None,
    once: bool = False,
    stop: threading.Event | None = None,
    clock: Clock | None = None,
) -> MaintenanceReport:
    """Keep a model in service well: see, update, prove, put in place, take back.

    What to do, when, and how often at most is the policy's. Nothing is put in place
    that the gates of `update_model` do not prove, and all of it is in the log with its
    reasons. What must be remembered is in the log too: a process that was killed goes
    on where it was, and what it was doing is finished or undone.

    Parameters
    ----------
    deployment : Deployment
    policy : MaintenancePolicy, mapping or path, optional
        A path: of a JSON file of it. By default see `MaintenancePolicy`.
    monitor : Monitor, optional
        Of the deployment: for drift and live metrics.
    new_data : callable, path, tuple or mapping, optional
        Labelled rows to learn from, as `update_model` takes them; a function without
        arguments that gives them or None; or an .npz file, which may come later and
        grow.
    reference : object, optional
        Labelled rows that must not be forgotten; see `update_model`.
    train_fn : callable, optional
        Of `update_model`.
    original : Model, optional
        In float32: what "requantize" quantises anew.
    rollout : Rollout, optional
        How what is proven is put in place; see `update_model`.
    baseline : dict of str to float, optional
        What live metrics should be, where the registry does not know.
    on_alert : callable, optional
        Called with (rule, reason) by "alert".
    log : path, optional
        By default ``maintenance/<name>.ndjson`` in the registry's folder; without
        a registry it is in memory.
    once : bool, default=False
        Look once and return, such as for cron.
    stop : threading.Event, optional
        Ends the loop; so do Ctrl-C and SIGTERM, once the action under way is done.
    clock : Clock, optional
        For tests.

    Returns
    -------
    report : MaintenanceReport

    Raises
    ------
    InputError
        An argument is none of these.
    RegistryConflict
        Another process maintains with this log.

    Examples
    --------
    >>> report = maintain_model(deployment, monitor=monitor,   # doctest: +SKIP
    ...                         new_data="labelled.npz", once=True)
    >>> print(report)                                          # doctest: +SKIP
    digits, version 4 is served
      2026-11-27 14:03:11  labels: update, since 620 labelled rows are new
      2026-11-27 14:03:19  labels: update -> PROMOTED: head_ridge (7.9 s)
    """
    chosen = _policy(policy)
    if not hasattr(deployment, "stats") or not hasattr(deployment, "name"):
        raise InputError(
            "maintain_model: expected what deploy_model returned, got "
            f"{type(deployment).__name__}"
        )
    if on_alert is not None and not callable(on_alert):
        raise InputError(f"on_alert: expected a function, got {on_alert!r:.80}")
    source = Source(new_data)
    used = clock or SystemClock()
    ended = threading.Event() if stop is None else stop
    with MaintenanceLog(_log_path(deployment, log)) as written:
        maintainer = Maintainer(
            deployment,
            chosen,
            written,
            source,
            monitor=monitor,
            baseline=baseline,
            clock=used,
            reference=reference,
            train_fn=train_fn,
            original=original,
            on_alert=on_alert,
            rollout=rollout,
        )
        if once:
            maintainer.look()
        else:
            written.write(used.time(), "started", policy=chosen.to_dict())
            with _stopped_by_signals(ended):
                maintainer.run(ended)
            written.write(used.time(), "stopped")
        return MaintenanceReport(
            deployment.name,
            tuple(written.records),
            getattr(deployment, "version", None),
            tuple(maintainer.results),
        )


def _policy(given: Any) -> MaintenancePolicy:
    if given is None:
        return MaintenancePolicy()
    if isinstance(given, MaintenancePolicy):
        return given
    if isinstance(given, Mapping):
        return MaintenancePolicy.from_dict(given)
    if isinstance(given, str | os.PathLike):
        return MaintenancePolicy.read(given)
    raise InputError(
        "policy: expected a MaintenancePolicy, a mapping or a JSON file, got "
        f"{type(given).__name__}"
    )


def _log_path(
    deployment: Any, given: str | os.PathLike[str] | None
) -> str | os.PathLike[str] | None:
    if given is not None:
        return given
    registry = getattr(deployment, "registry", None)
    if registry is None:
        return None
    path = log_path(registry.path, deployment.registered_name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the loop between two looks; a second Ctrl-C interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: Any) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {
        number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
