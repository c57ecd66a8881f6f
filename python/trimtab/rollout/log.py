"""The journal of one rollout: a record for each edge, on the disk before it is gone.

It lies below its model, in ``models/<name>/rollouts/<number>.ndjson``, and is written
as the journal of a model is. Who runs a rollout holds the lock of that name, which
goes with the process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from trimtab.errors import RegistryError
from trimtab.registry.files import entries, guarded
from trimtab.registry.journal import Journal, JournalRecords

if TYPE_CHECKING:
    from trimtab.registry.store import Store

__all__ = ["Edge", "RolloutLog", "last_number", "lock_path", "read_log"]

_SUFFIX = ".ndjson"
_MAX_EDGES = 10_000


@dataclass(frozen=True)
class Edge:
    """A step from one state to another, or a note within one.

    Parameters
    ----------
    time : float
        Seconds since 1970.
    before, after : str
        States; the same for a note.
    reasons : tuple of str
    data : dict
    """

    time: float
    before: str
    after: str
    reasons: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**asdict(self), "reasons": list(self.reasons)}


def lock_path(store: Store, name: str) -> str:
    """Say where the lock of a model's rollouts lies.

    Parameters
    ----------
    store : Store
    name : str

    Returns
    -------
    path : str

    Examples
    --------
    >>> lock_path(store, "digits")                         # doctest: +SKIP
    'locks/rollout.digits'
    """
    return os.path.join(store.folder("locks"), f"rollout.{name}")


def _folder(store: Store, name: str, *, make: bool = False) -> str:
    return store.folder("models", name, "rollouts", make=make)


def last_number(store: Store, name: str) -> int:
    """Give the number of the newest rollout of a model; 0 where there is none.

    Parameters
    ----------
    store : Store
    name : str

    Returns
    -------
    number : int

    Examples
    --------
    >>> last_number(store, "digits")                       # doctest: +SKIP
    3
    """
    stems = (
        entry[: -len(_SUFFIX)]
        for entry in entries(_folder(store, name))
        if entry.endswith(_SUFFIX)
    )
    numbers = [int(s) for s in stems if s.isascii() and s.isdigit() and len(s) < 10]
    return max(numbers, default=0)


def _path(store: Store, name: str, number: int, *, make: bool = False) -> str:
    return os.path.join(_folder(store, name, make=make), f"{number:06d}{_SUFFIX}")


class RolloutLog:
    """A rollout's journal, open for appending.

    Parameters
    ----------
    store : Store
    name : str
        Of the model.
    number : int
        Of the rollout.

    Raises
    ------
    RegistryError
        It cannot be opened.
    """

    def __init__(self, store: Store, name: str, number: int) -> None:
        self.number = number
        with guarded(f"the journal of rollout {number} of {name}"):
            self._journal = Journal(_path(store, name, number, make=True))

    def begin(self, time: float, fields: Mapping[str, Any]) -> None:
        """Write what the rollout is of.

        Parameters
        ----------
        time : float
        fields : mapping

        Raises
        ------
        RegistryError
            It cannot be written.
        """
        with guarded("writing the journal of a rollout"):
            self._journal.append(time, "rollout", 0, fields)

    def add(self, edge: Edge) -> None:
        """Write an edge, and have the disk hold it.

        Parameters
        ----------
        edge : Edge

        Raises
        ------
        RegistryError
            It cannot be written; the journal ends as it did.
        """
        fields = edge.to_dict()
        with guarded("writing the journal of a rollout"):
            self._journal.append(fields.pop("time"), "edge", 0, fields)

    def close(self) -> None:
        """Let go of the file."""
        self._journal.__exit__()


def read_log(
    store: Store, name: str, number: int
) -> tuple[dict[str, Any], list[Edge]] | None:
    """Read a rollout's journal.

    Parameters
    ----------
    store : Store
    name : str
    number : int

    Returns
    -------
    found : (dict, list of Edge) or None
        What it is of, and its edges; None where not even the first record was written.

    Raises
    ------
    RegistryError
        It is no journal of a rollout.

    Examples
    --------
    >>> head, edges = read_log(store, "digits", 3)         # doctest: +SKIP
    """
    head: dict[str, Any] | None = None
    edges: list[Edge] = []
    with guarded(f"reading rollout {number} of {name}"):
        for record in JournalRecords(_path(store, name, number)):
            if record["kind"] == "rollout" and head is None:
                head = record
            elif record["kind"] == "edge" and len(edges) < _MAX_EDGES:
                edges.append(_edge(record, number))
    if head is None and edges:
        raise RegistryError(
            f"rollout {number} of {name}: it does not say what it is of"
        )
    return None if head is None else (head, edges)


def _edge(record: Mapping[str, Any], number: int) -> Edge:
    before, after = record.get("before"), record.get("after")
    reasons, data = record.get("reasons"), record.get("data")
    time = record.get("time")
    if not (
        isinstance(before, str)
        and isinstance(after, str)
        and isinstance(reasons, list)
        and isinstance(data, dict)
        and isinstance(time, (int, float))
    ):
        raise RegistryError(
            f"rollout {number}: record {record['seq']} is no edge; set the file aside"
        )
    return Edge(float(time), before, after, tuple(map(str, reasons)), data)
