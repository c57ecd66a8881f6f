"""Where a model came from, so that another process can load the same one."""

from __future__ import annotations

import os
from typing import Any

from trimtab.errors import InputTypeError, ModelFormatError
from trimtab.formats import OBJECTS, find_object_format
from trimtab.record import FrozenRecord

__all__ = ["Source", "digest_of"]


class Source(FrozenRecord):
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

    __slots__ = (
        "path",
        "content",
        "object",
        "sha256",
        "stamp",
    )
    path: str | None
    content: bytes | None
    object: Any
    sha256: str
    stamp: tuple[int, int]

    def __init__(
        self,
        path: str | None,
        content: bytes | None,
        object: Any = None,
        sha256: str = "",
        stamp: tuple[int, int] = (0, 0),
    ) -> None:
        self._set(path, content, object, sha256, stamp)

    @classmethod
    def of(cls, model: Any) -> Source:
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

    def opened(self) -> Any:
        """Give what was loaded, unchecked: the object, the content or the path.

        Returns
        -------
        given : path, bytes or object
        """
        if self.object is not None:
            return self.object
        return self.path if self.content is None else self.content

    @property
    def is_costly(self) -> bool:
        """Does reading it again cost a conversion, or may it give something else?"""
        return self.object is not None or (
            self.path is not None and os.path.isdir(self.path)
        )

    @property
    def is_artefact(self) -> bool:
        """Is it a file that begins as an artefact does?"""
        if self.path is None or not os.path.isfile(self.path):
            return False
        with open(self.path, "rb", buffering=0) as file:
            return file.read(9)[4:] == b"\0\0\0\0{"

    def check_unchanged(self) -> None:
        """Check that a file is still the one that was loaded.

        Raises
        ------
        ModelFormatError
            It has changed.
        """
        if (
            self.path is not None
            and not self.sha256
            and _stamp(self.path) != self.stamp
        ):
            raise ModelFormatError(
                f"{self.path} has changed since it was loaded: load it again"
            )

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
        return self.__replace__(sha256=_digest(self.path))


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _digest(path: str) -> str:
    import hashlib  # brings OpenSSL: 3 MB and 4 ms that only pickling needs

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest_of(given: str | bytes) -> str:
    """SHA-256 of a file, of bytes, or of a folder.

    That of a folder is over its files in the order of their names: name, NUL, digest,
    newline for each.

    Parameters
    ----------
    given : path or bytes

    Returns
    -------
    digest : str
        Hexadecimal.

    Examples
    --------
    >>> digest_of(b"")[:8]
    'e3b0c442'
    """
    import hashlib

    if isinstance(given, bytes):
        return hashlib.sha256(given).hexdigest()
    if not os.path.isdir(given):
        return _digest(given)
    whole = hashlib.sha256()
    for path in sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk(given)
        for name in names
    ):
        name = os.path.relpath(path, given)
        whole.update(f"{name}\0{_digest(path)}\n".encode())
    return whole.hexdigest()
