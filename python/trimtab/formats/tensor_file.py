"""The container of an artefact: a file of the safetensors format, read and written.

Enters: a path or bytes. Leaves: texts and where each tensor lies. The reader is strict:
a length of 8 bytes, a JSON header, then the tensors without hole or overlap to the
last byte. Nothing but `json` is needed; what parsing may take is bounded first.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trimtab.errors import ModelFormatError, ModelLimitError
from trimtab.formats.json_keys import repeated_key
from trimtab.limits import Limits
from trimtab.types import Array
from trimtab.weight_file import Stored, WeightFile

__all__ = [
    "ITEM_BYTES",
    "TensorFile",
    "TensorPlace",
    "blocks",
    "parse_json",
    "write_file",
    "write_tensors",
]

#: Element types of the format -> bytes of one element.
ITEM_BYTES: dict[str, int] = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
    "C64": 8,
}
_MAX_HEADER = 100_000_000  # as the format's own library has it
_MAX_RANK = 32
_ALIGNMENT = 64
_BLOCK = 1 << 22
# Bytes that a value of JSON takes when it is parsed: an empty list is 56 bytes, its
# place in another one 8; a short text or a number is smaller than that.
_VALUE_BYTES = 72
_MAX_SIZE = (1 << 63) - 1


class TensorPlace:
    """What the header says of a tensor.

    Parameters
    ----------
    dtype : str
        Key of `ITEM_BYTES`.
    shape : tuple of int
    offset, n_bytes : int
        Where its elements lie in the file.
    """

    __slots__ = ("dtype", "n_bytes", "offset", "shape")

    def __init__(
        self, dtype: str, shape: tuple[int, ...], offset: int, n_bytes: int
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.offset = offset
        self.n_bytes = n_bytes


# ---- reading ------------------------------------------------------------------------


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = repeated_key(pairs)
    if twice is not None:
        raise ModelFormatError(f"the key {twice[:100]!r} is given twice")
    return dict(pairs)


def _no_constant(text: str) -> Any:
    raise ModelFormatError(f"{text} is no number of JSON")


def parse_json(text: bytes | str, what: str, limits: Limits) -> Any:
    """Parse JSON of a file: no key twice, nothing but what JSON knows.

    Parameters
    ----------
    text : bytes or str
    what : str
        What it is, for messages.
    limits : Limits
        `max_model_bytes` bounds what the result may take.

    Returns
    -------
    value : object

    Raises
    ------
    ModelFormatError
        It is no JSON, nested too deeply, or has a key twice.
    ModelLimitError
        It would take too much memory.

    Examples
    --------
    >>> parse_json('{"a": [1]}', "the header", Limits())
    {'a': [1]}
    """
    data = text.encode() if isinstance(text, str) else text
    n_values = data.count(b"[") + data.count(b"{") + data.count(b",")
    if n_values * _VALUE_BYTES + len(data) > limits.max_model_bytes:
        raise ModelLimitError(
            f"{what} has some {n_values} values, more than max_model_bytes allows"
        )
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant
        )
        if rb"\u" in data:  # an escape may spell half a pair of surrogates
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except ModelFormatError as error:
        raise ModelFormatError(f"{what}: {error}") from None
    except RecursionError:
        raise ModelFormatError(f"{what} is nested too deeply") from None
    except UnicodeEncodeError:
        raise ModelFormatError(f"{what}: it holds what is no text") from None
    except ValueError as error:  # malformed, no UTF-8, or numbers of 4,300 digits
        raise ModelFormatError(f"{what} is no JSON: {error}") from None


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_SIZE


def _place(name: str, entry: Any, base: int) -> TensorPlace:
    """Check one entry by itself."""
    if not isinstance(entry, dict) or entry.keys() != {
        "dtype",
        "shape",
        "data_offsets",
    }:
        raise ModelFormatError(
            f"tensor {name[:100]!r}: expected dtype, shape and data_offsets"
        )
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise ModelFormatError(f"tensor {name[:100]!r}: dtype {dtype!r} is not known")
    if (
        not isinstance(shape, list)
        or len(shape) > _MAX_RANK
        or not all(map(_is_size, shape))
    ):
        raise ModelFormatError(
            f"tensor {name[:100]!r}: expected a shape of at most {_MAX_RANK} sizes"
        )
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(map(_is_size, offsets))
        or offsets[0] > offsets[1]
    ):
        raise ModelFormatError(
            f"tensor {name[:100]!r}: expected data_offsets [begin, end]"
        )
    begin, end = offsets
    # Python's integers do not overflow: at most 32 factors below 2**63
    expected = math.prod(shape) * ITEM_BYTES[dtype]
    if expected != end - begin:
        raise ModelFormatError(
            f"tensor {name[:100]!r}: {dtype} of shape {shape} takes {expected} bytes, "
            f"data_offsets give {end - begin}"
        )
    return TensorPlace(dtype, tuple(shape), base + begin, end - begin)


class TensorFile:
    """A file of the safetensors format.

    Parameters
    ----------
    source : path, bytes or WeightFile
        A path is opened once and stays open for as long as a tensor refers to it.
    limits : Limits

    Raises
    ------
    ModelFormatError, ModelLimitError
        It is no such file, or its header contradicts itself.

    Examples
    --------
    >>> header = b'{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
    >>> file = TensorFile(bytes([len(header), 0, 0, 0, 0, 0, 0, 0]) + header + b"ab",
    ...                   Limits())
    >>> file.read("x").tobytes()
    b'ab'
    """

    def __init__(self, source: str | bytes | WeightFile, limits: Limits) -> None:
        self.file: WeightFile | None = None
        self._content = b""
        if isinstance(source, str):
            source = WeightFile(os.open(source, os.O_RDONLY | os.O_CLOEXEC))
        if isinstance(source, WeightFile):
            self.file = source
            self.n_bytes = self.file.n_bytes
        else:
            self._content = source
            self.n_bytes = len(source)
        if self.n_bytes > limits.max_model_bytes:
            raise ModelLimitError(
                f"the file has {self.n_bytes} bytes, max_model_bytes is "
                f"{limits.max_model_bytes}"
            )
        self.header = self._read_header()
        self.metadata, self.tensors = self._parse(limits)

    def _bytes(self, offset: int, n_bytes: int) -> bytes:
        if self.file is None:
            return self._content[offset : offset + n_bytes]
        return self.file.read(offset, n_bytes).tobytes()

    def _read_header(self) -> bytes:
        if self.n_bytes < 8:
            raise ModelFormatError(
                f"no safetensors file: it has {self.n_bytes} bytes, at least 8 are the "
                "length of its header"
            )
        length = int.from_bytes(self._bytes(0, 8), "little")
        if length > min(_MAX_HEADER, self.n_bytes - 8):
            raise ModelFormatError(
                f"the header of {length} bytes leaves the file of {self.n_bytes}"
                if length <= _MAX_HEADER
                else f"the header has {length} bytes, at most {_MAX_HEADER} are allowed"
            )
        header = self._bytes(8, length)
        if not header.startswith(b"{"):
            raise ModelFormatError(
                f"the header of a safetensors file begins with '{{', got {header[:8]!r}"
            )
        return header

    def _parse(self, limits: Limits) -> tuple[dict[str, str], dict[str, TensorPlace]]:
        parsed = parse_json(self.header, "the header", limits)
        metadata = parsed.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(
            isinstance(value, str) for value in metadata.values()
        ):
            raise ModelFormatError("__metadata__: expected texts by name")
        if len(parsed) > limits.max_values:
            raise ModelLimitError(
                f"{len(parsed)} tensors, max_values is {limits.max_values}"
            )
        base = 8 + len(self.header)
        places = {name: _place(name, entry, base) for name, entry in parsed.items()}
        end = base
        for name in sorted(places, key=lambda x: (places[x].offset, places[x].n_bytes)):
            place = places[name]
            if place.offset != end:
                raise ModelFormatError(
                    f"tensor {name[:100]!r} begins at byte {place.offset} of the file, "
                    f"the one before it ends at {end}: "
                    + ("they overlap" if place.offset < end else "there is a hole")
                )
            end += place.n_bytes
        if end != self.n_bytes:
            raise ModelFormatError(
                f"the tensors end at byte {end}, the file has {self.n_bytes}"
            )
        return metadata, places

    def data(self, name: str) -> Array | Stored:
        """Give a tensor's bytes where they are: in memory or in the file.

        Parameters
        ----------
        name : str
            Key of `tensors`.

        Returns
        -------
        data : ndarray of uint8 or Stored

        Examples
        --------
        >>> file.data("x")                                 # doctest: +SKIP
        Stored(file=<WeightFile>, offset=60, nbytes=2)
        """
        import numpy as np

        place = self.tensors[name]
        if self.file is not None:
            return Stored(self.file, place.offset, place.n_bytes)
        return np.frombuffer(self._content, np.uint8, place.n_bytes, place.offset)

    def read(self, name: str) -> Array:
        """Read a tensor's bytes.

        Parameters
        ----------
        name : str
            Key of `tensors`.

        Returns
        -------
        array : ndarray of uint8

        Examples
        --------
        >>> file.read("x").nbytes                          # doctest: +SKIP
        2
        """
        data = self.data(name)
        return data.read() if isinstance(data, Stored) else data


# ---- writing ------------------------------------------------------------------------


def blocks(data: Array | Stored) -> Iterator[Any]:
    """Give a tensor's bytes, piece by piece: those in a file are never all in memory.

    Parameters
    ----------
    data : ndarray or Stored

    Returns
    -------
    pieces : iterator of bytes-like

    Examples
    --------
    >>> import numpy as np
    >>> [bytes(piece) for piece in blocks(np.array([1, 2], np.uint8))]
    [b'\\x01\\x02']
    """
    if not isinstance(data, Stored):
        import numpy as np

        yield np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
        return
    for begin in range(0, data.nbytes, _BLOCK):
        n_bytes = min(_BLOCK, data.nbytes - begin)
        yield data.file.read(data.offset + begin, n_bytes).data


def write_tensors(
    metadata: Mapping[str, str],
    tensors: Iterable[tuple[str, str, tuple[int, ...], Array | Stored]],
) -> Iterator[Any]:
    """Give the bytes of a file of the safetensors format, piece by piece.

    Large elements come first, so that every tensor is aligned to its elements; the
    first one lies at a multiple of 64 bytes.

    Parameters
    ----------
    metadata : mapping of str to str
    tensors : iterable of (name, dtype, shape, data)
        Names must differ; `dtype` is a key of `ITEM_BYTES`.

    Returns
    -------
    pieces : iterator of bytes-like

    Raises
    ------
    ModelLimitError
        The header would be larger than the format allows.

    Examples
    --------
    >>> len(b"".join(write_tensors({"a": "b"}, [])))
    64
    """
    ordered = sorted(tensors, key=lambda tensor: -ITEM_BYTES[tensor[1]])
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, dtype, shape, data in ordered:
        begin, end = end, end + data.nbytes
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    if len(text) > _MAX_HEADER:
        raise ModelLimitError(
            f"the header has {len(text)} bytes, at most {_MAX_HEADER} are allowed"
        )
    yield len(text).to_bytes(8, "little")
    yield text
    for *_, data in ordered:
        yield from blocks(data)


def write_file(path: str, pieces: Iterable[Any]) -> int:
    """Write a file so that its name holds the old content or the new, never a mix.

    Parameters
    ----------
    path : str
    pieces : iterable of bytes-like

    Returns
    -------
    n_bytes : int

    Raises
    ------
    OSError
        It cannot be written; what was there stays.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_file(f"{folder}/x", [b"ab", b"c"])
    3
    """
    folder, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(folder, f".{name[:100]}.{os.urandom(6).hex()}.tmp")
    n_bytes = 0
    try:
        with open(
            os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666
            ),
            "wb",
        ) as file:
            for piece in pieces:
                n_bytes += file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return n_bytes
