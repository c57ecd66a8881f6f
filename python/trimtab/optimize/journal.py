"""The journal of a search: what was measured stays measured when it is interrupted.

A text file of one record a line: CRC-32, then JSON. Each record carries the key of the
search that it belongs to (digests of model, data and options), so one file serves
many. A line that was cut off or damaged ends the file: what is behind it is dropped.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from typing import IO, Any

from trimtab.errors import InputError

__all__ = ["Journal"]

# How a journal begins, if only so far that it was cut off at once.
_BEGIN = re.compile(rb"[0-9a-f]{1,8}(\Z| (\Z|\[))")

# Bytes of a journal that are read; a search of 1000 layers writes 1 MB.
_LIMIT_BYTES = 256 << 20


class Journal:
    """Results of one search by what they are results of.

    Parameters
    ----------
    path : path or None
        The file; None keeps nothing beyond this process.
    key : str
        Of the search; results under other keys are left alone.

    Examples
    --------
    >>> journal = Journal(None, "k")
    >>> journal.put("sqnr", "conv1", 31.5)
    >>> journal.get("sqnr", "conv1"), journal.get("sqnr", "conv2")
    (31.5, None)
    """

    def __init__(self, path: str | os.PathLike[str] | None, key: str) -> None:
        self._key = key
        self._known: dict[tuple[str, str], Any] = {}
        self._file: IO[bytes] | None = None
        #: Results that an earlier run left.
        self.n_resumed = 0
        if path is None:
            return
        try:
            file = open(path, "a+b")  # noqa: SIM115 (closed by close)
            file.seek(0)
            content = file.read(_LIMIT_BYTES + 1)
            if len(content) > _LIMIT_BYTES:
                raise InputError(f"journal: {path} has more than {_LIMIT_BYTES} bytes")
            file.truncate(self._read(content, path))
            file.seek(0, os.SEEK_END)
        except OSError as error:
            raise InputError(f"journal: {path}: {error.strerror}") from error
        self._file = file
        self.n_resumed = len(self._known)

    def _read(self, content: bytes, path: Any) -> int:
        """Take the records; gives the bytes that are whole."""
        whole = 0
        for line in content.splitlines(keepends=True):
            record = _record(line)
            if record is None:
                break
            whole += len(line)
            key, kind, what, value = record
            if key == self._key:
                self._known[kind, what] = value
        if content and whole == 0 and not _BEGIN.match(content):
            raise InputError(f"journal: {path} is something else; it is left as it is")
        return whole

    def get(self, kind: str, what: str) -> Any:
        """Give a result, or None.

        Parameters
        ----------
        kind, what : str

        Returns
        -------
        value : object of JSON
        """
        return self._known.get((kind, what))

    def put(self, kind: str, what: str, value: Any) -> None:
        """Keep a result; it is in the file when this returns.

        Parameters
        ----------
        kind, what : str
        value : object of JSON
        """
        self._known[kind, what] = value
        if self._file is None:
            return
        text = json.dumps([self._key, kind, what, value], separators=(",", ":"))
        data = text.encode()
        self._file.write(b"%08x %s\n" % (zlib.crc32(data), data))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _record(line: bytes) -> list[Any] | None:
    """A line's record, or None where it is damaged."""
    if len(line) < 10 or not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    data = line[9:-1]
    try:
        if int(line[:8], 16) != zlib.crc32(data):
            return None
        record = json.loads(data)
    except (ValueError, RecursionError):
        return None
    is_right = isinstance(record, list) and len(record) == 4
    return record if is_right and all(isinstance(x, str) for x in record[:3]) else None
