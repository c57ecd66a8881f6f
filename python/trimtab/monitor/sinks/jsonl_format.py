"""Records as lines of JSON that prove themselves: format, reader, where a tear begins.

A line is one JSON object. Its first two members are the length and the CRC-32C of what
follows them up to the end of the line, in 40 bytes, so any JSON reader takes the file
and ours tells what was torn::

    {"n_bytes":      49,"crc32c":"0a1b2c3d","time":1.0,"kind":"event",...}
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from trimtab import _core
from trimtab.errors import InputError
from trimtab.monitor.sinks.sink import plain_record, to_json

__all__ = ["MAX_LINE_BYTES", "Records", "encode_record", "end_of_last", "read_records"]

#: Longest line, with its end.
MAX_LINE_BYTES = 4 << 20

_BEGIN = b'{"n_bytes":'
_HEAD = re.compile(rb'\{"n_bytes":([ 0-9]{8}),"crc32c":"([0-9a-f]{8})",')
_HEAD_BYTES = 40


def encode_record(record: Mapping[str, Any]) -> bytes:
    r"""Write a record as a line.

    Parameters
    ----------
    record : mapping

    Returns
    -------
    line : bytes
        With its end.

    Raises
    ------
    InputError
        It is no record, or longer than 4 MiB.

    Examples
    --------
    >>> encode_record({"time": 1, "kind": "event"})
    b'{"n_bytes":      26,"crc32c":"20a71079","time":1.0,"kind":"event"}\n'
    """
    rest = to_json(plain_record(record)).encode()[1:]
    if len(rest) + _HEAD_BYTES + 1 > MAX_LINE_BYTES:
        raise InputError(f"record: expected at most {MAX_LINE_BYTES} bytes as JSON")
    return b'{"n_bytes":%8d,"crc32c":"%08x",%s\n' % (
        len(rest),
        _core.crc32c(rest),
        rest,
    )


def _decode(line: bytes) -> dict[str, Any] | None:
    """A line's record, or None where it is damaged."""
    if not _is_whole(line):
        return None
    try:
        record = json.loads(b"{" + line[_HEAD_BYTES:-1])
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _is_whole(line: bytes) -> bool:
    head = _HEAD.match(line)
    if head is None or not line.endswith(b"\n"):
        return False
    rest = line[_HEAD_BYTES:-1]
    n_bytes = head[1].strip()
    return (
        n_bytes.isdigit()
        and int(n_bytes) == len(rest)
        and int(head[2], 16) == _core.crc32c(rest)
    )


def end_of_last(data: bytes) -> int:
    r"""Find the end of the last whole record.

    Parameters
    ----------
    data : bytes
        The last part of a file.

    Returns
    -------
    end : int
        Offset behind its line; -1 where there is none.

    Examples
    --------
    >>> line = encode_record({"time": 1, "kind": "event"})
    >>> end_of_last(b"...\n" + line + line[:50]) == 4 + len(line)
    True
    """
    end = data.rfind(b"\n") + 1
    while end > 0:
        start = data.rfind(b"\n", 0, end - 1) + 1
        if data.startswith(_BEGIN, start) and _is_whole(data[start:end]):
            return end
        end = start
    return -1


def could_be_ours(head: bytes) -> bool:
    """Does a file begin as such a file does, if it was torn at once?"""
    return _BEGIN.startswith(head[: len(_BEGIN)]) or not head.strip(b"\0")


class Records:
    """The whole records of a file, in order; what was torn is told, not guessed.

    Parameters
    ----------
    path : path
        It may be written meanwhile; a record of which a part is there counts as torn.

    Examples
    --------
    >>> with open("events.jsonl", "wb") as file:
    ...     n = file.write(encode_record({"time": 1, "kind": "event"}) + b'{"n_byt')
    >>> records = Records("events.jsonl")
    >>> [record["kind"] for record in records], records.n_torn_bytes
    (['event'], 7)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        #: Whole records that were read.
        self.n_records = 0
        #: Lines between whole records that are none.
        self.n_damaged = 0
        #: Bytes behind the last whole record, once all was read.
        self.n_torn_bytes = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Read from the beginning."""
        self.n_records = self.n_damaged = self.n_torn_bytes = 0
        n_bad = 0
        with open(self.path, "rb") as file:
            while line := _line(file):
                record = _decode(line)
                if record is None:
                    n_bad += line.endswith(b"\n")
                    self.n_torn_bytes += len(line)
                    continue
                self.n_damaged += n_bad
                self.n_records += 1
                n_bad = self.n_torn_bytes = 0
                yield record


def _line(file: IO[bytes]) -> bytes:
    """The next line, or a part of one that is too long to be ours."""
    return file.readline(MAX_LINE_BYTES)


def read_records(path: str | os.PathLike[str]) -> Records:
    """Read a file of the sink `JsonLines`.

    Parameters
    ----------
    path : path

    Returns
    -------
    records : Records
        Gives dicts when iterated, one after the other; afterwards `n_torn_bytes` and
        `n_damaged` tell what was not whole.

    Examples
    --------
    >>> from trimtab.monitor.sinks.jsonl import JsonLines
    >>> sink = JsonLines("live.jsonl")
    >>> sink.write({"time": 1, "kind": "window", "psi": 0.1})
    >>> sink.close()
    >>> list(read_records("live.jsonl"))
    [{'time': 1.0, 'kind': 'window', 'psi': 0.1}]
    """
    return Records(path)
