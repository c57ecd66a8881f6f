"""Locks between processes: they go with the process that holds them.

Two kinds: the store, which writers share and the collector has alone, and each model's
name. The store's comes first, always; readers take none.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import time
from collections.abc import Iterator

from trimtab.errors import RegistryConflict

__all__ = ["locked", "try_locked"]

_FIRST_WAIT_S = 0.0005
_LONGEST_WAIT_S = 0.01


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path, flags, 0o666)


def _take(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _let_go(descriptor: int, owner: int) -> None:
    """Unlock and close: a child that was forked meanwhile has a copy.

    Closing alone would leave the lock held until that child ends.
    """
    try:
        if os.getpid() == owner:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def try_locked(path: str) -> Iterator[bool]:
    """Hold a lock alone, if nobody holds it.

    Parameters
    ----------
    path : str
        Of the lock's file, which stays.

    Returns
    -------
    context : context manager of bool
        Is it held?

    Examples
    --------
    >>> with try_locked("a.lock") as is_held, try_locked("a.lock") as is_again:
    ...     is_held, is_again
    (True, False)
    """
    descriptor = _open(path)
    owner = os.getpid()
    try:
        yield _take(descriptor, fcntl.LOCK_EX)
    finally:
        _let_go(descriptor, owner)


@contextlib.contextmanager
def locked(path: str, timeout_s: float, *, is_shared: bool = False) -> Iterator[None]:
    """Hold a lock, once others have let go of it.

    Parameters
    ----------
    path : str
        Of the lock's file, which stays.
    timeout_s : float
        How long to wait.
    is_shared : bool
        Beside others that share it.

    Returns
    -------
    context : context manager

    Raises
    ------
    RegistryConflict
        Others hold it for longer.

    Examples
    --------
    >>> with locked("a.lock", 1.0):
    ...     pass
    """
    descriptor = _open(path)
    owner = os.getpid()
    try:
        how = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
        end, wait_s = time.monotonic() + timeout_s, _FIRST_WAIT_S
        while not _take(descriptor, how):
            if time.monotonic() >= end:
                raise RegistryConflict(
                    f"{path}: others have been writing for {timeout_s:g} s; wait for "
                    "them, or find the process that hangs (its lock ends with it)"
                )
            time.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        yield
    finally:
        _let_go(descriptor, owner)
