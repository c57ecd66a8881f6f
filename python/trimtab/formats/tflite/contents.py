"""A TFLite file as records whose every index is known to be good.

Enters: the bytes of a file. Leaves: `Contents`: subgraphs with their tensors and
operators, signatures, buffers. What the records say of shapes is what the file claims;
only for constants it is compared with the bytes that are there (`tensors`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trimtab.errors import ModelFormatError, ModelLimitError
from trimtab.formats.tflite.flatbuffer import Buffer, Table
from trimtab.formats.tflite.schema import BUILTINS, OPTIONS, OPTIONS_OF, TYPES
from trimtab.limits import Limits
from trimtab.types import Array

__all__ = [
    "Contents",
    "OperatorRecord",
    "Quantization",
    "SignatureRecord",
    "SubgraphRecord",
    "TensorRecord",
    "read_contents",
]

_MAX_RANK = 10
_MAX_SUBGRAPHS = 1 << 12
_MAX_OPERANDS = 1 << 14
# What each integer type holds.
_RANGES = {"int4": (-8, 7), "int8": (-128, 127), "uint8": (0, 255)} | {
    name: (int(np.iinfo(name).min), int(np.iinfo(name).max))
    for name in ("int16", "uint16", "int32", "uint32", "int64")
}


@dataclass(frozen=True, eq=False)
class Quantization:
    """How integers stand for real numbers: (q - zero_point) * scale.

    Parameters
    ----------
    scale : ndarray of float32 of shape (1,) or (n,)
    zero_point : ndarray of int64 of the same shape
    axis : int
        Dim along which they vary.
    """

    scale: Array
    zero_point: Array
    axis: int

    @property
    def is_per_axis(self) -> bool:
        """Is there more than one scale?"""
        return self.scale.size > 1

    def equals(self, other: Quantization | None) -> bool:
        """Do both map integers to the same numbers?

        Parameters
        ----------
        other : Quantization or None

        Returns
        -------
        is_equal : bool

        Examples
        --------
        >>> one = Quantization(np.ones(1, np.float32), np.zeros(1, np.int64), 0)
        >>> one.equals(one), one.equals(None)
        (True, False)
        """
        return (
            other is not None
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
            and (self.axis == other.axis or not self.is_per_axis)
        )


@dataclass(frozen=True, eq=False)
class TensorRecord:
    """A tensor as the file declares it.

    Parameters
    ----------
    name : str
    dtype : str
        One of `schema.TYPES`.
    shape : tuple of int
    signature : tuple of (int or None)
        The shape with None for what may vary.
    buffer : int
        0 where it has no data.
    quantization : Quantization or None
        Of integers only.
    is_variable : bool
        Does it keep its value from call to call?
    sparsity : Table or None
        How the elements that are stored lie in the shape.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    signature: tuple[int | None, ...]
    buffer: int
    quantization: Quantization | None
    is_variable: bool
    sparsity: Table | None

    @property
    def rank(self) -> int:
        """Number of dims."""
        return len(self.shape)


@dataclass(frozen=True, eq=False)
class OperatorRecord:
    """An operator as the file declares it.

    Parameters
    ----------
    kind : str
        One of `schema.BUILTINS`, "CUSTOM" or "builtin 300".
    custom : str
        Name of a custom operator.
    version : int
    inputs, outputs : tuple of int
        Tensors of the subgraph; -1 for an input that is absent.
    options : dict of str to object
        All of the table's options, absent ones with their default.
    custom_options : bytes
    """

    kind: str
    custom: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]
    custom_options: bytes

    @property
    def title(self) -> str:
        """Name of the operator for messages.

        Examples
        --------
        >>> OperatorRecord("CUSTOM", "FlexErf", 1, (), (), {}, b"").title
        'FlexErf'
        """
        return self.custom if self.kind == "CUSTOM" else self.kind


@dataclass(frozen=True, eq=False)
class SubgraphRecord:
    """A subgraph as the file declares it.

    Parameters
    ----------
    name : str
    tensors : list of TensorRecord
    inputs, outputs : tuple of int
    operators : list of OperatorRecord
    """

    name: str
    tensors: list[TensorRecord]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: list[OperatorRecord]


@dataclass(frozen=True)
class SignatureRecord:
    """Names that users see, for a subgraph.

    Parameters
    ----------
    key : str
    subgraph : int
    inputs, outputs : dict of int to str
        Name by tensor.
    """

    key: str
    subgraph: int
    inputs: dict[int, str]
    outputs: dict[int, str]


@dataclass(eq=False)
class Contents:
    """All of a file.

    Parameters
    ----------
    subgraphs : list of SubgraphRecord
    signatures : list of SignatureRecord
    description : str
    buffers : list of ndarray of uint8
        Views of the file.
    """

    subgraphs: list[SubgraphRecord]
    signatures: list[SignatureRecord]
    description: str
    buffers: list[Array] = field(repr=False)


