"""Exchange: versions as an OCI image layout, which registries of containers take.

A manifest of ours is one of theirs, so export copies bytes, and the digest of a version
is the same everywhere. Import believes nothing: every byte has the digest that led to
it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.errors import InputError, RegistryError
from trimtab.registry.archive import Archive, TarWriter
from trimtab.registry.canonical import MAX_BYTES, canonical, digest_of, parse_object
from trimtab.registry.manifest import (
    ARTEFACT_TYPE,
    EMPTY,
    EMPTY_DIGEST,
    MANIFEST_TYPE,
    description,
    layer_of,
    parse_manifest,
)
from trimtab.registry.names import check_name, digest_hex, is_name, is_version
from trimtab.registry.publish import commit, file_pieces
from trimtab.registry.store import Store
from trimtab.registry.version import ModelVersion
from trimtab.registry.versions import read_version, versions_of

__all__ = ["Imported", "export_layout", "import_layout"]

_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_REF = "org.opencontainers.image.ref.name"
_NAME = "dev.trimtab.name"
_VERSION = "dev.trimtab.version"
_ALIASES = "dev.trimtab.aliases"
_MAX_MANIFESTS = 100_000

_File = tuple[str, int, Iterator[bytes]]


# ---- writing ------------------------------------------------------------------------


def _files(registry: Any, versions: Sequence[ModelVersion]) -> Iterator[_File]:
    """Names, sizes and content of the layout; the index last."""
    store: Store = registry.store
    yield "oci-layout", len(_LAYOUT), iter([_LAYOUT])
    seen = set()
    entries = []
    named = {name: registry.aliases(name) for name in {v.name for v in versions}}
    blob = f"blobs/sha256/{digest_hex(EMPTY_DIGEST)}"
    yield blob, len(EMPTY), iter([EMPTY])
    for version in versions:
        data = store.read_manifest(version.digest)
        layer = version.layer
        for digest, n_bytes, pieces in (
            (layer.digest, layer.n_bytes, file_pieces(version.path)),
            (version.digest, len(data), iter([data])),
        ):
            if digest not in seen:
                seen.add(digest)
                yield f"blobs/sha256/{digest_hex(digest)}", n_bytes, pieces
        aliases = [
            a for a, to in named[version.name].items() if to.version == version.version
        ]
        entries.append(
            {
                "mediaType": MANIFEST_TYPE,
                "artifactType": ARTEFACT_TYPE,
                "digest": version.digest,
                "size": len(data),
                "annotations": {
                    _REF: f"{version.name}:{version.version}",
                    _NAME: version.name,
                    _VERSION: str(version.version),
                    _ALIASES: ",".join(aliases),
                },
            }
        )
    index = canonical(
        {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": entries}
    )
    yield "index.json", len(index), iter([index])


def export_layout(registry: Any, target: str, versions: Sequence[ModelVersion]) -> None:
    """Write versions as an OCI image layout.

    Parameters
    ----------
    registry : Registry
    target : str
        A folder that is empty or not there; or a file whose name ends with ``.tar``.
    versions : sequence of ModelVersion

    Raises
    ------
    RegistryError
        The target is there, or an artefact is not what was registered.
    InputError
        There are no versions.

    Examples
    --------
    >>> export_layout(registry, "digits.tar", versions)    # doctest: +SKIP
    """
    if not versions:
        raise InputError("export: there is no version to write")
    for version in versions:
        store: Store = registry.store
        store.check_blob(version.layer.digest, version.layer.n_bytes)
    if not target.endswith(".tar"):
        fill_folder(target, _files(registry, versions))
        return
    if os.path.lexists(target):
        raise RegistryError(f"{target}: it is there already; give another name")
    temporary = f"{target}.{os.urandom(6).hex()}.tmp"
    try:
        with open(temporary, "xb") as file:
            writer = TarWriter(file)
            for name, n_bytes, pieces in _files(registry, versions):
                writer.add(name, n_bytes, pieces)
            writer.end()
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def fill_folder(target: str, files: Iterator[_File]) -> None:
    """Write files into a folder that is empty or not there."""
    if os.path.lexists(target) and (not os.path.isdir(target) or os.listdir(target)):
        raise RegistryError(f"{target}: expected an empty folder, or a new name")
    for name, n_bytes, pieces in files:
        path = os.path.join(target, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            if file.tell() != n_bytes:
                raise RegistryError(f"{name}: expected {n_bytes} bytes")


# ---- reading ------------------------------------------------------------------------


@dataclass(frozen=True)
class Imported:
    """A version that was taken.

    Parameters
    ----------
    name : str
    version : int
    aliases : tuple of str
        That named it where it comes from.
    """

    name: str
    version: int
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    """A version in the index, checked."""

    digest: str
    n_bytes: int
    name: str
    version: int
    aliases: tuple[str, ...]


def _entries(archive: Archive) -> list[_Entry]:
    """What the index lists."""
    layout = parse_object(archive.read("oci-layout", 4096), "oci-layout")
    if layout.get("imageLayoutVersion") != "1.0.0":
        raise RegistryError(
            f"{archive.path}: expected an OCI image layout of version 1.0.0"
        )
    index = parse_object(archive.read("index.json", MAX_BYTES), "index.json")
    listed = index.get("manifests")
    if not isinstance(listed, list) or len(listed) > _MAX_MANIFESTS:
        raise RegistryError(f"{archive.path}: index.json lists no manifests")
    return [_entry(plain, number) for number, plain in enumerate(listed)]


def _entry(plain: Any, number: int) -> _Entry:
    what = f"index.json: manifest {number}"
    size = plain.get("size") if isinstance(plain, dict) else None
    if type(size) is not int or not 0 < size <= MAX_BYTES:
        raise RegistryError(f"{what}: expected a descriptor with its size")
    digest_hex(plain.get("digest"))
    notes = plain.get("annotations")
    notes = notes if isinstance(notes, dict) else {}
    version, aliases = notes.get(_VERSION), notes.get(_ALIASES)
    return _Entry(
        plain["digest"],
        size,
        check_name(notes[_NAME], what) if _NAME in notes else "",
        int(version) if isinstance(version, str) and is_version(version) else 0,
        tuple(filter(is_name, aliases.split(","))) if isinstance(aliases, str) else (),
    )


def import_layout(
    store: Store, source: str, now: float, *, name: str | None, by: str
) -> list[Imported]:
    """Take the versions of an OCI image layout.

    Parameters
    ----------
    store : Store
    source : str
        A folder or a tar file.
    now : float
        Seconds since 1970.
    name : str or None
        Of the model here; by default as it was.
    by : str
        Who does it.

    Returns
    -------
    imported : list of Imported
        In the order of the index.

    Raises
    ------
    RegistryError
        It is no such layout, or not what its digests say.

    Examples
    --------
    >>> import_layout(store, "digits.tar", time.time(), name=None, by="ann")
    ... # doctest: +SKIP
    [Imported(name='digits', version=1, aliases=('champion',))]
    """
    with Archive(source) as archive:
        listed = _entries(archive)
        for entry in listed:  # before anything is taken
            layer = layer_of(parse_manifest(*_manifest(archive, entry)))
            if archive.n_bytes(_blob_name(layer.digest)) != layer.n_bytes:
                raise RegistryError(
                    f"{source}: the artefact {layer.digest[:19]} has another length"
                )
        return [_take(store, archive, entry, now, name, by) for entry in listed]


def _manifest(archive: Archive, entry: _Entry) -> tuple[bytes, str]:
    """A manifest that has its digest, and what to call it."""
    data = archive.read(_blob_name(entry.digest), entry.n_bytes)
    what = f"{archive.path}: the manifest {entry.digest[:19]}"
    if digest_of(data) != entry.digest:
        raise RegistryError(f"{what} has another digest")
    return data, what


def _blob_name(digest: str) -> str:
    return f"blobs/sha256/{digest_hex(digest)}"


def _take(
    store: Store, archive: Archive, entry: _Entry, now: float, name: str | None, by: str
) -> Imported:
    """Take one version, unless it is there."""
    data, what = _manifest(archive, entry)
    manifest = parse_manifest(data, what)
    name = name or entry.name or str(manifest["trimtab"]["name"])
    for version in versions_of(store, name):
        if read_version(store, name, version) == entry.digest:
            return Imported(name, version, entry.aliases)
    layer = layer_of(manifest)
    with store.sharing() as work:
        staged, digest, n_bytes = store.stage(
            work, archive.pieces(_blob_name(layer.digest), layer.n_bytes), layer.n_bytes
        )
        if (digest, n_bytes) != (layer.digest, layer.n_bytes):
            raise RegistryError(
                f"{archive.path}: the artefact {layer.digest[:19]} has another digest; "
                "it was not imported"
            )
        description(staged)
        store.adopt(work, staged, digest)
        version = commit(
            store, name, work, data, now, by, "imported", wanted=entry.version
        )
    return Imported(name, version, entry.aliases)
