"""What a process has counted, as bytes that another one merges.

Layout: 8 bytes of magic, u32 length of a JSON header, u32 crc32 of what follows, the
header, and the sketches of the tables one behind the other. All of it is checked when
it is read. Little-endian.
"""

from __future__ import annotations

import json
import os
import struct
import uuid
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.errors import InputError
from trimtab.monitor.reference import Reference
from trimtab.monitor.tally import FAULTS, Tally

__all__ = ["Exchange", "Snapshot", "read_snapshot", "write_snapshot"]

_MAGIC = b"TTMON\x00\x001"
_HEAD = struct.Struct("<8sII")
MAX_BYTES = 256 << 20
_MAX_COUNT = 1 << 62
# Monitors that are remembered, so that none counts twice.
_MAX_ORIGINS = 65536


@dataclass(frozen=True)
class Snapshot:
    """What was read.

    Parameters
    ----------
    origin : str
        Names the monitor that it came from.
    epoch : int
        Counts that monitor's resets: two snapshots of one epoch overlap.
    tally : Tally
    counters : dict
        Totals of its deployment.
    """

    origin: str
    epoch: int
    tally: Tally
    counters: dict[str, Any]


def write_snapshot(
    tally: Tally, *, origin: str, epoch: int, counters: Mapping[str, Any]
) -> bytes:
    """Write what was counted.

    Parameters
    ----------
    tally : Tally
    origin : str
    epoch : int
    counters : mapping

    Returns
    -------
    data : bytes

    Examples
    --------
    >>> write_snapshot(tally, origin="a", epoch=0, counters={})  # doctest: +SKIP
    b'TTMON...'
    """
    blobs = {name: sketch.to_bytes() for name, sketch in tally.sketches.items()}
    header = json.dumps(
        {
            "origin": origin,
            "epoch": epoch,
            "n_rows": tally.n_rows,
            "faults": [[*key, n] for key, n in sorted(tally.faults.items())],
            "counters": dict(counters),
            "embedding": _embedding(tally),
            "tables": [[name, len(blob)] for name, blob in blobs.items()],
        },
        separators=(",", ":"),
        default=str,
    ).encode()
    body = b"".join([header, *blobs.values()])
    return _HEAD.pack(_MAGIC, len(header), zlib.crc32(body)) + body


def _embedding(tally: Tally) -> dict[str, Any] | None:
    return None if tally.embedding is None else tally.embedding.to_dict()


def read_snapshot(data: bytes, reference: Reference) -> Snapshot:
    """Read it back.

    Parameters
    ----------
    data : bytes
    reference : Reference
        Whose bins it must have.

    Returns
    -------
    snapshot : Snapshot

    Raises
    ------
    InputError
        It is no snapshot, damaged, or of another reference.

    Examples
    --------
    >>> read_snapshot(data, reference).tally.n_rows        # doctest: +SKIP
    1000
    """
    if not _HEAD.size <= len(data) <= MAX_BYTES:
        raise InputError(
            f"a snapshot: expected {_HEAD.size} to {MAX_BYTES} bytes, got {len(data)}"
        )
    magic, n_header, crc = _HEAD.unpack_from(data)
    body = memoryview(data)[_HEAD.size :]
    if magic != _MAGIC or n_header > len(body):
        raise InputError("a snapshot: these bytes are none of Monitor.snapshot")
    if zlib.crc32(body) != crc:
        raise InputError("a snapshot: its checksum does not match, it is damaged")
    try:
        return _read(json.loads(bytes(body[:n_header])), body[n_header:], reference)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"a snapshot cannot be read: {error}") from None


def _read(header: Any, blobs: memoryview, reference: Reference) -> Snapshot:
    from trimtab import _core

    tally = Tally(reference)
    listed = {name: _count(n_bytes) for name, n_bytes in header["tables"]}
    if listed.keys() != tally.sketches.keys() or sum(listed.values()) != len(blobs):
        raise InputError(
            f"it has tables {sorted(listed)}, the reference has "
            f"{sorted(tally.sketches)}"
        )
    start = 0
    for name, n_bytes in listed.items():
        sketch = _core.TableSketch.from_bytes(bytes(blobs[start : start + n_bytes]))
        tally.sketches[name].merge(sketch)  # other bins are refused
        start += n_bytes
    for kind, name, n_rows in header["faults"]:
        if kind not in FAULTS or not isinstance(name, str):
            raise InputError(f"it has a fault {str(kind)[:20]!r}")
        tally.faults[kind, name] = _count(n_rows)
    tally.n_rows = _count(header["n_rows"])
    if tally.embedding is not None:
        from trimtab.monitor.embedding import Embedding

        tally.embedding.merge(Embedding.from_dict(header["embedding"]))
    counters = header["counters"]
    origin = header["origin"]
    if not isinstance(counters, dict) or not isinstance(origin, str):
        raise InputError("expected counters by name, and an origin")
    return Snapshot(origin[:200], _count(header["epoch"]), tally, counters)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"expected a count, got {str(value)[:20]!r}")
    if not 0 <= value < _MAX_COUNT:
        raise InputError(f"expected a count, got {value}")
    return value


class Exchange:
    """One monitor's snapshots, written and read; no row is counted twice.

    Examples
    --------
    >>> len(Exchange().origin) > 32
    True
    """

    def __init__(self) -> None:
        #: Names the monitor, in this process.
        self.origin = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._merged: OrderedDict[str, int] = OrderedDict()
        #: Totals of the deployments whose snapshots were read, by origin.
        self.counters: dict[str, dict[str, Any]] = {}

    def write(
        self,
        tally: Tally,
        *,
        epoch: int,
        counters: Mapping[str, Any],
        path: str | os.PathLike[str] | None,
    ) -> bytes:
        """Write a snapshot.

        Parameters
        ----------
        tally : Tally
        epoch : int
        counters : mapping
        path : path or None
            A file to write it to, whole or not at all.

        Returns
        -------
        data : bytes
        """
        data = write_snapshot(tally, origin=self.origin, epoch=epoch, counters=counters)
        if path is not None:
            from trimtab.formats.tensor_file import write_file

            write_file(os.path.abspath(os.fsdecode(path)), [data])
        return data

    def read(
        self, given: bytes | str | os.PathLike[str], reference: Reference
    ) -> Tally:
        """Read the snapshot of another monitor.

        Parameters
        ----------
        given : bytes or path
        reference : Reference

        Returns
        -------
        tally : Tally

        Raises
        ------
        InputError
            It is none, or holds rows that were read before.
        OSError
            The file cannot be read.
        """
        if not isinstance(given, bytes | bytearray | memoryview):
            with open(given, "rb") as file:
                given = file.read(MAX_BYTES + 1)
        found = read_snapshot(bytes(given), reference)
        last = self._merged.get(found.origin, -1)
        if found.origin == self.origin or found.epoch <= last:
            raise InputError(
                f"merge: rows of {found.origin} up to reset {last} are counted "
                "already; take snapshots that follow each other with "
                "snapshot(reset=True)"
            )
        self._merged[found.origin] = found.epoch
        self._merged.move_to_end(found.origin)
        self.counters[found.origin] = found.counters
        while len(self._merged) > _MAX_ORIGINS:
            gone, _ = self._merged.popitem(last=False)
            self.counters.pop(gone, None)
        return found.tally
