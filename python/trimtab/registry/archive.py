"""Folders and tar files of an exchange: read by name, nothing is unpacked.

A tar file is read by its headers alone. Only plain files with plain names count; a
link, a device, a name that leads elsewhere or is there twice is refused, and so is
compression: what a file may take is bounded by its size.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import IO

from trimtab.errors import RegistryError
from trimtab.registry.files import open_file, real_folder

__all__ = ["Archive", "TarWriter"]

_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", re.ASCII)
_BLOCK = 512
_PIECE = 1 << 20
_MAX_MEMBERS = 1 << 18
_MAX_BYTES = 1 << 40
_MAX_OCTAL = 8**11


def _parts(name: str) -> list[str] | None:
    """Names of the folders and the file; None if one of them is not plain."""
    parts = name.removeprefix("./").rstrip("/").split("/")
    is_plain = len(name) <= 200 and all(_NAME.fullmatch(part) for part in parts)
    return parts if is_plain else None


class Archive:
    """The files of a folder or of a tar file.

    Parameters
    ----------
    path : str

    Raises
    ------
    RegistryError
        It is neither, or not what is allowed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._places: dict[str, tuple[int, int]] = {}
        if os.path.isdir(path):
            return
        descriptor, n_bytes = open_file(path, _MAX_BYTES)
        self._file = open(descriptor, "rb", buffering=0)  # noqa: SIM115
        try:
            self._places = dict(_members(self._file, n_bytes, path))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def n_bytes(self, name: str) -> int:
        """Say how long a file is.

        Parameters
        ----------
        name : str

        Returns
        -------
        n_bytes : int
        """
        with self._opened(name) as (_, _, n_bytes):
            return n_bytes

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[tuple[IO[bytes], int, int]]:
        """The file that holds it, where it begins, how long it is."""
        parts = _parts(name)
        if parts is None:
            raise RegistryError(f"{self.path}: {name[:100]!r} is no plain name")
        if self._file is not None:
            if name not in self._places:
                raise RegistryError(f"{self.path}: there is no {name}")
            yield (self._file, *self._places[name])
            return
        folder = real_folder(self.path, *parts[:-1])
        try:
            descriptor, n_bytes = open_file(os.path.join(folder, parts[-1]), _MAX_BYTES)
        except FileNotFoundError:
            raise RegistryError(f"{self.path}: there is no {name}") from None
        with open(descriptor, "rb", buffering=0) as file:
            yield file, 0, n_bytes

    def pieces(self, name: str, max_bytes: int) -> Iterator[bytes]:
        """Read a file, piece by piece.

        Parameters
        ----------
        name : str
            As it stands in the layout; checked.
        max_bytes : int

        Returns
        -------
        pieces : iterator of bytes

        Raises
        ------
        RegistryError
            It is not there, no plain file, or larger.
        """
        with self._opened(name) as (file, begin, n_bytes):
            if n_bytes > max_bytes:
                raise RegistryError(
                    f"{self.path}: {name} has {n_bytes} bytes, at most {max_bytes} are "
                    "expected"
                )
            yield from _read(file, begin, n_bytes)

    def read(self, name: str, max_bytes: int) -> bytes:
        """Read a file.

        Parameters
        ----------
        name : str
        max_bytes : int

        Returns
        -------
        data : bytes
        """
        return b"".join(self.pieces(name, max_bytes))


def _read(file: IO[bytes], begin: int, n_bytes: int) -> Iterator[bytes]:
    end = begin + n_bytes
    while begin < end:
        piece = os.pread(file.fileno(), min(_PIECE, end - begin), begin)
        if not piece:
            raise RegistryError("the file ends before its content does")
        begin += len(piece)
        yield piece


# ---- tar ----------------------------------------------------------------------------


