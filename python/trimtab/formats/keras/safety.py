"""What a Keras file may not hold: classes and functions of its author.

Enters: serialised objects (class_name, module, registered_name). Leaves: nothing, or
the error that says what would have run code. Nothing here imports or looks up what a
file names: names are compared with tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.errors import ModelFormatError, UnsafeModelError

__all__ = ["check_registration"]

# Classes of Keras that hold code, or read other files when they are loaded.
_CODE: dict[str, str] = {
    "Lambda": "holds Python bytecode",
    "__lambda__": "holds Python bytecode",
    "lambda": "holds Python bytecode",
    "TFSMLayer": "loads a TensorFlow SavedModel from a path",
    "TorchModuleWrapper": "holds a pickle",
    "FlaxLayer": "holds a function of its author",
    "JaxLayer": "holds a function of its author",
}

# Modules whose classes are Keras' own: all that begins with one of these and a dot.
_OWN_MODULES = ("keras", "keras_core", "tf_keras", "tensorflow.keras", "builtins")

# Prefixes of registered_name that Keras and TensorFlow give their own classes.
_OWN_REGISTRATIONS = ("keras", "tf.keras", "tf", "TensorFlow", "Keras", "builtins")

# Modules of Keras whose functions do things (download, unpack, load, write).
_ACTING_MODULES = (
    "keras.models",
    "keras.utils",
    "keras.saving",
    "keras.config",
    "keras.src.models",
    "keras.src.utils",
    "keras.src.saving",
    "keras.src.legacy",
    "keras.src.trainers",
    "keras.src.backend",
)
_MODEL_CLASSES = ("Sequential", "Functional", "Model")


def check_registration(serialised: Mapping[str, Any], where: str) -> None:
    """Refuse a serialised object whose class or function is not Keras' own.

    Parameters
    ----------
    serialised : mapping
        With class_name, and perhaps module and registered_name.
    where : str
        Opens the message.

    Raises
    ------
    UnsafeModelError
        Loading it would run code of the file's author.
    ModelFormatError
        The names are no texts.

    Examples
    --------
    >>> check_registration({"class_name": "Lambda"}, "layer 'x'")
    Traceback (most recent call last):
        ...
    trimtab.errors.UnsafeModelError: layer 'x': a Lambda holds Python bytecode: \
replace it by layers or keras.ops and save the model again
    """
    name = serialised.get("class_name")
    module = serialised.get("module")
    registered = serialised.get("registered_name")
    if not isinstance(name, str):
        raise ModelFormatError(f"{where}: expected a class_name, got {name!r:.80}")
    for key, value in (("module", module), ("registered_name", registered)):
        if value is not None and not isinstance(value, str):
            raise ModelFormatError(
                f"{where}: {key}: expected a text, got {value!r:.80}"
            )
    if name in _CODE:
        raise UnsafeModelError(
            f"{where}: a {name} {_CODE[name]}: replace it by layers or keras.ops and "
            "save the model again"
        )
    if module and not _is_own(module, _OWN_MODULES):
        raise UnsafeModelError(
            f"{where}: {name[:80]!r} is a class of module {module[:80]!r}, whose code "
            "is not in the file; only Keras' own layers are read"
        )
    if module and _is_own(module, _ACTING_MODULES) and name not in _MODEL_CLASSES:
        raise UnsafeModelError(
            f"{where}: {name[:80]!r} of module {module[:80]!r} is no layer but code "
            "that acts when it is called"
        )
    if registered and ">" in registered:
        package = registered.split(">", 1)[0]
        if package not in _OWN_REGISTRATIONS:
            raise UnsafeModelError(
                f"{where}: {registered[:80]!r} is a custom class, whose code is not in "
                "the file; only Keras' own layers are read"
            )


def _is_own(module: str, roots: tuple[str, ...]) -> bool:
    return any(module == root or module.startswith(root + ".") for root in roots)
