"""Layers that make one tensor of several, element by element or side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.graph import Dims

__all__ = ["broadcast", "concatenate", "dot", "elementwise"]


def broadcast(*shapes: Dims) -> Dims:
    """Give the shape that shapes have together.

    Parameters
    ----------
    *shapes : tuple

    Returns
    -------
    shape : tuple

    Examples
    --------
    >>> broadcast(("batch", 4, 1), (3,))
    ('batch', 4, 3)
    """
    rank = max(map(len, shapes))
    found: list[int | str | None] = []
    for axis in range(-rank, 0):
        dims = [shape[axis] for shape in shapes if len(shape) >= -axis]
        large = {dim for dim in dims if dim != 1} or {1}
        known = [dim for dim in large if isinstance(dim, int)]
        if known or len(large) == 1:
            found.append(next(iter(known or large)))
        else:
            found.append(None)
    return tuple(found)


def _several(context: LayerContext, least: int = 2) -> list[Tensor]:
    """The inputs: float32 unless all are integers."""
    found = context.inputs
    if len(found) < least:
        raise context.error(f"expected {least} inputs or more, got {len(found)}")
    if all(x.dtype == found[0].dtype for x in found) and not found[0].is_float:
        return found
    return [context.cast(x, "float32") for x in found]


def elementwise(context: LayerContext) -> Tensor:
    """Add, Subtract, Multiply, Average, Maximum, Minimum.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        Too few inputs, or more than two for Subtract.

    Examples
    --------
    >>> elementwise(context)                               # doctest: +SKIP
    """
    inputs = _several(context, 1 if context.class_name != "Subtract" else 2)
    kind = context.class_name
    if kind == "Subtract" and len(inputs) != 2:
        raise context.error(f"expected 2 inputs, got {len(inputs)}")
    mask = _merged_mask(context, inputs)
    rank = max(x.rank for x in inputs)
    raised = [_raise_rank(context, x, rank) for x in inputs]
    raised, perm = context.before_transpose(*raised)
    return context.transpose(_merge(context, kind, raised), perm).masked(mask)


def _merge(context: LayerContext, kind: str, raised: list[Tensor]) -> Tensor:
    """Merge tensors of one rank."""
    shape = broadcast(*(x.shape for x in raised))
    if kind in ("Maximum", "Minimum"):
        op_type = {"Maximum": "Max", "Minimum": "Min"}[kind]
        return context.op(op_type, raised, shape=shape)
    op_type = {"Subtract": "Sub", "Multiply": "Mul"}.get(kind, "Add")
    y = raised[0]
    for x in raised[1:]:
        y = context.op(op_type, [y, x], shape=broadcast(y.shape, x.shape))
    if kind == "Average":
        y = context.cast(y, "float32")
        y = context.op("Mul", [y, context.constant(1 / len(raised))])
    return y


def _raise_rank(context: LayerContext, x: Tensor, rank: int) -> Tensor:
    """Keras adds missing axes after the batch."""
    missing = rank - x.rank
    if not missing:
        return x
    axes = context.constant(list(range(1, 1 + missing)))
    shape: Dims = (x.shape[0], *[1] * missing, *x.shape[1:])
    return context.op("Unsqueeze", [x, axes], shape=shape)


def _merged_mask(context: LayerContext, inputs: Sequence[Tensor]) -> Tensor | None:
    """Keras 3: a step counts if it does in any; before: if it does in all masked."""
    masks = [x.mask for x in inputs if x.mask is not None]
    is_new = context.source.keras_major >= 3
    if not masks or (is_new and len(masks) < len(inputs)):
        return None
    found = masks[0]
    for mask in masks[1:]:
        if mask.name != found.name:
            found = context.op("Or" if is_new else "And", [found, mask])
    return found


def concatenate(context: LayerContext) -> Tensor:
    """Concatenate.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        The inputs' ranks differ, or the axis is none of theirs.

    Examples
    --------
    >>> concatenate(context)                               # doctest: +SKIP
    """
    inputs = _several(context, 1)
    rank = inputs[0].rank
    axis = context.config.int("axis", -1)
    if any(x.rank != rank for x in inputs) or not -rank <= axis < rank:
        shapes = [x.shape for x in inputs]
        raise context.error(f"cannot join shapes {shapes} along axis {axis}")
    axis %= rank
    if len(inputs) == 1:
        return inputs[0]
    mask = _joined_mask(context, inputs, axis)
    inner, perm = context.before_transpose(*inputs)
    place = perm[axis]
    shape = joined_shape([x.shape for x in inner], place)
    y = context.op("Concat", inner, shape=shape, axis=place)
    return context.transpose(y, perm).masked(mask)


def joined_shape(shapes: Sequence[Dims], axis: int) -> Dims:
    """Give the shape of tensors side by side.

    Parameters
    ----------
    shapes : sequence of tuple
    axis : int

    Returns
    -------
    shape : tuple

    Examples
    --------
    >>> joined_shape([("batch", 2), ("batch", 3)], 1)
    ('batch', 5)
    """
    first = list(shapes[0])
    total = 0
    for shape in shapes:
        size = shape[axis]
        if not isinstance(size, int):
            first[axis] = None
            break
        total += size
    else:
        first[axis] = total
    return tuple(first)


def _joined_mask(
    context: LayerContext, inputs: Sequence[Tensor], axis: int
) -> Tensor | None:
    """Masks side by side along the steps; along features, one for all."""
    if all(x.mask is None for x in inputs):
        return None
    if axis == inputs[0].rank - 1:
        is_new = context.source.keras_major >= 3
        if is_new and any(x.mask is None for x in inputs):
            return None  # any of a mask and of ones: all steps count
        return _merged_mask(context, inputs)
    if axis != 1:
        raise context.unsupported(f"masked inputs along axis {axis}")
    masks = [_mask_or_ones(context, x) for x in inputs]
    shape = joined_shape([mask.shape for mask in masks], 1)
    return context.op("Concat", masks, shape=shape, axis=1)


def _mask_or_ones(context: LayerContext, x: Tensor) -> Tensor:
    if x.mask is not None:
        return x.mask
    sizes = context.op("Shape", [x], shape=(2,), dtype="int64", start=0, end=2)
    yes = context.constant(np.True_)
    return context.op("Expand", [yes, sizes], shape=x.shape[:2], dtype="bool")


def dot(context: LayerContext) -> Tensor:
    """Dot: products along one axis of each of two inputs, for each example.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        Not two inputs, or axes that do not fit.

    Examples
    --------
    >>> dot(context)                                       # doctest: +SKIP
    """
    inputs = [context.cast(x, "float32") for x in context.inputs]
    if len(inputs) != 2:
        raise context.error(f"expected 2 inputs, got {len(inputs)}")
    given = context.config.ints("axes", 2)
    axes = [a + x.rank if a < 0 else a for a, x in zip(given, inputs, strict=True)]
    if not all(1 <= a < x.rank for a, x in zip(axes, inputs, strict=True)):
        raise context.config.error("axes", "axes after the batch")
    if context.config.flag("normalize", False):
        pairs = zip(inputs, axes, strict=True)
        inputs = [_normalized(context, *pair) for pair in pairs]
    left, right = inputs
    others = [
        [i for i in range(1, x.rank) if i != a]
        for x, a in zip(inputs, axes, strict=True)
    ]
    kept = [[x.shape[i] for i in o] for x, o in zip(inputs, others, strict=True)]
    sums = context.size(left, axes[0]), context.size(right, axes[1])
    if sums[0] != sums[1]:
        raise context.error(f"sizes {sums[0]} and {sums[1]} along the axes differ")
    a = context.transpose(left, [0, *others[0], axes[0]])
    b = context.transpose(right, [0, axes[1], *others[1]])
    a = _to_rank_3(context, a, (0, -1, sums[0]))
    b = _to_rank_3(context, b, (0, sums[0], -1))
    y = context.op("MatMul", [a, b], shape=(left.shape[0], None, None))
    sizes = [*kept[0], *kept[1]] or [1]
    if sum(not isinstance(size, int) for size in sizes) > 1:
        raise context.unsupported("two open sizes")
    target = [0, *(size if isinstance(size, int) else -1 for size in sizes)]
    shape: Dims = (left.shape[0], *sizes)
    return context.op("Reshape", [y, context.constant(target)], shape=shape)


def _normalized(context: LayerContext, x: Tensor, axis: int) -> Tensor:
    where = context.constant([axis])
    total = context.op("ReduceSumSquare", [x, where], keepdims=1)
    bounded = context.op("Max", [total, context.constant(1e-12)])
    return context.op("Div", [x, context.op("Sqrt", [bounded])])


def _to_rank_3(context: LayerContext, x: Tensor, target: Sequence[int]) -> Tensor:
    if x.rank == 3:
        return x
    shape: Dims = (x.shape[0], None, None)
    return context.op("Reshape", [x, context.constant(list(target))], shape=shape)
