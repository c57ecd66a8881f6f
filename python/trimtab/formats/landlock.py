"""Landlock: a process gives up access to files and the network, for good.

Enters: which files stay readable and writable. Leaves: whether the kernel did it
(Linux 5.13 or newer; more of it with newer ones). No privileges are needed, and all
that the process starts is held by the same rules.

References
----------
https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

__all__ = ["restrict"]

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_AND_MAKE = 0b1_1111_1111 << 4
_TRUNCATE = 1 << 14
_TRUNCATE_VERSION = 3
_TCP = 0b11
_TCP_VERSION = 4
_SIGNALS_AND_SOCKETS = 0b11
_SCOPES_VERSION = 6
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE


def restrict(writable: Iterable[str], readable: Iterable[str] | None = None) -> bool:
    """Give up all files but these, TCP, and signals to processes outside.

    Parameters
    ----------
    writable : iterable of str
        Folders and files that may be changed (and read); nothing else may.
    readable : iterable of str, optional
        Folders and files that may be read; everything by default.

    Returns
    -------
    is_restricted : bool
        False where the kernel has no Landlock, and nothing was given up.

    Examples
    --------
    >>> restrict(["/tmp/mine"], ["/usr"])                  # doctest: +SKIP
    True
    """
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    version = call(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    if version < 1:
        return False
    change = _WRITE_FILE | _REMOVE_AND_MAKE
    change |= _TRUNCATE if version >= _TRUNCATE_VERSION else 0
    read = _EXECUTE | _READ_FILE | _READ_DIR
    handled = change | (0 if readable is None else read)
    fields = [handled]
    fields += [_TCP] if version >= _TCP_VERSION else []
    fields += [_SIGNALS_AND_SOCKETS] if version >= _SCOPES_VERSION else []
    described = struct.pack(f"={len(fields)}Q", *fields)
    rules = call(_CREATE_RULESET, described, ctypes.c_size_t(len(described)), 0)
    if rules < 0:
        return False
    try:
        for path in writable:
            _allow(call, rules, path, handled)
        for path in readable or ():
            _allow(call, rules, path, handled & read)
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(call(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow(call: ctypes._NamedFuncPointer, rules: int, path: str, access: int) -> None:
    """Allow a path and what is beneath it; one that is not there needs nothing."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _OF_FILES
        rule = struct.pack("=Qi", access, descriptor)
        if access:
            call(_ADD_RULE, rules, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)
