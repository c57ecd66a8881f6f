"""Live models of Keras: what they say of themselves, as data.

Enters: a model of Keras 3, or of tf_keras. Leaves: a `KerasModel`, whose weights are
copies. Keras itself is not imported: the object brings its methods along.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from trimtab.errors import UnsupportedOpError
from trimtab.formats.keras.files import KerasModel
from trimtab.formats.keras.json_text import read_json
from trimtab.formats.keras.weights import FlatWeights, LayerWeights
from trimtab.graph import Constant

__all__ = ["open_object"]


def open_object(model: Any) -> KerasModel:
    """Open a live model.

    Parameters
    ----------
    model : keras.Model
        Built: its input shape is known.

    Returns
    -------
    model : KerasModel

    Raises
    ------
    UnsupportedOpError
        It is a subclass with code of its own, or was never built.

    Examples
    --------
    >>> open_object(keras.Sequential([...])).config["class_name"]  # doctest: +SKIP
    'Sequential'
    """
    if not model.built:
        raise UnsupportedOpError(
            f"the model {model.name!r} was never built: call it once, or give its "
            "first layer an Input"
        )
    try:
        config = read_json(model.to_json().encode(), "the model's config")
    except (NotImplementedError, TypeError) as error:
        raise UnsupportedOpError(
            f"the model {model.name!r} cannot be written as a config: {error!s:.300}"
        ) from error
    metadata = {"keras_version": str(config.get("keras_version") or "")}
    if not metadata["keras_version"]:
        version = getattr(model, "_keras_version", "") or _version(model)
        metadata = {"keras_version": version}
    return KerasModel(config, LiveWeights(model.layers), metadata)


def _version(model: Any) -> str:
    """Version of the package that the model's class is from."""
    import sys

    for base in type(model).__mro__:
        package = base.__module__.partition(".")[0]
        if package in ("keras", "tf_keras") and package in sys.modules:
            return str(getattr(sys.modules[package], "__version__", ""))
    return ""


class LiveWeights(LayerWeights):
    """Weights of a live model, in one flat list for each layer.

    Parameters
    ----------
    layers : iterable of keras.Layer
    """

    def __init__(self, layers: Iterable[Any]) -> None:
        super().__init__("the model")
        self._layers = {layer.name: layer for layer in layers}
        self._found: dict[str, list[tuple[str, Constant]]] = {}

    def _next(self, part: str) -> tuple[str, Constant | None]:
        return "", None

    def _inside(self, part: str, where: str, name: str) -> LayerWeights:
        if name not in self._found:
            layer = self._layers.get(name)
            self._found[name] = [] if layer is None else _weights(layer)
        return FlatWeights(self._found[name], where)

    def _left_over(self) -> list[tuple[str, Constant]]:
        return []


def _weights(layer: Any) -> list[tuple[str, Constant]]:
    variables = [*layer.trainable_weights, *layer.non_trainable_weights]
    return [
        (str(getattr(v, "path", v.name)), Constant.of(np.array(v.numpy())))
        for v in variables
    ]
