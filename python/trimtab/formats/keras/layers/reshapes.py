"""Two axes as one, and back."""

from __future__ import annotations

from trimtab.formats.keras.layer import LayerContext, Tensor

__all__ = ["merge_axes", "split_axis"]


def merge_axes(context: LayerContext, x: Tensor) -> Tensor:
    """Make [batch, steps, ...] to [batch steps, ...].

    Parameters
    ----------
    context : LayerContext
    x : Tensor

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> merge_axes(context, x).shape                       # doctest: +SKIP
    (None, 8)
    """
    rest = x.shape[2:]
    shape = (None, *rest)
    fixed = [size for size in rest if isinstance(size, int)]
    if len(fixed) == len(rest):
        sizes: Tensor | str = context.constant([-1, *fixed], "int64")
    else:
        tail = context.op("Shape", [x], shape=(len(rest),), dtype="int64", start=2)
        sizes = context.op(
            "Concat", [context.constant([-1]), tail], shape=(1 + len(rest),), axis=0
        )
    return context.op("Reshape", [x, sizes], shape=shape)


def split_axis(context: LayerContext, y: Tensor, x: Tensor) -> Tensor:
    """Make [batch steps, ...] to [batch, steps, ...].

    Parameters
    ----------
    context : LayerContext
    y : Tensor
    x : Tensor
        Has the batch and the steps.

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> split_axis(context, y, x).shape                    # doctest: +SKIP
    ('batch', 5, 8)
    """
    rest = y.shape[1:]
    shape = (*x.shape[:2], *rest)
    fixed = [size for size in shape[1:] if isinstance(size, int)]
    if len(fixed) == len(shape) - 1:
        sizes: Tensor | str = context.constant([-1, *fixed], "int64")
    else:
        head = context.op("Shape", [x], shape=(2,), dtype="int64", end=2)
        tail = context.op("Shape", [y], shape=(len(rest),), dtype="int64", start=1)
        sizes = context.op("Concat", [head, tail], shape=(2 + len(rest),), axis=0)
    return context.op("Reshape", [y, sizes], shape=shape)
