"""The log of maintenance: what was seen and done, and why; append-only.

One JSON record a line, with length and CRC-32C, on the disk before anything is done.
What must be remembered from one look to the next is in it and nowhere else: `Standing`
is what a replay gives.
"""

from __future__ import annotations

import contextlib
import os
import time as _time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.errors import InputError, RegistryConflict, RegistryError
from trimtab.monitor.sinks.jsonl_format import read_records
from trimtab.registry.journal import Journal
from trimtab.registry.locks import try_locked

__all__ = [
    "MaintenanceLog",
    "Standing",
    "line_of",
    "log_path",
    "read_log",
    "replay_log",
]

# Changes that are remembered for the limit of a day.
_MAX_REMEMBERED = 1000


@dataclass
class Standing:
    """What the log says up to now.

    Parameters
    ----------
    acted : dict of str to float
        Rule -> when it last began to act (seconds since 1970).
    changes : list of float
        When changes began, in order; those that rolled back are not among them.
    n_failed : int
        Changes in a row that failed.
    failed_at : float
        When the last one did.
    data : str
        Fingerprint of the data that an update last learned from or tried.
    n_rows : int
        That they had.
    held : dict of str to str
        Rule -> why it was held back when it last wanted to act.
    open : dict or None
        The record of an action that began and did not end.
    version : int or None
        That was served when it was last looked at.
    promoted_at : float or None
        When that version was first seen behind an older one.
    label_window : int
        Number of the window of labels in which that version was first seen; -1: none.
    n_requests, n_errors : int
        When a rule last acted.
    seq : int
        Of the last record.

    Examples
    --------
    >>> replay_log([]).n_failed
    0
    """

    acted: dict[str, float] = field(default_factory=dict)
    changes: list[float] = field(default_factory=list)
    n_failed: int = 0
    failed_at: float = 0.0
    data: str = ""
    n_rows: int = 0
    held: dict[str, str] = field(default_factory=dict)
    open: dict[str, Any] | None = None
    version: int | None = None
    promoted_at: float | None = None
    label_window: int = -1
    n_requests: int = 0
    n_errors: int = 0
    seq: int = 0

    def n_changes_since(self, time: float) -> int:
        """Count the changes since a moment.

        Parameters
        ----------
        time : float
            Seconds since 1970.

        Returns
        -------
        n : int
        """
        return sum(at > time for at in self.changes)


def replay_log(records: Iterable[Mapping[str, Any]]) -> Standing:
    """Go through records, the oldest first.

    Parameters
    ----------
    records : iterable of mapping

    Returns
    -------
    standing : Standing

    Examples
    --------
    >>> replay_log([{"kind": "began", "time": 7.0, "rule": "r", "action": "update",
    ...              "is_change": True, "seq": 1}]).open["rule"]
    'r'
    """
    standing = Standing()
    for record in records:
        _apply(standing, record)
    return standing


def _apply(to: Standing, record: Mapping[str, Any]) -> None:
    kind, time = record.get("kind"), float(record.get("time", 0.0))
    rule = str(record.get("rule", ""))
    to.seq = int(record.get("seq", to.seq))
    if kind == "began":
        to.open = dict(record)
        to.acted[rule] = time
        to.held.pop(rule, None)
        seen = record.get("observation") or {}
        to.n_requests = int(seen.get("n_requests") or 0)
        to.n_errors = int(seen.get("n_errors") or 0)
        if record.get("is_change"):
            to.changes = [*to.changes[-_MAX_REMEMBERED:], time]
    elif kind == "ended":
        is_change = bool((to.open or {}).get("is_change"))
        to.open = None
        if record.get("data"):
            to.data, to.n_rows = str(record["data"]), int(record.get("n_rows") or 0)
        if is_change and record.get("is_failure"):
            to.n_failed, to.failed_at = to.n_failed + 1, time
        elif is_change:
            to.n_failed = 0
    elif kind == "held":
        to.held[rule] = str(record.get("reason", ""))
    elif kind == "version":
        version = record.get("version")
        version = version if isinstance(version, int) else None
        if to.version is not None and version != to.version:
            # an older one is back: there is nothing to take back any more
            is_newer = version is not None and version > to.version
            to.promoted_at = time if is_newer else None
        to.version = version
        to.label_window = int(record.get("label_window", -1))