def _indices(
    table: Table, slot: int, n: int, what: str, lowest: int = 0
) -> tuple[int, ...]:
    """Numbers of tensors."""
    found = table.numbers(slot, "int32")
    if len(found) > _MAX_OPERANDS:
        raise ModelFormatError(f"{what}: {len(found)} tensors, at most {_MAX_OPERANDS}")
    for index in found:
        if not lowest <= index < n:
            raise ModelFormatError(
                f"{what}: there is no tensor {index}, the subgraph has {n}"
            )
    return tuple(found)


def _quantization(
    table: Table | None, dtype: str, shape: tuple[int, ...], what: str
) -> Quantization | None:
    """Scales and zero points, where the type is of integers."""
    if table is None or dtype not in _RANGES:
        return None
    scale = table.vector(2, "float32")
    if scale is None or scale.size == 0:
        return None
    if scale.size == 1 and scale[0] == 0:
        return None  # what converters write for integers that are no numbers in steps
    zeros = table.vector(3, "int64")
    axis = table.number(6, "int32", 0)
    if zeros is None or zeros.size == 0:
        zeros = np.zeros(scale.size, np.int64)
    if zeros.size == 1:
        zeros = np.repeat(zeros, scale.size)
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ModelFormatError(f"{what}: scales must be positive numbers, got {scale}")
    low, high = _RANGES[dtype]
    if zeros.size != scale.size or (zeros < low).any() or (zeros > high).any():
        raise ModelFormatError(
            f"{what}: {zeros.size} zero points for {scale.size} scales, or one that "
            f"{dtype} does not hold"
        )
    if scale.size > 1 and not (0 <= axis < len(shape) and shape[axis] == scale.size):
        raise ModelFormatError(
            f"{what}: {scale.size} scales along dim {axis} of a tensor of shape {shape}"
        )
    return Quantization(np.array(scale), np.array(zeros), axis)


def _tensor(table: Table, index: int, n_buffers: int) -> TensorRecord:
    name = table.text(3)[:256]
    what = f"tensor {name or index!r}"
    shape = tuple(table.numbers(0, "int32"))
    signature = tuple(table.numbers(7, "int32"))
    code = table.number(1, "int8", 0)
    buffer = table.number(2, "uint32", 0)
    if not 0 <= code < len(TYPES):
        raise ModelFormatError(f"{what}: there is no element type {code}")
    if len(shape) > _MAX_RANK or min(shape, default=0) < -1:
        raise ModelFormatError(f"{what}: {shape} is no shape")
    if -1 in shape and not signature:
        signature = shape
    shape = tuple(1 if dim == -1 else dim for dim in shape)
    if len(signature) != len(shape):
        signature = shape
    if any(have not in (dim, -1) for dim, have in zip(shape, signature, strict=True)):
        raise ModelFormatError(
            f"{what}: its shape {shape} is not of the signature {signature}"
        )
    if buffer >= max(n_buffers, 1):
        raise ModelFormatError(
            f"{what}: there is no buffer {buffer}, the file has {n_buffers}"
        )
    return TensorRecord(
        name or f"tensor_{index}",
        TYPES[code],
        shape,
        tuple(None if dim == -1 else dim for dim in signature),
        buffer,
        _quantization(table.table(4), TYPES[code], shape, what),
        bool(table.number(5, "bool", False)),
        table.table(6),
    )


def _options(table: Table, kind: str) -> dict[str, Any]:
    """All options of an operator."""
    if kind not in OPTIONS_OF:
        return {}
    wanted = OPTIONS[OPTIONS_OF[kind]]
    found = table.table(4) if table.number(3, "uint8", 0) == wanted.code else None
    values: dict[str, Any] = {}
    for option in wanted.fields:
        if option.kind == "text":
            values[option.name] = "" if found is None else found.text(option.slot)
        elif option.kind == "int32s":
            values[option.name] = (
                [] if found is None else found.numbers(option.slot, "int32")
            )
        else:
            values[option.name] = (
                option.default
                if found is None
                else found.number(option.slot, option.kind, option.default)
            )
            if option.kind == "float32" and not math.isfinite(values[option.name]):
                raise ModelFormatError(f"{kind}: {option.name} is no finite number")
    return values


def _custom_options(table: Table, buffer: Buffer) -> bytes:
    offset, size = (table.number(slot, "uint64", 0) for slot in (9, 10))
    if offset > 1 and size > 0:
        return _outside(buffer, offset, size, "options of an operator").tobytes()
    found = table.vector(5, "uint8")
    return b"" if found is None else found.tobytes()


def _outside(buffer: Buffer, offset: int, size: int, what: str) -> Array:
    """Bytes that lie behind the FlatBuffer, in the same file."""
    if offset > buffer.n_bytes or size > buffer.n_bytes - offset:
        raise ModelFormatError(
            f"{what}: {size} bytes at offset {offset}, the file has {buffer.n_bytes}"
        )
    return np.frombuffer(buffer.data, np.uint8, size, offset)


