"""Model formats: what a file or an object is, and who reads it.

Enters: a path (file or folder), bytes, or an object of another framework. Leaves: a
`trimtab.graph.Model`. A format is one line in `FORMATS` (files) or `OBJECTS`; the
reader's module is imported when something of its kind comes.
"""

from __future__ import annotations

import importlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from trimtab.errors import (
    InputError,
    ModelFormatError,
    OutOfMemoryError,
    UnsafeModelError,
)
from trimtab.graph import Model
from trimtab.limits import Limits
from trimtab.record import FrozenRecord

__all__ = [
    "FORMATS",
    "OBJECTS",
    "Format",
    "Head",
    "ObjectFormat",
    "find_object_format",
    "read_model",
    "read_structure",
]

_ZIP_MAGIC = b"PK\x03\x04"
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_HEAD_BYTES = 64


class Head(FrozenRecord):
    """What tells formats apart.

    Parameters
    ----------
    first : bytes
        The first bytes of a file; empty for a folder.
    names : tuple of str
        Members of a zip archive, or entries of a folder; empty for other files.
    """

    __slots__ = ("first", "names")
    first: bytes
    names: tuple[str, ...]

    def __init__(self, first: bytes, names: tuple[str, ...] = ()) -> None:
        self._set(first, names)

    def has(self, *endings: str) -> bool:
        """Does each of these end the name of a member?

        Parameters
        ----------
        *endings : str
            Whole components of a path.

        Returns
        -------
        has_all : bool

        Examples
        --------
        >>> Head(b"", ("net/models/model.json",)).has("models/model.json")
        True
        """
        return all(
            any(name == end or name.endswith("/" + end) for name in self.names)
            for end in endings
        )


def _function(reader: str) -> Callable[..., Any]:
    """Find ``module:function`` of this package."""
    module, _, function = reader.partition(":")
    found: Callable[..., Any]
    found = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return found


def _read(reader: str, *arguments: Any, **options: Any) -> Model:
    model: Model = _function(reader)(*arguments, **options)
    return model


class Format(FrozenRecord):
    """A format of files and where its reader is.

    Parameters
    ----------
    sniff : callable
        Tells from the `Head` whether a file or folder may be of this format.
    suffixes : tuple of str
        Usual endings of file names, lower case with the dot.
    reader : str
        ``module:function`` of this package; the function takes a path or bytes,
        `Limits`, and the options by name.
    options : tuple of str
        Arguments of `load_model` that the reader takes.
    """

    __slots__ = ("sniff", "suffixes", "reader", "options")
    sniff: Callable[[Head], bool]
    suffixes: tuple[str, ...]
    reader: str
    options: tuple[str, ...]

    def __init__(
        self,
        sniff: Callable[[Head], bool],
        suffixes: tuple[str, ...],
        reader: str,
        options: tuple[str, ...] = (),
    ) -> None:
        self._set(sniff, suffixes, reader, options)

    def read(self, source: str | bytes, limits: Limits, **options: Any) -> Model:
        """Read a model.

        Parameters
        ----------
        source : path or bytes
            What `load_model` was given.
        limits : Limits
            What it may ask for.
        **options : object
            As far as `options` names them.

        Returns
        -------
        model : trimtab.graph.Model

        Examples
        --------
        >>> FORMATS["onnx"].read("model.onnx", Limits())   # doctest: +SKIP
        Model('main': x -> y, 12 nodes)
        """
        return _read(self.reader, source, limits, **options)


class ObjectFormat(FrozenRecord):
    """A kind of objects of another framework and where its reader is.

    Parameters
    ----------
    base : str
        Qualified name of a class among the object's bases, so that nothing needs to
        be imported to know it.
    reader : str
        ``module:function`` of this package; takes the object, `Limits` and the
        options by name.
    options : tuple of str
        Arguments of `load_model` that the reader takes.
    """

    __slots__ = ("base", "reader", "options")
    base: str
    reader: str
    options: tuple[str, ...]

    def __init__(self, base: str, reader: str, options: tuple[str, ...] = ()) -> None:
        self._set(base, reader, options)

    def read(self, source: object, limits: Limits, **options: Any) -> Model:
        """Convert an object.

        Parameters
        ----------
        source : object
            What `load_model` was given.
        limits : Limits
            What it may ask for.
        **options : object
            As far as `options` names them.

        Returns
        -------
        model : trimtab.graph.Model

        Examples
        --------
        >>> OBJECTS["onnx"].read(onnx.load("m.onnx"), Limits())    # doctest: +SKIP
        Model('main': x -> y, 12 nodes)
        """
        return _read(self.reader, source, limits, **options)


