"""Rescaling and Normalization."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor

__all__ = ["normalization", "rescaling"]

_Array: TypeAlias = "np.ndarray[Any, Any]"
_EPSILON = 1e-7  # Keras' own; what a deviation is at least


def rescaling(context: LayerContext) -> Tensor:
    """Rescaling: x scale + offset.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        Scale or offset are no numbers.

    Examples
    --------
    >>> rescaling(context)                                 # doctest: +SKIP
    """
    x = context.cast(context.x, "float32")
    scale, offset = _numbers(context, "scale"), _numbers(context, "offset", 0.0)
    y = context.op("Mul", [x, context.constant(scale, "float32", "scale")])
    return context.op(
        "Add",
        [y, context.constant(offset, "float32", "offset")],
        mask=x.mask,
    )


def normalization(context: LayerContext) -> Tensor:
    """Normalization: (x - mean) / deviation, or back with invert.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        Mean and variance do not fit the axes.

    Examples
    --------
    >>> normalization(context)                             # doctest: +SKIP
    """
    config = context.config
    x = context.cast(context.x, "float32").masked(None)
    axes = config.ints("axis") if config.has("axis") else ()
    if any(not -x.rank <= axis < x.rank for axis in axes):
        raise config.error("axis", f"axes of an input of {x.rank} dims")
    kept = sorted(axis % x.rank for axis in axes)
    sizes = tuple(context.size(x, axis) for axis in kept)
    if config.has("mean"):
        found = [_numbers(context, key) for key in ("mean", "variance")]
    else:
        found = [context.array(key, sizes) for key in ("mean", "variance")]
        context.array("count", ())
    mean, variance = (_spread(context, value, x, kept) for value in found)
    deviation = np.maximum(np.sqrt(variance), np.float32(_EPSILON))
    first, second = context.made("mean", mean), context.made("deviation", deviation)
    if config.flag("invert", False):
        return context.op("Add", [context.op("Mul", [x, second]), first])
    return context.op("Div", [context.op("Sub", [x, first]), second])


def _spread(context: LayerContext, value: _Array, x: Tensor, kept: list[int]) -> _Array:
    """A value for each place of the kept axes, with dims of one for the others."""
    shape = [1] * x.rank
    if value.ndim > len(kept):
        raise context.error(f"a mean of {value.ndim} dims for {len(kept)} axes")
    for axis, size in zip(kept[len(kept) - value.ndim :], value.shape, strict=True):
        if size not in (1, x.shape[axis]):
            raise context.error(
                f"a mean of shape {value.shape} for an input of shape {x.shape}"
            )
        shape[axis] = size
    return value.reshape(shape)


def _numbers(context: LayerContext, key: str, default: Any = None) -> _Array:
    """Numbers of a config: one, nested lists, or an array that was serialised."""
    value = context.config.value(key, default)
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        value = value["config"].get("value")
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError
    except (TypeError, ValueError):
        raise context.config.error(key, "numbers") from None
    return array.astype(np.float32)