def _operator(
    table: Table, codes: list[tuple[str, str, int]], n_tensors: int, buffer: Buffer
) -> OperatorRecord:
    opcode = table.number(0, "uint32", 0)
    if opcode >= len(codes):
        raise ModelFormatError(
            f"an operator has code {opcode}, the file has {len(codes)} codes"
        )
    kind, custom, version = codes[opcode]
    return OperatorRecord(
        kind,
        custom,
        version,
        _indices(table, 1, n_tensors, f"inputs of {custom or kind}", -1),
        _indices(table, 2, n_tensors, f"outputs of {custom or kind}"),
        _options(table, kind),
        _custom_options(table, buffer) if kind == "CUSTOM" else b"",
    )


def _code(table: Table) -> tuple[str, str, int]:
    """Kind, custom name and version."""
    number = max(table.number(0, "int8", 0), table.number(3, "int32", 0))
    if number < 0:
        raise ModelFormatError(f"there is no builtin operator {number}")
    kind = BUILTINS[number] if number < len(BUILTINS) else f"builtin {number}"
    custom = (table.text(1) or "unnamed")[:256] if kind == "CUSTOM" else ""
    return kind, custom, table.number(2, "int32", 1)


def _subgraph(
    table: Table,
    codes: list[tuple[str, str, int]],
    n_buffers: int,
    buffer: Buffer,
    limits: Limits,
) -> SubgraphRecord:
    tensors = [
        _tensor(entry, index, n_buffers)
        for index, entry in enumerate(table.tables(0, "tensors", limits.max_values))
    ]
    n = len(tensors)
    return SubgraphRecord(
        table.text(4)[:256],
        tensors,
        _indices(table, 1, n, "inputs of a subgraph"),
        _indices(table, 2, n, "outputs of a subgraph"),
        [
            _operator(entry, codes, n, buffer)
            for entry in table.tables(3, "operators", limits.max_nodes)
        ],
    )


def _signature(table: Table, subgraphs: list[SubgraphRecord]) -> SignatureRecord:
    index = table.number(4, "uint32", 0)
    key = table.text(2)[:256]
    if index >= len(subgraphs):
        raise ModelFormatError(
            f"signature {key!r}: there is no subgraph {index}, the file has "
            f"{len(subgraphs)}"
        )
    n = len(subgraphs[index].tensors)
    names: list[dict[int, str]] = []
    for slot in (0, 1):
        names.append({})
        for entry in table.tables(slot, "names of a signature", _MAX_OPERANDS):
            tensor = entry.number(1, "uint32", 0)
            if tensor >= n:
                raise ModelFormatError(
                    f"signature {key!r}: there is no tensor {tensor}, its subgraph "
                    f"has {n}"
                )
            names[-1][tensor] = entry.text(0)[:256]
    return SignatureRecord(key, index, names[0], names[1])


def _buffer(table: Table, buffer: Buffer) -> Array:
    offset, size = (table.number(slot, "uint64", 0) for slot in (1, 2))
    if offset > 1 and size > 0:
        return _outside(buffer, offset, size, "a buffer")
    found = table.vector(0, "uint8")
    return np.empty(0, np.uint8) if found is None else found


def _check_size(counts: Iterable[int], most: int, what: str) -> None:
    if (n := sum(counts)) > most:
        raise ModelLimitError(f"the file has {n} {what}, the limit is {most}")


def read_contents(data: bytes, limits: Limits) -> Contents:
    """Read a file into records.

    Parameters
    ----------
    data : bytes
        The whole file.
    limits : Limits

    Returns
    -------
    contents : Contents

    Raises
    ------
    ModelFormatError
        It is no TFLite file of version 3, damaged or hostile.
    ModelLimitError
        It has more tensors or operators than allowed.

    Examples
    --------
    >>> read_contents(b"GIF89a..", Limits())
    Traceback (most recent call last):
        ...
    trimtab.errors.ModelFormatError: no TFLite file: it has b'9a..' where 'TFL3' \
is expected
    """
    if data[4:8] != b"TFL3":
        raise ModelFormatError(
            f"no TFLite file: it has {data[4:8]!r} where 'TFL3' is expected"
        )
    buffer = Buffer(data)
    root = buffer.root()
    version = root.number(0, "uint32", 0)
    if version != 3:
        raise ModelFormatError(
            f"the file is of version {version} of TFLite's schema, expected 3"
        )
    codes = [_code(t) for t in root.tables(1, "operator codes", limits.max_nodes)]
    buffers = [
        _buffer(table, buffer) for table in root.tables(4, "buffers", limits.max_values)
    ]
    subgraphs = [
        _subgraph(table, codes, len(buffers), buffer, limits)
        for table in root.tables(2, "subgraphs", _MAX_SUBGRAPHS)
    ]
    if not subgraphs:
        raise ModelFormatError("the file has no subgraph")
    _check_size((len(s.tensors) for s in subgraphs), limits.max_values, "tensors")
    _check_size((len(s.operators) for s in subgraphs), limits.max_nodes, "operators")
    signatures = [
        _signature(table, subgraphs)
        for table in root.tables(7, "signatures", _MAX_SUBGRAPHS)
    ]
    return Contents(subgraphs, signatures, root.text(3)[:4096], buffers)
