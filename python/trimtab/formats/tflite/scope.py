"""A subgraph on its way to ONNX: which tensor of the graph stands for which of it.

Enters: tensors by their number. Leaves: names in the graph. A quantised tensor stands
in the graph as the real numbers that its integers mean; the integers are made where
somebody asks for them. A tensor of four dims may also stand channels first, as
convolutions leave it, so that what follows need not turn it back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from trimtab.errors import ModelFormatError, ModelLimitError, UnsupportedOpError
from trimtab.formats.builder import GraphBuilder
from trimtab.formats.tflite import linear
from trimtab.formats.tflite.constants import QUANTIZED, Constants
from trimtab.formats.tflite.contents import (
    Contents,
    SubgraphRecord,
    TensorRecord,
)
from trimtab.formats.tflite.states import State, States
from trimtab.graph import DTYPES
from trimtab.limits import Limits
from trimtab.types import Array

__all__ = ["RANGES", "Scope", "Work"]

#: What each quantised type holds.
RANGES = {
    "int4": (-8, 7),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
}

_TO_FIRST = [0, 3, 1, 2]
_TO_LAST = [0, 2, 3, 1]


@dataclass
class Work:
    """What all scopes of a model share.

    Parameters
    ----------
    contents : Contents
    constants : Constants
    limits : Limits
    states : States
    convert : callable
        Converts all operators of a scope.
    """

    contents: Contents
    constants: Constants
    limits: Limits
    states: States
    convert: Callable[[Scope], None]
    n_operators: int = 0
    initial: dict[tuple[str, str], Array] = field(default_factory=dict)

    def count(self) -> None:
        """Count an operator, bodies as often as they are used.

        Raises
        ------
        ModelLimitError
            There are more than allowed.

        Examples
        --------
        >>> work.count()                                   # doctest: +SKIP
        """
        self.n_operators += 1
        if self.n_operators > self.limits.max_nodes:
            raise ModelLimitError(
                f"the model has more than {self.limits.max_nodes} operators, bodies "
                "of WHILE and IF counted as often as they are used"
            )


class Scope:
    """One subgraph and the graph that it becomes.

    Parameters
    ----------
    work : Work
    index : int
        Of the subgraph.
    builder : GraphBuilder
    outer : tuple of int
        Subgraphs that this one is called from, outermost first.
    """

    def __init__(
        self, work: Work, index: int, builder: GraphBuilder, outer: tuple[int, ...] = ()
    ) -> None:
        if index in outer:
            raise ModelFormatError(f"subgraph {index} calls itself")
        if len(outer) > work.limits.max_depth:
            raise ModelLimitError(
                f"subgraphs call each other {len(outer)} deep, the limit is "
                f"{work.limits.max_depth}"
            )
        if not 0 <= index < len(work.contents.subgraphs):
            raise ModelFormatError(
                f"there is no subgraph {index}, the file has "
                f"{len(work.contents.subgraphs)}"
            )
        self.work = work
        self.builder = builder
        self.path = (*outer, index)
        self.record: SubgraphRecord = work.contents.subgraphs[index]
        self.handles: dict[int, tuple[str, str]] = {}
        self._reals: dict[int, str] = {}
        self._firsts: dict[int, str] = {}
        self._raws: dict[int, str] = {}
        self._written: set[int] = set()
        self._known: dict[int, Array] = {}

    @property
    def is_main(self) -> bool:
        """Is it no body of another one?"""
        return len(self.path) == 1

    def tensor(self, index: int) -> TensorRecord:
        """Give what the file declares of a tensor.

        Parameters
        ----------
        index : int

        Returns
        -------
        tensor : TensorRecord

        Examples
        --------
        >>> scope.tensor(0).dtype                          # doctest: +SKIP
        'int8'
        """
        return self.record.tensors[index]

    def constant(self, index: int) -> Array | None:
        """Give the stored elements of a constant; None for what is computed.

        Parameters
        ----------
        index : int

        Returns
        -------
        array : ndarray or None

        Examples
        --------
        >>> scope.constant(3)                              # doctest: +SKIP
        array([1, 2], dtype=int32)
        """
        tensor = self.tensor(index)
        constants = self.work.constants
        if index in self._known:
            return self._known[index]
        if constants.has(tensor):
            return constants.stored(tensor)
        if index in self._written:
            return None
        if 0 in tensor.shape and not tensor.is_variable and tensor.dtype in DTYPES:
            return np.empty(tensor.shape, tensor.dtype)
        return None

    def real_constant(self, index: int) -> Array | None:
        """Give the numbers that a constant means; None for what is computed.

        Parameters
        ----------
        index : int

        Returns
        -------
        array : ndarray or None

        Examples
        --------
        >>> scope.real_constant(3).dtype                   # doctest: +SKIP
        dtype('float32')
        """
        if index not in self._known and self.work.constants.has(self.tensor(index)):
            return self.work.constants.real(self.tensor(index))
        return self.constant(index)

    # ---- reading -----------------------------------------------------------

    def real(self, index: int) -> str:
        """Name the tensor of real numbers, or of integers that count.

        Parameters
        ----------
        index : int

        Returns
        -------
        tensor : str

        Raises
        ------
        ModelFormatError
            Nothing has computed it so far.

        Examples
        --------
        >>> scope.real(0)                                  # doctest: +SKIP
        'x'
        """
        if index not in self._reals:
            self._reals[index] = self._make_real(index)
        return self._reals[index]

    def _make_real(self, index: int) -> str:
        tensor, builder = self.tensor(index), self.builder
        if index in self._firsts:
            return builder.op(
                "Transpose", [self._firsts[index]], name=tensor.name, perm=_TO_LAST
            )
        if index in self._raws:
            return self._raw_to_real(tensor, self._raws[index])
        constant = self.real_constant(index)
        if constant is not None:
            return builder.constant(constant, tensor.name)
        if tensor.is_variable:
            self._raws[index] = self.state(index).value
            return self._raw_to_real(tensor, self._raws[index])
        raise ModelFormatError(
            f"tensor {tensor.name!r} is used, but nothing computes it before"
        )

    def _raw_to_real(self, tensor: TensorRecord, raw: str) -> str:
        builder, quantization = self.builder, tensor.quantization
        if tensor.dtype == "float16":
            return builder.op("Cast", [raw], name=tensor.name, to=DTYPES["float32"][0])
        if quantization is None or tensor.dtype not in QUANTIZED:
            return raw
        return linear.dequantize_raw(builder, raw, tensor)

    def raw(self, index: int) -> str:
        """Name the tensor of elements as the file has them.

        Parameters
        ----------
        index : int

        Returns
        -------
        tensor : str

        Examples
        --------
        >>> scope.raw(0)                                   # doctest: +SKIP
        'x'
        """
        if index not in self._raws:
            self._raws[index] = self._make_raw(index)
        return self._raws[index]

    def _make_raw(self, index: int) -> str:
        tensor, builder, quantization = (
            self.tensor(index),
            self.builder,
            self.tensor(index).quantization,
        )
        constant = self.constant(index)
        if constant is not None:
            return builder.constant(constant, tensor.name)
        real = self.real(index)
        if index in self._raws:  # a state
            return self._raws[index]
        if tensor.dtype == "float16":
            return builder.op("Cast", [real], to=DTYPES["float16"][0])
        if quantization is None or tensor.dtype not in QUANTIZED:
            return real
        return linear.quantize_raw(builder, real, tensor)

    def channels_first(self, index: int) -> str:
        """Name the tensor of real numbers with channels before rows.

        Parameters
        ----------
        index : int
            Of a tensor of four dims.

        Returns
        -------
        tensor : str

        Raises
        ------
        ModelFormatError
            It has another number of dims.

        Examples
        --------
        >>> scope.channels_first(0)                        # doctest: +SKIP
        'x_1'
        """
        if index not in self._firsts:
            tensor = self.tensor(index)
            if tensor.rank != 4:
                raise ModelFormatError(
                    f"tensor {tensor.name!r} must have 4 dims, its shape is "
                    f"{tensor.shape}"
                )
            self._firsts[index] = self._turned(index, tensor)
        return self._firsts[index]

    def _turned(self, index: int, tensor: TensorRecord) -> str:
        name = f"{tensor.name}_nchw"
        if index in self._raws and index not in self._reals:
            # the integers, so that what reads them finds them behind DequantizeLinear
            raw = self.builder.op(
                "Transpose", [self._raws[index]], name=name, perm=_TO_FIRST
            )
            return self._raw_to_real(tensor, raw)
        return self.builder.op(
            "Transpose", [self.real(index)], name=name, perm=_TO_FIRST
        )

    def has_channels_first(self, index: int) -> bool:
        """Is the tensor there with channels before rows?

        Parameters
        ----------
        index : int

        Returns
        -------
        is_there : bool

        Examples
        --------
        >>> scope.has_channels_first(0)                    # doctest: +SKIP
        False
        """
        return index in self._firsts

    # ---- writing -----------------------------------------------------------

    def _own(self, index: int) -> None:
        """Refuse what is there already."""
        if index in self._written or self.work.constants.has(self.tensor(index)):
            raise ModelFormatError(
                f"tensor {self.tensor(index).name!r} is computed twice"
            )
        self._written.add(index)

    def set_real(self, index: int, name: str, *, channels_first: bool = False) -> None:
        """Say which tensor holds the real numbers; they are on the grid of steps.

        Parameters
        ----------
        index : int
        name : str
        channels_first : bool, default=False

        Examples
        --------
        >>> scope.set_real(7, "Relu_3")                    # doctest: +SKIP
        """
        self._own(index)
        (self._firsts if channels_first else self._reals)[index] = name

    def set_raw(self, index: int, name: str) -> None:
        """Say which tensor holds the elements as the file has them.

        Parameters
        ----------
        index : int
        name : str

        Examples
        --------
        >>> scope.set_raw(0, "x")                          # doctest: +SKIP
        """
        self._own(index)
        self._raws[index] = name

    def set_constant(self, index: int, array: Array) -> None:
        """Say that a result is known already.

        Parameters
        ----------
        index : int
        array : ndarray
            Its real numbers.

        Examples
        --------
        >>> scope.set_constant(7, np.zeros(3, np.float32))     # doctest: +SKIP
        """
        self._own(index)
        self._known[index] = array

    # ---- states ------------------------------------------------------------

    def state(self, index: int) -> State:
        """Give the state behind a variable tensor.

        Parameters
        ----------
        index : int

        Returns
        -------
        state : State

        Raises
        ------
        UnsupportedOpError
            It is inside of a body.

        Examples
        --------
        >>> scope.state(3).input                           # doctest: +SKIP
        'hidden_state'
        """
        tensor = self.tensor(index)
        if not self.is_main:
            raise UnsupportedOpError(
                f"tensor {tensor.name!r}: states inside of WHILE and IF"
            )
        found = self.work.states.get(index)
        if found is not None:
            return found
        if not tensor.is_variable or tensor.dtype not in DTYPES:
            raise ModelFormatError(f"tensor {tensor.name!r} is no variable")
        fill = 0
        if tensor.quantization is not None and tensor.dtype in QUANTIZED:
            fill = int(tensor.quantization.zero_point[0])
        self.work.constants.spend(math.prod(tensor.shape) * 8, tensor.name)
        initial = np.full(tensor.shape, fill, tensor.dtype)
        return self.work.states.add(index, tensor.name, initial)

    def set_state(self, index: int, real: str) -> None:
        """Say which tensor holds the new value of a variable tensor.

        Parameters
        ----------
        index : int
        real : str
            Its real numbers.

        Examples
        --------
        >>> scope.set_state(3, "LSTM_1")                   # doctest: +SKIP
        """
        state = self.state(index)
        for known in (self._reals, self._firsts, self._raws):
            known.pop(index, None)
        self._reals[index] = real
        state.value = self.raw(index)
