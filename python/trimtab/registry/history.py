"""What happened to a model, and how two of its versions differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from trimtab.limits import Limits
from trimtab.registry.canonical import MAX_BYTES
from trimtab.registry.journal import JournalRecords, replay
from trimtab.registry.recover import journal_path
from trimtab.registry.store import MAX_BLOB_BYTES, Store
from trimtab.registry.version import ModelVersion

__all__ = ["Event", "VersionDiff", "diff_versions", "events_of", "iso_time"]


def iso_time(seconds: float) -> str:
    """Write a time as ISO 8601 has it, in UTC.

    Parameters
    ----------
    seconds : float
        Since 1970.

    Returns
    -------
    text : str

    Examples
    --------
    >>> iso_time(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    when = datetime.fromtimestamp(seconds, timezone.utc)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Event:
    """Something that happened to a model.

    Parameters
    ----------
    seq : int
        Grows by one; of an alias, its generation.
    kind : str
        "register", "alias", "remove_alias", "collect", "quarantine", "release", "sign".
    at, by, reason : str
        When (ISO 8601), who, why; empty where it was not said.
    details : dict
        What else there is to it.
    """

    seq: int
    kind: str
    at: str
    by: str
    reason: str
    details: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


_COMMON = ("seq", "kind", "time", "by", "reason", "at", "generation")


def events_of(store: Store, name: str) -> list[Event]:
    """Read what happened to a model; what was undone did not.

    Parameters
    ----------
    store : Store
    name : str

    Returns
    -------
    events : list of Event
        In order.

    Examples
    --------
    >>> events_of(store, "digits")                         # doctest: +SKIP
    [Event(seq=1, kind='register', ...)]
    """
    records = list(JournalRecords(journal_path(store, name)))
    undone = replay(records).undone
    return [
        Event(
            int(record["seq"]),
            str(record["kind"]),
            iso_time(float(record.get("time", 0.0))),
            str(record.get("by", "")),
            str(record.get("reason", "")),
            {key: value for key, value in record.items() if key not in _COMMON},
        )
        for record in records
        if record["seq"] not in undone and record["kind"] != "undone"
    ]


# ---- differences --------------------------------------------------------------------


@dataclass(frozen=True)
class VersionDiff:
    """How two versions differ.

    Parameters
    ----------
    before, after : str
        References.
    fields : dict of str to (object, object)
        Path of what the manifests say -> both values; None where one says nothing.
    is_same_graph : bool
        Do they compute the same operators on the same shapes?
    tensors : dict of str to str
        Name -> "changed", "added" or "removed".
    n_same : int
        Tensors that are the same bits.
    """

    before: str
    after: str
    fields: dict[str, tuple[Any, Any]]
    is_same_graph: bool
    tensors: dict[str, str]
    n_same: int

    def __str__(self) -> str:
        """Give a line for each difference."""
        graph = "the same graph" if self.is_same_graph else "another graph"
        lines = [
            f"{self.before} -> {self.after}: {graph}, {len(self.tensors)} tensors "
            f"differ, {self.n_same} are the same"
        ]
        lines += [
            f"  {path}: {_short(a)} -> {_short(b)}"
            for path, (a, b) in self.fields.items()
        ]
        lines += [f"  tensor {name}: {how}" for name, how in self.tensors.items()]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value with its path, without recursion; a manifest is at most 4 MiB."""
    left = [(path, value)]
    while left:
        where, item = left.pop()
        if isinstance(item, Mapping) and item:
            left += [(f"{where}.{key}" if where else key, item[key]) for key in item]
        else:
            yield where, item


def _digests(version: ModelVersion) -> dict[str, str]:
    """Digests of the graph ("") and of every tensor, as the artefact has them."""
    from trimtab.errors import ModelFormatError, RegistryError
    from trimtab.formats.tensor_file import TensorFile, parse_json
    from trimtab.registry.files import guarded

    try:
        with guarded(str(version)):
            file = TensorFile(version.path, Limits(max_model_bytes=MAX_BLOB_BYTES))
        text = file.metadata.get("trimtab.digests", "{}")
        found = parse_json(text, "digests", Limits(max_model_bytes=64 * MAX_BYTES))
    except ModelFormatError as error:
        raise RegistryError(f"{version}: {error}") from None
    return found if isinstance(found, dict) else {}


def diff_versions(before: ModelVersion, after: ModelVersion) -> VersionDiff:
    """Compare two versions: what their manifests say, and which tensors differ.

    Parameters
    ----------
    before, after : ModelVersion

    Returns
    -------
    diff : VersionDiff

    Examples
    --------
    >>> print(diff_versions(a, b))                         # doctest: +SKIP
    digits/1 -> digits/2: the same graph, 2 tensors differ, 14 are the same
      metrics.accuracy.value: 0.96 -> 0.97
    """
    sides = [dict(_leaves(x.manifest["trimtab"], "")) for x in (before, after)]
    fields = {
        path: (sides[0].get(path), sides[1].get(path))
        for path in sorted({*sides[0], *sides[1]})
        if sides[0].get(path) != sides[1].get(path)
    }
    a, b = _digests(before), _digests(after)
    names = sorted({*a, *b} - {""})
    how = {
        name: "added" if name not in a else "removed" if name not in b else "changed"
        for name in names
        if a.get(name) != b.get(name)
    }
    return VersionDiff(
        str(before),
        str(after),
        fields,
        a.get("") == b.get(""),
        how,
        len(names) - len(how),
    )
