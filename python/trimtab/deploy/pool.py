"""Threads for callers that do not wait: asynchronous requests, bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from trimtab.deploy.batcher import overloaded

__all__ = ["Pool"]


class Pool:
    """Runs calls on some threads; no more than so many wait.

    Parameters
    ----------
    n_threads : int
    max_queue : int
    """

    def __init__(self, n_threads: int, max_queue: int) -> None:
        self._n_threads = n_threads
        self._max_queue = max_queue
        self.renew()

    def renew(self) -> None:
        """Begin with no threads; in a forked child too."""
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._n = 0  # calls that are not over

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have a call made.

        Parameters
        ----------
        call : callable
        *arguments : object

        Returns
        -------
        future : Future

        Raises
        ------
        OverloadedError
            Too many wait already.
        """
        with self._lock:
            queued = self._n - self._n_threads
            if queued >= self._max_queue:
                raise overloaded(queued, self._max_queue)
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._n_threads, "trimtab-deploy")
            future = self._threads.submit(call, *arguments)
            self._n += 1
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _: Future[Any]) -> None:
        with self._lock:
            self._n -= 1

    def close(self) -> None:
        """End; calls that wait are cancelled."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
