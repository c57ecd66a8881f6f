"""The collector: old versions that nothing names, and what only they refer to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from trimtab.errors import RegistryError
from trimtab.registry import quarantine
from trimtab.registry.alias import Alias, aliases_of, read_alias
from trimtab.registry.recover import open_journal, sweep
from trimtab.registry.store import Store
from trimtab.registry.versions import drop_versions, versions_of

__all__ = ["Collected", "collect", "usable_before"]


@dataclass(frozen=True)
class Collected:
    """What the collector removed, or would.

    Parameters
    ----------
    versions : dict of str to list of int
        By model.
    n_files, n_bytes : int
        Blobs, manifests and what lies beside them.
    is_complete : bool
        False where a version cannot be read: what may be its own stays.
    """

    versions: dict[str, list[int]]
    n_files: int
    n_bytes: int
    is_complete: bool

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


def usable_before(store: Store, name: str, alias: Alias) -> int | None:
    """Give what an alias can go back to.

    Parameters
    ----------
    store : Store
    name : str
    alias : Alias

    Returns
    -------
    index : int or None
        Into `before`: the newest that is there and not set aside.

    Examples
    --------
    >>> usable_before(store, "digits", alias)              # doctest: +SKIP
    0
    """
    there = set(versions_of(store, name)) - quarantine.quarantined(store, name)
    found = (i for i, (version, _) in enumerate(alias.before) if version in there)
    return next(found, None)


def _droppable(store: Store, name: str, keep: int) -> list[int]:
    """Versions that neither are named, nor can be gone back to, nor are new."""
    versions = versions_of(store, name)
    pinned = set(versions[-max(keep, 1) :])
    for alias_name in aliases_of(store, name):
        try:
            alias = read_alias(store, name, alias_name)
        except RegistryError:
            return []  # what it names is not known: nothing goes
        if alias is None:
            continue
        pinned.add(alias.version)
        back = usable_before(store, name, alias)
        if back is not None:
            pinned |= {version for version, _ in alias.before[: back + 1]}
    return [version for version in versions if version not in pinned]


def collect(store: Store, now: float, *, keep: int, is_dry: bool, by: str) -> Collected:
    """Remove versions that are neither named nor new, and what nothing refers to.

    Parameters
    ----------
    store : Store
    now : float
        Seconds since 1970.
    keep : int
        Newest versions of each model that stay in any case; the newest always does.
    is_dry : bool
        Only tell.
    by : str
        Who does it.

    Returns
    -------
    collected : Collected

    Examples
    --------
    >>> collect(store, time.time(), keep=10, is_dry=True, by="ann")  # doctest: +SKIP
    Collected(versions={'digits': [1, 2]}, ...)
    """
    if is_dry:
        dropped = {name: _droppable(store, name, keep) for name in store.models()}
        swept = sweep(store, without=dropped, is_dry=True)
    else:
        with store.alone() as work:
            work.has_begun = True
            dropped = {}
            for name in store.models():
                dropped[name] = _drop(store, name, now, keep, by)
            swept = sweep(store)
    return Collected(
        {name: versions for name, versions in dropped.items() if versions},
        swept.n_files,
        swept.n_bytes,
        swept.is_complete,
    )


def _drop(store: Store, name: str, now: float, keep: int, by: str) -> list[int]:
    with open_journal(store, name, now) as journal:
        versions = _droppable(store, name, keep)
        if versions:
            journal.append(now, "collect", 0, {"versions": versions, "by": by})
            drop_versions(store, name, versions)
            for version in versions:
                quarantine.release(store, name, version)
    return versions
