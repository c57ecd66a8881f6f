"""What the next process need not do again: the file beside an artefact.

It holds the graph as the engine reads it and weights in the layouts of this processor.
It is made at the first load, by this build, for this processor and this very artefact;
a file that is anything else, or damaged, is not used and made anew. docs/artefact.md
says where it lies and what is trusted.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab import _core
from trimtab.folders import user_cache_folder
from trimtab.record import FrozenRecord
from trimtab.weight_file import WeightFile

if TYPE_CHECKING:
    from trimtab.options import Options

__all__ = ["CacheFile", "Cached", "Place", "cache_for"]

_MAGIC = b"TTCACHE1"
_HEAD = struct.Struct("<8s16sQ")  # magic, digest of the body, its length
_MAX_BODY = 1 << 30
_MAX_ITEMS = 1 << 16
_ALIGNMENT = 64
_OLD_S = 3600.0


class Place(FrozenRecord):
    """A tensor of a golden pair: what it is and where in the artefact.

    Parameters
    ----------
    name : str
    dtype : str
        Key of `trimtab.graph.DTYPES`.
    shape : tuple of int
    offset, n_bytes : int
    """

    __slots__ = ("name", "dtype", "shape", "offset", "n_bytes")
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    n_bytes: int

    def __init__(
        self, name: str, dtype: str, shape: tuple[int, ...], offset: int, n_bytes: int
    ) -> None:
        self._set(name, dtype, shape, offset, n_bytes)


class Cached(FrozenRecord):
    """What a cache file holds beside packed weights.

    Parameters
    ----------
    wire : bytes
        What `trimtab.wire.encode` gave; its only buffer is the artefact.
    first_pair : (tuple of Place, tuple of Place) or None
        Inputs and outputs of the first golden pair, if replaying it is cheap.
    tolerances : mapping of str to float
    verified : (int, int, float, str) or None
        Pairs, how many of them were replayed, the largest difference, the reference.
    """

    __slots__ = ("wire", "first_pair", "tolerances", "verified")
    wire: bytes
    first_pair: tuple[tuple[Place, ...], tuple[Place, ...]] | None
    tolerances: Mapping[str, float]
    verified: tuple[int, int, float, str] | None

    def __init__(
        self,
        wire: bytes,
        first_pair: tuple[tuple[Place, ...], tuple[Place, ...]] | None,
        tolerances: Mapping[str, float],
        verified: tuple[int, int, float, str] | None,
    ) -> None:
        self._set(wire, first_pair, tolerances, verified)


# ---- encoding -----------------------------------------------------------------------


class _Writer:
    """Numbers of 8 bytes, and bytes behind their length."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def number(self, value: int) -> None:
        self.pieces.append(struct.pack("<Q", value))

    def real(self, value: float) -> None:
        self.pieces.append(struct.pack("<d", value))

    def data(self, value: bytes) -> None:
        self.number(len(value))
        self.pieces.append(value)

    def text(self, value: str) -> None:
        self.data(value.encode())

    def places(self, places: Sequence[Place]) -> None:
        self.number(len(places))
        for place in places:
            self.text(place.name)
            self.text(place.dtype)
            self.number(len(place.shape))
            for dim in place.shape:
                self.number(dim)
            self.number(place.offset)
            self.number(place.n_bytes)


class _Reader:
    """The same back; `ValueError` where the bytes end or make no sense."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def data(self) -> bytes:
        n = self.number()
        if n > len(self._data) - self._at:
            raise ValueError("a length leaves the cache")
        begin, self._at = self._at, self._at + n
        return self._data[begin : self._at]

    def number(self) -> int:
        (value,) = self._unpack("<Q")
        return int(value)

    def count(self) -> int:
        n = self.number()
        if n > _MAX_ITEMS:
            raise ValueError("too many items")
        return n

    def real(self) -> float:
        (value,) = self._unpack("<d")
        return float(value)

    def _unpack(self, form: str) -> tuple[Any, ...]:
        if self._at + 8 > len(self._data):
            raise ValueError("the cache ends early")
        self._at += 8
        return struct.unpack_from(form, self._data, self._at - 8)

    def text(self) -> str:
        return self.data().decode()

    def places(self) -> tuple[Place, ...]:
        return tuple(
            Place(
                self.text(),
                self.text(),
                tuple(self.number() for _ in range(self.count())),
                self.number(),
                self.number(),
            )
            for _ in range(self.count())
        )


def _encode(key: bytes, cached: Cached) -> bytes:
    writer = _Writer()
    writer.data(key)
    writer.data(cached.wire)
    writer.number(len(cached.tolerances))
    for dtype, value in cached.tolerances.items():
        writer.text(dtype)
        writer.real(value)
    writer.number(cached.first_pair is not None)
    for side in cached.first_pair or ():
        writer.places(side)
    writer.number(cached.verified is not None)
    if cached.verified is not None:
        n_pairs, n_replayed, difference, reference = cached.verified
        writer.number(n_pairs)
        writer.number(n_replayed)
        writer.real(difference)
        writer.text(reference)
    return b"".join(writer.pieces)


def _decode(key: bytes, body: bytes) -> Cached | None:
    reader = _Reader(body)
    if reader.data() != key:
        return None
    wire = reader.data()
    tolerances = {reader.text(): reader.real() for _ in range(reader.count())}
    pair = (reader.places(), reader.places()) if reader.number() else None
    verified = None
    if reader.number():
        verified = (reader.number(), reader.number(), reader.real(), reader.text())
    return Cached(wire, pair, tolerances, verified)


# ---- the file -----------------------------------------------------------------------


def _machine(options: Options) -> bytes:
    """This build on this processor, and how it is to run."""
    import trimtab

    dnnl, cpu = _core.dnnl_info(), _core.cpu_info()
    status = os.stat(_core.__file__)
    return repr(
        (
            trimtab.__version__,
            (status.st_size, status.st_mtime_ns),
            [
                dnnl[name]
                for name in ("version", "hash", "cpu_runtime", "effective_isa")
            ],
            sorted(item for item in cpu.items() if item[0] != "n_threads"),
            options.threads or cpu["n_threads"],
            options.precision,
        )
    ).encode()


def _user_folder() -> str:
    """Where caches go when the artefact's own folder cannot be written to."""
    return os.path.join(user_cache_folder(), "packed")


