"""Files that stay open because weights are read from them when they are needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from trimtab import _core
from trimtab.errors import ModelFormatError
from trimtab.record import Record

if TYPE_CHECKING:
    from trimtab.types import Array

__all__ = ["Stored", "WeightFile"]


class WeightFile:
    """An open file that weights are read from when they are needed.

    It is open for as long as a weight refers to it, so a file that was removed or
    replaced can still be read. One that was written to is refused.

    Parameters
    ----------
    descriptor : int
        Of the open file; closed with this object.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryFile() as file:
    ...     _ = file.write(b"abcd"), file.flush()
    ...     weights = WeightFile(os.dup(file.fileno()))
    >>> weights.n_bytes, weights.read(1, 2).tobytes()
    (4, b'bc')
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._keeper = _core.keep_descriptor(descriptor)
        status = os.fstat(descriptor)
        self.n_bytes = status.st_size
        self._mtime_ns = status.st_mtime_ns

    def lend(self) -> tuple[WeightFile, int, int, int]:
        """Give what the engine needs to read the file by itself.

        Examples
        --------
        >>> weights.lend()                                 # doctest: +SKIP
        (<WeightFile>, 5, 90316, 1764195845123456789)
        """
        return self, self.descriptor, self.n_bytes, self._mtime_ns

    def read(self, offset: int, n_bytes: int) -> Array:
        """Read a range into a new array of bytes.

        Parameters
        ----------
        offset, n_bytes : int
            Where the range begins in the file, and how long it is.

        Returns
        -------
        array : ndarray of uint8 of shape (n_bytes,)

        Raises
        ------
        ModelFormatError
            The file was written to since it was opened.

        Examples
        --------
        >>> weights.read(0, 16)                            # doctest: +SKIP
        array([...], dtype=uint8)
        """
        out = np.empty(n_bytes, np.uint8)
        view = memoryview(out.data)
        done = 0
        while done < n_bytes:
            n = os.preadv(self.descriptor, [view[done:]], offset + done)
            if n == 0:
                raise ModelFormatError("the file became shorter while it was read")
            done += n
        status = os.fstat(self.descriptor)
        if (status.st_size, status.st_mtime_ns) != (self.n_bytes, self._mtime_ns):
            raise ModelFormatError("the model's file has changed since it was loaded")
        return out


class Stored(Record):
    """Elements that lie in a file.

    Parameters
    ----------
    file : WeightFile
    offset, nbytes : int
        Where in the file.
    """

    __slots__ = ("file", "nbytes", "offset")

    def __init__(self, file: WeightFile, offset: int, nbytes: int) -> None:
        self.file = file
        self.offset = offset
        self.nbytes = nbytes

    def read(self) -> Array:
        """Read them into a new array of bytes.

        Examples
        --------
        >>> constant.data.read()                           # doctest: +SKIP
        array([...], dtype=uint8)
        """
        return self.file.read(self.offset, self.nbytes)