def _is_tflite(head: Head) -> bool:
    """The identifier of its FlatBuffer, behind the offset of the root table."""
    return head.first[4:8] == b"TFL3"


def _is_onnx(head: Head) -> bool:
    """The first field of ModelProto is ir_version, a small number."""
    first = head.first
    if _is_tflite(head):  # its first bytes are an offset, which may look like that
        return False
    return len(first) > 1 and first[0] == 0x08 and first[1] < 0x80


def _is_safetensors(head: Head) -> bool:
    """The length of a header below 4 GB, and the header, which is JSON."""
    return head.first[4:9] == b"\0\0\0\0{"


def _is_saved_model(head: Head) -> bool:
    return not head.first and "saved_model.pb" in head.names


def _is_torch_export(head: Head) -> bool:
    """An archive of torch.export.save; the second layout is that up to torch 2.7."""
    return head.has("serialized_exported_program.json") or (
        head.has("archive_format", "models/model.json")
    )


def _is_keras(head: Head) -> bool:
    return head.has("config.json", "model.weights.h5")


def _is_keras_h5(head: Head) -> bool:
    return head.first.startswith(_HDF5_MAGIC)


#: name -> format of files and folders
FORMATS: dict[str, Format] = {
    "keras": Format(_is_keras, (".keras",), "keras:read_keras"),
    "keras_h5": Format(_is_keras_h5, (".h5", ".hdf5"), "keras:read_keras_h5"),
    "native": Format(_is_safetensors, (".safetensors",), "native:read_native"),
    "onnx": Format(_is_onnx, (".onnx",), "onnx:read_onnx"),
    "saved_model": Format(
        _is_saved_model, (), "saved_model:read_saved_model", ("signature",)
    ),
    "tflite": Format(_is_tflite, (".tflite",), "tflite:read_tflite", ("signature",)),
    "torch_export": Format(
        _is_torch_export, (".pt2",), "torch_export:read_torch_export"
    ),
}

#: name -> kind of objects; on its backend of torch, a Keras model is a torch module too
OBJECTS: dict[str, ObjectFormat] = {
    # first: on its torch backend a model of Keras is a torch module too
    "keras": ObjectFormat("keras.src.models.model.Model", "keras:read_keras_object"),
    "onnx": ObjectFormat("onnx.onnx_ml_pb2.ModelProto", "onnx:read_onnx_message"),
    "sklearn": ObjectFormat(
        "sklearn.base.BaseEstimator", "sklearn:read_sklearn", ("example_inputs",)
    ),
    "torch": ObjectFormat(
        "torch.nn.modules.module.Module",
        "torch_module:read_torch_module",
        ("example_inputs", "dynamic_shapes"),
    ),
    "torch_export": ObjectFormat(
        "torch.export.exported_program.ExportedProgram",
        "torch_onnx:read_exported_program",
    ),
    "tf_keras": ObjectFormat(
        "tf_keras.src.engine.training.Model", "keras:read_keras_object"
    ),
}


def _supported() -> str:
    return ", ".join(
        f"{name} ({', '.join(entry.suffixes)})" if entry.suffixes else name
        for name, entry in FORMATS.items()
    )


def _find(head: Head, suffix: str, what: str) -> tuple[str, Format]:
    """By what is in it, else by the suffix."""
    for name, entry in FORMATS.items():
        if entry.sniff(head):
            return name, entry
    from trimtab.formats.refuse import refuse_known

    refuse_known(head, what, _supported())
    for name, entry in FORMATS.items():
        if suffix in entry.suffixes and not head.names:
            return name, entry
    begins = (
        f"it holds {', '.join(map(repr, head.names[:5])) or 'nothing'}"
        if head.names or not head.first
        else f"it begins with {head.first[:8]!r}"
    )
    raise ModelFormatError(
        f"{what} is of no known format ({begins}); supported are: {_supported()}"
    )


def _look(source: str | bytes, limits: Limits) -> Head:
    """First bytes, and names where there are some."""
    if isinstance(source, str):
        if os.path.isdir(source):
            with os.scandir(source) as entries:
                names = [entry.name for entry in islice(entries, 1000)]
            return Head(b"", tuple(sorted(names)))
        first = _first_bytes(source)
    else:
        first = source[:_HEAD_BYTES]
    if not first.startswith(_ZIP_MAGIC):
        return Head(first)
    from trimtab.formats.archive import Archive

    with Archive(source, limits) as archive:
        return Head(first, tuple(archive.names))


