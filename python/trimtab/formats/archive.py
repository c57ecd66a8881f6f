"""Zip archives read in place: nothing is extracted, every size is bounded.

Enters: a path or bytes. Leaves: the content of members by name. Names that could
leave a folder, links, encrypted members, two members of one name and members that
unpack to much more than they are packed are refused before anything is unpacked.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from types import TracebackType
from typing import BinaryIO

from trimtab.errors import ModelFormatError, ModelLimitError, UnsafeModelError
from trimtab.limits import Limits

__all__ = ["Archive"]

_MAX_MEMBERS = 100_000
# Weights and text pack by 2 to 20; a bomb by 1000.
_MAX_RATIO = 200
_SMALL_BYTES = 1 << 20  # of which any ratio is harmless
_PIECE_BYTES = 4 << 20
_ENCRYPTED = 0x1


class Archive:
    """A zip archive, checked when opened; a context manager.

    Parameters
    ----------
    source : str or bytes
        Path, or content.
    limits : Limits
        ``max_model_bytes`` bounds what all members unpack to.

    Raises
    ------
    ModelFormatError
        It is no zip archive, or damaged.
    ModelLimitError
        Members unpack to more than the limit, or to 200 times their packed size.
    UnsafeModelError
        A member's name is absolute or has "..", is a link, is encrypted, or two
        members have one name.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> with zipfile.ZipFile(file, "w") as z:
    ...     z.writestr("config.json", "{}")
    >>> with Archive(file.getvalue(), Limits()) as archive:
    ...     archive.names, archive.read("config.json")
    (['config.json'], b'{}')
    """

    def __init__(self, source: str | bytes, limits: Limits) -> None:
        self._limits = limits
        opened = source if isinstance(source, str) else io.BytesIO(source)
        try:
            self._zip = zipfile.ZipFile(opened)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
            raise ModelFormatError(f"not a zip archive: {error}") from None
        try:
            self._members = self._check()
        except BaseException:
            self._zip.close()
            raise

    def _check(self) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        total = 0
        infos = self._zip.infolist()
        if len(infos) > _MAX_MEMBERS:
            raise ModelLimitError(
                f"the archive has {len(infos)} members, at most {_MAX_MEMBERS} are read"
            )
        for info in infos:
            _check_member(info)
            if info.filename in members:
                raise UnsafeModelError(
                    f"the archive has two members named {info.filename[:80]!r}"
                )
            members[info.filename] = info
            total += info.file_size
        if total > self._limits.max_model_bytes:
            raise ModelLimitError(
                f"the archive unpacks to {total} bytes; max_model_bytes is "
                f"{self._limits.max_model_bytes}"
            )
        return members

    @property
    def names(self) -> list[str]:
        """Names of the members, as stored."""
        return list(self._members)

    def size(self, name: str) -> int:
        """Give the bytes that a member unpacks to.

        Parameters
        ----------
        name : str

        Returns
        -------
        n_bytes : int

        Raises
        ------
        ModelFormatError
            There is no such member.

        Examples
        --------
        >>> archive.size("config.json")                    # doctest: +SKIP
        2
        """
        return self._member(name).file_size

    def read(self, name: str, *, max_bytes: int | None = None) -> bytes:
        """Unpack a member.

        Parameters
        ----------
        name : str
        max_bytes : int, optional
            Refuse a larger one.

        Returns
        -------
        content : bytes

        Raises
        ------
        ModelFormatError
            There is no such member, or it is damaged.
        ModelLimitError
            It is larger than `max_bytes`.

        Examples
        --------
        >>> archive.read("config.json")                    # doctest: +SKIP
        b'{}'
        """
        info = self._member(name)
        if max_bytes is not None and info.file_size > max_bytes:
            raise ModelLimitError(
                f"member {name!r} has {info.file_size} bytes, at most {max_bytes} are "
                "read"
            )
        try:
            with self._zip.open(info) as file:
                content = file.read(info.file_size + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise ModelFormatError(f"member {name!r} is damaged: {error}") from None
        except (NotImplementedError, RuntimeError) as error:
            raise ModelFormatError(f"member {name!r}: {error}") from None
        if len(content) != info.file_size:
            raise ModelFormatError(
                f"member {name!r} declares {info.file_size} bytes, it unpacks to "
                f"{len(content)}{'' if len(content) < info.file_size else ' or more'}"
            )
        return content

    def unpack(self, name: str, file: BinaryIO) -> None:
        """Unpack a member into an open file, piece by piece.

        Parameters
        ----------
        name : str
        file : binary file

        Raises
        ------
        ModelFormatError
            There is no such member, or it is damaged.

        Examples
        --------
        >>> archive.unpack("model.weights.h5", file)       # doctest: +SKIP
        """
        info = self._member(name)
        left = info.file_size
        try:
            with self._zip.open(info) as member:
                while piece := member.read(_PIECE_BYTES):
                    left -= len(piece)
                    if left < 0:
                        break
                    file.write(piece)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ModelFormatError(f"member {name!r} is damaged: {error}") from None
        except (NotImplementedError, RuntimeError) as error:
            raise ModelFormatError(f"member {name!r}: {error}") from None
        if left:
            raise ModelFormatError(
                f"member {name!r} declares {info.file_size} bytes and unpacks to "
                f"{'fewer' if left > 0 else 'more'}"
            )

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members:
            raise ModelFormatError(f"the archive has no member {name!r}")
        return self._members[name]

    def __enter__(self) -> Archive:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._zip.close()


def _check_member(info: zipfile.ZipInfo) -> None:
    name = info.filename
    parts = name.rstrip("/").split("/")
    if (
        name.startswith("/")
        or "\\" in name
        or "\0" in info.orig_filename
        or ".." in parts
        or ":" in parts[0]
    ):
        raise UnsafeModelError(f"the archive's member {name[:80]!r} leaves its folder")
    mode = info.external_attr >> 16
    if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or not stat.S_IFMT(mode)):
        raise UnsafeModelError(
            f"the archive's member {name[:80]!r} is a link or a device"
        )
    if info.flag_bits & _ENCRYPTED:
        raise UnsafeModelError(f"the archive's member {name[:80]!r} is encrypted")
    if info.file_size > max(_SMALL_BYTES, _MAX_RATIO * info.compress_size):
        raise ModelLimitError(
            f"the archive's member {name[:80]!r} has {info.compress_size} bytes and "
            f"claims to unpack to {info.file_size}: more than {_MAX_RATIO} times that"
        )
