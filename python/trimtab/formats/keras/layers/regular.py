"""Layers that do nothing at inference, and the one that makes masks."""

from __future__ import annotations

from trimtab.formats.keras.layer import LayerContext, Tensor

__all__ = ["identity", "masking"]


def identity(context: LayerContext) -> list[Tensor]:
    """Dropout, noise, regularisation: what comes in goes out, with its mask.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    outputs : list of Tensor

    Raises
    ------
    UnsupportedOpError
        The call asks for the layer as it is in training.

    Examples
    --------
    >>> identity(context)                                  # doctest: +SKIP
    """
    if context.argument("training") is True:
        raise context.unsupported("it is called with training=True, which is random")
    return context.inputs


def masking(context: LayerContext) -> Tensor:
    """Masking: steps whose elements all have one value do not count, and are 0.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> masking(context)                                   # doctest: +SKIP
    """
    x = context.cast(context.x, "float32")
    value = context.constant(context.config.number("mask_value", 0.0))
    differs = context.op("Not", [context.op("Equal", [x, value], dtype="bool")])
    number = context.cast(differs.masked(None), "float32")
    last = context.constant([-1])
    any_step = context.op("ReduceMax", [number, last], keepdims=1)
    y = context.op("Mul", [x, any_step], shape=x.shape)
    flat = context.op("Squeeze", [any_step, last], shape=x.shape[:-1])
    return y.masked(context.cast(flat, "bool"))
