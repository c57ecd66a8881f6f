"""A thread that looks at a job now and then, and survives forks."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

__all__ = ["Worker"]


class _Job(Protocol):
    def tick(self) -> float:
        """Do what is due; seconds until the next time."""

    def renew(self) -> None:
        """Begin again in a forked child."""


class Worker:
    """Calls ``job.tick()`` until it is stopped or the job is gone.

    The thread is a daemon and holds the job weakly. A forked child has no thread until
    `start` is called there.

    Parameters
    ----------
    job : object
        With ``tick() -> seconds until the next one`` and ``renew()``, which is called
        in a forked child before anything else of it.
    name : str
        Of the thread.
    """

    def __init__(self, job: _Job, name: str = "trimtab-monitor") -> None:
        self._name = name
        self._job = weakref.ref(job)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._over = threading.Event()
        _WORKERS.add(self)

    @property
    def is_alive(self) -> bool:
        """Does the thread run, in this process?"""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._over.is_set() or self.is_alive:
            return
        with self._lock:  # of any thread that serves
            if self._over.is_set() or self.is_alive:
                return
            thread = threading.Thread(
                target=_run,
                args=(self._job, self._wake, self._over),
                name=self._name,
                daemon=True,
            )
            thread.start()
            self._thread = thread

    def wake(self) -> None:
        """Let it look now."""
        self._wake.set()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread, and wait for it.

        Parameters
        ----------
        timeout_s : float, default=5.0
        """
        self._over.set()
        self._wake.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _renew(self) -> None:
        """In a forked child."""
        self._thread = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        was_over, self._over = self._over.is_set(), threading.Event()
        if was_over:
            self._over.set()
        job = self._job()
        if job is not None:
            job.renew()


_WORKERS: weakref.WeakSet[Worker] = weakref.WeakSet()


def _run(job: weakref.ref[_Job], wake: threading.Event, over: threading.Event) -> None:
    pause = 0.0
    while True:
        wake.wait(pause)
        wake.clear()
        here = job()
        if here is None or over.is_set():
            return
        pause = here.tick()
        del here


def _renew_all() -> None:
    for worker in list(_WORKERS):
        worker._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
