"""Keras files written by hand, well-formed and not."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="weights of Keras are in HDF5 files")


def layer(class_name: str, name: str, **config: Any) -> dict[str, Any]:
    """Write a layer as Keras 3 does."""
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": {"name": name, "trainable": True, **config},
        "registered_name": None,
        "name": name,
    }


def tensor(name: str, node: int = 0, index: int = 0) -> dict[str, Any]:
    """Write a tensor among the arguments of a call."""
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [], "dtype": "", "keras_history": [name, node, index]},
    }


def called(made: dict[str, Any], *calls: tuple[Any, ...]) -> dict[str, Any]:
    """Add calls with positional arguments to a layer."""
    nodes = [{"args": list(args), "kwargs": {}} for args in calls]
    return {**made, "inbound_nodes": nodes}


def source(name: str = "x", shape: tuple[int | None, ...] = (3,)) -> dict[str, Any]:
    """Write an InputLayer."""
    made = layer("InputLayer", name, batch_shape=[None, *shape], dtype="float32")
    return {**made, "inbound_nodes": []}


def functional(
    layers: list[dict[str, Any]], outputs: Any, inputs: Any = (("x", 0, 0),)
) -> dict[str, Any]:
    """Write a functional model."""
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {
            "name": "m",
            "layers": layers,
            "input_layers": [list(i) for i in inputs],
            "output_layers": outputs,
        },
        "registered_name": "Functional",
    }


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    """Write a Sequential of an input of 3 numbers."""
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "m", "layers": [source(), *layers]},
        "registered_name": None,
    }


def dense_model() -> dict[str, Any]:
    """Write a model of one Dense, whose weights `dense_weights` gives."""
    return sequential(layer("Dense", "d", units=2, activation="linear"))


def dense_weights() -> dict[str, np.ndarray]:
    """Give the weights of `dense_model`."""
    return {
        "layers/dense/vars/0": np.arange(6, dtype=np.float32).reshape(3, 2),
        "layers/dense/vars/1": np.array([0.5, -1.0], np.float32),
    }


def weights_file(weights: Mapping[str, Any]) -> bytes:
    """Write model.weights.h5; a value may be a function of the open file."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for path, value in weights.items():
            if callable(value):
                value(file, path)
            else:
                file[path] = value
    return content.getvalue()


def archive(
    config: Any,
    weights: Mapping[str, Any] | bytes | None = None,
    members: Mapping[str, bytes] | None = None,
) -> bytes:
    """Write a ``.keras`` archive."""
    content = io.BytesIO()
    if not isinstance(weights, bytes):
        weights = weights_file(weights or {})
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("metadata.json", '{"keras_version": "3.8.0"}')
        text = config if isinstance(config, bytes | str) else json.dumps(config)
        file.writestr("config.json", text)
        file.writestr("model.weights.h5", weights)
        for name, data in (members or {}).items():
            file.writestr(name, data)
    return content.getvalue()


def legacy_file(
    config: Any, layers: Mapping[str, Mapping[str, Any]], version: str = "2.4.0"
) -> bytes:
    """Write an ``.h5`` file: for each layer its weights by name."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        text = config if isinstance(config, str) else json.dumps(config)
        file.attrs["model_config"] = text.encode()
        group = file.create_group("model_weights")
        group.attrs["keras_version"] = version.encode()
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for name, weights in layers.items():
            inner = group.create_group(name)
            inner.attrs["weight_names"] = [key.encode() for key in weights]
            for key, value in weights.items():
                inner[key] = value
    return content.getvalue()
