"""Keras models as graphs: the whole way from a file's content or a live object.

Enters: paths, bytes, objects. Leaves: `trimtab.graph.Model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.formats.builder import GraphBuilder
from trimtab.formats.keras.apply import apply_layer, check_layer
from trimtab.formats.keras.calls import read_refs
from trimtab.formats.keras.files import KerasModel, open_archive, open_hdf5
from trimtab.formats.keras.layer import LayerContext, Source
from trimtab.formats.keras.live import open_object
from trimtab.formats.keras.network import sequential_config
from trimtab.graph import Model
from trimtab.limits import Limits

__all__ = ["build_graph", "read_keras", "read_keras_h5", "read_keras_object"]

_MODELS = ("Functional", "Model", "Sequential")


def read_keras(source: str | bytes, limits: Limits) -> Model:
    """Read a ``.keras`` archive.

    Parameters
    ----------
    source : path or bytes
    limits : Limits

    Returns
    -------
    model : trimtab.graph.Model

    Raises
    ------
    ModelFormatError
        It is malformed; `ModelLimitError` where it asks for too much.
    UnsafeModelError
        Loading it would run code of its author.
    UnsupportedOpError
        A layer has no rule.
    ImportError
        h5py is missing.

    Examples
    --------
    >>> read_keras("model.keras", Limits())                # doctest: +SKIP
    Model('functional': x -> dense, 12 nodes)
    """
    return build_graph(open_archive(source, limits), limits, "keras")


def read_keras_h5(source: str | bytes, limits: Limits) -> Model:
    """Read an HDF5 file of a whole model.

    Parameters
    ----------
    source : path or bytes
    limits : Limits

    Returns
    -------
    model : trimtab.graph.Model

    Raises
    ------
    ModelFormatError
        It is malformed; `ModelLimitError` where it asks for too much.
    UnsafeModelError
        Loading it would run code of its author.
    UnsupportedOpError
        A layer has no rule.
    ImportError
        h5py is missing.

    Examples
    --------
    >>> read_keras_h5("emotion_model.hdf5", Limits())      # doctest: +SKIP
    Model('model_1': input_1 -> predictions, 97 nodes)
    """
    return build_graph(open_hdf5(source, limits), limits, "keras_h5")


def read_keras_object(source: Any, limits: Limits) -> Model:
    """Convert a live model of Keras.

    Parameters
    ----------
    source : keras.Model
    limits : Limits

    Returns
    -------
    model : trimtab.graph.Model

    Raises
    ------
    UnsupportedOpError
        It is a subclass with code of its own, or a layer has no rule.

    Examples
    --------
    >>> read_keras_object(keras_model, Limits())           # doctest: +SKIP
    Model('functional': x -> dense, 12 nodes)
    """
    return build_graph(open_object(source), limits, "keras")


def build_graph(model: KerasModel, limits: Limits, format: str) -> Model:
    """Build the graph of an opened model.

    Parameters
    ----------
    model : KerasModel
    limits : Limits
    format : str
        Key of `trimtab.formats.FORMATS` or `OBJECTS`.

    Returns
    -------
    model : trimtab.graph.Model

    Raises
    ------
    ModelFormatError
        It is malformed.
    UnsafeModelError
        Loading it would run code of its author.
    UnsupportedOpError
        It is no functional or sequential model, or a layer has no rule.

    Examples
    --------
    >>> build_graph(open_hdf5(path, limits), limits, "keras_h5")   # doctest: +SKIP
    """
    serialised = {**model.config, "config": sequential_config(model.config)}
    class_name, config = check_layer(serialised, "the model")
    name = str(config.values.get("name") or "model")
    config.where = f"model {name[:80]!r}"
    if class_name not in _MODELS or not config.values.get("layers"):
        raise UnsupportedOpError(
            f"{config.where} is a {class_name[:80]}, a class with code of its own; "
            "Sequential and functional models are read. Export it with "
            "model.export(path, format='onnx')"
        )
    builder = GraphBuilder(name)
    source = Source(
        builder, limits, model.metadata.get("keras_version", ""), model.assets
    )
    outputs = apply_layer(LayerContext(source, "", class_name, config, model.weights))
    if not outputs:
        raise ModelFormatError(f"{config.where} has no output")
    names = _output_names(config.values)
    for tensor, wanted in zip(outputs, names, strict=True):
        builder.output(tensor.name, wanted, tensor.dtype, tensor.shape)
    return builder.build(format, {**model.metadata})


def _output_names(config: Mapping[str, Any]) -> list[str]:
    """Names of the layers that give the outputs, as Keras calls those."""
    if config.get("output_layers"):
        refs = read_refs(config["output_layers"], "output_layers")
        return [r.layer for r in (refs.values() if isinstance(refs, dict) else refs)]
    last = config["layers"][-1]
    return [str(last["config"].get("name") or last["class_name"])]
