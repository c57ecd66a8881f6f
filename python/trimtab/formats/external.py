"""Weights that lie in files beside the model, opened strictly beneath its folder.

Enters: what a tensor says of its external data. Leaves: its bytes. A file is opened
component by component from the folder's descriptor without following links, must be
a regular file with no second name, and must hold the whole range.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from types import TracebackType

import numpy as np

from trimtab.errors import ModelFormatError, UnsafeModelError
from trimtab.types import Array

__all__ = ["ExternalFiles", "fill", "open_beneath"]

_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def fill(descriptor: int, out: Array, offset: int) -> bool:
    """Fill an array of bytes from a file; False when the file ends before.

    Parameters
    ----------
    descriptor : int
        Of an open file.
    out : ndarray of uint8
        Filled from its first byte on.
    offset : int
        Where in the file to begin.

    Returns
    -------
    is_complete : bool

    Examples
    --------
    >>> import tempfile
    >>> out = np.empty(3, np.uint8)
    >>> with tempfile.TemporaryFile() as file:
    ...     _ = file.write(b"abcde"), file.flush()
    ...     fill(file.fileno(), out, 1), bytes(out)
    (True, b'bcd')
    """
    view = memoryview(out.data)
    done = 0
    while done < len(view):
        n = os.preadv(descriptor, [view[done:]], offset + done)
        if n == 0:
            return False
        done += n
    return True


class ExternalFiles:
    """The files beside one model; a context manager that closes them.

    Parameters
    ----------
    folder : str or None
        Folder of the model; None when it came as bytes and has none.

    Examples
    --------
    >>> with ExternalFiles(None) as files:
    ...     files.read("w", {"location": "w.bin"}, 4)
    Traceback (most recent call last):
        ...
    trimtab.errors.UnsafeModelError: tensor 'w': its data lies in the file 'w.bin', \
but a model given as bytes has no folder: load it by path
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._files: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> ExternalFiles:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        for descriptor, _ in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def read(self, tensor: str, entries: Mapping[str, str], n_bytes: int) -> Array:
        """Read the data of one tensor.

        Parameters
        ----------
        tensor : str
            Its name, for messages.
        entries : mapping of str to str
            location, offset and length as the file gives them; others are ignored.
        n_bytes : int
            What dims and dtype need.

        Returns
        -------
        data : ndarray of uint8

        Raises
        ------
        UnsafeModelError
            The location leaves the folder, or is a link or no regular file.
        ModelFormatError
            The file is missing or too short, or the range is not what dims need.

        Examples
        --------
        >>> files.read("w", {"location": "w.bin"}, 64)     # doctest: +SKIP
        array([...], dtype=uint8)
        """
        location = entries.get("location", "")
        offset = _number(tensor, entries, "offset", 0)
        length = _number(tensor, entries, "length", n_bytes)
        if length != n_bytes:
            raise ModelFormatError(
                f"tensor {tensor!r}: its dims need {n_bytes} bytes, its external data "
                f"has {length}"
            )
        descriptor, size = self._open(tensor, location)
        if offset > size or n_bytes > size - offset:
            raise ModelFormatError(
                f"tensor {tensor!r}: expected {n_bytes} bytes at offset {offset} of "
                f"{location!r}, the file has {size}"
            )
        data = np.empty(n_bytes, np.uint8)
        if not fill(descriptor, data, offset):
            raise ModelFormatError(
                f"tensor {tensor!r}: {location!r} became shorter while it was read"
            )
        return data

    def _open(self, tensor: str, location: str) -> tuple[int, int]:
        """Descriptor and size of a file, opened once."""
        if location in self._files:
            return self._files[location]
        parts = _parts(tensor, location)
        if self._folder is None:
            raise UnsafeModelError(
                f"tensor {tensor!r}: its data lies in the file {location!r}, but a "
                "model given as bytes has no folder: load it by path"
            )
        try:
            found = open_beneath(self._folder, parts)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
                raise UnsafeModelError(
                    f"tensor {tensor!r}: external data {location!r} must be a regular "
                    "file beneath the model's folder with one name: no symbolic or "
                    "hard link, no device"
                ) from None
            raise ModelFormatError(
                f"tensor {tensor!r}: external data {location!r} cannot be opened: "
                f"{error.strerror}"
            ) from None
        self._files[location] = found
        return found


def _number(tensor: str, entries: Mapping[str, str], key: str, default: int) -> int:
    text = entries.get(key)
    if text is None or text == "":
        return default
    if not _NUMBER.fullmatch(text):
        raise ModelFormatError(
            f"tensor {tensor!r}: {key} of its external data must be a number of "
            f"bytes, got {text[:40]!r}"
        )
    return int(text)


def _parts(tensor: str, location: str) -> list[str]:
    """Components of a location that cannot leave the folder."""
    parts = [part for part in location.split("/") if part != "."]
    if (
        not location
        or any(part in ("", "..") for part in parts)
        or not parts
        or "\\" in location
        or "\0" in location
        or len(location) > 4096
    ):
        raise UnsafeModelError(
            f"tensor {tensor!r}: external data must be a relative path beneath the "
            f"model's folder, got {location[:80]!r}"
        )
    return parts


def open_beneath(
    folder: str, parts: list[str], *, is_only_name: bool = True
) -> tuple[int, int]:
    """Open a regular file beneath a folder, following no links.

    Parameters
    ----------
    folder : str
    parts : list of str
        Components of the path below the folder; none of them is "" or "..".
    is_only_name : bool, default=True
        Refuse a file that has other names (hard links).

    Returns
    -------
    descriptor, n_bytes : (int, int)

    Raises
    ------
    OSError
        With ELOOP, ENOTDIR or EMLINK for what is unsafe.

    Examples
    --------
    >>> open_beneath("model", ["weights", "w.bin"])        # doctest: +SKIP
    (5, 4096)
    """
    directory = os.open(folder, _DIRECTORY_FLAGS)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = inner
        # Looked at before it is opened: opening a device may act on it.
        seen = os.stat(parts[-1], dir_fd=directory, follow_symlinks=False)
        _check(seen, is_only_name=is_only_name)
        descriptor = os.open(parts[-1], _FILE_FLAGS, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        status = os.fstat(descriptor)
        _check(status, is_only_name=is_only_name)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, status.st_size


def _check(status: os.stat_result, *, is_only_name: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.ELOOP, "not a regular file")
    if is_only_name and status.st_nlink != 1:
        raise OSError(errno.EMLINK, "has another name")
