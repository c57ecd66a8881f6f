"""Normalisation, as it is at inference."""

from __future__ import annotations

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.channels import to_first, to_last

__all__ = [
    "batch_norm",
    "group_norm",
    "layer_norm",
    "rms_norm",
    "spectral_norm",
    "unit_norm",
]


def _axes(context: LayerContext, x: Tensor, default: int = -1) -> list[int]:
    """The config's axis or axes, counted from the front and sorted."""
    given = context.config.ints("axis", None, default)
    axes = sorted({axis + x.rank if axis < 0 else axis for axis in given})
    if not axes or not all(0 <= axis < x.rank for axis in axes):
        raise context.config.error("axis", f"axes of an input of shape {x.shape}")
    return axes


def batch_norm(context: LayerContext) -> Tensor:
    """BatchNormalization: scaled and shifted by what training saw.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    UnsupportedOpError
        Several axes, or the call asks for the statistics of the batch.

    Examples
    --------
    >>> batch_norm(context)                                # doctest: +SKIP
    """
    config = context.config
    x = context.cast(context.x, "float32")
    axes = _axes(context, x)
    if len(axes) != 1 or axes[0] == 0:
        raise context.unsupported("it is read over one axis, and not that of the batch")
    if context.argument("training") is True:
        raise context.unsupported("it is called with training=True")
    axis = axes[0]
    size = context.size(x, axis)
    ones = context.made("ones", np.ones(size, np.float32))
    zeros = context.made("zeros", np.zeros(size, np.float32))
    gamma = context.weight("gamma", (size,)) if config.flag("scale", True) else ones
    beta = context.weight("beta", (size,)) if config.flag("center", True) else zeros
    mean = context.weight("moving_mean", (size,))
    variance = context.weight("moving_variance", (size,))
    order = [0, axis, *(i for i in range(1, x.rank) if i != axis)]
    y = context.op(
        "BatchNormalization",
        [context.transpose(x, order), gamma, beta, mean, variance],
        epsilon=config.number("epsilon", 1e-3),
    )
    return context.transpose(y, [order.index(i) for i in range(x.rank)]).masked(x.mask)


def layer_norm(context: LayerContext) -> Tensor:
    """LayerNormalization.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> layer_norm(context)                                # doctest: +SKIP
    """
    config = context.config
    is_rms = config.flag("rms_scaling", False)
    x = context.cast(context.x, "float32")
    axes = _axes(context, x)
    sizes = [context.size(x, axis) for axis in axes]
    has_gamma = config.flag("scale", True) or is_rms
    gamma = context.weight("gamma", sizes) if has_gamma else None
    beta = None
    if config.flag("center", True) and not is_rms:
        beta = context.weight("beta", sizes)
    epsilon = config.number("epsilon", 1e-3)
    return _over_last(context, x, axes, gamma, beta, epsilon, is_rms)


def rms_norm(context: LayerContext) -> Tensor:
    """RMSNormalization.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> rms_norm(context)                                  # doctest: +SKIP
    """
    x = context.cast(context.x, "float32")
    axes = _axes(context, x)
    scale = context.weight("scale", [context.size(x, axis) for axis in axes])
    epsilon = context.config.number("epsilon", 1e-6)
    return _over_last(context, x, axes, scale, None, epsilon, is_rms=True)


def _over_last(
    context: LayerContext,
    x: Tensor,
    axes: list[int],
    gamma: Tensor | None,
    beta: Tensor | None,
    epsilon: float,
    is_rms: bool,
) -> Tensor:
    """Normalise over some axes, which are moved to the end for it."""
    order = [i for i in range(x.rank) if i not in axes] + axes
    turned = context.transpose(x, order)
    sizes = tuple(context.size(x, axis) for axis in axes)
    if gamma is None:
        gamma = context.made("ones", np.ones(sizes, np.float32))
    op_type = "RMSNormalization" if is_rms else "LayerNormalization"
    y = context.op(
        op_type,
        [turned, gamma, *([] if beta is None else [beta])],
        axis=-len(axes),
        epsilon=epsilon,
    )
    return context.transpose(y, [order.index(i) for i in range(x.rank)]).masked(x.mask)


def group_norm(context: LayerContext) -> Tensor:
    """GroupNormalization.

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
    >>> group_norm(context)                                # doctest: +SKIP
    """
    config = context.config
    x = context.cast(context.x, "float32")
    axes = _axes(context, x)
    if len(axes) != 1 or axes[0] == 0 or axes[0] not in (1, x.rank - 1):
        raise context.unsupported("it is read over axis 1 or the last")
    is_first = axes[0] == 1
    size = context.size(x, axes[0])
    groups = config.int("groups", 32)
    groups = size if groups == -1 else groups
    if groups < 1 or size % groups:
        raise config.error("groups", f"a divisor of {size}, or -1")
    ones = context.made("ones", np.ones(size, np.float32))
    zeros = context.made("zeros", np.zeros(size, np.float32))
    gamma = context.weight("gamma", (size,)) if config.flag("scale", True) else ones
    beta = context.weight("beta", (size,)) if config.flag("center", True) else zeros
    y = context.op(
        "GroupNormalization",
        [to_first(context, x, is_first), gamma, beta],
        num_groups=groups,
        epsilon=config.number("epsilon", 1e-3),
    )
    return to_last(context, y, is_first).masked(x.mask)


def unit_norm(context: LayerContext) -> Tensor:
    """UnitNormalization: divided by the L2 norm.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> unit_norm(context)                                 # doctest: +SKIP
    """
    x = context.cast(context.x, "float32")
    axes = context.constant(_axes(context, x))
    total = context.op("ReduceSumSquare", [x, axes], keepdims=1)
    bounded = context.op("Max", [total, context.constant(1e-12)])
    y = context.op("Div", [x, context.op("Sqrt", [bounded])])
    return y.masked(x.mask)


def spectral_norm(context: LayerContext) -> list[Tensor]:
    """SpectralNormalization: the layer inside; its weights are stored normalised.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    outputs : list of Tensor

    Examples
    --------
    >>> spectral_norm(context)                             # doctest: +SKIP
    """
    inner = context.config.object("layer")
    outputs = context.inner(inner, context.args[0], part="layer")
    context.weights.skip_rest()
    return outputs
