"""Layers that multiply by a matrix."""

from __future__ import annotations

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.activations import activate

__all__ = ["dense"]


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
