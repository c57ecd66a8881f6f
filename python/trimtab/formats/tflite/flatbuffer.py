"""FlatBuffers read with every offset checked, field by field.

Enters: the bytes of a file. Leaves: numbers, texts, vectors and tables. Each read
proves that what it follows lies inside the file; `Buffer.spend` bounds how many tables
and bytes are read at all, because a file may point to the same place many times.
Offsets only lead forwards and callers ask for a fixed depth: nothing can loop.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from trimtab.errors import ModelFormatError
from trimtab.types import Array

__all__ = ["Buffer", "Table"]

# Bytes of the smallest table and of the entry of a vector that points to it.
_TABLE_BYTES = 8
# Files that share tables, strings or vectors may read more than they hold.
_SHARING = 8
_SPARE = 1 << 16

#: Kinds of numbers: name -> (format of struct, bytes).
_NUMBERS: dict[str, tuple[struct.Struct, int]] = {
    kind: (struct.Struct("<" + code), struct.calcsize("<" + code))
    for kind, code in (
        ("bool", "?"),
        ("int8", "b"),
        ("uint8", "B"),
        ("uint16", "H"),
        ("int32", "i"),
        ("uint32", "I"),
        ("int64", "q"),
        ("uint64", "Q"),
        ("float32", "f"),
    )
}


class Buffer:
    """A file in memory and what may still be read of it.

    Parameters
    ----------
    data : bytes
        The whole file.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.n_bytes = len(data)
        self._tables = _SHARING * (self.n_bytes // _TABLE_BYTES) + _SPARE
        self._vector_bytes = _SHARING * self.n_bytes + _SPARE

    def root(self) -> Table:
        """Give the root table.

        Returns
        -------
        table : Table

        Raises
        ------
        ModelFormatError
            Its offset leads out of the file.

        Examples
        --------
        >>> data = bytes([8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0])
        >>> Buffer(data).root().number(0, "int32", 7)
        7
        """
        return Table(self, self.number(0, "uint32"))

    def number(self, at: int, kind: str) -> Any:
        """Read a number.

        Parameters
        ----------
        at : int
            Where, in bytes.
        kind : str
            "int8", "uint32", "float32"...

        Returns
        -------
        number : int, float or bool

        Raises
        ------
        ModelFormatError
            It lies outside of the file.

        Examples
        --------
        >>> Buffer(b"abcd").number(2, "uint16") == 0x6463
        True
        """
        code, size = _NUMBERS[kind]
        if not 0 <= at <= self.n_bytes - size:
            raise ModelFormatError(
                f"an offset leads to byte {at}, the file has {self.n_bytes}: it is "
                "damaged or truncated"
            )
        return code.unpack_from(self.data, at)[0]

    def span(self, at: int, item_bytes: int) -> tuple[int, int]:
        """Begin and number of the elements of a vector.

        Parameters
        ----------
        at : int
            Where its length stands.
        item_bytes : int
            Of one element.

        Returns
        -------
        begin, n : int

        Raises
        ------
        ModelFormatError
            The vector does not end within the file.

        Examples
        --------
        >>> Buffer(bytes([2, 0, 0, 0, 7, 8])).span(0, 1)
        (4, 2)
        """
        n = self.number(at, "uint32")
        if n * item_bytes > self.n_bytes - at - 4:
            raise ModelFormatError(
                f"a vector at byte {at} has {n} elements of {item_bytes} bytes, the "
                f"file has {self.n_bytes} bytes: it is damaged or truncated"
            )
        return at + 4, n

    def spend(self, tables: int, n_bytes: int) -> None:
        """Count what is read.

        Parameters
        ----------
        tables, n_bytes : int
            Tables, and bytes of vectors that are copied.

        Raises
        ------
        ModelFormatError
            More than the file can hold was read.

        Examples
        --------
        >>> Buffer(b"").spend(1, 4)
        """
        self._tables -= tables
        self._vector_bytes -= n_bytes
        if self._tables < 0 or self._vector_bytes < 0:
            raise ModelFormatError(
                "the file points to the same tables or vectors again and again: it "
                "is damaged or hostile"
            )


class Table:
    """One table of a file.

    Parameters
    ----------
    buffer : Buffer
    at : int
        Where it begins, in bytes.
    """

    __slots__ = ("_at", "_buffer", "_fields", "_n_bytes", "_vtable")

    def __init__(self, buffer: Buffer, at: int) -> None:
        buffer.spend(1, 0)
        self._buffer = buffer
        self._at = at
        self._vtable = at - buffer.number(at, "int32")
        n_bytes = buffer.number(self._vtable, "uint16")
        self._n_bytes = buffer.number(self._vtable + 2, "uint16")
        if n_bytes < 4 or n_bytes % 2 or self._vtable + n_bytes > buffer.n_bytes:
            raise ModelFormatError(
                f"the table at byte {at} has a vtable of {n_bytes} bytes: the file is "
                "damaged"
            )
        if self._n_bytes < 4 or at + self._n_bytes > buffer.n_bytes:
            raise ModelFormatError(
                f"the table at byte {at} has {self._n_bytes} bytes, the file "
                f"{buffer.n_bytes}: it is damaged or truncated"
            )
        self._fields = (n_bytes - 4) // 2

    def _find(self, slot: int, n_bytes: int) -> int | None:
        """Where a field stands; None where the table has none."""
        if slot >= self._fields:
            return None
        offset: int = self._buffer.number(self._vtable + 4 + 2 * slot, "uint16")
        if offset == 0:
            return None
        if offset < 4 or offset + n_bytes > self._n_bytes:
            raise ModelFormatError(
                f"field {slot} of the table at byte {self._at} lies outside of it: "
                "the file is damaged"
            )
        return self._at + offset

    def _follow(self, slot: int) -> int | None:
        """Where the offset in a field leads."""
        at = self._find(slot, 4)
        return None if at is None else self._target(at)

    def _target(self, at: int) -> int:
        offset: int = self._buffer.number(at, "uint32")
        if offset == 0:
            raise ModelFormatError(f"the offset at byte {at} is 0: the file is damaged")
        return at + offset

    def number(self, slot: int, kind: str, default: Any) -> Any:
        """Read a number.

        Parameters
        ----------
        slot : int
            Of the field, from 0.
        kind : str
        default : int, float or bool
            What an absent field means.

        Returns
        -------
        number : int, float or bool

        Examples
        --------
        >>> table.number(1, "int32", 1)                    # doctest: +SKIP
        2
        """
        at = self._find(slot, _NUMBERS[kind][1])
        return default if at is None else self._buffer.number(at, kind)

    def text(self, slot: int) -> str:
        """Read a text; empty where it is absent, without what is no UTF-8.

        Parameters
        ----------
        slot : int

        Returns
        -------
        text : str

        Examples
        --------
        >>> table.text(3)                                  # doctest: +SKIP
        'serving_default_x:0'
        """
        at = self._follow(slot)
        if at is None:
            return ""
        begin, n = self._buffer.span(at, 1)
        self._buffer.spend(0, n)
        text = self._buffer.data[begin : begin + n].decode("utf-8", "replace")
        return text.replace("\0", "")

    def vector(self, slot: int, kind: str) -> Array | None:
        """View a vector of numbers; None where it is absent.

        Parameters
        ----------
        slot : int
        kind : str

        Returns
        -------
        vector : ndarray or None
            A view of the file, which cannot be written to.

        Examples
        --------
        >>> table.vector(0, "int32")                       # doctest: +SKIP
        array([1, 224, 224, 3], dtype=int32)
        """
        at = self._follow(slot)
        if at is None:
            return None
        dtype = np.dtype(kind).newbyteorder("<")
        begin, n = self._buffer.span(at, dtype.itemsize)
        return np.frombuffer(self._buffer.data, dtype, n, begin)

    def numbers(self, slot: int, kind: str) -> list[Any]:
        """Read a vector of numbers; empty where it is absent.

        Parameters
        ----------
        slot : int
        kind : str

        Returns
        -------
        numbers : list of int or float

        Examples
        --------
        >>> table.numbers(1, "int32")                      # doctest: +SKIP
        [0, 12, -1]
        """
        found = self.vector(slot, kind)
        if found is None:
            return []
        self._buffer.spend(0, found.nbytes)
        values: list[Any] = found.tolist()
        return values

    def table(self, slot: int) -> Table | None:
        """Give a table; None where it is absent.

        Parameters
        ----------
        slot : int

        Returns
        -------
        table : Table or None

        Examples
        --------
        >>> table.table(9) is None                         # doctest: +SKIP
        True
        """
        at = self._follow(slot)
        return None if at is None else Table(self._buffer, at)

    def tables(self, slot: int, what: str, at_most: int) -> list[Table]:
        """Give a vector of tables; empty where it is absent.

        Parameters
        ----------
        slot : int
        what : str
            What they are, for messages.
        at_most : int
            How many are allowed.

        Returns
        -------
        tables : list of Table

        Raises
        ------
        ModelFormatError
            There are too many, or one lies outside of the file.

        Examples
        --------
        >>> len(table.tables(2, "subgraphs", 100))         # doctest: +SKIP
        1
        """
        at = self._follow(slot)
        if at is None:
            return []
        begin, n = self._buffer.span(at, 4)
        if n > at_most:
            raise ModelFormatError(f"the file has {n} {what}, at most {at_most} are ok")
        ends = range(begin, begin + 4 * n, 4)
        return [Table(self._buffer, self._target(entry)) for entry in ends]
