"""Aliases: a name for a version, replaced as a whole; watching one costs a stat.

The file is the single truth of what serves. It holds what was there before it, newest
first, so that `previous` changes in the same instant.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import Any

from trimtab.errors import RegistryError
from trimtab.registry.canonical import canonical, parse_object
from trimtab.registry.files import (
    entries,
    new_file,
    place,
    read_file,
    remove,
    sync_folder,
)
from trimtab.registry.names import digest_hex, is_name
from trimtab.registry.store import Store, Work

__all__ = [
    "Alias",
    "AliasWatch",
    "aliases_of",
    "prepare_alias",
    "read_alias",
    "remove_alias",
    "write_alias",
]

#: Versions that an alias remembers to have named before.
N_BEFORE = 8
_MAX_BYTES = 64 << 10


@dataclass(frozen=True)
class Alias:
    """What an alias says.

    Parameters
    ----------
    alias : str
    version : int
    digest : str
        Of the version's manifest.
    generation : int
        Number of its record in the journal; grows with every change.
    by, at, reason : str
        Who changed it, when (ISO 8601), and why.
    before : tuple of (int, str)
        Versions and digests that it named before, the last one first.
    """

    alias: str
    version: int
    digest: str
    generation: int
    by: str
    at: str
    reason: str
    before: tuple[tuple[int, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**asdict(self), "before": [list(pair) for pair in self.before]}

    @staticmethod
    def from_dict(plain: dict[str, Any], what: str) -> Alias:
        """Check what a file or a record says.

        Parameters
        ----------
        plain : dict
        what : str
            For messages.

        Returns
        -------
        alias : Alias

        Raises
        ------
        RegistryError
            Something is missing or has another type.
        """
        before = plain.get("before")
        texts = [plain.get(key) for key in ("alias", "by", "at", "reason")]
        numbers = [plain.get(key) for key in ("version", "generation")]
        if (
            not all(isinstance(text, str) for text in texts)
            or not all(type(n) is int and n > 0 for n in numbers)
            or not isinstance(before, list)
            or len(before) > N_BEFORE
            or not all(_is_pair(pair) for pair in before)
        ):
            raise RegistryError(f"{what}: it does not say what an alias says")
        for digest in (plain.get("digest"), *(pair[1] for pair in before)):
            digest_hex(digest)
        return Alias(
            str(plain["alias"]),
            int(plain["version"]),
            str(plain["digest"]),
            int(plain["generation"]),
            str(plain["by"]),
            str(plain["at"]),
            str(plain["reason"]),
            tuple((int(version), str(digest)) for version, digest in before),
        )


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and type(value[0]) is int
        and value[0] > 0
    )


def _path(store: Store, name: str, alias: str, *, make: bool = False) -> str:
    return os.path.join(store.folder("models", name, "aliases", make=make), alias)


def aliases_of(store: Store, name: str) -> list[str]:
    """List the names of a model's aliases.

    Parameters
    ----------
    store : Store
    name : str

    Returns
    -------
    aliases : list of str

    Examples
    --------
    >>> aliases_of(store, "digits")                        # doctest: +SKIP
    ['challenger', 'champion']
    """
    return [x for x in entries(store.folder("models", name, "aliases")) if is_name(x)]


def read_alias(store: Store, name: str, alias: str) -> Alias | None:
    """Read an alias; no lock is needed.

    Parameters
    ----------
    store : Store
    name, alias : str

    Returns
    -------
    alias : Alias or None
        None where there is none.

    Raises
    ------
    RegistryError
        The file is not what `write_alias` wrote.

    Examples
    --------
    >>> read_alias(store, "digits", "champion").version    # doctest: +SKIP
    3
    """
    path = _path(store, name, alias)
    try:
        data = read_file(path, _MAX_BYTES)
    except FileNotFoundError:
        return None
    found = Alias.from_dict(parse_object(data, path), path)
    if found.alias != alias:
        raise RegistryError(f"{path}: it is the alias {found.alias[:100]!r}")
    return found


def write_alias(store: Store, name: str, work: Work, alias: Alias) -> None:
    """Replace an alias; who holds the model's lock may.

    Parameters
    ----------
    store : Store
    name : str
    work : Work
        With what `prepare_alias` wrote.
    alias : Alias

    Examples
    --------
    >>> write_alias(store, "digits", work, alias)          # doctest: +SKIP
    """
    work.has_begun = True
    place(os.path.join(work.path, "alias"), _path(store, name, alias.alias, make=True))


def prepare_alias(store: Store, name: str, work: Work, alias: Alias) -> None:
    """Write what an alias will say, before the journal tells of it.

    Parameters
    ----------
    store : Store
    name : str
    work : Work
    alias : Alias

    Examples
    --------
    >>> prepare_alias(store, "digits", work, alias)        # doctest: +SKIP
    """
    try:
        before_ns = os.stat(_path(store, name, alias.alias)).st_mtime_ns
    except FileNotFoundError:
        before_ns = 0
    # grows even where the clock does not: a watcher's stat tells every change
    now_ns = max(time.time_ns(), before_ns + 1)
    path = os.path.join(work.path, "alias")
    new_file(path, canonical(alias.to_dict()), mtime_ns=now_ns)


def remove_alias(store: Store, name: str, alias: str) -> None:
    """Remove an alias; who holds the model's lock may.

    Parameters
    ----------
    store : Store
    name, alias : str

    Examples
    --------
    >>> remove_alias(store, "digits", "challenger")        # doctest: +SKIP
    """
    path = _path(store, name, alias)
    if remove(path):
        sync_folder(os.path.dirname(path))


class AliasWatch:
    """Tells when an alias changes; a look costs one stat.

    Parameters
    ----------
    store : Store
    name, alias : str

    Examples
    --------
    >>> watch = registry.watch("digits@champion")          # doctest: +SKIP
    >>> watch.poll()                                       # doctest: +SKIP
    Alias(alias='champion', version=3, ...)
    >>> watch.poll() is None                               # doctest: +SKIP
    True
    """

    def __init__(self, store: Store, name: str, alias: str) -> None:
        self._store = store
        self.name = name
        self.alias = alias
        self._path = _path(store, name, alias)
        self._stamp: tuple[int, int] | None = None
        #: What it said last; None before it was there.
        self.seen: Alias | None = None

    def poll(self) -> Alias | None:
        """Look.

        Returns
        -------
        alias : Alias or None
            What it says, if that is another generation than the last time.

        Raises
        ------
        RegistryError
            It changed to something that cannot be read; asked again, it is tried again.
        """
        try:
            status = os.stat(self._path)
        except OSError:
            return None  # not there, or out of reach: what was seen last holds
        stamp = (status.st_ino, status.st_mtime_ns)
        if stamp == self._stamp:
            return None
        found = read_alias(self._store, self.name, self.alias)
        # read after the stat: a change in between is seen by the next look
        self._stamp = stamp
        if found is None or (
            self.seen is not None and found.generation == self.seen.generation
        ):
            return None
        self.seen = found
        return found
