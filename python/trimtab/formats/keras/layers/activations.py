"""Activations, as functions and as layers."""

from __future__ import annotations

from trimtab.formats.keras.config import Function
from trimtab.formats.keras.layer import LayerContext, Tensor

__all__ = ["activate"]


def activate(context: LayerContext, x: Tensor, function: Function | None) -> Tensor:
    """Apply what a config names as an activation; hands the mask on.

    Parameters
    ----------
    context : LayerContext
        Whose config names it.
    x : Tensor
    function : Function or None
        None is the identity.

    Returns
    -------
    y : Tensor

    Raises
    ------
    UnsupportedOpError
        No such function.

    Examples
    --------
    >>> activate(context, x, context.config.function("activation"))  # doctest: +SKIP
    """
    if function is None or function.name == "linear":
        return x
    return context.op("Relu", [x], mask=x.mask)
