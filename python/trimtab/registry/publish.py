"""Publishing: a model becomes a version.

The artefact is written and hashed before the model's lock is taken, so that no
promotion waits for it. Blob, manifest, journal, number: each is on the disk before the
next, so whatever a number names is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from trimtab.errors import InputError, RegistryError
from trimtab.registry.canonical import canonical
from trimtab.registry.history import iso_time
from trimtab.registry.manifest import (
    Layer,
    description,
    make_manifest,
    parse_manifest,
)
from trimtab.registry.recover import open_journal
from trimtab.registry.store import MAX_BLOB_BYTES, Store, Work
from trimtab.registry.versions import add_version, versions_of

__all__ = ["commit", "file_pieces", "publish"]

_BLOCK = 1 << 20


def file_pieces(path: str) -> Iterator[bytes]:
    """Give the bytes of a file, piece by piece.

    Parameters
    ----------
    path : str

    Returns
    -------
    pieces : iterator of bytes

    Examples
    --------
    >>> with open("x", "wb") as file:
    ...     n = file.write(b"ab")
    >>> list(file_pieces("x"))
    [b'ab']
    """
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            yield block


def _pieces(model: Any, work: Work) -> Iterator[bytes]:
    """The artefact: the file, or what `Model.save` writes."""
    if isinstance(model, (str, os.PathLike)):
        path = os.fsdecode(model)
        if not os.path.isfile(path):
            raise RegistryError(f"model: there is no file {path!r}")
        yield from file_pieces(path)
    elif hasattr(model, "save"):
        path = os.path.join(work.path, "saved.safetensors")
        model.save(path)
        yield from file_pieces(path)
        os.unlink(path)
    else:
        raise InputError(
            "model: expected a trimtab.Model or the path of a file that Model.save "
            f"wrote, got {type(model).__name__}"
        )


def _metrics(given: Any) -> Mapping[str, Any]:
    """Plain values of metrics or of a report."""
    if given is None:
        return {}
    plain = given.to_dict() if hasattr(given, "to_dict") else given
    if not isinstance(plain, Mapping):
        raise InputError(
            "metrics: expected a mapping or a report with to_dict, got "
            f"{type(given).__name__}"
        )
    return plain


def publish(
    store: Store,
    name: str,
    model: Any,
    now: float,
    *,
    metrics: Any,
    **said: Any,
) -> int:
    """Add a version.

    Parameters
    ----------
    store : Store
    name : str
    model : Model or path
    now : float
        Seconds since 1970.
    metrics : mapping, report or None
    **said : object
        As `make_manifest` takes it: by, reason, parent, data_fingerprint, metadata.

    Returns
    -------
    version : int

    Examples
    --------
    >>> publish(store, "digits", "m.safetensors", time.time(), ...)  # doctest: +SKIP
    1
    """
    with store.sharing() as work:
        staged, digest, n_bytes = store.stage(
            work, _pieces(model, work), MAX_BLOB_BYTES
        )
        manifest = make_manifest(
            name,
            Layer(digest, n_bytes),
            created=iso_time(now),
            metrics=_metrics(metrics),
            artefact=description(staged),
            **said,
        )
        data = canonical(manifest)
        parse_manifest(data, name)  # what is written can be read
        store.adopt(work, staged, digest)
        return commit(store, name, work, data, now, said["by"], said["reason"])


def commit(
    store: Store,
    name: str,
    work: Work,
    manifest: bytes,
    now: float,
    by: str,
    reason: str,
    *,
    wanted: int = 0,
) -> int:
    """Give a manifest, whose blob is there, the next number.

    Parameters
    ----------
    store : Store
    name : str
    work : Work
    manifest : bytes
    now : float
        Seconds since 1970.
    by, reason : str
    wanted : int
        A number to take instead, if it is larger than all there are.

    Returns
    -------
    version : int

    Examples
    --------
    >>> commit(store, "digits", work, data, 0.0, "ann", "first")  # doctest: +SKIP
    1
    """
    with store.owning(name):
        digest = store.take_manifest(work, manifest)
        with open_journal(store, name, now) as journal:
            version = max([0, *versions_of(store, name)]) + 1
            version = max(version, wanted)
            fields = {"version": version, "digest": digest, "by": by, "reason": reason}
            journal.append(now, "register", 0, fields)
            add_version(store, name, work, version, digest)
    return version
