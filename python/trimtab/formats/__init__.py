"""Model formats: what a file is, and who reads it.

Enters: a path or bytes. Leaves: a `trimtab.graph.Model`. A format is one line in
`FORMATS`; the reader's module is imported when a file of its kind comes.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from trimtab.errors import ModelFormatError, OutOfMemoryError
from trimtab.graph import Model
from trimtab.limits import Limits

__all__ = ["FORMATS", "Format", "read_model"]


@dataclass(frozen=True)
class Format:
    """A format and where its reader is.

    Parameters
    ----------
    sniff : callable
        Tells from the first bytes whether a file may be of this format.
    suffixes : tuple of str
        Usual endings of file names, lower case with the dot.
    reader : str
        ``module:function`` of this package; the function takes a path or bytes and
        `Limits`.
    """

    sniff: Callable[[bytes], bool]
    suffixes: tuple[str, ...]
    reader: str

    def read(self, source: str | bytes, limits: Limits) -> Model:
        """Read a model.

        Parameters
        ----------
        source : path or bytes
            What `load_model` was given.
        limits : Limits
            What it may ask for.

        Returns
        -------
        model : trimtab.graph.Model

        Examples
        --------
        >>> FORMATS["onnx"].read("model.onnx", Limits())   # doctest: +SKIP
        Model('main': x -> y, 12 nodes)
        """
        module, _, function = self.reader.partition(":")
        read = getattr(importlib.import_module(f"{__name__}.{module}"), function)
        model: Model = read(source, limits)
        return model


def _is_onnx(head: bytes) -> bool:
    """The first field of ModelProto is ir_version, a small number."""
    return len(head) > 1 and head[0] == 0x08 and head[1] < 0x80


#: name -> format
FORMATS: dict[str, Format] = {
    "onnx": Format(_is_onnx, (".onnx",), "onnx:read_onnx"),
}

# First bytes (at an offset) of files that people may try.
_KNOWN_MAGIC: list[tuple[int, bytes, str]] = [
    (0, b"\x89HDF", "an HDF5 file (Keras .h5)"),
    (0, b"PK\x03\x04", "a zip archive (.keras, .pt2 or .pt)"),
    (4, b"TFL3", "a TFLite model"),
    (4, b"ORTM", "an onnxruntime .ort model"),
    (0, b"\x80", "a pickle"),
    (8, b"{", "a safetensors file"),
]


def _supported() -> str:
    return ", ".join(
        f"{name} ({', '.join(entry.suffixes)})" for name, entry in FORMATS.items()
    )


def _find(head: bytes, suffix: str, what: str) -> Format:
    """By the first bytes, else by the suffix."""
    for entry in FORMATS.values():
        if entry.sniff(head):
            return entry
    for offset, magic, name in _KNOWN_MAGIC:
        if head[offset : offset + len(magic)] == magic:
            raise ModelFormatError(
                f"{what} looks like {name}; supported are: {_supported()}"
            )
    for entry in FORMATS.values():
        if suffix in entry.suffixes:
            return entry
    raise ModelFormatError(
        f"{what} is of no known format (it begins with {head[:8]!r}); supported are: "
        f"{_supported()}"
    )


def read_model(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview,
    limits: Limits | None = None,
) -> Model:
    """Read a model of any supported format.

    Parameters
    ----------
    source : path or bytes-like
        The file, or its content.
    limits : Limits, optional
        Bounds on what it may ask for.

    Returns
    -------
    model : Model

    Raises
    ------
    ModelFormatError
        No supported format, or malformed.
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
with b'GIF89a'); supported are: onnx (.onnx)
    """
    limits = limits or Limits()
    if isinstance(source, (bytes, bytearray, memoryview)):
        content = bytes(source)
        suffix, what, head = "", "the content", content[:16]
        given: str | bytes = content
    else:
        given = os.fspath(source)
        suffix = os.path.splitext(given)[1].lower()
        what = repr(given)
        if os.path.isdir(given):
            raise ModelFormatError(
                f"{what} is a folder (a SavedModel?); supported are: {_supported()}"
            )
        with open(given, "rb") as file:
            head = file.read(16)
    entry = _find(head, suffix, what)
    try:
        return entry.read(given, limits)
    except MemoryError as error:
        if isinstance(error, OutOfMemoryError):
            raise
        raise OutOfMemoryError(f"reading {what}: {error or 'out of memory'}") from error
