"""Operators of TFLite: name -> the function that writes them as nodes of ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trimtab.formats.tflite.operation import Operation
from trimtab.formats.tflite.operators.control import CONTROL
from trimtab.formats.tflite.operators.convolution import CONVOLUTIONS
from trimtab.formats.tflite.operators.detection import DETECTION
from trimtab.formats.tflite.operators.elementwise import ELEMENTWISE
from trimtab.formats.tflite.operators.recurrent import RECURRENT
from trimtab.formats.tflite.operators.reduction import REDUCTIONS
from trimtab.formats.tflite.operators.shaping import SHAPING
from trimtab.formats.tflite.operators.spatial import SPATIAL
from trimtab.formats.tflite.operators.strided_slice import STRIDED_SLICES

__all__ = ["OPERATORS"]

#: Builtin operators by name, custom ones by theirs.
OPERATORS: Mapping[str, Callable[[Operation], None]] = {
    **CONTROL,
    **CONVOLUTIONS,
    **DETECTION,
    **ELEMENTWISE,
    **RECURRENT,
    **REDUCTIONS,
    **SHAPING,
    **SPATIAL,
    **STRIDED_SLICES,
}