class MaintenanceLog:
    """A log, open for one writer.

    Parameters
    ----------
    path : path or None
        None: in memory, as long as the process lives.

    Raises
    ------
    RegistryConflict
        Another process maintains with it.
    InputError
        It cannot be written, or is no log.

    Examples
    --------
    >>> with MaintenanceLog(None) as log:
    ...     log.write(1.0, "started", policy={})
    ...     log.standing.seq
    1
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else os.fspath(path)
        #: Records of this process, the oldest first.
        self.records: list[dict[str, Any]] = []
        self._stack = contextlib.ExitStack()
        self._journal: Journal | None = None
        self.standing = Standing()
        if self.path is not None:
            try:
                self._open(self.path)
            except BaseException:
                self._stack.close()
                raise

    def _open(self, path: str) -> None:
        try:
            if not self._stack.enter_context(try_locked(f"{path}.lock")):
                raise RegistryConflict(
                    f"{path}: another process maintains with this log; end it, or give "
                    "another log"
                )
            self._journal = self._stack.enter_context(Journal(path))
            self.standing = replay_log(read_records(path))
        except OSError as error:
            raise InputError(f"log {path}: {error.strerror}") from None

    def write(self, time: float, kind: str, **fields: Any) -> None:
        """Add a record; it is on the disk when this returns.

        Parameters
        ----------
        time : float
            By the wall clock.
        kind : str
            "started", "version", "held", "began", "ended", "interrupted", "stopped".
        **fields : object
            Plain values.

        Raises
        ------
        RegistryError
            It cannot be written; nothing was added.
        """
        from trimtab.monitor.status import plain

        seq, values = self.standing.seq + 1, plain(fields)
        record = {"time": time, "kind": kind, "seq": seq, **values}
        if self._journal is not None:
            try:
                self._journal.append(time, kind, seq, values)
            except OSError as error:
                raise RegistryError(f"log {self.path}: {error.strerror}") from None
        self.records.append(record)
        _apply(self.standing, record)

    def close(self) -> None:
        """Let go of the file."""
        self._stack.close()

    def __enter__(self) -> MaintenanceLog:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def log_path(registry: str | os.PathLike[str], name: str) -> str:
    """Say where the log of a model is, by default.

    Parameters
    ----------
    registry : path
        Folder of the registry.
    name : str
        Of the model.

    Returns
    -------
    path : str

    Examples
    --------
    >>> log_path("models", "digits")
    'models/maintenance/digits.ndjson'
    """
    return os.path.join(os.fspath(registry), "maintenance", f"{name}.ndjson")


def read_log(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read all whole records of a log; somebody may be writing it.

    Parameters
    ----------
    path : path

    Returns
    -------
    records : list of dict

    Raises
    ------
    InputError
        It cannot be read.

    Examples
    --------
    >>> read_log("maintenance.ndjson")                     # doctest: +SKIP
    [{'time': 1796054400.0, 'kind': 'started', ...}]
    """
    try:
        return list(read_records(path))
    except OSError as error:
        raise InputError(f"log {os.fspath(path)}: {error.strerror}") from None


def _told(record: Mapping[str, Any]) -> str:
    kind = record.get("kind")
    if kind == "began":
        return f"{record['rule']}: {record['action']}, since {record['reason']}"
    if kind == "ended":
        seconds = float(record.get("seconds") or 0.0)
        return (
            f"{record['rule']}: {record['action']} -> {record['state']}"
            + (f": {record['detail']}" if record.get("detail") else "")
            + (f" ({seconds:.1f} s)" if seconds >= 0.05 else "")
        )
    if kind == "held":
        return f"{record['rule']}: waits, since {record['reason']}"
    if kind == "version":
        return f"version {record['version']} is served"
    if kind == "interrupted":
        return f"{record['rule']}: {record['action']} was cut off: {record['detail']}"
    return str(kind)


def line_of(record: Mapping[str, Any]) -> str:
    """Tell a record in one line, in local time.

    Parameters
    ----------
    record : mapping

    Returns
    -------
    line : str

    Examples
    --------
    >>> line_of({"time": 0.0, "kind": "version", "version": 3})[19:]
    '  version 3 is served'
    """
    at = _time.localtime(float(record.get("time", 0.0)))
    return f"{_time.strftime('%Y-%m-%d %H:%M:%S', at)}  {_told(record)}"
