"""QuantizeLinear and DequantizeLinear for quantised tensors of a file.

The engine knows one form of integers best: activations of uint8, weights of int8.
So tensors of int8 are written as uint8 with a zero point that is 128 more, weights of
uint8 as int8 with one that is 128 less: the numbers they stand for are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.errors import UnsupportedOpError
from trimtab.formats.builder import GraphBuilder
from trimtab.formats.tflite.contents import Quantization, TensorRecord
from trimtab.types import Array

__all__ = ["dequantize_raw", "is_integer_weights", "quantize_raw", "to_grid", "weights"]

# Type of a file -> type in the graph, and what its zero point is more.
_ACTIVATIONS = {"int8": ("uint8", 128), "uint8": ("uint8", 0), "int16": ("int16", 0)}
_WEIGHTS = {"int4": 0, "int8": 0, "uint8": 128}


def _single(tensor: TensorRecord) -> Quantization:
    """Quantisation of a tensor that is computed."""
    quantization = tensor.quantization
    if quantization is None or quantization.is_per_axis or tensor.dtype == "int4":
        n = 0 if quantization is None else quantization.scale.size
        raise UnsupportedOpError(
            f"tensor {tensor.name!r} is computed and has {tensor.dtype} with {n} "
            "scales; only weights may be like that"
        )
    return quantization


def _steps(builder: GraphBuilder, tensor: TensorRecord, dtype: str) -> list[str]:
    """Constants of scale and zero point for the tensor as another type."""
    quantization = _single(tensor)
    more = 128 if (tensor.dtype, dtype) == ("int8", "uint8") else 0
    zero_point = int(quantization.zero_point[0]) + more
    return [
        builder.constant(float(quantization.scale[0]), "", "float32"),
        builder.constant(zero_point, "", dtype),
    ]


def to_grid(builder: GraphBuilder, real: str, tensor: TensorRecord) -> str:
    """Round real numbers to those that a tensor can hold.

    Parameters
    ----------
    builder : GraphBuilder
    real : str
    tensor : TensorRecord

    Returns
    -------
    real : str

    Raises
    ------
    UnsupportedOpError
        The tensor has several scales.

    Examples
    --------
    >>> to_grid(builder, "Relu_1", tensor)                 # doctest: +SKIP
    'DequantizeLinear'
    """
    dtype = _ACTIVATIONS.get(tensor.dtype, ("", 0))[0]
    steps = _steps(builder, tensor, dtype or tensor.dtype)
    raw = builder.op("QuantizeLinear", [real, *steps])
    return builder.op("DequantizeLinear", [raw, *steps])


def quantize_raw(builder: GraphBuilder, real: str, tensor: TensorRecord) -> str:
    """Give the elements as the file has them.

    Parameters
    ----------
    builder : GraphBuilder
    real : str
    tensor : TensorRecord

    Returns
    -------
    raw : str

    Examples
    --------
    >>> quantize_raw(builder, "Relu_1", tensor)            # doctest: +SKIP
    'QuantizeLinear'
    """
    return builder.op("QuantizeLinear", [real, *_steps(builder, tensor, tensor.dtype)])


def dequantize_raw(builder: GraphBuilder, raw: str, tensor: TensorRecord) -> str:
    """Give the real numbers of elements as the file has them.

    Parameters
    ----------
    builder : GraphBuilder
    raw : str
    tensor : TensorRecord

    Returns
    -------
    real : str

    Examples
    --------
    >>> dequantize_raw(builder, "x", tensor)               # doctest: +SKIP
    'DequantizeLinear'
    """
    steps = _steps(builder, tensor, tensor.dtype)
    real = builder.op("DequantizeLinear", [raw, *steps])
    return to_grid(builder, real, tensor) if tensor.dtype == "int8" else real


def is_integer_weights(source: TensorRecord, tensor: TensorRecord) -> bool:
    """Are source and weights of types that are multiplied as integers?

    Parameters
    ----------
    source : TensorRecord
        The activations.
    tensor : TensorRecord
        The weights.

    Returns
    -------
    is_integer : bool

    Examples
    --------
    >>> is_integer_weights(source, tensor)                 # doctest: +SKIP
    True
    """
    return (
        source.quantization is not None
        and source.dtype in ("int8", "uint8")
        and tensor.quantization is not None
        and tensor.dtype in _WEIGHTS
    )


def weights(
    builder: GraphBuilder, stored: Array, tensor: TensorRecord, perm: list[int]
) -> str:
    """Write weights as int8 behind DequantizeLinear.

    Parameters
    ----------
    builder : GraphBuilder
    stored : ndarray
        The elements with their dims in the order of `perm`.
    tensor : TensorRecord
    perm : list of int

    Returns
    -------
    real : str

    Examples
    --------
    >>> weights(builder, stored, tensor, [0, 3, 1, 2])     # doctest: +SKIP
    'DequantizeLinear'
    """
    quantization = tensor.quantization
    assert quantization is not None
    if tensor.dtype == "uint8":
        stored = (stored ^ np.uint8(128)).view(np.int8)
    zeros = (quantization.zero_point - _WEIGHTS[tensor.dtype]).astype(np.int8)
    scale = quantization.scale.astype(np.float32)
    axis: dict[str, Any] = {}
    if quantization.is_per_axis:
        axis = {"axis": perm.index(quantization.axis)}
    else:
        scale, zeros = scale.reshape(()), zeros.reshape(())
    inputs = [
        builder.constant(stored, tensor.name),
        builder.constant(scale),
        builder.constant(zeros),
    ]
    return builder.op("DequantizeLinear", inputs, **axis)
