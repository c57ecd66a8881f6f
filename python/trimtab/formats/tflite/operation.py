"""One operator being converted: its operands by place, and how results are written.

Enters: an `OperatorRecord` in a `Scope`. Leaves: nodes in the graph, and results that
went through the fused activation and onto the grid of the output's quantisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.formats.tflite.constants import QUANTIZED
from trimtab.formats.tflite.contents import OperatorRecord, TensorRecord
from trimtab.formats.tflite.linear import to_grid
from trimtab.formats.tflite.scope import RANGES, Scope
from trimtab.graph import DTYPES
from trimtab.types import Array

__all__ = ["ACTIVATIONS", "Operation"]

#: Fused activations: name, and the range that they clamp to (None for others).
ACTIVATIONS: tuple[tuple[str, tuple[float, float] | None], ...] = (
    ("", None),
    ("Relu", (0.0, math.inf)),
    ("relu_n1_to_1", (-1.0, 1.0)),
    ("relu6", (0.0, 6.0)),
    ("Tanh", None),
)


class Operation:
    """An operator and where it stands.

    Parameters
    ----------
    scope : Scope
    record : OperatorRecord
    """

    def __init__(self, scope: Scope, record: OperatorRecord) -> None:
        self.scope = scope
        self.record = record
        self.builder = scope.builder
        self.kind = record.title

    # ---- operands ----------------------------------------------------------

    def has(self, place: int) -> bool:
        """Is an input there?

        Parameters
        ----------
        place : int

        Returns
        -------
        is_there : bool

        Examples
        --------
        >>> operation.has(2)                               # doctest: +SKIP
        True
        """
        inputs = self.record.inputs
        return place < len(inputs) and inputs[place] >= 0

    def index(self, place: int) -> int:
        """Give the number of an input's tensor.

        Parameters
        ----------
        place : int

        Returns
        -------
        index : int

        Raises
        ------
        ModelFormatError
            The input is absent.

        Examples
        --------
        >>> operation.index(0)                             # doctest: +SKIP
        12
        """
        if not self.has(place):
            raise ModelFormatError(
                f"{self.title}: input {place} is missing, it has "
                f"{len(self.record.inputs)}"
            )
        return self.record.inputs[place]

    def tensor(self, place: int) -> TensorRecord:
        """Give what the file declares of an input.

        Parameters
        ----------
        place : int

        Returns
        -------
        tensor : TensorRecord

        Examples
        --------
        >>> operation.tensor(0).shape                      # doctest: +SKIP
        (1, 224, 224, 3)
        """
        return self.scope.tensor(self.index(place))

    def result_index(self, place: int = 0) -> int:
        """Give the number of an output's tensor.

        Parameters
        ----------
        place : int, default=0

        Returns
        -------
        index : int

        Raises
        ------
        ModelFormatError
            The operator has no such output.

        Examples
        --------
        >>> operation.result_index()                       # doctest: +SKIP
        13
        """
        outputs = self.record.outputs
        if place >= len(outputs):
            raise ModelFormatError(
                f"{self.kind}: output {place} is missing, it has {len(outputs)}"
            )
        return outputs[place]

    def result(self, place: int = 0) -> TensorRecord:
        """Give what the file declares of an output.

        Parameters
        ----------
        place : int, default=0

        Returns
        -------
        tensor : TensorRecord

        Examples
        --------
        >>> operation.result().name                        # doctest: +SKIP
        'conv2d/Relu'
        """
        return self.scope.tensor(self.result_index(place))

    @property
    def title(self) -> str:
        """Kind and name, for messages."""
        outputs = self.record.outputs
        name = self.scope.tensor(outputs[0]).name if outputs else ""
        return f"{self.kind} {name!r}"

    def option(self, name: str) -> Any:
        """Give an option.

        Parameters
        ----------
        name : str

        Returns
        -------
        value : int, float, bool, str or list of int

        Examples
        --------
        >>> operation.option("stride_w")                   # doctest: +SKIP
        2
        """
        return self.record.options[name]

    def x(self, place: int = 0) -> str:
        """Name the real numbers of an input.

        Parameters
        ----------
        place : int, default=0

        Returns
        -------
        tensor : str

        Examples
        --------
        >>> operation.x()                                  # doctest: +SKIP
        'conv2d/Relu'
        """
        return self.scope.real(self.index(place))

    def nchw(self, place: int = 0) -> str:
        """Name the real numbers of an input with channels first.

        Parameters
        ----------
        place : int, default=0

        Returns
        -------
        tensor : str

        Examples
        --------
        >>> operation.nchw()                               # doctest: +SKIP
        'conv2d/Relu_nchw'
        """
        return self.scope.channels_first(self.index(place))

    def constant(self, place: int, what: str) -> Array:
        """Give the stored elements of an input that must be a constant.

        Parameters
        ----------
        place : int
        what : str
            What it is, for the message.

        Returns
        -------
        array : ndarray

        Raises
        ------
        UnsupportedOpError
            It is computed.

        Examples
        --------
        >>> operation.constant(1, "the axis")              # doctest: +SKIP
        array(1, dtype=int32)
        """
        found = self.scope.constant(self.index(place))
        if found is None:
            raise UnsupportedOpError(
                f"{self.title}: {what} is computed while the model runs; only "
                "constants are supported there"
            )
        return found

    def ints(self, place: int, what: str) -> list[int]:
        """Give the numbers of an input that must be a constant of integers.

        Parameters
        ----------
        place : int
        what : str

        Returns
        -------
        numbers : list of int

        Raises
        ------
        ModelFormatError
            It has other elements, or very many.

        Examples
        --------
        >>> operation.ints(1, "the permutation")           # doctest: +SKIP
        [0, 3, 1, 2]
        """
        found = self.constant(place, what)
        if found.dtype.kind not in "iu" or found.size > 1 << 16:
            raise ModelFormatError(
                f"{self.title}: {what} must be a few integers, got {found.size} of "
                f"{found.dtype}"
            )
        return [int(number) for number in found.reshape(-1)]

    def int64(self, place: int) -> str:
        """Name an input of integers, as int64.

        Parameters
        ----------
        place : int

        Returns
        -------
        tensor : str

        Raises
        ------
        ModelFormatError
            It has other elements.

        Examples
        --------
        >>> operation.int64(1)                             # doctest: +SKIP
        'shape'
        """
        found = self.scope.constant(self.index(place))
        if found is not None:
            if found.dtype.kind not in "iu":
                raise ModelFormatError(
                    f"{self.title}: input {place} must be integers, got {found.dtype}"
                )
            return self.const(found.astype(np.int64))
        raw = self.scope.raw(self.index(place))
        return raw if self.tensor(place).dtype == "int64" else self.cast(raw, "int64")

    def axis(self, value: int, rank: int) -> int:
        """Count an axis from the front.

        Parameters
        ----------
        value, rank : int

        Returns
        -------
        axis : int

        Raises
        ------
        ModelFormatError
            There is no such axis.

        Examples
        --------
        >>> operation.axis(-1, 4)                          # doctest: +SKIP
        3
        """
        if not -rank <= value < rank:
            raise ModelFormatError(
                f"{self.title}: axis {value} is outside [-{rank}, {rank})"
            )
        return value % rank

    # ---- nodes -------------------------------------------------------------

    def emit(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node with one output, called like the operator's output.

        Parameters
        ----------
        op_type : str
        inputs : sequence of str
        **attributes : trimtab.graph.Attribute

        Returns
        -------
        tensor : str

        Examples
        --------
        >>> operation.emit("Relu", [operation.x()])        # doctest: +SKIP
        'activation'
        """
        return self.builder.op(op_type, inputs, name=self.result().name, **attributes)

    def const(
        self, value: npt.ArrayLike, dtype: str | None = None, name: str = ""
    ) -> str:
        """Add a constant.

        Parameters
        ----------
        value : array-like
        dtype : str, optional
        name : str, optional

        Returns
        -------
        tensor : str

        Examples
        --------
        >>> operation.const([1, 2], "int64")               # doctest: +SKIP
        'constant'
        """
        array = np.asarray(value, dtype and self._held(dtype))
        self.scope.work.constants.spend(array.nbytes, name or self.title)
        return self.builder.constant(array, name)

    def cast(self, tensor: str, dtype: str) -> str:
        """Convert elements.

        Parameters
        ----------
        tensor, dtype : str

        Returns
        -------
        tensor : str

        Examples
        --------
        >>> operation.cast("x", "int32")                   # doctest: +SKIP
        'Cast'
        """
        return self.builder.op("Cast", [tensor], to=DTYPES[self._held(dtype)][0])

    def _held(self, dtype: str | None) -> str:
        """An element type, if there can be numbers of it here."""
        if dtype in ("string", "resource", "variant", "int4"):
            raise UnsupportedOpError(f"{self.title}: a result of {dtype}")
        return dtype or "float32"

    def reshape(self, tensor: str, shape: Sequence[int]) -> str:
        """Reshape to numbers, one of which may be -1.

        Parameters
        ----------
        tensor : str
        shape : sequence of int

        Returns
        -------
        tensor : str

        Examples
        --------
        >>> operation.reshape("x", [-1, 4])                # doctest: +SKIP
        'Reshape'
        """
        allow_zero = {"allowzero": 1} if 0 in shape else {}
        return self.emit(
            "Reshape", [tensor, self.const(list(shape), "int64")], **allow_zero
        )

    # ---- results -----------------------------------------------------------

    def finish(
        self, tensor: str, place: int = 0, *, channels_first: bool = False
    ) -> None:
        """Write a result: fused activation, then the steps of the output's integers.

        Parameters
        ----------
        tensor : str
            Real numbers.
        place : int, default=0
            Of the output.
        channels_first : bool, default=False

        Raises
        ------
        UnsupportedOpError
            There is no such activation here.

        Examples
        --------
        >>> operation.finish("Conv_3", channels_first=True)    # doctest: +SKIP
        """
        code = self.record.options.get("activation", 0)
        if not 0 <= code < len(ACTIVATIONS):
            raise UnsupportedOpError(f"{self.title}: fused activation {code}")
        activation, bounds = ACTIVATIONS[code]
        self._write(tensor, place, activation, bounds, channels_first)

    def write(
        self, tensor: str, place: int = 0, *, channels_first: bool = False
    ) -> None:
        """Write a result as `finish`, without the activation.

        Parameters
        ----------
        tensor : str
        place : int, default=0
        channels_first : bool, default=False

        Examples
        --------
        >>> operation.write("Add_3")                       # doctest: +SKIP
        """
        self._write(tensor, place, "", None, channels_first)

    def _write(
        self,
        tensor: str,
        place: int,
        activation: str,
        bounds: tuple[float, float] | None,
        channels_first: bool,
    ) -> None:
        index, result = self.result_index(place), self.result(place)
        if result.quantization is not None and result.dtype in QUANTIZED:
            if activation and bounds is None:
                tensor = self.emit(activation, [tensor])
            tensor = self.to_steps(tensor, result, bounds)
        elif activation in ("Relu", "Tanh"):
            tensor = self.emit(activation, [tensor])
        elif bounds is not None:
            tensor = self.clip(tensor, *bounds)
        self.scope.set_real(index, tensor, channels_first=channels_first)

    def clip(self, tensor: str, low: float, high: float) -> str:
        """Clamp real numbers.

        Parameters
        ----------
        tensor : str
        low, high : float

        Returns
        -------
        tensor : str

        Examples
        --------
        >>> operation.clip("x", 0, 6)                      # doctest: +SKIP
        'Clip'
        """
        bounds = [self.const(low, "float32"), self.const(high, "float32")]
        return self.emit("Clip", [tensor, *bounds])

    def to_steps(
        self, tensor: str, like: TensorRecord, bounds: tuple[float, float] | None = None
    ) -> str:
        """Round real numbers to those that a quantised tensor can hold.

        Parameters
        ----------
        tensor : str
        like : TensorRecord
        bounds : (float, float), optional
            Clamps to this range too.

        Returns
        -------
        tensor : str

        Raises
        ------
        UnsupportedOpError
            The tensor has several scales.

        Examples
        --------
        >>> operation.to_steps("x", operation.result())    # doctest: +SKIP
        'Mul_1'
        """
        if bounds is not None and like.quantization is not None:
            scale = float(like.quantization.scale[0])
            zero_point = int(like.quantization.zero_point[0])
            low, high = (bound - zero_point for bound in RANGES[like.dtype])
            held = [float(np.clip(np.rint(b / scale), low, high)) for b in bounds]
            if held != [low, high]:
                tensor = self.clip(tensor, held[0] * scale, held[1] * scale)
        return to_grid(self.builder, tensor, like)

    def move(
        self, tensor: str, place: int = 0, *, channels_first: bool = False
    ) -> None:
        """Write a result whose numbers are some of the inputs', only elsewhere.

        Parameters
        ----------
        tensor : str
        place : int, default=0
        channels_first : bool, default=False

        Examples
        --------
        >>> operation.move("Reshape_3")                    # doctest: +SKIP
        """
        result = self.result(place)
        kept = result.quantization is None or result.dtype not in QUANTIZED
        if not kept:
            kept = all(
                result.quantization is not None
                and result.quantization.equals(self.scope.tensor(index).quantization)
                for index in self.record.inputs
                if index >= 0 and self.scope.tensor(index).dtype == result.dtype
            )
        if kept:
            index = self.result_index(place)
            self.scope.set_real(index, tensor, channels_first=channels_first)
        else:
            self.write(tensor, place, channels_first=channels_first)
