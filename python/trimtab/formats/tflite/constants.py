"""Constants of a TFLite file: elements as stored, and the real numbers they mean.

Enters: records of tensors and buffers. Leaves: arrays: views of the file where the
elements can be used as they lie, new ones where they are packed, sparse or quantised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from trimtab.errors import ModelFormatError, ModelLimitError, UnsupportedOpError
from trimtab.formats.tflite.contents import Contents, Quantization, TensorRecord
from trimtab.formats.tflite.flatbuffer import Table
from trimtab.limits import Limits
from trimtab.types import Array

__all__ = ["QUANTIZED", "Constants", "dequantize"]

#: Element types whose scale and zero point are respected.
QUANTIZED = ("int4", "int8", "uint8", "int16")

# Converted weights may take this many times the file, and as much again is free.
_EXPANSION = 16
_FREE_BYTES = 64 << 20
_INDEX_KINDS = {1: "int32", 2: "uint16", 3: "uint8"}
_MAX_LEVELS = 20


def dequantize(values: Array, quantization: Quantization) -> Array:
    """Give the real numbers that integers stand for.

    Parameters
    ----------
    values : ndarray of integers
    quantization : Quantization

    Returns
    -------
    reals : ndarray of float32 of the same shape

    Examples
    --------
    >>> half = Quantization(np.array([0.5], np.float32), np.array([1]), 0)
    >>> dequantize(np.array([1, 3], np.int8), half)
    array([0., 1.], dtype=float32)
    """
    shape = [1] * values.ndim
    if quantization.is_per_axis:
        shape[quantization.axis] = -1
    scale = quantization.scale.reshape(shape if values.ndim else ())
    zero_point = quantization.zero_point.astype(np.float32).reshape(scale.shape)
    return np.subtract(values, zero_point, dtype=np.float32) * scale


class Constants:
    """The constants of a file.

    Parameters
    ----------
    contents : Contents
    limits : Limits
    """

    def __init__(self, contents: Contents, limits: Limits) -> None:
        self._buffers = contents.buffers
        self._max_bytes = limits.max_tensor_bytes
        stored = sum(buffer.nbytes for buffer in contents.buffers)
        self._left = min(limits.max_model_bytes, _EXPANSION * stored + _FREE_BYTES)
        self._made: dict[tuple[int, str], Array] = {}
        self._turned: dict[object, tuple[Array, Array]] = {}

    def has(self, tensor: TensorRecord) -> bool:
        """Are the elements in the file?

        Parameters
        ----------
        tensor : TensorRecord

        Returns
        -------
        is_constant : bool

        Examples
        --------
        >>> constants.has(weights)                         # doctest: +SKIP
        True
        """
        if tensor.is_variable or tensor.buffer == 0:
            return False
        return tensor.buffer < len(self._buffers) and bool(
            self._buffers[tensor.buffer].size
        )

    def spend(self, n_bytes: int, what: str) -> None:
        """Count memory that is taken for converted weights and the like.

        Parameters
        ----------
        n_bytes : int
        what : str
            Name of the tensor, for the message.

        Raises
        ------
        ModelLimitError
            It is more than what the file holds can need.

        Examples
        --------
        >>> constants.spend(1 << 10, "weights")            # doctest: +SKIP
        """
        self._left -= n_bytes
        if n_bytes > self._max_bytes or self._left < 0:
            raise ModelLimitError(
                f"tensor {what!r} takes {n_bytes} bytes; the limit for one is "
                f"{self._max_bytes}, and for all {_EXPANSION} times what the file holds"
            )

    def turned(self, array: Array, perm: Sequence[int], what: str) -> Array:
        """Give a constant with its dims in another order, made once.

        Parameters
        ----------
        array : ndarray
            What `stored` or `real` gave.
        perm : sequence of int
        what : str
            Name of the tensor, for messages.

        Returns
        -------
        array : ndarray
            Contiguous.

        Examples
        --------
        >>> constants.turned(weights, [1, 0], "w").shape   # doctest: +SKIP
        (10, 64)
        """
        key = (array.ctypes.data, array.shape, array.dtype.str, tuple(perm))
        if key not in self._turned:
            self.spend(array.nbytes, what)
            turned = np.ascontiguousarray(array.transpose(perm))
            self._turned[key] = (array, turned)  # the address stays taken
        return self._turned[key][1]

    def stored(self, tensor: TensorRecord) -> Array:
        """Give the elements as they are stored; 4 bits become int8.

        Parameters
        ----------
        tensor : TensorRecord

        Returns
        -------
        array : ndarray of tensor.shape

        Raises
        ------
        ModelFormatError
            The buffer's length is not what the shape needs.
        ModelLimitError
            It is too large.
        UnsupportedOpError
            Elements that have no place here: texts, resources.

        Examples
        --------
        >>> constants.stored(weights).dtype                # doctest: +SKIP
        dtype('int8')
        """
        if tensor.dtype in ("string", "resource", "variant", "bfloat16"):
            raise UnsupportedOpError(
                f"tensor {tensor.name!r}: constants of {tensor.dtype}"
            )
        buffer = self._buffers[tensor.buffer]
        if tensor.sparsity is not None:
            return self._once("sparse", tensor, lambda: self._dense(tensor, buffer))
        if tensor.dtype == "int4":
            n = math.prod(tensor.shape)
            return self._once("int4", tensor, lambda: self._elements(tensor, buffer, n))
        return self._elements(tensor, buffer, math.prod(tensor.shape))

    def _elements(self, tensor: TensorRecord, buffer: Array, n: int) -> Array:
        """So many elements of a buffer, in the tensor's shape where they fill it."""
        shape = tensor.shape if n == math.prod(tensor.shape) else (n,)
        if tensor.dtype == "int4":
            if buffer.size != (n + 1) // 2:
                raise self._wrong_size(tensor, (n + 1) // 2, buffer)
            pair = np.stack([buffer << 4, buffer], -1).view(np.int8) >> 4
            return pair.reshape(-1)[:n].reshape(shape)
        dtype = np.dtype(tensor.dtype)
        if buffer.size != n * dtype.itemsize:
            raise self._wrong_size(tensor, n * dtype.itemsize, buffer)
        found: Array = buffer
        if tensor.dtype == "bool":
            found = buffer != 0
        elif buffer.ctypes.data % dtype.itemsize:
            found = self._once("aligned", tensor, buffer.copy)
        return found.view(dtype).reshape(shape)

    @staticmethod
    def _wrong_size(tensor: TensorRecord, expected: int, buffer: Array) -> Exception:
        return ModelFormatError(
            f"tensor {tensor.name!r}: its shape {tensor.shape} needs {expected} bytes, "
            f"its buffer has {buffer.size}"
        )

    def real(self, tensor: TensorRecord) -> Array:
        """Give the numbers that the elements mean: float32, or integers that count.

        Parameters
        ----------
        tensor : TensorRecord

        Returns
        -------
        array : ndarray of tensor.shape

        Raises
        ------
        ModelFormatError, ModelLimitError, UnsupportedOpError
            As `stored` does.

        Examples
        --------
        >>> constants.real(weights).dtype                  # doctest: +SKIP
        dtype('float32')
        """
        quantization = tensor.quantization
        if tensor.dtype == "float16":
            return self._once(
                "half", tensor, lambda: self.stored(tensor).astype(np.float32)
            )
        if quantization is None or tensor.dtype not in QUANTIZED:
            return self.stored(tensor)
        return self._once(
            "real", tensor, lambda: dequantize(self.stored(tensor), quantization)
        )

    def _once(
        self, kind: str, tensor: TensorRecord, make: Callable[[], Array]
    ) -> Array:
        """What was made before for this very tensor, or new."""
        key = (id(tensor), kind)
        if key not in self._made:
            self.spend(math.prod(tensor.shape) * 4, tensor.name)
            self._made[key] = make()
        return self._made[key]

    def _dense(self, tensor: TensorRecord, buffer: Array) -> Array:
        """Elements that were stored without the zeros."""
        table = tensor.sparsity
        assert table is not None
        what = f"tensor {tensor.name!r}: its sparsity"
        order = table.numbers(0, "int32")
        block_map = table.numbers(1, "int32")
        levels = table.tables(2, "dims of a sparse tensor", _MAX_LEVELS)
        rank, n_blocks = len(tensor.shape), len(block_map)
        if (
            sorted(order) != list(range(rank + n_blocks))
            or len(levels) != len(order)
            or len(set(block_map)) != n_blocks
            or any(not 0 <= dim < rank for dim in block_map)
            or any(place < rank for place in order[rank:])
        ):
            raise ModelFormatError(f"{what} is no order of its dims")
        sizes = [level.number(1, "int32", 0) for level in levels]
        blocks = [sizes[order.index(rank + i)] for i in range(n_blocks)]
        full = list(tensor.shape)
        for dim, block in zip(block_map, blocks, strict=True):
            if block < 1 or full[dim] % block:
                raise ModelFormatError(f"{what} has blocks that do not fill it")
            full[dim] //= block
        full += blocks
        places = np.zeros((1, 0), np.int64)
        most = math.prod(tensor.shape)
        for level, dim in zip(levels, order, strict=True):
            places = _deeper(level, places, full[dim], most, what)
        values = self._elements(tensor, buffer, len(places)).reshape(-1)
        out = np.zeros(full, values.dtype)
        index: list[Array] = [np.empty(0)] * len(order)
        for column, dim in enumerate(order):
            index[dim] = places[:, column]
        out[tuple(index)] = values
        return _without_blocks(out, rank, block_map).reshape(tensor.shape)


def _without_blocks(array: Array, rank: int, block_map: list[int]) -> Array:
    """Move each dim of blocks behind the dim that it is of."""
    axes: list[int] = []
    for dim in range(rank):
        axes.append(dim)
        axes += [rank + i for i, owner in enumerate(block_map) if owner == dim]
    turned: Array = array.transpose(axes)
    return turned


def _deeper(level: Table, places: Array, size: int, most: int, what: str) -> Array:
    """Places of the next level below each place of the levels above."""
    if level.number(0, "int8", 0) == 0:
        if level.number(1, "int32", 0) != size or len(places) * size > most:
            raise ModelFormatError(f"{what} has a dim of a wrong size")
        above = np.repeat(places, size, axis=0)
        here = np.tile(np.arange(size), len(places))
        return np.column_stack([above, here])
    segments, indices = (_index_vector(level, slot) for slot in (2, 4))
    if (
        len(segments) != len(places) + 1
        or (segments.size and segments[0] != 0)
        or (np.diff(segments) < 0).any()
        or int(segments[-1]) != len(indices)
        or len(indices) > most
        or (indices < 0).any()
        or (indices >= size).any()
    ):
        raise ModelFormatError(f"{what} has indices that do not fit")
    counts = [end - begin for begin, end in pairwise(segments.tolist())]
    return np.column_stack([np.repeat(places, counts, axis=0), indices])


def _index_vector(level: Table, slot: int) -> Array:
    kind = _INDEX_KINDS.get(level.number(slot, "uint8", 0))
    table = level.table(slot + 1)
    found = None if table is None or kind is None else table.vector(0, kind)
    return np.empty(0, np.int64) if found is None else found.astype(np.int64)
