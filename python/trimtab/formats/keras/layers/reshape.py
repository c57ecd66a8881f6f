"""Layers that move, cut, pad and repeat elements."""

from __future__ import annotations

import math
from typing import Any

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.channels import is_channels_first, to_first, to_last
from trimtab.graph import Attribute, Dims

__all__ = [
    "cropping",
    "flatten",
    "permute",
    "repeat_vector",
    "reshape",
    "up_sampling",
    "zero_padding",
]

_MAX_REPEATS = 1 << 20

# interpolation -> attributes of Resize
_RESIZE: dict[str, dict[str, Attribute]] = {
    "nearest": {
        "mode": "nearest",
        "nearest_mode": "floor",
        "coordinate_transformation_mode": "asymmetric",
    },
    "bilinear": {
        "mode": "linear",
        "coordinate_transformation_mode": "half_pixel",
    },
}


def reshape(context: LayerContext) -> Tensor:
    """Reshape: all but the batch.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        The sizes do not fit those of the input.

    Examples
    --------
    >>> reshape(context)                                   # doctest: +SKIP
    """
    x = context.x
    target = list(context.config.ints("target_shape", None, least=-1))
    if target.count(-1) > 1 or 0 in target:
        raise context.config.error("target_shape", "sizes, at most one of them -1")
    sizes = x.shape[1:]
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) == len(sizes):
        total, wanted = math.prod(known), math.prod(t for t in target if t != -1)
        if total % wanted or (-1 not in target and total != wanted):
            raise context.error(f"target_shape {target} for an input of {x.shape}")
        target = [total // wanted if t == -1 else t for t in target]
    out: list[Any] = [None if t == -1 else t for t in target]
    shape: Dims = (x.shape[0], *out)
    mask = x.mask if shape[:2] == x.shape[:2] else None
    return context.op(
        "Reshape", [x, context.constant([0, *target])], shape=shape, mask=mask
    )


def flatten(context: LayerContext) -> Tensor:
    """Flatten: channels-first inputs are turned before.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> flatten(context)                                   # doctest: +SKIP
    """
    x = context.x
    if is_channels_first(context) and x.rank > 2:
        x = to_last(context, x)
    sizes = x.shape[1:]
    known = [size for size in sizes if isinstance(size, int)]
    size = math.prod(known) if len(known) == len(sizes) else None
    target = context.constant([0, -1])
    return context.op("Reshape", [x, target], shape=(x.shape[0], size))


def permute(context: LayerContext) -> Tensor:
    """Permute: axes counted from 1.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        dims is no permutation.

    Examples
    --------
    >>> permute(context)                                   # doctest: +SKIP
    """
    x = context.x.masked(None)
    dims = context.config.ints("dims")
    if sorted(dims) != list(range(1, x.rank)):
        raise context.config.error("dims", f"a permutation of 1 to {x.rank - 1}")
    return context.transpose(x, [0, *dims])


def repeat_vector(context: LayerContext) -> Tensor:
    """RepeatVector: every row n times, along a new axis.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> repeat_vector(context)                             # doctest: +SKIP
    """
    x = context.x
    context.rank(x, 2)
    n = _repeats(context, context.config.int("n", least=1))
    spread = context.op("Unsqueeze", [x, context.constant([1])])
    shape: Dims = (x.shape[0], n, x.shape[1])
    return context.op("Tile", [spread, context.constant([1, n, 1])], shape=shape)


def _repeats(context: LayerContext, n: int) -> int:
    if n > _MAX_REPEATS:
        raise context.error(f"repeats its input {n} times, at most {_MAX_REPEATS}")
    return n


def _n_spatial(context: LayerContext) -> int:
    return next(int(letter) for letter in context.class_name if letter in "123")


def _pairs(context: LayerContext, key: str, n: int, default: int) -> list[list[int]]:
    """Sizes before and after each axis: a number, one or a pair for each axis."""
    given = context.config.value(key, default)
    items = given if isinstance(given, list) else [given] * n
    if n == 1 and isinstance(given, list) and len(given) == 2:
        items = [given]
    if len(items) != n:
        raise context.config.error(key, f"{n} pairs")
    pairs = [item if isinstance(item, list) else [item, item] for item in items]
    for pair in pairs:
        if len(pair) != 2 or not all(
            isinstance(p, int) and not isinstance(p, bool) and 0 <= p <= _MAX_REPEATS
            for p in pair
        ):
            raise context.config.error(key, "pairs of integers of 0 or more")
    return pairs


def zero_padding(context: LayerContext) -> Tensor:
    """ZeroPadding1D to 3D.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> zero_padding(context)                              # doctest: +SKIP
    """
    x = context.x.masked(None)
    n = _n_spatial(context)
    context.rank(x, n + 2)
    pairs = _pairs(context, "padding", n, 1)
    first = 2 if is_channels_first(context) else 1
    full = [[0, 0]] * first + pairs + [[0, 0]] * (x.rank - first - n)
    [x], perm = context.before_transpose(x)
    full = [full[perm.index(axis)] for axis in range(x.rank)]
    pads = [pair[0] for pair in full] + [pair[1] for pair in full]
    shape: Dims = tuple(
        dim + sum(pair) if isinstance(dim, int) else dim if not any(pair) else None
        for dim, pair in zip(x.shape, full, strict=True)
    )
    y = context.op("Pad", [x, context.constant(pads)], shape=shape)
    return context.transpose(y, perm)


def cropping(context: LayerContext) -> Tensor:
    """Cropping1D to 3D.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        Nothing is left.

    Examples
    --------
    >>> cropping(context)                                  # doctest: +SKIP
    """
    x = context.x.masked(None)
    n = _n_spatial(context)
    context.rank(x, n + 2)
    pairs = _pairs(context, "cropping", n, 0 if n > 1 else 1)
    first = 2 if is_channels_first(context) else 1
    axes = list(range(first, first + n))
    out = list(x.shape)
    for axis, pair in zip(axes, pairs, strict=True):
        dim = x.shape[axis]
        if isinstance(dim, int):
            out[axis] = dim - sum(pair)
            if dim <= sum(pair):
                raise context.error(f"cropping {pair} of an axis of {dim}")
        elif any(pair):
            out[axis] = None
    ends = [-pair[1] if pair[1] else (1 << 62) for pair in pairs]
    inputs = [[pair[0] for pair in pairs], ends, axes]
    constants = [context.constant(each, "int64") for each in inputs]
    return context.op("Slice", [x, *constants], shape=tuple(out))


def up_sampling(context: LayerContext) -> Tensor:
    """UpSampling1D to 3D: elements repeated, or linear between their centres.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    UnsupportedOpError
        Another interpolation.

    Examples
    --------
    >>> up_sampling(context)                               # doctest: +SKIP
    """
    x = context.cast(context.x, "float32").masked(None)
    n = _n_spatial(context)
    context.rank(x, n + 2)
    key = "length" if context.config.has("length") else "size"
    factors = [
        _repeats(context, factor) for factor in context.config.ints(key, n, 2, least=1)
    ]
    kind = context.config.text("interpolation", "nearest")
    if kind not in _RESIZE:
        raise context.unsupported(f"interpolation={kind!r:.80}")
    is_first = is_channels_first(context)
    y = to_first(context, x, is_first)
    sizes = [
        dim * factor if isinstance(dim, int) else None
        for dim, factor in zip(y.shape[2:], factors, strict=True)
    ]
    scales = context.constant([1.0, 1.0, *map(float, factors)])
    y = context.op(
        "Resize",
        [y, "", scales],
        shape=(*y.shape[:2], *sizes),
        options=_RESIZE[kind],
    )
    return to_last(context, y, is_first)
