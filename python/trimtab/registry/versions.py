"""Versions of a model: numbers that name manifests; none is given twice."""

from __future__ import annotations

import os

from trimtab.errors import RegistryError
from trimtab.registry.files import (
    entries,
    guarded,
    new_file,
    place,
    read_file,
    remove,
    sync_folder,
)
from trimtab.registry.names import digest_hex, is_version
from trimtab.registry.store import Store, Work

__all__ = ["add_version", "drop_versions", "read_version", "versions_of"]

_MAX_BYTES = 128


def _folder(store: Store, name: str, *, make: bool = False) -> str:
    return store.folder("models", name, "versions", make=make)


def versions_of(store: Store, name: str) -> list[int]:
    """List the versions of a model.

    Parameters
    ----------
    store : Store
    name : str

    Returns
    -------
    versions : list of int
        Ascending.

    Examples
    --------
    >>> versions_of(store, "digits")                       # doctest: +SKIP
    [1, 2, 3]
    """
    return sorted(int(n) for n in entries(_folder(store, name)) if is_version(n))


def read_version(store: Store, name: str, version: int) -> str:
    """Read which manifest a version is.

    Parameters
    ----------
    store : Store
    name : str
    version : int

    Returns
    -------
    digest : str

    Raises
    ------
    RegistryError
        There is no such version, or its file is broken.

    Examples
    --------
    >>> read_version(store, "digits", 3)                   # doctest: +SKIP
    'sha256:...'
    """
    path = os.path.join(_folder(store, name), str(version))
    try:
        with guarded(f"version {name}/{version}"):
            line = read_file(path, _MAX_BYTES)
    except RegistryError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        there = versions_of(store, name)
        hint = f"it has {len(there)}, the newest is {there[-1]}" if there else "none"
        raise RegistryError(
            f"there is no version {name}/{version}: {hint} (`trimtab registry list`)"
        ) from None
    digest = line.decode("ascii", "replace").removesuffix("\n")
    digest_hex(digest)
    return digest


def add_version(store: Store, name: str, work: Work, version: int, digest: str) -> None:
    """Add a version; who holds the model's lock may, and has looked that it is new.

    Parameters
    ----------
    store : Store
    name : str
    work : Work
    version : int
    digest : str

    Examples
    --------
    >>> add_version(store, "digits", work, 4, digest)      # doctest: +SKIP
    """
    temporary = os.path.join(work.path, "version")
    new_file(temporary, f"{digest}\n".encode())
    place(temporary, os.path.join(_folder(store, name, make=True), str(version)))


def drop_versions(store: Store, name: str, versions: list[int]) -> None:
    """Remove versions; what they name is collected later.

    Parameters
    ----------
    store : Store
    name : str
    versions : list of int

    Examples
    --------
    >>> drop_versions(store, "digits", [1, 2])             # doctest: +SKIP
    """
    folder = _folder(store, name)
    if [remove(os.path.join(folder, str(version))) for version in versions]:
        sync_folder(folder)
