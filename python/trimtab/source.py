"""Where a model came from, so that another process can load the same one."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from trimtab.errors import InputTypeError, ModelFormatError

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """A path or bytes.

    Parameters
    ----------
    path : str or None
        Absolute path of the file.
    content : bytes or None
        The model itself when there is no path.
    sha256 : str
        Digest of the file when it was pickled; empty before.
    stamp : tuple of int
        Size and time of last change when it was first read.
    """

    path: str | None
    content: bytes | None
    sha256: str = ""
    stamp: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, model: object) -> Source:
        """Take what `load_model` takes.

        Parameters
        ----------
        model : path or bytes

        Returns
        -------
        source : Source

        Raises
        ------
        InputTypeError
            It is neither.
        FileNotFoundError
            There is no such file.
        """
        if isinstance(model, (bytes, bytearray, memoryview)):
            return cls(None, bytes(model))
        if not isinstance(model, (str, os.PathLike)):
            raise InputTypeError(
                f"model: expected a path or bytes, got {type(model).__name__}"
            )
        path = Path(os.fspath(model)).absolute()
        if not path.is_file():
            raise FileNotFoundError(f"there is no model file {str(path)!r}")
        return cls(str(path), None, stamp=_stamp(path))

    @property
    def name(self) -> str:
        """File name; "bytes" without a file."""
        return Path(self.path).name if self.path is not None else "bytes"

    def open(self) -> Path | bytes:
        """Give what to read; checks the digest if there is one.

        Raises
        ------
        ModelFormatError
            The file is not the one that was pickled.
        """
        if self.content is not None:
            return self.content
        path = Path(self.path or "")
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
        path = Path(self.path)
        if _stamp(path) != self.stamp:
            raise ModelFormatError(
                f"{path} has changed since it was loaded: it cannot be pickled by path"
            )
        return replace(self, sha256=_digest(path))


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
