"""The journal of a model: what happened to it, and how to read the end of it.

A record is on the disk before what it tells of happens, so of all of them only the last
may be of something that did not: whoever writes next looks (`trimtab.registry.recover`)
and either finishes it or adds that it is undone. Records carry their length and CRC-32C
(`trimtab.monitor.sinks.jsonl_format`) and a number that grows by one.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.errors import InputError, RegistryError
from trimtab.monitor.sinks.append import AppendFile
from trimtab.monitor.sinks.jsonl_format import (
    MAX_LINE_BYTES,
    Records,
    could_be_ours,
    encode_record,
    end_of_last,
)

__all__ = ["Journal", "Standing", "replay"]

_SHORT_TAIL = 64 << 10
_LONG_TAIL = 2 * MAX_LINE_BYTES


class Journal:
    """A journal, open for appending; only who holds the model's lock may.

    Parameters
    ----------
    path : str
        Made where it is not there.

    Raises
    ------
    RegistryError
        It is a link, or no journal.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        _check_regular(path)
        self._file = AppendFile(path)
        try:
            #: The last record, or None.
            self.last = self._find_last()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._file.close()

    def _find_last(self) -> dict[str, Any] | None:
        """Read the last whole record; cut what a killed process left behind it."""
        n_bytes = self._file.n_bytes
        if n_bytes == 0:
            return None
        for most in (_SHORT_TAIL, _LONG_TAIL):
            begin = max(0, n_bytes - most)
            tail = self._file.read(n_bytes - begin, begin)
            end = end_of_last(tail)
            start = tail.rfind(b"\n", 0, end - 1) + 1 if end > 0 else 0
            if end > 0 and (start > 0 or begin == 0):
                if begin + end < n_bytes:
                    self._file.cut(begin + end)
                return decode(tail[start:end])
        if n_bytes < MAX_LINE_BYTES and could_be_ours(self._file.read(16, 0)):
            self._file.cut(0)  # the first record was torn
            return None
        raise RegistryError(
            f"{self.path}: no whole record at its end: it is no journal, or damaged; "
            "set it aside, and `trimtab registry verify` tells what is missing"
        )

    @property
    def next_seq(self) -> int:
        """The number of the record that comes next."""
        return 1 if self.last is None else int(self.last["seq"]) + 1

    def append(
        self, time: float, kind: str, seq: int, fields: Mapping[str, Any]
    ) -> int:
        """Add a record, and have the disk hold it.

        Parameters
        ----------
        time : float
        kind : str
        seq : int
            At least `next_seq`.
        fields : mapping

        Returns
        -------
        seq : int

        Raises
        ------
        RegistryError
            The fields are no plain values.
        OSError
            It cannot be written; the journal ends as it did.
        """
        record = {"time": time, "kind": kind, "seq": max(seq, self.next_seq), **fields}
        try:
            line = encode_record(record)
        except InputError as error:
            raise RegistryError(str(error)) from None
        begin = self._file.n_bytes
        self._file.append(line)
        try:
            self._file.sync()
        except OSError:
            with contextlib.suppress(OSError):
                self._file.cut(begin)
            raise
        self.last = record
        return int(record["seq"])


def decode(line: bytes) -> dict[str, Any] | None:
    """Read a line that is known to be whole; None if it holds no number."""
    import json

    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(record, dict) and type(record.get("seq")) is int
    return record if is_ours and record["seq"] > 0 else None


def _check_regular(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise RegistryError(f"{path}: expected a regular file")


class JournalRecords:
    """The whole records of a journal, in order.

    Parameters
    ----------
    path : str
        Not there: there are none.

    Raises
    ------
    RegistryError
        It is a link.
    """

    def __init__(self, path: str) -> None:
        _check_regular(path)
        self._records = Records(path)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Read from the beginning."""
        if os.path.exists(self._records.path):
            for record in self._records:
                if type(record.get("seq")) is int and isinstance(
                    record.get("kind"), str
                ):
                    yield record

    @property
    def n_damaged(self) -> int:
        """Lines that are no records, once all was read; a torn end is none of them."""
        return self._records.n_damaged


@dataclass
class Standing:
    """What a journal says that there is.

    Parameters
    ----------
    seq : int
        Of the last record.
    versions : dict of int to str
        Number -> digest.
    aliases : dict of str to dict
        Name -> the record that set it last.
    quarantined : set of int
    undone : set of int
        Numbers of records of what did not happen.
    """

    seq: int = 0
    versions: dict[int, str] = field(default_factory=dict)
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    quarantined: set[int] = field(default_factory=set)
    undone: set[int] = field(default_factory=set)


def _register(to: Standing, record: Mapping[str, Any]) -> None:
    to.versions[int(record["version"])] = str(record["digest"])


def _alias(to: Standing, record: Mapping[str, Any]) -> None:
    to.aliases[str(record["alias"])] = dict(record)


def _collect(to: Standing, record: Mapping[str, Any]) -> None:
    for version in record["versions"]:
        to.versions.pop(int(version), None)
        to.quarantined.discard(int(version))


def _quarantine(to: Standing, record: Mapping[str, Any]) -> None:
    to.quarantined.add(int(record["version"]))


def _release(to: Standing, record: Mapping[str, Any]) -> None:
    to.quarantined.discard(int(record["version"]))


def _remove_alias(to: Standing, record: Mapping[str, Any]) -> None:
    to.aliases.pop(str(record["alias"]), None)


def _nothing(to: Standing, record: Mapping[str, Any]) -> None:
    """A signature, what is undone, and what later layouts may tell."""


#: Kind of a record -> what it changes; others change nothing.
_KINDS: dict[str, Callable[[Standing, Mapping[str, Any]], None]] = {
    "register": _register,
    "alias": _alias,
    "remove_alias": _remove_alias,
    "collect": _collect,
    "quarantine": _quarantine,
    "release": _release,
}


def replay(records: Iterable[Mapping[str, Any]]) -> Standing:
    """Go through a journal.

    Parameters
    ----------
    records : iterable of mapping

    Returns
    -------
    standing : Standing

    Raises
    ------
    RegistryError
        A record lacks what its kind needs.

    Examples
    --------
    >>> made = {"seq": 1, "kind": "register", "version": 1, "digest": "sha256:..."}
    >>> named = {"seq": 2, "kind": "alias", "alias": "champion", "version": 1}
    >>> replay([made, named]).aliases["champion"]["version"]
    1
    >>> replay([made, named, {"seq": 3, "kind": "undone", "of": 2}]).aliases
    {}
    """
    found = Standing()
    waiting: Mapping[str, Any] | None = None  # until it is known not to be undone
    for record in records:
        found.seq = max(found.seq, int(record["seq"]))
        is_undone = record["kind"] == "undone" and waiting is not None
        if is_undone and waiting is not None and record.get("of") == waiting["seq"]:
            found.undone.add(int(waiting["seq"]))
            waiting = None
        _apply(found, waiting)
        waiting = record
    _apply(found, waiting)
    return found


def _apply(to: Standing, record: Mapping[str, Any] | None) -> None:
    if record is None:
        return
    try:
        _KINDS.get(str(record["kind"]), _nothing)(to, record)
    except (KeyError, TypeError, ValueError) as error:
        raise RegistryError(
            f"journal: record {record['seq']} ({record['kind']}) lacks what its kind "
            f"needs: {error}"
        ) from None
