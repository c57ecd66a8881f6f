"""An ONNX file without its weights: what protobuf gets to parse.

Protobuf would copy each weight twice on the way to an array. So for large files the
structure is walked here first, and the elements of large initializers (raw_data) are
left out of the bytes that are parsed; they stay in the file until they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from trimtab.errors import ModelLimitError
from trimtab.limits import Limits
from trimtab.types import Array
from trimtab.weight_file import Stored, WeightFile

__all__ = ["OnnxFile", "Span"]

_SMALL_FILE = 1 << 20
_SMALL_WEIGHT = 1 << 14
_WINDOW = 1 << 13
_MAX_FIELDS = 200_000
# field numbers of onnx-ml.proto
_GRAPH, _NODE, _INITIALIZER, _ATTRIBUTE, _TENSOR, _RAW_DATA = 7, 1, 5, 5, 5, 9
_OP_TYPE, _OUTPUT, _DOMAIN = 4, 2, 7
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


@dataclass(frozen=True, slots=True)
class Span:
    """Where the elements of an initializer lie in the file."""

    offset: int
    n_bytes: int


class _NotWalkable(Exception):
    """The structure is unusual: protobuf shall see the whole file."""


@dataclass(slots=True)
class _Walk:
    """Skeleton so far: ranges of the file and bytes made here."""

    pieces: list[bytes] = field(default_factory=list)
    spans: dict[int, Span] = field(default_factory=dict)
    constants: dict[str, Span] = field(default_factory=dict)
    n_initializers: int = 0
    n_fields: int = 0


class OnnxFile:
    """A model's bytes, in a file or in memory.

    Parameters
    ----------
    source : WeightFile or bytes-like
    limits : Limits

    Raises
    ------
    ModelLimitError
        More bytes than `Limits.max_model_bytes`.

    Examples
    --------
    >>> file = OnnxFile(b"\\x08\\x0a", Limits())
    >>> file.n_bytes, file.skeleton()
    (2, (b'\\x08\\n', {}, {}))
    """

    def __init__(
        self, source: WeightFile | bytes | bytearray | memoryview, limits: Limits
    ) -> None:
        self._file: WeightFile | None = None
        self._view = memoryview(b"")
        if isinstance(source, WeightFile):
            self._file = source
            self.n_bytes = source.n_bytes
        else:
            self._view = memoryview(source).cast("B")
            self.n_bytes = len(self._view)
        if self.n_bytes > limits.max_model_bytes:
            raise ModelLimitError(
                f"the file has {self.n_bytes} bytes, max_model_bytes is "
                f"{limits.max_model_bytes}"
            )
        self._window = (0, b"")

    # ---- bytes -----------------------------------------------------------------

    def data(self, span: Span) -> Array | Stored:
        """Give what a range holds: bytes that are there, or the place in the file.

        Parameters
        ----------
        span : Span
            Offset and length in the file.

        Returns
        -------
        data : ndarray of uint8

        Raises
        ------
        ModelFormatError
            The file became shorter.

        Examples
        --------
        >>> OnnxFile(b"abcd", Limits()).data(Span(1, 2)).tobytes()
        b'bc'
        """
        if self._file is not None:
            return Stored(self._file, span.offset, span.n_bytes)
        return np.frombuffer(self._view, np.uint8, span.n_bytes, span.offset)

    def _bytes(self, begin: int, end: int) -> bytes:
        if self._file is None:
            return bytes(self._view[begin:end])
        return self._file.read(begin, end - begin).tobytes()

    def _head(self, offset: int, end: int) -> tuple[bytes, int]:
        """Some bytes with those at `offset` in them, 20 at least, and their offset."""
        begin, head = self._window
        if begin <= offset and min(offset + 20, end) <= begin + len(head):
            return head, begin
        head = self._bytes(offset, min(offset + _WINDOW, end))
        self._window = (offset, head)
        return head, offset

    def _varint(self, offset: int, end: int) -> tuple[int, int]:
        """Value of the number at `offset`, and the offset behind it."""
        head, begin = self._head(offset, end)
        at = offset - begin
        value = shift = 0
        last = min(len(head), end - begin)
        while at < last and shift < 70:
            byte = head[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at + begin
            shift += 7
        raise _NotWalkable

    # ---- structure -------------------------------------------------------------

    def skeleton(self) -> tuple[bytes, dict[int, Span], dict[str, Span]]:
        """Give the model without the elements of its large weights.

        Returns
        -------
        data : bytes
            A model that protobuf can parse (if the file is one).
        spans : dict of int to Span
            For each initializer of the main graph whose raw_data was left out, by
            its number: where the elements lie.
        constants : dict of str to Span
            The same for nodes named Constant, by the name of their output.

        Examples
        --------
        >>> OnnxFile(b"", Limits()).skeleton()
        (b'', {}, {})
        """
        if self.n_bytes >= _SMALL_FILE:
            try:
                return self._walk_model()
            except _NotWalkable:
                pass
        return self._bytes(0, self.n_bytes), {}, {}

    def _fields(self, walk: _Walk, begin: int, end: int) -> list[tuple[int, ...]]:
        """(number, begin, begin of the payload, end) of the fields of a message."""
        found: list[tuple[int, ...]] = []
        at = begin
        while at < end:
            tag, payload = self._varint(at, end)
            wire = tag & 7
            if wire == _BYTES:
                n, payload = self._varint(payload, end)
                after = payload + n
            elif wire == _VARINT:
                _, after = self._varint(payload, end)
            elif wire in (_FIXED64, _FIXED32):
                after = payload + (8 if wire == _FIXED64 else 4)
            else:
                raise _NotWalkable
            walk.n_fields += 1
            if after > end or walk.n_fields > _MAX_FIELDS:
                raise _NotWalkable
            found.append((tag >> 3 if wire == _BYTES else 0, at, payload, after))
            at = after
        return found

    def _walk_model(self) -> tuple[bytes, dict[int, Span], dict[str, Span]]:
        walk = _Walk()
        fields = self._fields(walk, 0, self.n_bytes)
        if [number for number, *_ in fields].count(_GRAPH) != 1:
            raise _NotWalkable
        for number, begin, payload, end in fields:
            if number == _GRAPH:
                outer, walk.pieces = walk.pieces, []
                self._walk_graph(walk, payload, end)
                outer.append(_wrapped(_GRAPH, walk.pieces))
                walk.pieces = outer
            else:
                walk.pieces.append(self._bytes(begin, end))
        return b"".join(walk.pieces), walk.spans, walk.constants

    def _walk_graph(self, walk: _Walk, begin: int, end: int) -> None:
        kept = begin  # what lies between here and the next weight is taken as it is
        for number, at, payload, after in self._fields(walk, begin, end):
            if number == _NODE and after - payload >= _SMALL_WEIGHT:
                pieces = self._walk_node(walk, payload, after)
                if pieces is not None:
                    walk.pieces += (self._bytes(kept, at), _wrapped(_NODE, pieces))
                    kept = after
            if number != _INITIALIZER:
                continue
            if after - payload >= _SMALL_WEIGHT:
                span, pieces = self._walk_tensor(walk, payload, after)
                if span is not None:
                    walk.spans[walk.n_initializers] = span
                    walk.pieces.append(self._bytes(kept, at))
                    walk.pieces.append(_wrapped(_INITIALIZER, pieces))
                    kept = after
            walk.n_initializers += 1
        walk.pieces.append(self._bytes(kept, end))

    def _walk_node(self, walk: _Walk, begin: int, end: int) -> list[bytes] | None:
        """The node without its elements, when it is a Constant that holds a tensor."""
        fields = self._fields(walk, begin, end)
        texts = {
            number: self._bytes(payload, after)
            for number, _, payload, after in fields
            if number in (_OP_TYPE, _OUTPUT, _DOMAIN) and after - payload < _WINDOW
        }
        attributes = [f for f in fields if f[0] == _ATTRIBUTE]
        if (
            texts.get(_OP_TYPE) != b"Constant"
            or texts.get(_DOMAIN, b"") not in (b"", b"ai.onnx")
            or len(attributes) != 1
            or [f[0] for f in fields].count(_OUTPUT) != 1
        ):
            return None
        _, at, payload, after = attributes[0]
        tensors = [f for f in self._fields(walk, payload, after) if f[0] == _TENSOR]
        if len(tensors) != 1:
            return None
        _, inner, tensor, behind = tensors[0]
        span, pieces = self._walk_tensor(walk, tensor, behind)
        name = texts.get(_OUTPUT, b"").decode(errors="replace")
        if span is None or name in walk.constants:
            return None
        walk.constants[name] = span
        attribute = [self._bytes(payload, inner), _wrapped(_TENSOR, pieces)]
        attribute.append(self._bytes(behind, after))
        return [
            self._bytes(begin, at),
            _wrapped(_ATTRIBUTE, attribute),
            self._bytes(after, end),
        ]

    def _walk_tensor(
        self, walk: _Walk, begin: int, end: int
    ) -> tuple[Span | None, list[bytes]]:
        """Where the elements lie, and the rest of the tensor."""
        raw = [f for f in self._fields(walk, begin, end) if f[0] == _RAW_DATA]
        if len(raw) != 1 or raw[0][3] - raw[0][2] < _SMALL_WEIGHT:
            return None, []
        _, at, payload, after = raw[0]
        pieces = [self._bytes(begin, at), self._bytes(after, end)]
        return Span(payload, after - payload), pieces


def _wrapped(number: int, pieces: list[bytes]) -> bytes:
    """A field that holds these bytes."""
    data = b"".join(pieces)
    head = bytearray([number << 3 | _BYTES])
    n = len(data)
    while n > 127:
        head.append(n & 127 | 128)
        n >>= 7
    head.append(n)
    return bytes(head) + data
