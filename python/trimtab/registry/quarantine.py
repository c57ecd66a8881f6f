"""Versions that are set aside: their numbers stay, and nothing loads them."""

from __future__ import annotations

import contextlib
import os

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
from trimtab.registry.names import is_version
from trimtab.registry.store import Store, Work

__all__ = ["quarantined", "release", "set_aside", "why"]

_MAX_BYTES = 64 << 10


def _path(store: Store, name: str, version: int, *, make: bool = False) -> str:
    return os.path.join(store.folder("quarantine", name, make=make), str(version))


def quarantined(store: Store, name: str) -> set[int]:
    """List the versions of a model that are set aside.

    Parameters
    ----------
    store : Store
    name : str

    Returns
    -------
    versions : set of int

    Examples
    --------
    >>> quarantined(store, "digits")                       # doctest: +SKIP
    {2}
    """
    names = entries(store.folder("quarantine", name))
    return {int(version) for version in names if is_version(version)}


def why(store: Store, name: str, version: int) -> str | None:
    """Say why a version is set aside.

    Parameters
    ----------
    store : Store
    name : str
    version : int

    Returns
    -------
    reason : str or None
        None where it is not.

    Examples
    --------
    >>> why(store, "digits", 2)                            # doctest: +SKIP
    'the artefact is damaged'
    """
    path = _path(store, name, version)
    if not os.path.lexists(path):
        return None
    with contextlib.suppress(RegistryError, OSError):
        return str(parse_object(read_file(path, _MAX_BYTES), path).get("reason"))
    return "the note that says why cannot be read"


def set_aside(store: Store, name: str, work: Work, version: int, reason: str) -> None:
    """Set a version aside; who holds the model's lock may.

    Parameters
    ----------
    store : Store
    name : str
    work : Work
    version : int
    reason : str

    Examples
    --------
    >>> set_aside(store, "digits", work, 2, "damaged")     # doctest: +SKIP
    """
    temporary = os.path.join(work.path, f"quarantine-{version}")
    new_file(temporary, canonical({"reason": reason[:4096]}))
    work.has_begun = True
    place(temporary, _path(store, name, version, make=True))


def release(store: Store, name: str, version: int) -> None:
    """Let a version be used again; who holds the model's lock may.

    Parameters
    ----------
    store : Store
    name : str
    version : int

    Examples
    --------
    >>> release(store, "digits", 2)                        # doctest: +SKIP
    """
    path = _path(store, name, version)
    if remove(path):
        sync_folder(os.path.dirname(path))
