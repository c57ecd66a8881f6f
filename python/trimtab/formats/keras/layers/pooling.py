"""Pooling: windows, whole axes, and a given number of bins."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.channels import (
    is_channels_first,
    same_padding,
    same_size,
    to_first,
    to_last,
)
from trimtab.graph import Attribute, Dims

__all__ = ["adaptive_pooling", "global_pooling", "pooling"]

_MAX_BINS = 256

Bounds: TypeAlias = "list[tuple[int, int]]"


def _open(context: LayerContext) -> tuple[Tensor, int, bool, bool]:
    """Input with channels at axis 1, spatial rank, were they there; is it a mean?"""
    n = next(int(letter) for letter in context.class_name if letter in "123")
    x = context.cast(context.x, "float32")
    context.rank(x, n + 2)
    is_first = is_channels_first(context)
    return to_first(context, x, is_first), n, is_first, "Average" in context.class_name


def pooling(context: LayerContext) -> Tensor:
    """MaxPooling1D to 3D, AveragePooling1D to 3D.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        The window is larger than the input.

    Examples
    --------
    >>> pooling(context)                                   # doctest: +SKIP
    """
    x, n, is_first, is_mean = _open(context)
    config = context.config
    size_key = "pool_length" if config.has("pool_length") else "pool_size"
    window = config.ints(size_key, n, 2, least=1)
    strides = config.ints("strides", n, least=1) if config.has("strides") else window
    attributes: dict[str, Attribute] = {
        "kernel_shape": list(window),
        "strides": list(strides),
    }
    sizes: list[Any]
    if config.text("padding", "valid").lower() == "same":
        windows = zip(x.shape[2:], window, strides, strict=True)
        found = [same_padding(*each) for each in windows]
        pads = [pair for pair in found if pair is not None]
        if len(pads) == n:
            attributes["pads"] = [p[0] for p in pads] + [p[1] for p in pads]
        else:
            attributes["auto_pad"] = "SAME_UPPER"
        sizes = [same_size(*e) for e in zip(x.shape[2:], strides, strict=True)]
    else:
        sizes = [
            (size - k) // s + 1 if isinstance(size, int) else None
            for size, k, s in zip(x.shape[2:], window, strides, strict=True)
        ]
        if any(isinstance(size, int) and size < 1 for size in sizes):
            raise context.error(f"a window of {window} over shape {context.x.shape}")
    op_type = "AveragePool" if is_mean else "MaxPool"
    shape: Dims = (*x.shape[:2], *sizes)
    y = context.op(op_type, [x], shape=shape, options=attributes)
    return to_last(context, y, is_first)


def global_pooling(context: LayerContext) -> Tensor:
    """GlobalAveragePooling, GlobalMaxPooling; the mean of masked steps in one dim.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> global_pooling(context)                            # doctest: +SKIP
    """
    n = next(int(letter) for letter in context.class_name if letter in "123")
    x = context.cast(context.x, "float32")
    context.rank(x, n + 2)
    is_first = is_channels_first(context)
    is_mean = "Average" in context.class_name
    keeps = context.config.flag("keepdims", False)
    axes = list(range(2, n + 2)) if is_first else list(range(1, n + 1))
    if is_mean and n == 1 and context.mask is not None:
        return _masked_mean(context, x, context.mask, axes[0], keeps)
    inner = to_first(context, x, is_first)
    op_type = "GlobalAveragePool" if is_mean else "GlobalMaxPool"
    ones: Dims = (*inner.shape[:2], *[1] * n)
    y = context.op(op_type, [inner], shape=ones)
    if keeps:
        return to_last(context, y, is_first)
    target = context.constant([0, context.size(inner, 1)])
    return context.op("Reshape", [y, target], shape=inner.shape[:2])


def _masked_mean(
    context: LayerContext, x: Tensor, mask: Tensor, axis: int, keeps: bool
) -> Tensor:
    """The mean over the steps that the mask keeps."""
    weights = context.cast(mask, "float32").masked(None)
    place = 2 if axis == 1 else 1
    spread = context.op(
        "Unsqueeze", [weights, context.constant([place])], shape=(*mask.shape, 1)
    )
    where = context.constant([axis])
    kept = context.op("Mul", [x, spread])
    shape = tuple(
        1 if i == axis else d for i, d in enumerate(x.shape) if keeps or i != axis
    )
    total = context.op("ReduceSum", [kept, where], shape=shape, keepdims=int(keeps))
    count = context.op("ReduceSum", [spread, where], keepdims=int(keeps))
    return context.op("Div", [total, count], shape=shape)


def adaptive_pooling(context: LayerContext) -> Tensor:
    """AdaptiveAveragePooling, AdaptiveMaxPooling: bins of nearly equal size.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    UnsupportedOpError
        A size is open, or there are very many bins.

    Examples
    --------
    >>> adaptive_pooling(context)                          # doctest: +SKIP
    """
    y, n, is_first, is_mean = _open(context)
    outputs = context.config.ints("output_size", n, least=1)
    if max(outputs) > _MAX_BINS:
        raise context.unsupported(f"more than {_MAX_BINS} bins")
    sizes = [context.size(y, axis + 2) for axis in range(n)]
    if all(size % bins == 0 for size, bins in zip(sizes, outputs, strict=True)):
        window = [size // bins for size, bins in zip(sizes, outputs, strict=True)]
        op_type = "AveragePool" if is_mean else "MaxPool"
        shape: Dims = (*y.shape[:2], *outputs)
        y = context.op(
            op_type, [y], shape=shape, kernel_shape=list(window), strides=list(window)
        )
        return to_last(context, y, is_first)
    for axis, (size, bins) in enumerate(zip(sizes, outputs, strict=True), start=2):
        bounds = [(i * size // bins, -(-(i + 1) * size // bins)) for i in range(bins)]
        pool = _mean_bins if is_mean else _max_bins
        y = pool(context, y, axis, size, bounds)
    return to_last(context, y, is_first)


def _mean_bins(
    context: LayerContext,
    x: Tensor,
    axis: int,
    size: int,
    bounds: Bounds,
) -> Tensor:
    """One product with a matrix whose columns are the bins."""
    matrix = np.zeros((size, len(bounds)), np.float32)
    for column, (start, stop) in enumerate(bounds):
        matrix[start:stop, column] = 1 / (stop - start)
    order = [i for i in range(x.rank) if i != axis] + [axis]
    turned = context.transpose(x, order)
    shape: Dims = (*turned.shape[:-1], len(bounds))
    y = context.op("MatMul", [turned, context.constant(matrix)], shape=shape)
    return context.transpose(y, [order.index(i) for i in range(x.rank)])


def _max_bins(
    context: LayerContext,
    x: Tensor,
    axis: int,
    size: int,
    bounds: Bounds,
) -> Tensor:
    """The maximum of a slice for each bin."""
    where = context.constant([axis])
    parts = []
    for start, stop in bounds:
        ends = [context.constant([start]), context.constant([stop])]
        part = context.op("Slice", [x, *ends, where])
        parts.append(context.op("ReduceMax", [part, where], keepdims=1))
    shape = tuple(len(bounds) if i == axis else d for i, d in enumerate(x.shape))
    return context.op("Concat", parts, shape=shape, axis=axis)
