"""Keras' files: archives of Keras 3 and HDF5 files of Keras 1 to 3.

Enters: a path or bytes. Leaves: the model's config and, by layer, its weights.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trimtab.errors import ModelFormatError, UnsafeModelError
from trimtab.formats.archive import Archive
from trimtab.formats.keras.hdf5 import Hdf5, read_hdf5
from trimtab.formats.keras.json_text import MAX_JSON_BYTES, read_json
from trimtab.formats.keras.weights import FlatWeights, LayerWeights, TreeWeights
from trimtab.graph import Constant
from trimtab.limits import Limits

__all__ = ["KerasModel", "open_archive", "open_hdf5"]

_CONFIG, _METADATA = "config.json", "metadata.json"
_WEIGHTS = "model.weights.h5"
_MAX_METADATA_BYTES = 1 << 20
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth")
# TensorFlow's Keras wrote the layers of a model under this name for a while.
_OLD_LAYERS = "_layer_checkpoint_dependencies"


@dataclass(frozen=True)
class KerasModel:
    """A model as its file holds it.

    Parameters
    ----------
    config : dict
        The serialised model: class_name, config.
    weights : LayerWeights
        Of the whole model; `LayerWeights.inside` gives those of a layer.
    metadata : dict of str to str
        keras_version, date_saved, backend.
    assets : callable
        Gives a layer's file by its path, or None.
    """

    config: dict[str, Any]
    weights: LayerWeights
    metadata: dict[str, str]
    assets: Callable[[str], bytes | None] = field(default=lambda path: None)


def open_archive(source: str | bytes, limits: Limits) -> KerasModel:
    """Open a ``.keras`` archive.

    Parameters
    ----------
    source : str or bytes
        Path, or content.
    limits : Limits

    Returns
    -------
    model : KerasModel

    Raises
    ------
    ModelFormatError
        It is malformed; `ModelLimitError` where it asks for too much.
    UnsafeModelError
        It holds a pickle, or refers to other files.
    ImportError
        h5py is missing.

    Examples
    --------
    >>> open_archive("model.keras", Limits()).metadata["keras_version"]
    ...                                                    # doctest: +SKIP
    '3.15.1'
    """
    with Archive(source, limits) as archive:
        for name in archive.names:
            if name.lower().endswith(_PICKLES):
                raise UnsafeModelError(
                    f"the archive holds {name[:80]!r}: reading a pickle runs code of "
                    "its author, and no Keras model has one"
                )
        if _CONFIG not in archive.names:
            raise ModelFormatError(f"the archive has no member {_CONFIG!r}")
        config = read_json(archive.read(_CONFIG, max_bytes=MAX_JSON_BYTES), _CONFIG)
        metadata: dict[str, Any] = {}
        if _METADATA in archive.names:
            text = archive.read(_METADATA, max_bytes=_MAX_METADATA_BYTES)
            metadata = read_json(text, _METADATA)
        assets = {
            name.removeprefix("assets/"): archive.read(name, max_bytes=MAX_JSON_BYTES)
            for name in archive.names
            if name.startswith("assets/") and not name.endswith("/")
        }
        content = _unpack_weights(archive, limits)
    store = {_plain(path): value for path, value in content.datasets.items()}
    texts = {k: v for k, v in metadata.items() if isinstance(v, str)}
    return KerasModel(config, TreeWeights(store, "", "the model"), texts, assets.get)


def _unpack_weights(archive: Archive, limits: Limits) -> Hdf5:
    """Read the HDF5 file inside, by way of a file that is removed at once."""
    if _WEIGHTS not in archive.names:
        raise ModelFormatError(f"the archive has no member {_WEIGHTS!r}")
    descriptor, path = tempfile.mkstemp(prefix="trimtab-", suffix=".h5")
    try:
        with os.fdopen(descriptor, "wb") as file:
            archive.unpack(_WEIGHTS, file)
        return read_hdf5(path, limits, f"the archive's {_WEIGHTS}")
    finally:
        os.unlink(path)


def _plain(path: str) -> str:
    return path.replace(_OLD_LAYERS, "layers")


def open_hdf5(source: str | bytes, limits: Limits) -> KerasModel:
    """Open an HDF5 file of a whole model.

    Parameters
    ----------
    source : str or bytes
        Path, or content.
    limits : Limits

    Returns
    -------
    model : KerasModel

    Raises
    ------
    ModelFormatError
        It is malformed, or holds weights without a model.
    UnsafeModelError
        It refers to other files.
    ImportError
        h5py is missing.

    Examples
    --------
    >>> open_hdf5("emotion_model.hdf5", Limits()).metadata     # doctest: +SKIP
    {'keras_version': '2.0.5', 'backend': 'tensorflow'}
    """
    if isinstance(source, str):
        content = read_hdf5(source, limits, f"the HDF5 file {source!r}")
    else:
        descriptor, path = tempfile.mkstemp(prefix="trimtab-", suffix=".h5")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(source)
            content = read_hdf5(path, limits, "the HDF5 content")
        finally:
            os.unlink(path)
    text = content.text("", "model_config")
    if not text:
        raise ModelFormatError(
            "the HDF5 file has no attribute 'model_config': it holds weights without "
            "the model. Build the model in Keras, load the weights into it and save "
            "all of it with model.save('model.keras')"
        )
    metadata = {
        key: value
        for group in ("model_weights", "")
        for key in ("keras_version", "backend")
        if (value := content.text(group, key))
    }
    return KerasModel(
        read_json(text.encode(), "model_config"), GroupedWeights(content), metadata
    )


class GroupedWeights(LayerWeights):
    """Weights of a model in one flat list for each layer.

    Parameters
    ----------
    content : Hdf5
        With a group model_weights.
    """

    def __init__(self, content: Hdf5) -> None:
        super().__init__("the model")
        self._content = content

    def _next(self, part: str) -> tuple[str, Constant | None]:
        return "", None

    def _inside(self, part: str, where: str, name: str) -> LayerWeights:
        group = f"model_weights/{name}"
        found: dict[str, Constant] = {}
        for key in self._content.texts(group, "weight_names"):
            path = re.sub("/+", "/", f"{group}/{key}")
            if path not in self._content.datasets:
                raise ModelFormatError(f"{where}: the file has no weight {key[:80]!r}")
            found[key] = self._content.datasets[path]
        return FlatWeights(found, where)

    def _left_over(self) -> list[tuple[str, Constant]]:
        return []
