"""Layers that multiply by a matrix, and the lookup of rows of one."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.activations import activate
from trimtab.graph import Dims

__all__ = ["dense", "einsum_dense", "embedding"]

_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+),([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)")


def dense(context: LayerContext) -> Tensor:
    """Dense.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> dense(context)                                     # doctest: +SKIP
    """
    x = context.cast(context.x, "float32")
    units = context.config.int("units", least=1)
    kernel = context.weight("kernel", (context.size(x, -1), units))
    shape = (*x.shape[:-1], units)
    y = context.op("MatMul", [x, kernel], shape=shape, mask=x.mask)
    if context.config.flag("use_bias", True):
        y = context.op("Add", [y, context.weight("bias", (units,))], mask=x.mask)
    return activate(context, y, context.config.function("activation", "linear"))


def einsum_dense(context: LayerContext) -> Tensor:
    """EinsumDense: contractions that are one product of matrices.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    UnsupportedOpError
        An axis of the input is both kept and in the kernel, or summed over alone.

    Examples
    --------
    >>> einsum_dense(context)                              # doctest: +SKIP
    """
    x = context.cast(context.x, "float32")
    equation = context.config.text("equation").replace(" ", "")
    match = _EQUATION.fullmatch(equation)
    if match is None:
        raise context.config.error("equation", "an equation such as 'abc,cd->abd'")
    left, kernel_axes, right = match[2], match[3], match[5]
    if any(len(set(axes)) != len(axes) for axes in (left, kernel_axes, right)):
        raise context.unsupported(f"an axis twice in a term: {equation!r:.80}")
    free = "".join(chr(0x100 + i) for i in range(x.rank - len(left)))
    if bool(free) and not match[1]:
        raise context.error(f"equation {equation!r:.80} for shape {x.shape}")
    if x.rank < len(left) or set(right) - set(left + kernel_axes):
        raise context.error(f"equation {equation!r:.80} for shape {x.shape}")
    dims: dict[str, Any] = dict(zip(free + left, x.shape, strict=True))
    summed = [a for a in left if a in kernel_axes and a not in right]
    kept = [a for a in free + left if a not in kernel_axes]
    new = [a for a in kernel_axes if a not in left]
    if len(summed) + len(new) != len(kernel_axes) or not set(kept) <= set(free + right):
        raise context.unsupported(f"the equation {equation!r:.80} is not one product")
    expected = [dims[a] if isinstance(dims.get(a), int) else None for a in kernel_axes]
    kernel = context.array("kernel", expected)
    sizes = dict(zip(kernel_axes, kernel.shape, strict=True))
    matrix = kernel.transpose([kernel_axes.index(a) for a in [*summed, *new]])
    n_summed = math.prod(sizes[a] for a in summed)
    weights = context.made("kernel", matrix.reshape(n_summed, -1))
    y = _product(context, x, free + left, kept, summed, weights)
    dims.update(sizes)
    y = _split_last(context, y, [dims[a] for a in kept], [sizes[a] for a in new])
    order = [*kept, *new]
    y = context.transpose(y, [order.index(a) for a in free + right])
    y = _add_bias(context, y, right).masked(x.mask)
    return activate(context, y, context.config.function("activation", "linear"))


def _product(
    context: LayerContext,
    x: Tensor,
    axes: str,
    kept: list[str],
    summed: list[str],
    weights: Tensor,
) -> Tensor:
    """Kept axes first, summed ones flattened into the last, times the matrix."""
    x = context.transpose(x, [axes.index(a) for a in [*kept, *summed]])
    shape = (*x.shape[: len(kept)], weights.shape[0])
    if len(summed) != 1:
        x = reshape_last(context, x, len(kept), [weights.shape[0]])
    x = Tensor(x.name, x.dtype, shape)
    return context.op(
        "MatMul", [x, weights], shape=(*shape[:-1], weights.shape[1]), mask=None
    )


def _split_last(
    context: LayerContext, y: Tensor, kept: list[Any], new: list[int]
) -> Tensor:
    if len(new) == 1:
        return y
    return reshape_last(context, y, len(kept), new)


def reshape_last(
    context: LayerContext, x: Tensor, n_kept: int, sizes: list[Any]
) -> Tensor:
    """Keep the first axes and give the rest other sizes.

    Parameters
    ----------
    context : LayerContext
    x : Tensor
    n_kept : int
    sizes : list of int

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> reshape_last(context, x, 2, [8, 64])               # doctest: +SKIP
    """
    target = context.constant(np.array([0] * n_kept + sizes, np.int64))
    shape: Dims = (*x.shape[:n_kept], *sizes)
    return context.op("Reshape", [x, target], shape=shape)


def _add_bias(context: LayerContext, y: Tensor, right: str) -> Tensor:
    axes = context.config.optional_text("bias_axes")
    if not axes:
        return y
    if set(axes) - set(right):
        raise context.config.error("bias_axes", f"axes among {right!r}")
    names = [*([""] * (y.rank - len(right))), *right]
    own = [a for a in names if a in axes and a]
    sizes = [context.size(y, names.index(a)) for a in own]
    bias = context.array("bias")
    if bias.size != math.prod(sizes):
        raise context.error(f"bias: expected sizes {sizes}, got {bias.shape}")
    first = names.index(own[0])
    spread = [1] * (y.rank - first)
    for axis, size in zip(own, sizes, strict=True):
        spread[names.index(axis) - first] = size
    return context.op("Add", [y, context.made("bias", bias.reshape(spread))])


def embedding(context: LayerContext) -> Tensor:
    """Embedding; with mask_zero, index 0 is a step that does not count.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> embedding(context)                                 # doctest: +SKIP
    """
    config = context.config
    n_rows = config.int("input_dim", least=1)
    n_columns = config.int("output_dim", least=1)
    x = context.x
    index = x if x.dtype in ("int32", "int64") else context.cast(x, "int32")
    table = context.weight("embeddings", (n_rows, n_columns))
    mask = None
    if config.flag("mask_zero", False):
        zero = context.constant(0, index.dtype, "zero")
        mask = context.op(
            "Not", [context.op("Equal", [index, zero], dtype="bool")], dtype="bool"
        ).masked(None)
    return context.op(
        "Gather",
        [table, index],
        shape=(*x.shape, n_columns),
        dtype=table.dtype,
        mask=mask,
        axis=0,
    )
