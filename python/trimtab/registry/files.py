"""Files of a registry: read with bounds, written so that a crash leaves old or new.

Enters: a path below the registry's folder. Leaves: bytes that were bounded before they
were read, or a name that holds the old content or the new. No link is ever followed
below the root.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from trimtab.errors import RegistryError

__all__ = [
    "MODE",
    "entries",
    "guarded",
    "new_file",
    "open_file",
    "place",
    "read_file",
    "real_folder",
    "remove",
    "sync_folder",
]

#: Of what never changes once it is there.
MODE = 0o444
_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MAKING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@contextlib.contextmanager
def guarded(what: str) -> Iterator[None]:
    """Turn what the system refuses into a `RegistryError` that names it.

    Parameters
    ----------
    what : str
        What was being done.

    Returns
    -------
    context : context manager

    Raises
    ------
    RegistryError
        The system refused.

    Examples
    --------
    >>> with guarded("reading"):
    ...     open("/nowhere")
    Traceback (most recent call last):
        ...
    trimtab.errors.RegistryError: reading: No such file or directory: /nowhere
    """
    try:
        yield
    except OSError as error:
        name = f": {error.filename}" if error.filename else ""
        reason = error.strerror or str(error)
        raise RegistryError(f"{what}: {reason}{name}") from error


def real_folder(root: str, *parts: str, make: bool = False) -> str:
    """Give a folder below the root, none of whose parts is a link.

    Parameters
    ----------
    root : str
    *parts : str
        Names, checked by the caller.
    make : bool
        Make what is missing, and have the disk hold it.

    Returns
    -------
    path : str
        It need not exist where `make` is false.

    Raises
    ------
    RegistryError
        A part is a link or a file.
    OSError
        It cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     os.path.isdir(real_folder(root, "a", "b", make=True))
    True
    """
    path = root
    for part in parts:
        parent, path = path, os.path.join(path, part)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            if not make:
                continue
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)
                sync_folder(parent)
            mode = os.lstat(path).st_mode
        if not stat.S_ISDIR(mode):
            raise RegistryError(
                f"{path}: expected a folder, found a link or a file; a registry holds "
                "no links: restore the folder from a copy"
            )
    return path


def entries(path: str) -> list[str]:
    """List names in a folder, sorted; none where there is no folder.

    Parameters
    ----------
    path : str

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> entries("/nowhere")
    []
    """
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def open_file(path: str, max_bytes: int) -> tuple[int, int]:
    """Open a regular file of bounded size for reading.

    Parameters
    ----------
    path : str
    max_bytes : int

    Returns
    -------
    descriptor : int
    n_bytes : int

    Raises
    ------
    RegistryError
        It is a link, no regular file, or too large.
    OSError
        It is not there, or cannot be read.

    Examples
    --------
    >>> with open("x", "wb") as file:
    ...     n = file.write(b"ab")
    >>> descriptor, n_bytes = open_file("x", 10)
    >>> os.close(descriptor)
    >>> n_bytes
    2
    """
    try:
        descriptor = os.open(path, _READING)
    except OSError as error:
        if os.path.islink(path):
            raise RegistryError(
                f"{path}: expected a file, found a link: not followed"
            ) from error
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise RegistryError(f"{path}: expected a regular file")
        if status.st_size > max_bytes:
            raise RegistryError(
                f"{path}: {status.st_size} bytes, at most {max_bytes} are expected"
            )
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status.st_size


def read_file(path: str, max_bytes: int) -> bytes:
    """Read a regular file of bounded size.

    Parameters
    ----------
    path : str
    max_bytes : int

    Returns
    -------
    data : bytes

    Raises
    ------
    RegistryError
        It is a link, no regular file, or too large.
    OSError
        It is not there, or cannot be read.

    Examples
    --------
    >>> with open("x", "wb") as file:
    ...     n = file.write(b"ab")
    >>> read_file("x", 10)
    b'ab'
    """
    descriptor, _ = open_file(path, max_bytes)
    with open(descriptor, "rb", buffering=0) as file:
        parts, n_left = [], max_bytes + 1  # one more: it may have grown
        while n_left > 0 and (part := file.read(min(n_left, 1 << 20))):
            parts.append(part)
            n_left -= len(part)
    if n_left <= 0:
        raise RegistryError(f"{path}: more than {max_bytes} bytes")
    return b"".join(parts)


def sync_folder(path: str) -> None:
    """Have the disk hold the names in a folder.

    Parameters
    ----------
    path : str

    Examples
    --------
    >>> sync_folder(".")
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def new_file(path: str, data: bytes, *, mode: int = MODE, mtime_ns: int = 0) -> None:
    """Write a file that is not there yet, and have the disk hold it.

    Parameters
    ----------
    path : str
    data : bytes
    mode : int
        Permissions.
    mtime_ns : int
        Time of its last change, where it is not now.

    Raises
    ------
    OSError
        It is there, or cannot be written; the caller removes what there is of it.

    Examples
    --------
    >>> new_file("new", b"ab")
    >>> oct(os.stat("new").st_mode & 0o777)
    '0o444'
    """
    descriptor = os.open(path, _MAKING, 0o600)
    try:
        view = memoryview(data)
        while view:
            n_bytes = os.write(descriptor, view)
            if n_bytes <= 0:
                raise OSError(f"{path}: nothing was written")
            view = view[n_bytes:]
        os.fchmod(descriptor, mode)
        if mtime_ns:
            os.utime(descriptor, ns=(mtime_ns, mtime_ns))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place(source: str, target: str) -> None:
    """Give a file that is on the disk its final name; what had that name is replaced.

    Parameters
    ----------
    source, target : str
        On one file system.

    Raises
    ------
    OSError
        The system refuses.

    Examples
    --------
    >>> new_file("staged", b"ab")
    >>> place("staged", "final")
    >>> read_file("final", 10)
    b'ab'
    """
    os.replace(source, target)
    sync_folder(os.path.dirname(os.path.abspath(target)))


def remove(path: str) -> bool:
    """Remove a file if it is there.

    Parameters
    ----------
    path : str

    Returns
    -------
    is_removed : bool

    Examples
    --------
    >>> remove("nothing")
    False
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True
