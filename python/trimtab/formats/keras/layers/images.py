"""Resizing, CenterCrop, RandomCrop and other augmentation."""

from __future__ import annotations

from typing import Any

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.channels import (
    is_channels_first,
    to_first,
    to_last,
)

__all__ = ["augmentation", "center_crop", "random_crop", "resizing"]

# Keras on TensorFlow and JAX: cubic filters of Keys (a = -1/2) whose taps outside of
# the image count for nothing. (Its torch backend has a = -3/4 without antialias.)
_INTERPOLATIONS: dict[str, dict[str, Any]] = {
    "nearest": {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
    "bilinear": {"mode": "linear"},
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
}


def resizing(context: LayerContext) -> Tensor:
    """Resizing, with cropping or padding to the aspect ratio.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    UnsupportedOpError
        An interpolation that ONNX's Resize does not have.

    Examples
    --------
    >>> resizing(context)                                  # doctest: +SKIP
    """
    config = context.config
    kind = config.text("interpolation", "bilinear").lower()
    if kind not in _INTERPOLATIONS:
        raise context.unsupported(
            f"interpolation={kind[:80]!r}; supported are {', '.join(_INTERPOLATIONS)}"
        )
    crops = config.flag("crop_to_aspect_ratio", False)
    pads = config.flag("pad_to_aspect_ratio", False)
    if crops and pads:
        raise context.error("crop_to_aspect_ratio and pad_to_aspect_ratio exclude")
    x, size = context.x, _size(context)
    context.rank(x, 4)
    is_first = is_channels_first(context)
    y = to_first(context, context.cast(x.masked(None), "float32"), is_first)
    if crops:
        y = _crop(context, y, size)
    if pads:
        if config.text("fill_mode", "constant") != "constant":
            raise context.config.error("fill_mode", "'constant'")
        y = _pad(context, y, size, config.number("fill_value", 0.0))
    antialias = config.flag("antialias", False) and kind != "nearest"
    y = _resize(context, y, size, kind, antialias=antialias)
    y = to_last(context, y, is_first)
    if "int" in x.dtype and context.source.keras_major >= 3:
        return _saturate(context, y, x.dtype)
    return y


def center_crop(context: LayerContext) -> Tensor:
    """CenterCrop; an image that is too small is resized.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    UnsupportedOpError
        The size of the image is open.

    Examples
    --------
    >>> center_crop(context)                               # doctest: +SKIP
    """
    context.rank(context.x, 4)
    is_first = is_channels_first(context)
    x = context.cast(context.x.masked(None), "float32")
    x, size = to_first(context, x, is_first), _size(context)
    spare = [context.size(x, 2 + i) - size[i] for i in range(2)]
    if min(spare) < 0:
        return to_last(context, _smart_resize(context, x, size), is_first)
    starts = context.constant([n // 2 for n in spare])
    ends = context.constant(
        [n // 2 + side for n, side in zip(spare, size, strict=True)]
    )
    shape = (*x.shape[:2], *size)
    axes = context.constant([2, 3])
    y = context.op("Slice", [x, starts, ends, axes], shape=shape)
    return to_last(context, y, is_first)


def augmentation(context: LayerContext) -> Tensor:
    """Random layers, which do nothing at inference.

    Keras 3 notes training=True for each call of them and overrides it in predict.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    UnsupportedOpError
        An older file calls it with training=True.

    Examples
    --------
    >>> augmentation(context)                              # doctest: +SKIP
    """
    is_old = context.source.keras_major < 3
    if is_old and context.argument("training", 1) is True:
        raise context.unsupported("it is called with training=True, which is random")
    return context.x


def random_crop(context: LayerContext) -> Tensor:
    """RandomCrop at inference: nothing in Keras 3, before that a resize.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        Its config is malformed.

    Examples
    --------
    >>> random_crop(context)                               # doctest: +SKIP
    """
    if context.source.keras_major >= 3:
        return context.x
    context.rank(context.x, 4)
    is_first = is_channels_first(context)
    x = context.cast(context.x.masked(None), "float32")
    y = _smart_resize(context, to_first(context, x, is_first), _size(context))
    return to_last(context, y, is_first)


# ---- parts; images have their channels at axis 1 ----------------------------------


def _size(context: LayerContext) -> tuple[int, int]:
    config = context.config
    limit = context.source.limits.max_tensor_bytes
    height, width = config.int("height", least=1), config.int("width", least=1)
    if height * width > limit:
        raise context.error(f"an image of {height} x {width} is too large")
    return height, width


def _resize(
    context: LayerContext,
    x: Tensor,
    size: tuple[int, int],
    kind: str,
    *,
    antialias: bool = False,
) -> Tensor:
    options = dict(_INTERPOLATIONS[kind])
    if antialias:
        options.update(antialias=1, exclude_outside=1)
    return context.op(
        "Resize",
        [x, "", "", context.constant(list(size))],
        shape=(*x.shape[:2], *size),
        axes=[2, 3],
        coordinate_transformation_mode="half_pixel",
        **options,
    )


def _smart_resize(context: LayerContext, x: Tensor, size: tuple[int, int]) -> Tensor:
    """The largest part of the right aspect ratio, resized."""
    return _resize(context, _crop(context, x, size), size, "bilinear")


def _sides(context: LayerContext, x: Tensor) -> list[Tensor]:
    """Height and width, each as a vector of one int64."""
    return [
        context.op("Shape", [x], shape=(1,), dtype="int64", start=axis, end=axis + 1)
        for axis in (2, 3)
    ]


def _wanted_sides(
    context: LayerContext, sides: list[Tensor], size: tuple[int, int]
) -> list[Tensor]:
    """Height that goes with the width at the aspect ratio, and the other way round."""
    found = []
    for i in range(2):
        factor, divisor = context.constant(size[i]), context.constant(size[1 - i])
        product = context.op("Mul", [sides[1 - i], factor])
        found.append(context.op("Div", [product, divisor]))
    return found


def _half(context: LayerContext, sides: list[Tensor], inner: list[Tensor]) -> Tensor:
    """Half of what is left at both sides, as a vector of two."""
    parts = [context.op("Concat", pair, shape=(2,), axis=0) for pair in (sides, inner)]
    return context.op("Div", [context.op("Sub", parts), context.constant(2)])


def _crop(context: LayerContext, x: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle, as large as the aspect ratio allows."""
    sides = _sides(context, x)
    inner = []
    for side, wanted in zip(sides, _wanted_sides(context, sides, size), strict=True):
        least = context.op("Min", [side, wanted])
        inner.append(context.op("Max", [least, context.constant(1)]))
    starts = _half(context, sides, inner)
    ends = context.op("Add", [starts, context.op("Concat", inner, shape=(2,), axis=0)])
    axes, shape = context.constant([2, 3]), (*x.shape[:2], None, None)
    return context.op("Slice", [x, starts, ends, axes], shape=shape)


def _pad(
    context: LayerContext, x: Tensor, size: tuple[int, int], fill: float
) -> Tensor:
    """The same at both ends, up to the aspect ratio."""
    sides = _sides(context, x)
    outer = [
        context.op("Max", [side, wanted])
        for side, wanted in zip(sides, _wanted_sides(context, sides, size), strict=True)
    ]
    half = _half(context, outer, sides)
    pads = context.op("Concat", [half, half], shape=(4,), axis=0)
    value, axes = context.constant(fill), context.constant([2, 3])
    shape = (*x.shape[:2], None, None)
    return context.op("Pad", [x, pads, value, axes], shape=shape)


def _saturate(context: LayerContext, y: Tensor, dtype: str) -> Tensor:
    """Round and clip to an integer type."""
    import numpy as np

    y = context.op("Round", [y])
    if np.dtype(dtype).itemsize < 4:
        info = np.iinfo(dtype)
        bounds = (context.constant(float(info.min)), context.constant(float(info.max)))
        y = context.op("Clip", [y, *bounds])
    return context.cast(y, dtype)
