"""Convolutions: plain, depthwise, separable and transposed, in 1 to 3 dims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.activations import activate
from trimtab.formats.keras.layers.channels import (
    is_channels_first,
    same_padding,
    same_size,
    to_first,
    to_last,
)
from trimtab.graph import Attribute

__all__ = ["conv", "conv_transpose", "depthwise_conv", "separable_conv"]


def _n_spatial(context: LayerContext) -> int:
    """How many axes the kernel moves along: the digit in the class's name."""
    return next(int(letter) for letter in context.class_name if letter in "123")


def _open(context: LayerContext) -> tuple[Tensor, int, bool]:
    """The input with its channels at axis 1, the spatial rank, where they were."""
    n = _n_spatial(context)
    x = context.cast(context.x, "float32")
    context.rank(x, n + 2)
    is_first = is_channels_first(context)
    return to_first(context, x, is_first), n, is_first


def _close(context: LayerContext, y: Tensor, is_first: bool) -> Tensor:
    y = to_last(context, y, is_first).masked(context.x.mask)
    return activate(context, y, context.config.function("activation", "linear"))


def _window(
    context: LayerContext, x: Tensor, kernel: Sequence[int]
) -> tuple[dict[str, Attribute], list[Any]]:
    """Attributes of Conv for strides, dilation and padding; sizes of the output."""
    config, n = context.config, len(kernel)
    strides = config.ints("strides", n, 1, least=1)
    dilations = config.ints("dilation_rate", n, 1, least=1)
    padding = config.text("padding", "valid").lower()
    if padding not in ("valid", "same", "causal") or (padding == "causal" and n > 1):
        raise config.error("padding", "'valid', 'same' or, in one dim, 'causal'")
    attributes: dict[str, Attribute] = {
        "kernel_shape": list(kernel),
        "strides": list(strides),
        "dilations": list(dilations),
    }
    sizes = x.shape[2:]
    reaches = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if padding == "same":
        windows = zip(sizes, kernel, strides, dilations, strict=True)
        found = [same_padding(*each) for each in windows]
        pads = [pair for pair in found if pair is not None]
        if len(pads) == n:
            attributes["pads"] = [p[0] for p in pads] + [p[1] for p in pads]
        else:
            attributes["auto_pad"] = "SAME_UPPER"
        return attributes, [same_size(*e) for e in zip(sizes, strides, strict=True)]
    before = reaches[0] - 1 if padding == "causal" else 0
    if before:
        attributes["pads"] = [before, 0]
    out: list[Any] = []
    for size, reach, stride in zip(sizes, reaches, strides, strict=True):
        if not isinstance(size, int):
            out.append(None)
            continue
        left = size + before - reach
        if left < 0:
            raise context.error(f"a kernel that reaches {reach} over a size of {size}")
        out.append(left // stride + 1)
    return attributes, out


def _kernel(context: LayerContext, n: int) -> tuple[int, ...]:
    return context.config.ints("kernel_size", n, least=1)


def _bias(context: LayerContext, filters: int) -> list[Tensor]:
    """The bias, where there is one."""
    if not context.config.flag("use_bias", True):
        return []
    return [context.weight("bias", (filters,))]


def conv(context: LayerContext) -> Tensor:
    """Conv1D, Conv2D, Conv3D.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        The groups do not divide the channels.

    Examples
    --------
    >>> conv(context)                                      # doctest: +SKIP
    """
    x, n, is_first = _open(context)
    kernel = _kernel(context, n)
    filters = context.config.int("filters", least=1)
    groups = context.config.int("groups", 1, least=1)
    channels = context.size(x, 1)
    if channels % groups or filters % groups:
        raise context.config.error("groups", f"a divisor of {channels} and {filters}")
    weights = context.array("kernel", (*kernel, channels // groups, filters))
    turned = weights.transpose([n + 1, n, *range(n)])
    attributes, sizes = _window(context, x, kernel)
    y = context.op(
        "Conv",
        [x, context.made("kernel", turned), *_bias(context, filters)],
        shape=(x.shape[0], filters, *sizes),
        group=groups,
        options=attributes,
    )
    return _close(context, y, is_first)


def _depthwise(
    context: LayerContext, x: Tensor, n: int, name: str, bias: bool
) -> Tensor:
    """A convolution of each channel by itself."""
    kernel = _kernel(context, n)
    multiplier = context.config.int("depth_multiplier", 1, least=1)
    channels = context.size(x, 1)
    weights = context.array(name, (*kernel, channels, multiplier))
    total = channels * multiplier
    turned = weights.transpose([n, n + 1, *range(n)]).reshape(total, 1, *kernel)
    attributes, sizes = _window(context, x, kernel)
    biases = _bias(context, total) if bias else []
    return context.op(
        "Conv",
        [x, context.made(name, turned), *biases],
        shape=(x.shape[0], total, *sizes),
        group=channels,
        options=attributes,
    )


def depthwise_conv(context: LayerContext) -> Tensor:
    """DepthwiseConv1D, DepthwiseConv2D.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> depthwise_conv(context)                            # doctest: +SKIP
    """
    x, n, is_first = _open(context)
    return _close(context, _depthwise(context, x, n, "kernel", bias=True), is_first)


def separable_conv(context: LayerContext) -> Tensor:
    """SeparableConv1D, SeparableConv2D: depthwise, then across channels.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> separable_conv(context)                            # doctest: +SKIP
    """
    x, n, is_first = _open(context)
    filters = context.config.int("filters", least=1)
    inner = _depthwise(context, x, n, "depthwise_kernel", bias=False)
    channels = context.size(inner, 1)
    weights = context.array("pointwise_kernel", (*[1] * n, channels, filters))
    turned = weights.transpose([n + 1, n, *range(n)])
    y = context.op(
        "Conv",
        [inner, context.made("pointwise_kernel", turned), *_bias(context, filters)],
        shape=(x.shape[0], filters, *inner.shape[2:]),
        kernel_shape=[1] * n,
    )
    return _close(context, y, is_first)


def conv_transpose(context: LayerContext) -> Tensor:
    """Conv1DTranspose, Conv2DTranspose, Conv3DTranspose.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        Nothing is left of the input.

    Examples
    --------
    >>> conv_transpose(context)                            # doctest: +SKIP
    """
    x, n, is_first = _open(context)
    config = context.config
    kernel = _kernel(context, n)
    filters = config.int("filters", least=1)
    channels = context.size(x, 1)
    weights = context.array("kernel", (*kernel, filters, channels))
    turned = np.ascontiguousarray(weights.transpose([n + 1, n, *range(n)]))
    strides = config.ints("strides", n, 1, least=1)
    dilations = config.ints("dilation_rate", n, 1, least=1)
    places = zip(range(n), kernel, strides, dilations, strict=True)
    pads = [_transpose_pads(context, *each) for each in places]
    sizes: list[Any] = [
        (size - 1) * s + (k - 1) * d + 1 - before - after + extra
        if isinstance(size, int)
        else None
        for size, s, k, d, (before, after, extra) in zip(
            x.shape[2:], strides, kernel, dilations, pads, strict=True
        )
    ]
    if any(isinstance(size, int) and size < 1 for size in sizes):
        raise context.error(f"an input of shape {context.x.shape} leaves nothing")
    y = context.op(
        "ConvTranspose",
        [x, context.made("kernel", turned), *_bias(context, filters)],
        shape=(x.shape[0], filters, *sizes),
        kernel_shape=list(kernel),
        strides=list(strides),
        dilations=list(dilations),
        pads=[p[0] for p in pads] + [p[1] for p in pads],
        output_padding=[p[2] for p in pads],
    )
    return _close(context, y, is_first)


def _transpose_pads(
    context: LayerContext, axis: int, kernel: int, stride: int, dilation: int
) -> tuple[int, int, int]:
    """What is cut before and after, and what is added after, along one axis.

    Keras counts what is added around an input that strides have spread by zeros; the
    rest of reach - 1 is what ONNX cuts.
    """
    config = context.config
    given = None
    if config.has("output_padding"):
        n = _n_spatial(context)
        given = config.ints("output_padding", n, least=0)[axis]
        if given >= stride:
            raise config.error("output_padding", "less than the strides")
    reach = (kernel - 1) * dilation + 1
    if config.text("padding", "valid").lower() == "valid":
        before = reach - 1
        after = before + (max(reach, stride) - reach if given is None else given)
    else:
        total = stride + reach - 2 if given is None else reach + reach % 2 - 2 + given
        before = min(total // 2 + total % 2, reach - 1)
        after = total - before
    cut = reach - 1
    return cut - before, max(cut - after, 0), max(after - cut, 0)
