"""Keras' channels-last tensors around operators that want the channels second.

Enters: a tensor of Keras. Leaves: one with its channels at axis 1, and back. The
engine removes transposes that meet.
"""

from __future__ import annotations

from trimtab.formats.keras.layer import LayerContext, Tensor

__all__ = ["is_channels_first", "same_padding", "same_size", "to_first", "to_last"]


def is_channels_first(context: LayerContext) -> bool:
    """Read data_format; Keras 1 called it dim_ordering.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    is_first : bool

    Examples
    --------
    >>> is_channels_first(context)                         # doctest: +SKIP
    False
    """
    config = context.config
    if config.has("dim_ordering"):
        return config.text("dim_ordering", choices=("tf", "th")) == "th"
    if not config.has("data_format"):
        return False
    choices = ("channels_last", "channels_first")
    return config.text("data_format", choices=choices) == "channels_first"


def to_first(context: LayerContext, x: Tensor, is_first: bool = False) -> Tensor:
    """Move the channels to axis 1.

    Parameters
    ----------
    context : LayerContext
    x : Tensor
    is_first : bool, default=False
        They are there already.

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> to_first(context, x).shape                         # doctest: +SKIP
    ('batch', 3, 224, 224)
    """
    if is_first:
        return x
    return context.transpose(x, [0, x.rank - 1, *range(1, x.rank - 1)])


def to_last(context: LayerContext, x: Tensor, is_first: bool = False) -> Tensor:
    """Move the channels from axis 1 to the end.

    Parameters
    ----------
    context : LayerContext
    x : Tensor
    is_first : bool, default=False
        They stay.

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> to_last(context, x).shape                          # doctest: +SKIP
    ('batch', 224, 224, 3)
    """
    if is_first:
        return x
    return context.transpose(x, [0, *range(2, x.rank), 1])


def same_padding(
    size: int | str | None, kernel: int, stride: int, dilation: int = 1
) -> tuple[int, int] | None:
    """Give the padding of "same" along one axis; the odd one comes after.

    Parameters
    ----------
    size : int, str or None
        Of the input.
    kernel, stride, dilation : int

    Returns
    -------
    padding : (int, int) or None
        Before and after; None where it depends on an open size.

    Examples
    --------
    >>> same_padding(224, 3, 2)
    (0, 1)
    """
    reach = (kernel - 1) * dilation + 1
    if stride == 1:
        total = reach - 1
    elif isinstance(size, int):
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    else:
        return None
    return total // 2, total - total // 2


def same_size(size: int | str | None, stride: int) -> int | str | None:
    """Give the size of an output that is padded to be the same.

    Parameters
    ----------
    size : int, str or None
    stride : int

    Returns
    -------
    size : int, str or None

    Examples
    --------
    >>> same_size(7, 2)
    4
    """
    if stride == 1:
        return size
    return -(-size // stride) if isinstance(size, int) else None
