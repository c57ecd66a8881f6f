"""Model formats: what a file or an object is, and who reads it.

Enters: a path (file or folder), bytes, or an object of another framework. Leaves: a
`trimtab.graph.Model`. A format is one line in `FORMATS` (files) or `OBJECTS`; the
reader's module is imported when something of its kind comes.
"""

from __future__ import annotations

import importlib
import os
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
]

_ZIP_MAGIC = b"PK\x03\x04"
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


def _read(reader: str, *arguments: Any, **options: Any) -> Model:
    """Call ``module:function`` of this package."""
    module, _, function = reader.partition(":")
    read = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    model: Model = read(*arguments, **options)
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


def _is_onnx(head: Head) -> bool:
    """The first field of ModelProto is ir_version, a small number."""
    first = head.first
    return len(first) > 1 and first[0] == 0x08 and first[1] < 0x80


def _is_safetensors(head: Head) -> bool:
    """The length of a header below 4 GB, and the header, which is JSON."""
    return head.first[4:9] == b"\0\0\0\0{"


#: name -> format of files and folders
FORMATS: dict[str, Format] = {
    "native": Format(_is_safetensors, (".safetensors",), "native:read_native"),
    "onnx": Format(_is_onnx, (".onnx",), "onnx:read_onnx"),
}

#: name -> kind of objects
OBJECTS: dict[str, ObjectFormat] = {
    "onnx": ObjectFormat("onnx.onnx_ml_pb2.ModelProto", "onnx:read_onnx_message"),
}

# First bytes (at an offset) of files that people may try: what they are, and whether
# loading them would run code.
_KNOWN_MAGIC: list[tuple[int, bytes, str, bool]] = [
    (0, b"\x89HDF", "an HDF5 file (Keras .h5)", False),
    (0, b"\x80", "a pickle", True),
    (4, b"TFL3", "a TFLite model", False),
    (4, b"ORTM", "an onnxruntime .ort model", False),
]


def _supported() -> str:
    return ", ".join(
        f"{name} ({', '.join(entry.suffixes)})" if entry.suffixes else name
        for name, entry in FORMATS.items()
    )


def _refuse(head: Head, what: str) -> None:
    """Raise what is known of a file that no reader takes."""
    if head.has("data.pkl"):
        raise UnsafeModelError(
            f"{what} holds a pickle, and reading one runs code of its author. Load it "
            "with the framework that wrote it and pass the module to load_model, or "
            "export it (torch.export.save, torch.onnx.export)"
        )
    for offset, magic, name, is_unsafe in _KNOWN_MAGIC:
        if head.first[offset : offset + len(magic)] != magic:
            continue
        if is_unsafe:
            raise UnsafeModelError(
                f"{what} looks like {name}, and reading one runs code of its author; "
                f"supported are: {_supported()}"
            )
        raise ModelFormatError(
            f"{what} looks like {name}; supported are: {_supported()}"
        )


def _find(head: Head, suffix: str, what: str) -> tuple[str, Format]:
    """By what is in it, else by the suffix."""
    for name, entry in FORMATS.items():
        if entry.sniff(head):
            return name, entry
    _refuse(head, what)
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
        with open(source, "rb") as file:
            first = file.read(_HEAD_BYTES)
    else:
        first = source[:_HEAD_BYTES]
    if not first.startswith(_ZIP_MAGIC):
        return Head(first)
    from trimtab.formats.archive import Archive

    with Archive(source, limits) as archive:
        return Head(first, tuple(archive.names))


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
    >>> read_model(b"GIF89a")
    Traceback (most recent call last):
        ...
    trimtab.errors.ModelFormatError: the content is of no known format (it begins \
with b'GIF89a'); supported are: native (.safetensors), onnx (.onnx)
    """
    limits = limits or Limits()
    entry: Format | ObjectFormat
    given: Any
    if (found := find_object_format(source)) is not None:
        name, entry = found
        given, what = source, f"the {type(source).__name__}"
    elif isinstance(source, (bytes, bytearray, memoryview)):
        given, what = bytes(source), "the content"
        name, entry = _find(_look(given, limits), "", what)
    else:
        given = os.fspath(source)
        suffix, what = os.path.splitext(given)[1].lower(), repr(given)
        name, entry = _find(_look(given, limits), suffix, what)
    _check_options(options, name, entry.options)
    try:
        return entry.read(given, limits, **options)
    except MemoryError as error:
        if isinstance(error, OutOfMemoryError):
            raise
        raise OutOfMemoryError(f"reading {what}: {error or 'out of memory'}") from error
