"""One sink, its thread and its queue.

Enters: records, from any thread, without waiting. Leaves: what the sink could take; the
rest is counted. A sink that fails is tried again, at growing intervals.
"""

from __future__ import annotations

import contextlib
import queue
import random
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.monitor.sinks.sink import Sink, plain_record

__all__ = ["Channel", "Envelope", "SinkStats"]

# After a failure, doubled up to the second, shortened by up to half at random.
_FIRST_DELAY_S = 0.5
_LAST_DELAY_S = 60.0
# How often one record is tried, where the failure is one of the system.
_ATTEMPTS = 3
_ERROR_CHARACTERS = 300


@dataclass(frozen=True)
class SinkStats:
    """What became of the records of one sink.

    Parameters
    ----------
    n_written : int
        Taken by the sink.
    n_lost : int
        Given up after the sink failed.
    n_dropped : int
        Not queued: the queue was full, or the sink closed.
    n_failures : int
        Exceptions of the sink, those that a later attempt made good included.
    n_queued : int
        Waiting.
    last_error : str
        Of the latest failure; empty where there was none.
    """

    n_written: int = 0
    n_lost: int = 0
    n_dropped: int = 0
    n_failures: int = 0
    n_queued: int = 0
    last_error: str = ""


class Envelope:
    """A record on its way to several sinks, made plain by the first that opens it.

    Parameters
    ----------
    record : mapping
    """

    __slots__ = ("_plain", "_record")

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record
        self._plain: dict[str, Any] | None = None

    def open(self) -> dict[str, Any]:
        """Give the plain record.

        Returns
        -------
        plain : dict
        """
        if self._plain is None:
            self._plain = plain_record(self._record)
        return self._plain


class _Flush:
    """Asks the thread to say when it has come so far."""

    __slots__ = ("is_last", "reached")

    def __init__(self, is_last: bool) -> None:
        self.reached = threading.Event()
        self.is_last = is_last


class Channel:
    """The queue before a sink and the thread behind it, which starts when it is needed.

    Parameters
    ----------
    name : str
        For warnings.
    sink : Sink
    queue_size : int
        Records that may wait.
    """

    def __init__(self, name: str, sink: Sink, *, queue_size: int) -> None:
        self.name = name
        self.sink = sink
        self._size = queue_size
        self._start_anew()

    def _start_anew(self) -> None:
        # An RLock and a SimpleQueue may be entered again by a signal's handler.
        self._lock = threading.RLock()
        self._queue: queue.SimpleQueue[Envelope | _Flush] = queue.SimpleQueue()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._has_warned = False
        self._n_accepted = self._n_written = self._n_lost = 0
        self._n_dropped = self._n_failures = self._n_in_row = self._n_markers = 0
        self._last_error = ""

    def put(self, envelope: Envelope) -> None:
        """Queue a record, or count it as dropped.

        Parameters
        ----------
        envelope : Envelope
        """
        with self._lock:
            if self._is_closed or self._n_waiting() >= self._size:
                self._n_dropped += 1
                return
            try:
                self._run()
            except RuntimeError:  # no more threads: the process is ending
                self._n_dropped += 1
                return
            self._n_accepted += 1
            self._queue.put(envelope)

    def _n_waiting(self) -> int:
        return self._n_accepted - self._n_written - self._n_lost

    def _run(self) -> None:
        if self._thread is not None:
            return
        thread = threading.Thread(
            target=self._work, name=f"trimtab-{self.name}", daemon=True
        )
        thread.start()
        self._thread = thread

    def ask(self, *, is_last: bool) -> threading.Event:
        """Ask for all that waits to be tried now.

        Parameters
        ----------
        is_last : bool
            Nothing comes any more: the sink is to be closed.

        Returns
        -------
        reached : threading.Event
            Set when it was tried.
        """
        marker = _Flush(is_last)
        with self._lock:
            if self._thread is None and is_last and not self._is_closed:
                self._is_closed = True
                self._close_sink()
            self._is_closed |= is_last
            if self._thread is None or not self._thread.is_alive():
                marker.reached.set()
                return marker.reached
            self._n_markers += 1
            self._hurry.set()
            self._queue.put(marker)
        return marker.reached

    def stats(self) -> SinkStats:
        """Give the counts.

        Returns
        -------
        stats : SinkStats
        """
        with self._lock:
            return SinkStats(
                self._n_written,
                self._n_lost,
                self._n_dropped,
                self._n_failures,
                self._n_waiting(),
                self._last_error,
            )

    def forget(self) -> None:
        """In a forked child: nothing is queued, counted or open here."""
        self._start_anew()
        with contextlib.suppress(BaseException):
            getattr(self.sink, "forget", _nothing)()

    def _work(self) -> None:
        """Hand over one record after the other, until the last marker."""
        while True:
            item = self._queue.get()
            if isinstance(item, Envelope):
                self._deliver(item)
                continue
            with self._lock:
                self._n_markers -= 1
                if self._n_markers == 0:
                    self._hurry.clear()
            if item.is_last:
                self._close_sink()
            else:
                self._guarded(getattr(self.sink, "flush", _nothing))
            item.reached.set()
            if item.is_last:
                return

    def _deliver(self, envelope: Envelope) -> None:
        """Try a record: again where the system failed, not where the record is bad."""
        is_written = self._guarded(envelope.open) is None and self._attempt(envelope)
        with self._lock:
            self._n_written += is_written
            self._n_lost += not is_written

    def _attempt(self, envelope: Envelope) -> bool:
        for attempt in range(1, _ATTEMPTS + 1):
            error = self._guarded(lambda: self.sink.write(envelope.open()))
            if error is None:
                self._n_in_row = 0
                return True
            self._n_in_row += 1
            self._hurry.wait(self._delay())
            if not isinstance(error, OSError) or attempt == _ATTEMPTS:
                break
        return False

    def _delay(self) -> float:
        doubled = _FIRST_DELAY_S * 2.0 ** min(self._n_in_row - 1, 30)
        return min(doubled, _LAST_DELAY_S) * random.uniform(0.5, 1.0)

    def _guarded(self, call: Any) -> BaseException | None:
        """Call the sink; gives what it raised, counted and told once."""
        try:
            call()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS]
            with self._lock:
                self._n_failures += 1
                self._last_error = text
                is_first = not self._has_warned
                self._has_warned = True
            if is_first:
                self._warn(text)
            return error
        return None

    def _warn(self, text: str) -> None:
        with contextlib.suppress(BaseException):  # warnings may be errors
            warnings.warn(
                f"monitoring: sink {self.name!r} failed ({text}); records that it does "
                "not take are counted, predictions go on; told once",
                RuntimeWarning,
                stacklevel=2,
            )

    def _close_sink(self) -> None:
        self._guarded(self.sink.close)


def _nothing() -> None:
    """Stand in for what a sink does not have."""
