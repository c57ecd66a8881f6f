"""The manifest of a version: what it is, where it comes from, how good it was.

Canonical JSON that is at once a manifest of an OCI image, so that its digest is the
version's identity here and in any registry of containers; what is ours stands under
``trimtab``.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.errors import ModelFormatError, RegistryError
from trimtab.limits import Limits
from trimtab.registry.canonical import parse_canonical
from trimtab.registry.names import check_name, digest_hex
from trimtab.registry.store import MAX_BLOB_BYTES

__all__ = [
    "ARTEFACT",
    "EMPTY",
    "EMPTY_DIGEST",
    "Layer",
    "description",
    "engine",
    "layer_of",
    "make_manifest",
    "parse_manifest",
    "who",
]

#: Name of the artefact in a version.
ARTEFACT = "model.safetensors"
#: The configuration that OCI wants and we have no use for.
EMPTY = b"{}"
EMPTY_DIGEST = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTEFACT_TYPE = "application/vnd.trimtab.model.v1"
_LAYER_TYPE = "application/vnd.safetensors"
_TITLE = "org.opencontainers.image.title"
_CONFIG = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": EMPTY_DIGEST,
    "size": len(EMPTY),
    "data": "e30=",
}
_MAX_TEXT = 4096


@dataclass(frozen=True)
class Layer:
    """The file of a version.

    Parameters
    ----------
    digest : str
    n_bytes : int
    """

    digest: str
    n_bytes: int


def who() -> str:
    """Give user and host, as lineage has them.

    Returns
    -------
    who : str

    Examples
    --------
    >>> "@" in who()
    True
    """
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container without users
        user = str(os.getuid())
    return f"{user}@{platform.node()}"


def engine() -> dict[str, str]:
    """Describe what computes here: versions, processor, instructions.

    Returns
    -------
    engine : dict of str to str

    Examples
    --------
    >>> sorted(engine())
    ['cpu', 'isa', 'numpy', 'onednn', 'python', 'trimtab']
    """
    import numpy as np

    from trimtab import __version__, _core

    cpu = _core.cpu_info()
    return {
        "trimtab": __version__,
        "onednn": str(_core.dnnl_info()["version"]),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cpu": str(cpu["brand"]),
        "isa": str(cpu["isa"]),
    }


def description(path: str) -> dict[str, Any]:
    """Read what an artefact says of itself; its weights stay where they are.

    Parameters
    ----------
    path : str
        A file of `Model.save`.

    Returns
    -------
    description : dict
        ``signature``, ``provenance``, ``n_golden``, ``has_reference``,
        ``class_names``: how many, or None.

    Raises
    ------
    RegistryError
        It is no such file.

    Examples
    --------
    >>> description("m.safetensors")["signature"]          # doctest: +SKIP
    {'inputs': [...], 'outputs': [...]}
    """
    from trimtab.formats.native import Artefact
    from trimtab.formats.tensor_file import TensorFile

    limits = Limits(max_model_bytes=MAX_BLOB_BYTES)
    try:
        artefact = Artefact(TensorFile(path, limits), limits)
    except ModelFormatError as error:
        raise RegistryError(
            f"expected an artefact of Model.save: {error}. Other formats: `trimtab "
            "convert` makes one"
        ) from error
    pairs = (artefact.golden or {}).get("pairs")
    names = artefact.class_names
    return {
        "signature": artefact.signature,
        "provenance": artefact.provenance,
        "n_golden": len(pairs) if isinstance(pairs, list) else 0,
        "has_reference": artefact.reference is not None,
        "n_classes": None if names is None else len(names),
    }


def make_manifest(
    name: str,
    layer: Layer,
    *,
    created: str,
    by: str,
    reason: str,
    parent: str | None,
    data_fingerprint: str | None,
    metrics: Mapping[str, Any],
    metadata: Mapping[str, str],
    artefact: Mapping[str, Any],
) -> dict[str, Any]:
    """Put a manifest together.

    Parameters
    ----------
    name : str
    layer : Layer
    created, by, reason : str
        When (ISO 8601), who and why.
    parent : str or None
        Digest of the version that it was made of.
    data_fingerprint : str or None
        Of the data that it learned from.
    metrics : mapping
        Plain values, with intervals where there are.
    metadata : mapping of str to str
    artefact : mapping
        Of `description`.

    Returns
    -------
    manifest : dict

    Raises
    ------
    RegistryError
        A text is too long, or no text.

    Examples
    --------
    >>> make_manifest("digits", layer, ...)                # doctest: +SKIP
    {'schemaVersion': 2, ...}
    """
    texts = {"by": by, "reason": reason, "data_fingerprint": data_fingerprint or ""}
    for key, text in {**texts, **metadata}.items():
        if not isinstance(text, str) or not isinstance(key, str):
            raise RegistryError(f"{key}: expected a text, got {type(text).__name__}")
        if len(text) > _MAX_TEXT:
            raise RegistryError(
                f"{key}: {len(text)} characters, at most {_MAX_TEXT} are kept"
            )
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTEFACT_TYPE,
        "config": dict(_CONFIG),
        "layers": [
            {
                "mediaType": _LAYER_TYPE,
                "digest": layer.digest,
                "size": layer.n_bytes,
                "annotations": {_TITLE: ARTEFACT},
            }
        ],
        "annotations": {
            "org.opencontainers.image.created": created,
            _TITLE: name,
        },
        "trimtab": {
            "format": 1,
            "name": name,
            "created": created,
            "by": by,
            "reason": reason,
            "parent": parent,
            "data_fingerprint": data_fingerprint,
            "metrics": dict(metrics),
            "metadata": dict(metadata),
            "engine": engine(),
            "artefact": dict(artefact),
        },
    }


#: Key under ``trimtab`` -> type of its value.
_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "created": str,
    "by": str,
    "reason": str,
    "parent": (str, type(None)),
    "data_fingerprint": (str, type(None)),
    "metrics": dict,
    "metadata": dict,
    "engine": dict,
    "artefact": dict,
}


def parse_manifest(data: bytes, what: str) -> dict[str, Any]:
    """Read a manifest; every field that is used is checked.

    Parameters
    ----------
    data : bytes
    what : str
        For messages.

    Returns
    -------
    manifest : dict

    Raises
    ------
    RegistryError
        It is none of a model, or of a layout that is not known.

    Examples
    --------
    >>> parse_manifest(version_file, "digits/3")["layers"]  # doctest: +SKIP
    [{'digest': 'sha256:...', ...}]
    """
    manifest = parse_canonical(data, what)
    ours = manifest.get("trimtab")
    if not isinstance(ours, dict) or manifest.get("artifactType") != ARTEFACT_TYPE:
        raise RegistryError(
            f"{what}: expected the manifest of a model, artifactType {ARTEFACT_TYPE}; "
            f"got {str(manifest.get('artifactType'))[:100]}"
        )
    if type(ours.get("format")) is not int or ours["format"] != 1:
        raise RegistryError(
            f"{what}: format {str(ours.get('format'))[:20]}; this trimtab reads 1"
        )
    for key, kind in _KEYS.items():
        if key not in ours or not isinstance(ours[key], kind):
            raise RegistryError(f"{what}: {key} is missing, or has another type")
    check_name(ours["name"], f"{what}: name")
    if ours["parent"] is not None:
        digest_hex(ours["parent"])
    if not isinstance(ours["artefact"].get("signature"), dict):
        raise RegistryError(f"{what}: signature is missing, or has another type")
    layer_of(manifest, what)
    return manifest


def layer_of(manifest: Mapping[str, Any], what: str = "manifest") -> Layer:
    """Give the artefact that a manifest names.

    Parameters
    ----------
    manifest : mapping
    what : str
        For messages.

    Returns
    -------
    layer : Layer

    Raises
    ------
    RegistryError
        It names none, or more than one.

    Examples
    --------
    >>> layer_of({"layers": [{"digest": "sha256:" + "0" * 64, "size": 5}]}).n_bytes
    5
    """
    layers = manifest.get("layers")
    if not isinstance(layers, list) or len(layers) != 1:
        raise RegistryError(f"{what}: expected one layer, the artefact")
    layer = layers[0] if isinstance(layers[0], dict) else {}
    size = layer.get("size")
    if type(size) is not int or not 0 <= size <= MAX_BLOB_BYTES:
        raise RegistryError(f"{what}: expected a layer with its size")
    digest_hex(layer.get("digest"))
    return Layer(str(layer["digest"]), size)