def _is_old(entry: os.DirEntry[str]) -> bool:
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD_S


def _sweep(place: str) -> None:
    """Remove what writers that were killed have left: files hours old."""
    folder, name = os.path.split(place)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_ours = entry.name.startswith(f"{name}.")
                if is_ours and entry.name.endswith(".tmp") and _is_old(entry):
                    os.unlink(entry.path)
    except OSError:
        return


def cache_for(path: str, file: WeightFile, options: Options) -> CacheFile | None:
    """Find where the cache of an artefact lies, whether it exists or not.

    Parameters
    ----------
    path : str
        Of the artefact.
    file : WeightFile
        The same, open.
    options : Options

    Returns
    -------
    cache : CacheFile or None
        None where the model shall be loaded in another way than usual, or the file
        is no artefact.

    Examples
    --------
    >>> cache_for("m.safetensors", file, options).read()   # doctest: +SKIP
    """
    if options.device != "cpu" or options.staging or options.passes != -1:
        return None
    length = int.from_bytes(file.read(0, 8).tobytes(), "little")
    if not 1 < length <= min(100_000_000, file.n_bytes - 8):
        return None
    header = _core.digest(file.read(8, length))
    _, _, size, mtime_ns = file.lend()
    machine = _machine(options)
    key = struct.pack("<QQ", size, mtime_ns) + header + machine
    return CacheFile(path, key, _core.digest(machine)[:4].hex())


class CacheFile:
    """The cache of one artefact for one machine.

    Parameters
    ----------
    path : str
        Of the artefact.
    key : bytes
        What the cache must have been made for.
    suffix : str
        Tells the caches of several machines apart.
    """

    def __init__(self, path: str, key: bytes, suffix: str) -> None:
        self._key = key
        folder, name = os.path.split(os.path.abspath(path))
        digest = _core.digest(folder.encode(errors="surrogateescape"))[:8].hex()
        self._places = (
            os.path.join(folder, f"{name}.{suffix}.cache"),
            os.path.join(_user_folder(), f"{digest}.{name}.{suffix}.cache"),
        )
        self._descriptor = -1
        self._offset = 0

    def read(self) -> Cached | None:
        """Read the cache; None where there is none of use.

        Returns
        -------
        cached : Cached or None
        """
        for place in self._places:
            try:
                descriptor = os.open(
                    place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
                )
            except OSError:
                continue
            try:
                cached = self._read(descriptor)
            except (OSError, ValueError):
                cached = None
            if cached is not None:
                self._descriptor = descriptor
                return cached
            os.close(descriptor)
        return None

    def _read(self, descriptor: int) -> Cached | None:
        head = os.pread(descriptor, _HEAD.size, 0)
        if len(head) < _HEAD.size:
            return None
        magic, digest, length = _HEAD.unpack(head)
        if magic != _MAGIC or length > _MAX_BODY:
            return None
        if length > os.fstat(descriptor).st_size:
            return None
        body = os.pread(descriptor, length, _HEAD.size)
        if len(body) != length or _core.digest(body) != digest:
            return None
        self._offset = -(-(_HEAD.size + length) // _ALIGNMENT) * _ALIGNMENT
        return _decode(self._key, body)

    def lend_to(self, core: _core.Model) -> None:
        """Let the engine take packed weights from the file, and remember its own.

        Parameters
        ----------
        core : _core.Model
            Before its first plan.
        """
        core.read_packed(self._descriptor, self._offset)

    def close(self) -> None:
        """Close the file; the engine has its own descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def write(self, core: _core.Model, cached: Cached) -> bool:
        """Write the cache, with all weights that the engine has packed.

        It is not synchronised: a file that a loss of power leaves damaged is not used.

        Parameters
        ----------
        core : _core.Model
            After `lend_to`.
        cached : Cached

        Returns
        -------
        is_written : bool
            False where no folder can be written to, or the disk is full.
        """
        body = _encode(self._key, cached)
        head = _HEAD.pack(_MAGIC, _core.digest(body), len(body))
        padding = b"\0" * (-(len(head) + len(body)) % _ALIGNMENT)
        for place in self._places:
            _sweep(place)
            temporary = f"{place}.{os.urandom(6).hex()}.tmp"
            try:
                if place is self._places[1]:
                    os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                descriptor = os.open(temporary, flags, 0o644)
            except OSError:
                continue
            try:
                try:
                    with open(os.dup(descriptor), "wb") as file:
                        file.write(head + body + padding)
                    core.write_packed(descriptor)
                finally:
                    os.close(descriptor)
                os.replace(temporary, place)
                return True
            except (OSError, RuntimeError, MemoryError):  # a full disk, ...
                # nothing depends on the cache
                pass
            finally:
                if os.path.exists(temporary):
                    os.unlink(temporary)
        return False
