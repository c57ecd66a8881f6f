"""After a crash: what the last record of a journal tells of is finished or undone.

Enters: a store in which a process may have been killed at any instant. Leaves: one
whose journals tell what there is, without a file that nothing refers to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.errors import RegistryError
from trimtab.registry import quarantine
from trimtab.registry.alias import read_alias
from trimtab.registry.files import entries, remove
from trimtab.registry.journal import Journal
from trimtab.registry.locks import try_locked
from trimtab.registry.manifest import layer_of, parse_manifest
from trimtab.registry.store import Store, clear
from trimtab.registry.versions import drop_versions, read_version, versions_of

__all__ = ["Swept", "journal_path", "open_journal", "recover", "sweep"]


def _is_registered(store: Store, name: str, record: Mapping[str, Any]) -> bool:
    version = int(record["version"])
    return (
        version in versions_of(store, name)
        and read_version(store, name, version) == record["digest"]
    )


def _is_set(store: Store, name: str, record: Mapping[str, Any]) -> bool:
    alias = read_alias(store, name, str(record["alias"]))
    return alias is not None and alias.generation == record["seq"]


def _is_removed(store: Store, name: str, record: Mapping[str, Any]) -> bool:
    return read_alias(store, name, str(record["alias"])) is None


def _is_collected(store: Store, name: str, record: Mapping[str, Any]) -> bool:
    """What a collector chose is removed to the end: nobody has written since."""
    versions = [int(version) for version in record["versions"]]
    drop_versions(store, name, versions)
    for version in versions:
        quarantine.release(store, name, version)
    return True


def _is_aside(store: Store, name: str, record: Mapping[str, Any]) -> bool:
    return int(record["version"]) in quarantine.quarantined(store, name)


def _is_released(store: Store, name: str, record: Mapping[str, Any]) -> bool:
    return not _is_aside(store, name, record)


#: Kind of a record -> did it happen?
_DONE: dict[str, Callable[[Store, str, Mapping[str, Any]], bool]] = {
    "register": _is_registered,
    "alias": _is_set,
    "remove_alias": _is_removed,
    "collect": _is_collected,
    "quarantine": _is_aside,
    "release": _is_released,
}


def journal_path(store: Store, name: str, *, make: bool = False) -> str:
    """Say where the journal of a model lies.

    Parameters
    ----------
    store : Store
    name : str
    make : bool
        Make its folder.

    Returns
    -------
    path : str

    Examples
    --------
    >>> journal_path(store, "digits")                      # doctest: +SKIP
    'models/digits/journal.ndjson'
    """
    return os.path.join(store.folder("models", name, make=make), "journal.ndjson")


def open_journal(store: Store, name: str, now: float) -> Journal:
    """Open a journal that tells what there is; who holds the model's lock may.

    Parameters
    ----------
    store : Store
    name : str
    now : float
        Seconds since 1970.

    Returns
    -------
    journal : Journal

    Raises
    ------
    RegistryError
        It is damaged at its end.

    Examples
    --------
    >>> with open_journal(store, "digits", time.time()) as journal:  # doctest: +SKIP
    ...     journal.last
    """
    journal = Journal(journal_path(store, name, make=True))
    try:
        last = journal.last
        if last is not None and not _happened(store, name, last):
            journal.append(now, "undone", 0, {"of": last["seq"]})
    except BaseException:
        journal.__exit__()
        raise
    return journal


def _happened(store: Store, name: str, record: Mapping[str, Any]) -> bool:
    check = _DONE.get(str(record.get("kind")))
    try:
        return check is None or check(store, name, record)
    except (RegistryError, KeyError, TypeError, ValueError):
        return True  # it cannot be told; `verify` reports what is broken


@dataclass(frozen=True)
class Swept:
    """What nothing referred to.

    Parameters
    ----------
    n_files, n_bytes : int
    is_complete : bool
        False where a manifest cannot be read: blobs that may be its own stay.
    """

    n_files: int
    n_bytes: int
    is_complete: bool


def sweep(
    store: Store,
    *,
    without: Mapping[str, Collection[int]] | None = None,
    is_dry: bool = False,
) -> Swept:
    """Remove what no version refers to; who has the store alone may.

    Parameters
    ----------
    store : Store
    without : mapping of str to collection of int, optional
        Versions by model that count as gone.
    is_dry : bool
        Only count.

    Returns
    -------
    swept : Swept

    Examples
    --------
    >>> sweep(store).n_files                               # doctest: +SKIP
    0
    """
    digests = set()
    is_complete = True
    for name in store.models():
        for version in versions_of(store, name):
            if version in (without or {}).get(name, ()):
                continue
            try:
                digests.add(read_version(store, name, version))
            except RegistryError:
                is_complete = False
    blobs = set()
    for digest in digests:
        try:
            manifest = parse_manifest(store.read_manifest(digest), digest)
            blobs.add(layer_of(manifest).digest)
        except RegistryError:
            is_complete = False
    n_files = n_bytes = 0
    if is_complete:
        kept = digests | blobs
        for digest, path in store.stored():
            if digest not in kept:
                n_files += 1
                n_bytes += os.lstat(path).st_size
                if not is_dry:
                    remove(path)
    return Swept(n_files, n_bytes, is_complete)


def recover(store: Store, now: float) -> bool:
    """Put right what killed processes have left, if there is anything.

    Parameters
    ----------
    store : Store
    now : float
        Seconds since 1970.

    Returns
    -------
    is_done : bool
        False where there was nothing, or others are writing: they are alive, and who
        comes after them looks again.

    Examples
    --------
    >>> recover(store, time.time())                        # doctest: +SKIP
    False
    """
    if not entries(store.folder("tmp")):
        return False
    with try_locked(store.store_lock) as is_held:
        if not is_held:
            return False
        left = entries(store.folder("tmp"))
        for name in store.models():
            if os.path.lexists(journal_path(store, name)):
                open_journal(store, name, now).__exit__()
        sweep(store)
        for name in left:  # last: killed in here, the next one does it all again
            clear(os.path.join(store.folder("tmp"), name))
    return True