def _members(
    file: IO[bytes], n_bytes: int, path: str
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Names, begins and lengths of the plain files."""
    begin = 0
    seen: set[str] = set()
    while begin + _BLOCK <= n_bytes:
        head = os.pread(file.fileno(), _BLOCK, begin)
        if not head.strip(b"\0"):
            return  # the end is marked by zeros
        name, size, kind = _header(head, path)
        begin += _BLOCK
        if size > n_bytes - begin:
            raise RegistryError(f"{path}: {name[:100]!r} is longer than the file")
        if len(seen) >= _MAX_MEMBERS:
            raise RegistryError(f"{path}: more than {_MAX_MEMBERS} files")
        if kind in (b"0", b"\0"):
            plain = name.removeprefix("./")
            if plain in seen:
                raise RegistryError(f"{path}: {name[:100]!r} is there twice")
            seen.add(plain)
            yield plain, (begin, size)
        begin += -(-size // _BLOCK) * _BLOCK
    raise RegistryError(
        f"{path}: expected a tar file or a folder; it ends without the mark of its end"
    )


def _header(head: bytes, path: str) -> tuple[str, int, bytes]:
    """Name, size and kind of a member, checked."""
    told = _number(head[148:156])
    if told != sum(head[:148]) + 8 * 32 + sum(head[156:]):
        raise RegistryError(
            f"{path}: expected a tar file without compression; a header is damaged"
        )
    size, kind = _number(head[124:136]), head[156:157]
    name = head[:100].rstrip(b"\0").decode("ascii", "replace")
    if (
        head[257:262] == b"ustar"
        and head[345:500].strip(b"\0")
        and head[262:263] == b"\0"
    ):
        name = f"{head[345:500].rstrip(bytes(1)).decode('ascii', 'replace')}/{name}"
    if kind in (b"x", b"g"):  # times and the like; names as long as that are not ours
        return name, size or 0, kind
    is_folder = kind == b"5" and (_parts(name) is not None or name in (".", "./"))
    is_file = kind in (b"0", b"\0") and _parts(name) is not None
    if size is None or not (is_file or is_folder):
        raise RegistryError(
            f"{path}: {name[:100]!r} (kind {kind!r}): expected plain files only, no "
            "links, no names that lead elsewhere; nothing was imported"
        )
    return name, size, kind


def _number(field: bytes) -> int | None:
    """Octal digits, or a number in binary as GNU has it."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    text = field.strip(b"\0 ")
    if not text:
        return 0
    return int(text, 8) if text.isdigit() and not set(text) & set(b"89") else None


class TarWriter:
    """Writes a tar file: equal content, equal bytes.

    Parameters
    ----------
    file : file
        Open for writing.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, name: str, n_bytes: int, pieces: Iterator[bytes]) -> None:
        """Add a file.

        Parameters
        ----------
        name : str
            At most 100 characters.
        n_bytes : int
        pieces : iterator of bytes

        Raises
        ------
        RegistryError
            The pieces are not that long.
        """
        self._file.write(_head_of(name, n_bytes))
        n_written = 0
        for piece in pieces:
            n_written += len(piece)
            self._file.write(piece)
        if n_written != n_bytes:
            raise RegistryError(f"{name}: {n_written} bytes, expected {n_bytes}")
        self._file.write(bytes(-n_bytes % _BLOCK))

    def end(self) -> None:
        """Mark the end."""
        self._file.write(bytes(2 * _BLOCK))


def _head_of(name: str, n_bytes: int) -> bytes:
    size = (
        b"%011o\0" % n_bytes
        if n_bytes < _MAX_OCTAL
        else b"\x80" + n_bytes.to_bytes(11, "big")
    )
    head = b"".join(
        (
            name.encode().ljust(100, b"\0"),
            b"0000644\0" + b"0000000\0" * 2,
            size,
            b"%011o\0" % 0,
            b" " * 8,
            b"0",
            bytes(100),
            b"ustar\x0000",
            bytes(_BLOCK - 265),
        )
    )
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]
