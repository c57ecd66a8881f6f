"""Keras archives whose configuration names code, or is no configuration."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .case import Case

UNSAFE, FORMAT, LIMIT = "UnsafeModelError", "ModelFormatError", "ModelLimitError"
UNKNOWN = "UnsupportedOpError"


def empty_weights() -> bytes:
    """An HDF5 file with nothing in it."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w"):
        pass
    return buffer.getvalue()


def layer(class_name: str, config: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": {"name": class_name.lower(), "trainable": True, **config},
        "registered_name": None,
        "build_config": {"input_shape": [None, 4]},
        **fields,
    }


def sequential(*layers: dict[str, Any]) -> str:
    first = layer("InputLayer", {"batch_shape": [None, 4], "dtype": "float32"})
    return json.dumps(
        {
            "module": "keras",
            "class_name": "Sequential",
            "config": {"name": "s", "layers": [first, *layers]},
            "registered_name": None,
        }
    )


def keras(config: str | bytes) -> Callable[[Path], Path]:
    """A .keras file with this configuration and no weights."""

    def build(folder: Path) -> Path:
        path = folder / "model.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", '{"keras_version": "3.8.0"}')
            archive.writestr("config.json", config)
            archive.writestr("model.weights.h5", empty_weights())
        return path

    return build


PAYLOAD = "4wEAAAAAAAAAAAAAAAEAAAACAAAAQwAAAHMIAAAAdAAAZAGDAVMA"
LAMBDA = {
    "class_name": "__lambda__",
    "config": {"code": PAYLOAD, "defaults": None, "closure": None},
}
IMPORTING = {
    "module": "os",
    "class_name": "function",
    "config": "system",
    "registered_name": "function",
}

CONFIGS: list[tuple[str, str | bytes, str]] = [
    ("Lambda", sequential(layer("Lambda", {"function": LAMBDA})), UNSAFE),
    (
        "Lambda that names a function",
        sequential(layer("Lambda", {"function": IMPORTING})),
        UNSAFE,
    ),
    (
        "module os",
        sequential(layer("system", {"command": "true"}, module="os")),
        UNSAFE,
    ),
    (
        "registered class",
        sequential(layer("Evil", {}, registered_name="evil>Evil")),
        UNSAFE,
    ),
    (
        "class of a user's package",
        sequential(layer("Evil", {}, module="evil.layers")),
        UNSAFE,
    ),
    (
        "TFSMLayer",
        sequential(layer("TFSMLayer", {"filepath": "/etc"})),
        UNSAFE,
    ),
    (
        "TorchModuleWrapper",
        sequential(layer("TorchModuleWrapper", {"module": PAYLOAD})),
        UNSAFE,
    ),
    (
        "JaxLayer",
        sequential(layer("JaxLayer", {"call_fn": LAMBDA})),
        UNSAFE,
    ),
    (
        "function as activation",
        sequential(layer("Activation", {"activation": IMPORTING})),
        UNSAFE,
    ),
    (
        "lambda as activation",
        sequential(layer("Activation", {"activation": LAMBDA})),
        UNSAFE,
    ),
    ("no JSON", b"\xff\xfe{", FORMAT),
    ("brackets", b"[" * 100_000, LIMIT),
    ("objects in objects", b'{"a":' * 50_000, LIMIT),
    ("a list", "[]", FORMAT),
    ("a text", '"Sequential"', FORMAT),
    (
        "layers is a number",
        sequential().replace('"layers": [', '"layers": 3, "x": ['),
        FORMAT,
    ),
    ("units is a text", sequential(layer("Dense", {"units": "4"})), FORMAT),
    ("negative units", sequential(layer("Dense", {"units": -4})), FORMAT),
    (
        "no weights",
        sequential(layer("Dense", {"units": 4, "activation": "relu"})),
        FORMAT,
    ),
    (
        "huge units",
        sequential(layer("Dense", {"units": 1 << 60, "activation": "relu"})),
        FORMAT,
    ),
    (
        "megabytes of layers",
        sequential(*[layer("Dropout", {"rate": 0.1})] * 200_000),
        LIMIT,
    ),
]

CASES = [
    Case(name, keras(config), error, needs="h5py") for name, config, error in CONFIGS
]
