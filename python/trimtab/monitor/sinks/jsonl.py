"""The sink of JSON lines: a file that survives what happens to processes and disks.

Killed at any instant, the file holds every record that was written, and a tear at most,
which the next start cuts off. Each process writes a file of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from trimtab.errors import InputError
from trimtab.monitor.sinks.append import AppendFile
from trimtab.monitor.sinks.jsonl_format import (
    MAX_LINE_BYTES,
    Records,
    could_be_ours,
    encode_record,
    end_of_last,
    read_records,
)

__all__ = ["JsonLines", "read_records"]

# Processes that may write beside each other under one path.
_MAX_SLOTS = 256
# Only the last record can be torn by a killed process; a disk may tear more.
_TAIL_BYTES = 2 * MAX_LINE_BYTES
_OPENING_ATTEMPTS = 8


class JsonLines:
    """Append records to a file, one a line, with length and CRC-32C.

    Parameters
    ----------
    path : path
        The file. While another process writes it, a name beside it is taken:
        ``events.jsonl``, ``events-1.jsonl``, ``events-2.jsonl``...
    max_bytes : int
        A file that would grow beyond is set aside as ``events.jsonl.000001``, next
        ``.000002``...
    max_age_s : float, optional
        So is a file whose first record is older, by the clock of the wall.
    n_files : int
        Files kept of each process, the one being written included; the oldest goes.
    fsync_s : float or None
        Have the disk confirm what is written at most so often, 0 with every record;
        None leaves it to the system. A killed process loses nothing either way; this
        is for power cuts.
    clock : callable
        Seconds since 1970.

    Raises
    ------
    InputError
        Bounds that are none.

    Examples
    --------
    >>> sink = JsonLines("events.jsonl", max_bytes=1 << 20, n_files=4)
    >>> sink.write({"time": 1, "kind": "event", "what": "loaded"})
    >>> sink.close()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = 64 << 20,
        max_age_s: float | None = None,
        n_files: int = 8,
        fsync_s: float | None = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        bounds = (max_bytes, n_files, 1 if max_age_s is None else max_age_s)
        if not str(path) or min(bounds) <= 0 or (fsync_s is not None and fsync_s < 0):
            raise InputError(
                f"jsonl: expected a path, positive max_bytes, n_files, max_age_s and "
                f"fsync_s of 0 or more, got {str(path)!r}, {max_bytes}, {n_files}, "
                f"{max_age_s}, {fsync_s}"
            )
        self._wanted = os.path.abspath(path)
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._n_files = n_files
        self._fsync_s = fsync_s
        self._clock = clock
        self._file: AppendFile | None = None
        self._born: float | None = None
        self._synced = time.monotonic()
        #: The file being written; None before the first record.
        self.path: str | None = None
        #: Bytes of torn records that were cut off when a file was opened.
        self.n_cut_bytes = 0

    @classmethod
    def from_text(cls, text: str) -> JsonLines:
        """Make the sink of "jsonl:path".

        Parameters
        ----------
        text : str
            The path.

        Returns
        -------
        sink : JsonLines
        """
        return cls(text)

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record; it is in the file, whole, when this returns.

        Parameters
        ----------
        record : mapping
        """
        line = encode_record(record)
        file = self._ready(len(line))
        start = file.n_bytes
        file.append(line)
        if self._born is None:
            self._born = self._clock()
        if self._fsync_s is not None:
            self._sync(start, self._fsync_s)

    def flush(self) -> None:
        """Have the disk confirm what was written."""
        if self._file is not None and self._fsync_s is not None:
            self._sync(self._file.n_bytes, 0)

    def close(self) -> None:
        """Flush and close the file."""
        try:
            self.flush()
        finally:
            self.forget()

    def forget(self) -> None:
        """Close without flushing: the file goes on being its other holder's."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _sync(self, start: int, interval_s: float) -> None:
        """Sync if it is time; a record that the disk refuses is not kept."""
        now = time.monotonic()
        if self._file is None or now - self._synced < interval_s:
            return
        try:
            self._file.sync()
        except OSError:
            with contextlib.suppress(OSError):
                self._file.cut(start)
            self.forget()  # a second sync of the same descriptor would claim success
            raise
        self._synced = now

    def _ready(self, n_bytes: int) -> AppendFile:
        """The open file, with room for so many bytes."""
        if self._file is not None and not _leads_to(self.path, self._file):
            self.forget()  # moved or removed by somebody
        if self._file is None:
            self._open()
        if self._file is not None and self._is_full(self._file, n_bytes):
            self._set_aside()
            self._open()
        assert self._file is not None
        return self._file

    def _is_full(self, file: AppendFile, n_bytes: int) -> bool:
        if file.n_bytes == 0:
            return False
        is_old = (
            self._max_age_s is not None
            and self._born is not None
            and self._clock() - self._born > self._max_age_s
        )
        return is_old or file.n_bytes + n_bytes > self._max_bytes

    def _open(self) -> None:
        """Take the first name that no other process writes."""
        os.makedirs(os.path.dirname(self._wanted), exist_ok=True)
        root, ending = os.path.splitext(self._wanted)
        for slot in range(_MAX_SLOTS):
            path = f"{root}-{slot}{ending}" if slot else self._wanted
            try:
                self._file = _open_locked(path)
            except BlockingIOError:
                continue
            self.path = path
            try:
                self._recover(self._file)
            except BaseException:
                self.forget()
                raise
            return
        raise OSError(f"jsonl: {_MAX_SLOTS} processes write {self._wanted} already")

    def _recover(self, file: AppendFile) -> None:
        """Cut off what an earlier process left torn."""
        self._born = None
        if not could_be_ours(file.read(_TAIL_BYTES if file.n_bytes < 64 else 64, 0)):
            raise InputError(
                f"jsonl: {self.path} is something else and left as it is; give another "
                "path"
            )
        start = max(0, file.n_bytes - _TAIL_BYTES)
        end = end_of_last(file.read(_TAIL_BYTES, start))
        if end < 0 and start > 0:  # more is damaged than a killed process could
            self._set_aside()
            self._open()
            return
        whole = start + max(end, 0)
        self.n_cut_bytes += file.n_bytes - whole
        if whole < file.n_bytes:
            file.cut(whole)
        first = next(iter(Records(str(self.path))), {}) if whole else {}
        if isinstance(first.get("time"), float):
            self._born = first["time"]

    def _set_aside(self) -> None:
        """Give the full file its number, and remove the oldest."""
        assert self.path is not None
        numbers = _numbers(self.path)
        numbers.append(max(numbers, default=0) + 1)
        os.rename(self.path, f"{self.path}.{numbers[-1]:06d}")
        self.forget()
        for number in numbers[: max(0, len(numbers) + 1 - self._n_files)]:
            with contextlib.suppress(OSError):  # the next rotation tries again
                os.unlink(f"{self.path}.{number:06d}")


def _open_locked(path: str) -> AppendFile:
    """Open and lock the file that the path leads to, now."""
    for _ in range(_OPENING_ATTEMPTS):
        file = AppendFile(path, is_exclusive=True)
        if _leads_to(path, file):
            return file
        file.close()  # set aside by its owner between opening and locking
    raise BlockingIOError(f"jsonl: {path} changes all the time")


def _leads_to(path: str | None, file: AppendFile) -> bool:
    try:
        status = os.stat(str(path))
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == file.identity


def _numbers(path: str) -> list[int]:
    """Of the files that were set aside, ascending."""
    folder, name = os.path.split(path)
    pattern = re.compile(re.escape(name) + r"\.([0-9]{6,12})")
    found = (pattern.fullmatch(entry) for entry in os.listdir(folder))
    return sorted(int(match[1]) for match in found if match)
