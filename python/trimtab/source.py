"""Where a model came from, so that another process can load the same one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from trimtab.errors import InputTypeError, ModelFormatError
from trimtab.formats import OBJECTS, find_object_format

__all__ = ["Source"]

# Of a folder, which may be anyone's by mistake.
_MAX_STAMPED = 10_000


@dataclass(frozen=True, eq=False)
class Source:
    """A path, bytes, or an object of another framework.

    Parameters
    ----------
    path : str or None
        Absolute path of the file or folder.
    content : bytes or None
        The model itself when there is no path.
    object : object or None
        The model of another framework when there is neither.
    sha256 : str
        Digest of the file when it was pickled; empty before.
    stamp : tuple of int
        Size and time of last change when it was first read.
    """

    path: str | None
    content: bytes | None
    object: Any = None
    sha256: str = ""
    stamp: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, model: object) -> Source:
        """Take what `load_model` takes.

        Parameters
        ----------
        model : path, bytes or object

        Returns
        -------
        source : Source

        Raises
        ------
        InputTypeError
            It is none of these.
        FileNotFoundError
            There is no such file or folder.
        """
        if isinstance(model, (bytes, bytearray, memoryview)):
            return cls(None, bytes(model))
        if not isinstance(model, (str, os.PathLike)):
            if find_object_format(model) is None:
                raise InputTypeError(
                    "model: expected a path, bytes or a model of "
                    f"{', '.join(OBJECTS)}, got {type(model).__name__}"
                )
            return cls(None, None, model)
        path = os.path.abspath(os.fsdecode(model))
        if not os.path.exists(path):
            raise FileNotFoundError(f"there is no model file {path!r}")
        return cls(path, None, stamp=_stamp(path))

    @property
    def name(self) -> str:
        """File name; "bytes" or a class's name without a file."""
        if self.object is not None:
            return type(self.object).__name__
        return "bytes" if self.path is None else os.path.basename(self.path)

    def open(self) -> Any:
        """Give what to read; checks the digest if there is one.

        Raises
        ------
        ModelFormatError
            The file is not the one that was pickled.
        """
        if self.object is not None:
            return self.object
        if self.content is not None:
            return self.content
        path = self.path or ""
        if self.sha256 and _digest(path) != self.sha256:
            raise ModelFormatError(
                f"{path} is not the file that was pickled: expected SHA-256 "
                f"{self.sha256}, got {_digest(path)}"
            )
        return path

    def frozen(self) -> Source:
        """Give the same with the file's digest, for pickling.

        Raises
        ------
        ModelFormatError
            The file has changed since it was loaded.
        """
        if self.path is None or self.sha256:
            return self
        if _stamp(self.path) != self.stamp:
            raise ModelFormatError(
                f"{self.path} has changed since it was loaded: it cannot be pickled "
                "by path"
            )
        return replace(self, sha256=_digest(self.path))


def _stamp(path: str) -> tuple[int, int]:
    """Bytes, and the last change; of a folder those of its files."""
    each = [os.stat(name) for name in islice(_files(path), _MAX_STAMPED)]
    n_bytes = sum(status.st_size for status in each)
    return n_bytes, max((status.st_mtime_ns for status in each), default=0)


def _digest(path: str) -> str:
    import hashlib  # brings OpenSSL: 3 MB and 4 ms that only pickling needs

    digest = hashlib.sha256()
    for name in sorted(_files(path)):
        if name != path:  # of a folder: what is where counts too
            digest.update(os.path.relpath(name, path).encode() + b"\0")
        with open(name, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _files(path: str) -> Iterator[str]:
    """The file, or all files of a folder."""
    if not os.path.isdir(path):
        yield path
    for top, _, names in os.walk(path):
        for name in names:
            if os.path.isfile(found := os.path.join(top, name)):
                yield found