def _first_bytes(path: str) -> bytes:
    """First bytes of a regular file; opening anything else may wait, or act."""
    _check_regular(os.stat(path), path)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check_regular(os.fstat(descriptor), path)
        return os.read(descriptor, _HEAD_BYTES)
    finally:
        os.close(descriptor)


def _check_regular(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeModelError(
            f"{path!r} is a pipe, a socket or a device: a model must be a regular file "
            "or a folder"
        )


def find_object_format(source: object) -> tuple[str, ObjectFormat] | None:
    """Find the format of an object of another framework.

    Parameters
    ----------
    source : object

    Returns
    -------
    found : (str, ObjectFormat) or None
        Key and entry of `OBJECTS`.

    Examples
    --------
    >>> find_object_format(3) is None
    True
    """
    bases = [f"{c.__module__}.{c.__qualname__}" for c in type(source).__mro__]
    for name, entry in OBJECTS.items():
        if entry.base in bases:
            return name, entry
    return None


def _check_options(
    options: Mapping[str, Any], name: str, accepted: tuple[str, ...]
) -> None:
    for option in options:
        if option in accepted:
            continue
        users = [kind for kind, entry in FORMATS.items() if option in entry.options]
        users += [kind for kind, other in OBJECTS.items() if option in other.options]
        raise InputError(
            f"{option}= does not apply to the format {name!r}; it is for "
            f"{', '.join(dict.fromkeys(users)) or 'no format'}"
        )


def _identify(
    source: Any, limits: Limits
) -> tuple[str, Format | ObjectFormat, Any, str]:
    """Name and entry of the format, what its reader takes, and a word for messages."""
    if (found := find_object_format(source)) is not None:
        return *found, source, f"the {type(source).__name__}"
    if isinstance(source, (bytes, bytearray, memoryview)):
        given, what = bytes(source), "the content"
        return *_find(_look(given, limits), "", what), given, what
    path = os.fspath(source)
    suffix, what = os.path.splitext(path)[1].lower(), repr(path)
    return *_find(_look(path, limits), suffix, what), path, what


#: Formats whose structure can be read without the weights -> who reads it.
_STRUCTURES = {"onnx": "onnx_structure:read_onnx_structure"}


def read_structure(
    source: Any, limits: Limits | None = None
) -> tuple[Model, Counter[tuple[str, str]]]:
    """Read what a model consists of, without its weights where the format allows.

    Parameters
    ----------
    source : path, bytes-like or object
        As for `read_model`.
    limits : Limits, optional
        Bounds on what it may ask for.

    Returns
    -------
    model : Model
        Not to be run: elements of weights may be missing.
    written : Counter of (str, str)
        Nodes as the file has them, by domain and operator, before any is rewritten.

    Examples
    --------
    >>> model, written = read_structure("model.onnx")      # doctest: +SKIP
    """
    limits = limits or Limits()
    name, entry, given, _ = _identify(source, limits)
    if isinstance(entry, Format) and name in _STRUCTURES:
        found: tuple[Model, Counter[tuple[str, str]]]
        found = _function(_STRUCTURES[name])(given, limits)
        return found
    return read_model(source, limits), Counter()


def read_model(source: Any, limits: Limits | None = None, **options: Any) -> Model:
    """Read a model of any supported format.

    Parameters
    ----------
    source : path, bytes-like or object
        The file or folder, the content of a file, or a model of another framework.
    limits : Limits, optional
        Bounds on what it may ask for.
    **options : object
        Arguments of `load_model` that only some formats take.

    Returns
    -------
    model : Model

    Raises
    ------
    ModelFormatError
        No supported format, or malformed.
    UnsafeModelError
        Reading it would run code or open foreign files.
    InputError
        An option does not apply to the format.
    OutOfMemoryError
        Memory for it could not be had.
    OSError
        The file cannot be opened.

    Examples
    --------
    >>> read_model(b"GIF89a")                              # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    trimtab.errors.ModelFormatError: the content is of no known format (it begins \
with b'GIF89a'); supported are: ...
    """
    limits = limits or Limits()
    name, entry, given, what = _identify(source, limits)
    _check_options(options, name, entry.options)
    try:
        return entry.read(given, limits, **options)
    except MemoryError as error:
        if isinstance(error, OutOfMemoryError):
            raise
        raise OutOfMemoryError(f"reading {what}: {error or 'out of memory'}") from error
