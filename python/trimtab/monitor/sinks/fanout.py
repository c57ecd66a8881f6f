"""Every sink of a monitor behind one `write` that never waits and never raises.

Each sink has a queue and a thread of its own, so one that hangs delays no other. The
threads start with the first record; a forked child starts its own.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trimtab.errors import InputError
from trimtab.monitor.sinks.channel import Channel, Envelope, SinkStats

__all__ = ["Fanout", "Snapshot"]

Snapshot = Callable[[], Mapping[str, Any]]

# What a process that ends without `close` waits for.
_EXIT_TIMEOUT_S = 2.0

_alive: weakref.WeakSet[Fanout] = weakref.WeakSet()


class Fanout:
    """Give each record to every sink, in the background.

    Parameters
    ----------
    sinks : iterable of (Sink or str)
        Objects, or texts as `open_sink` takes them. One may stand without a list.
    snapshot : callable, optional
        Reads the counters, for sinks that are asked rather than told (Prometheus,
        OpenTelemetry). What the sinks did is added under "sinks".
    queue_size : int
        Records that may wait for a sink; what comes when as many wait is dropped and
        counted.

    Raises
    ------
    InputError
        A text that names no sink, an object that is none, or a queue of no records.

    Examples
    --------
    >>> seen = []
    >>> with Fanout([seen.append]) as fanout:
    ...     fanout.write({"time": 0.0, "kind": "event", "what": "loaded"})
    >>> seen
    [{'time': 0.0, 'kind': 'event', 'what': 'loaded'}]
    >>> fanout.stats()["append"].n_written
    1
    """

    def __init__(
        self,
        sinks: Iterable[Any] | Any,
        *,
        snapshot: Snapshot | None = None,
        queue_size: int = 1024,
    ) -> None:
        from trimtab.monitor.sinks import open_sink

        if queue_size < 1:
            raise InputError(
                f"sinks: expected a queue of 1 or more, got {queue_size!r}"
            )
        if isinstance(sinks, str) or not isinstance(sinks, Iterable):
            sinks = [sinks]
        self._pid = os.getpid()
        self._snapshot = snapshot
        self._is_closed = False
        self._channels: list[Channel] = []
        try:
            for spec in sinks:
                sink = open_sink(spec)
                name = self._free_name(spec, sink)
                self._channels.append(Channel(name, sink, queue_size=queue_size))
                if hasattr(sink, "attach"):
                    sink.attach(_Reader(self))
        except BaseException:
            self.close(timeout_s=0)
            raise
        weakref.finalize(self, _finish, self._channels).atexit = False
        _alive.add(self)

    def _free_name(self, spec: Any, sink: Any) -> str:
        """A name for counts and warnings: that of the table or of the class."""
        name = spec.partition(":")[0] if isinstance(spec, str) else _name_of(sink)
        taken = {channel.name for channel in self._channels}
        numbered = (f"{name}-{i}" for i in range(2, len(taken) + 3))
        return (
            name if name not in taken else next(n for n in numbered if n not in taken)
        )

    def write(self, record: Mapping[str, Any]) -> None:
        """Queue a record for every sink.

        Parameters
        ----------
        record : mapping
            See `plain_record`. Its values belong to the sinks from now on: they are
            read later, by other threads.
        """
        try:
            self._check_fork()
            envelope = Envelope(dict(record) if isinstance(record, Mapping) else record)
            for channel in self._channels:
                channel.put(envelope)
        except Exception:  # nothing of monitoring reaches who predicts
            return

    def snapshot(self) -> dict[str, Any]:
        """Read the counters, with those of the sinks.

        Returns
        -------
        snapshot : dict
            Of the function that was given, with "sinks": {name: {"n_written": ...}}.
        """
        found = dict(self._snapshot()) if self._snapshot is not None else {}
        found["sinks"] = {name: vars(stats) for name, stats in self.stats().items()}
        return found

    def stats(self) -> dict[str, SinkStats]:
        """Give what became of the records, by sink.

        Returns
        -------
        stats : dict of str to SinkStats
        """
        self._check_fork()
        return {channel.name: channel.stats() for channel in self._channels}

    @property
    def sinks(self) -> tuple[Any, ...]:
        """The sinks, opened."""
        return tuple(channel.sink for channel in self._channels)

    def flush(self, *, timeout_s: float = 5.0) -> bool:
        """Wait until what was written so far was tried, without delays between.

        Parameters
        ----------
        timeout_s : float

        Returns
        -------
        is_done : bool
            False where a sink took longer.
        """
        return self._ask(timeout_s, is_last=False)

    def close(self, *, timeout_s: float = 5.0) -> bool:
        """Flush, and close the sinks; what is written later is dropped.

        Parameters
        ----------
        timeout_s : float
            A sink that takes longer is left to its thread.

        Returns
        -------
        is_done : bool
            False where a sink took longer.
        """
        self._is_closed = True
        return self._ask(timeout_s, is_last=True)

    def _ask(self, timeout_s: float, *, is_last: bool) -> bool:
        self._check_fork()
        reached = [channel.ask(is_last=is_last) for channel in self._channels]
        return _wait_all(reached, timeout_s)

    def _check_fork(self) -> None:
        """Notice a fork that went past `os.fork`."""
        if os.getpid() != self._pid:
            self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        for channel in self._channels:
            channel.forget()

    def __enter__(self) -> Fanout:
        """Give itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()


class _Reader:
    """Reads the counters until the fan-out is closed, or nobody holds it."""

    def __init__(self, fanout: Fanout) -> None:
        self._held = weakref.ref(fanout)

    @property
    def is_alive(self) -> bool:
        fanout = self._held()
        return fanout is not None and not fanout._is_closed

    def __call__(self) -> Mapping[str, Any]:
        fanout = self._held()
        return {} if fanout is None or fanout._is_closed else fanout.snapshot()


def _name_of(sink: Any) -> str:
    """`JsonLines` is "jsonlines", a function its name."""
    function = getattr(sink, "function", None)
    return str(getattr(function, "__name__", type(sink).__name__)).lower()


def _forget_all() -> None:
    for fanout in list(_alive):
        fanout._forget()


def _finish(channels: list[Channel]) -> list[threading.Event]:
    """Have what waits written and the sinks closed, without waiting for it."""
    return [channel.ask(is_last=True) for channel in channels]


def _finish_all() -> None:
    events = [event for fanout in list(_alive) for event in _finish(fanout._channels)]
    _wait_all(events, _EXIT_TIMEOUT_S)


def _wait_all(events: list[threading.Event], timeout_s: float) -> bool:
    """Wait for all of these, for so long together."""
    end = time.monotonic() + timeout_s
    return all(event.wait(max(0.0, end - time.monotonic())) for event in events)


os.register_at_fork(after_in_child=_forget_all)
atexit.register(_finish_all)
