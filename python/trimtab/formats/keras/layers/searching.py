"""Where a number belongs among sorted ones, by operators: a binary search unrolled."""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor

__all__ = ["count_not_above"]


def count_not_above(
    context: LayerContext, x: Tensor, bounds: np.ndarray[Any, Any], name: str
) -> Tensor:
    """Count for each element how many bounds are less than or equal to it.

    Parameters
    ----------
    context : LayerContext
    x : Tensor
        Of the dtype of the bounds.
    bounds : ndarray
        Ascending, one or more.
    name : str
        Of the constant.

    Returns
    -------
    count : Tensor
        int64, of the shape of x; 0 for NaN.

    Examples
    --------
    >>> count_not_above(context, x, np.float32([0, 1, 4]), "bounds")  # doctest: +SKIP
    """
    n = len(bounds)
    table = context.made(name, bounds)
    last = context.constant(n - 1)
    zero = context.constant(0)
    count: Tensor | str = zero
    step = 1 << (n.bit_length() - 1)
    while step:
        # Is the bound that is `step` further still not above?
        reach = context.constant(step)
        tried = context.op("Add", [count, reach], shape=_shape(count), dtype="int64")
        at = context.op("Sub", [tried, context.constant(1)])
        at = context.op("Min", [at, last])
        bound = context.op("Gather", [table, at], shape=at.shape, axis=0)
        fits = context.op("GreaterOrEqual", [x, bound], shape=x.shape, dtype="bool")
        inside = context.op("LessOrEqual", [tried, context.constant(n)], dtype="bool")
        fits = context.op("And", [fits, inside], shape=x.shape, dtype="bool")
        count = context.op("Where", [fits, tried, count], shape=x.shape, dtype="int64")
        step >>= 1
    assert isinstance(count, Tensor)
    return count


def _shape(tensor: Tensor | str) -> Any:
    return tensor.shape if isinstance(tensor, Tensor) else ()
