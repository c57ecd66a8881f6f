"""A file that grows by whole blocks, or not at all.

What was written in part (the disk is full, a quota, a signal) is cut off again, so that
behind every failure the file ends with the last block that was whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat

__all__ = ["AppendFile"]


class AppendFile:
    """A regular file, open for writing at its end by this process alone.

    Parameters
    ----------
    path : str
        Made if it is not there, for its owner and group to read.
    is_exclusive : bool
        Hold a lock that goes with the process, however it ends.

    Raises
    ------
    BlockingIOError
        Another process holds the lock.
    OSError
        The system refuses, or the path is no regular file.
    """

    def __init__(self, path: str, *, is_exclusive: bool = False) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(path, flags, 0o640)
        try:
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(f"{path}: expected a regular file")
            if is_exclusive:
                _lock(self._fd)
            #: Bytes up to the end of the last whole block.
            self.n_bytes = os.fstat(self._fd).st_size
            #: Device and inode, which tell whether a path still leads here.
            self.identity = (status.st_dev, status.st_ino)
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, block: bytes) -> None:
        """Write a block behind the last.

        Parameters
        ----------
        block : bytes

        Raises
        ------
        OSError
            Nothing of the block is in the file.
        """
        view, end = memoryview(block), self.n_bytes
        try:
            while view:
                n = os.pwrite(self._fd, view, end)
                if n <= 0:
                    raise OSError("nothing was written")
                view, end = view[n:], end + n
        except BaseException:
            with contextlib.suppress(OSError):  # the reader stops there
                self.cut(self.n_bytes)
            raise
        self.n_bytes = end

    def cut(self, n_bytes: int) -> None:
        """End the file here.

        Parameters
        ----------
        n_bytes : int
        """
        os.ftruncate(self._fd, n_bytes)
        self.n_bytes = n_bytes

    def read(self, n_bytes: int, start: int) -> bytes:
        """Read up to so many bytes.

        Parameters
        ----------
        n_bytes, start : int

        Returns
        -------
        data : bytes
            Shorter at the end of the file only.
        """
        parts = []
        while n_bytes > 0 and (part := os.pread(self._fd, n_bytes, start)):
            parts.append(part)
            n_bytes, start = n_bytes - len(part), start + len(part)
        return b"".join(parts)

    def sync(self) -> None:
        """Have the disk hold all of it."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close it, and let go of the lock unless a fork holds it too."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks: one process a file, as documented
        return
