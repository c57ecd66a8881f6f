"""Activations, as functions that a config names and as layers.

One table of both: a function's name is in lower case, a class's in capitals, and
their defaults differ (leaky_relu .2, LeakyReLU .3).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trimtab.formats.keras.config import Config, Function
from trimtab.formats.keras.layer import LayerContext, Tensor

__all__ = ["ACTIVATIONS", "activate", "activation", "activation_layer", "prelu"]

Activation = Callable[[LayerContext, Tensor, Config], Tensor]

_SQRT_2_OVER_PI = 0.7978845608028654
_MAX_SPARSEMAX = 4096
_ALONG_AN_AXIS = ("softmax", "log_softmax", "sparsemax", "glu")


def _one(op_type: str, **attributes: float | int | str) -> Activation:
    """Make the activation that is one operator."""

    def apply(c: LayerContext, x: Tensor, config: Config) -> Tensor:
        return c.op(op_type, [x], options=attributes)

    return apply


def _linear(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    return x


def _relu(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    """Linear from the threshold up to the maximum, sloped below the threshold."""
    slope = config.number("negative_slope", 0.0)
    threshold = config.number("threshold", 0.0)
    top = config.optional_number("max_value")
    if threshold == 0.0 and top is None:
        return c.op("LeakyRelu", [x], alpha=slope) if slope else c.op("Relu", [x])
    if threshold == 0.0:
        above = c.op("Clip", [x, c.constant(0.0), c.constant(float(top or 0.0))])
    else:
        is_above = c.op("Greater", [x, c.constant(threshold)], dtype="bool")
        above = c.op("Where", [is_above, x, c.constant(0.0)], dtype=x.dtype)
        if top is not None:
            above = c.op("Clip", [above, c.constant(0.0), c.constant(top)])
    if not slope:
        return above
    below = c.op("Relu", [c.op("Sub", [c.constant(threshold), x], shape=x.shape)])
    return c.op("Sub", [above, c.op("Mul", [below, c.constant(slope)])])


def _relu6(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    return c.op("Clip", [x, c.constant(0.0), c.constant(6.0)])


def _leaky(default: float) -> Activation:
    def apply(c: LayerContext, x: Tensor, config: Config) -> Tensor:
        key = "alpha" if config.has("alpha") else "negative_slope"
        return c.op("LeakyRelu", [x], alpha=config.number(key, default))

    return apply


def _with_alpha(op_type: str) -> Activation:
    def apply(c: LayerContext, x: Tensor, config: Config) -> Tensor:
        return c.op(op_type, [x], alpha=config.number("alpha", 1.0))

    return apply


def _thresholded(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    return c.op("ThresholdedRelu", [x], alpha=config.number("theta", 1.0))


def _gelu(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    is_tanh = config.flag("approximate", False)
    return c.op("Gelu", [x], approximate="tanh" if is_tanh else "none")


def _silu(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    return c.op("Mul", [x, c.op("Sigmoid", [x])])


def _hard_sigmoid(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    """Of slope .2 up to Keras 2, of slope 1/6 from Keras 3 on."""
    slope = 1 / 6 if c.source.keras_major >= 3 else 0.2
    return c.op("HardSigmoid", [x], alpha=slope, beta=0.5)


def _softmax(op_type: str) -> Activation:
    def apply(c: LayerContext, x: Tensor, config: Config) -> Tensor:
        axes = config.ints("axis", None, -1)
        if any(not -x.rank <= axis < x.rank for axis in axes):
            raise config.error("axis", f"an axis of shape {x.shape}")
        if len(axes) == 1:
            return c.op(op_type, [x], axis=axes[0])
        total = c.op("ReduceLogSumExp", [x, c.constant(axes)], keepdims=1)
        logarithm = c.op("Sub", [x, total])
        return c.op("Exp", [logarithm]) if op_type == "Softmax" else logarithm

    return apply


def _log_sigmoid(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    return c.op("Neg", [c.op("Softplus", [c.op("Neg", [x])])])


def _shrink(bias: str) -> Activation:
    """x beyond the threshold, moved towards 0 by the threshold or not at all."""

    def apply(c: LayerContext, x: Tensor, config: Config) -> Tensor:
        lambd = config.number("threshold", 0.5)
        return c.op("Shrink", [x], lambd=lambd, bias=lambd if bias else 0.0)

    return apply


def _tanh_shrink(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    return c.op("Sub", [x, c.op("Tanh", [x])])


def _hard_tanh(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    return c.op("Clip", [x, c.constant(-1.0), c.constant(1.0)])


def _sparse_sigmoid(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    return c.op("HardSigmoid", [x], alpha=0.5, beta=0.5)


def _sparse_plus(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    """0 below -1, x above 1, the parabola (x + 1)^2 / 4 between."""
    inside = c.op("Clip", [x, c.constant(-1.0), c.constant(1.0)])
    raised = c.op("Add", [inside, c.constant(1.0)])
    bend = c.op("Mul", [c.op("Mul", [raised, raised]), c.constant(0.25)])
    over = c.op("Relu", [c.op("Sub", [x, c.constant(1.0)])])
    return c.op("Add", [bend, over])


def _squareplus(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    square = c.op("Mul", [x, x])
    root = c.op("Sqrt", [c.op("Add", [square, c.constant(config.number("b", 4.0))])])
    return c.op("Mul", [c.op("Add", [x, root]), c.constant(0.5)])


def _glu(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    axis = config.int("axis", -1)
    size = c.size(x, axis)
    if size % 2:
        raise c.error(f"glu needs an even size, got {size}")
    shape = list(x.shape)
    shape[axis] = size // 2
    halves = c.ops("Split", [x], 2, axis=axis, num_outputs=2)
    value, gate = (Tensor(name, x.dtype, tuple(shape)) for name in halves)
    return c.op("Mul", [value, c.op("Sigmoid", [gate])])


def _sparsemax(c: LayerContext, x: Tensor, config: Config) -> Tensor:
    """Projection onto the simplex: sort, find the support, subtract its threshold."""
    axis = config.int("axis", -1)
    size = c.size(x, axis)
    if axis not in (-1, x.rank - 1) or size > _MAX_SPARSEMAX:
        raise c.unsupported("sparsemax is read over the last axis only")
    k = c.constant([size])
    ranked = Tensor(c.ops("TopK", [x, k], 2, axis=-1)[0], x.dtype, x.shape)
    sums = c.op("CumSum", [ranked, c.constant(np.int64(x.rank - 1))])
    counts = c.constant(np.arange(1, size + 1, dtype=np.float32))
    bound = c.op("Add", [c.op("Mul", [ranked, counts]), c.constant(1.0)])
    inside = c.op("Cast", [c.op("Greater", [bound, sums])], to=1)
    support = c.op("ReduceSum", [inside, c.constant([-1])], keepdims=1)
    kept = c.op("Mul", [sums, inside])  # the sums, not the elements, as Keras does
    total = c.op("ReduceSum", [kept, c.constant([-1])], keepdims=1)
    threshold = c.op("Div", [c.op("Sub", [total, c.constant(1.0)]), support])
    return c.op("Relu", [c.op("Sub", [x, threshold])], shape=x.shape)


#: name of a function or class -> what it adds to the graph
ACTIVATIONS: dict[str, Activation] = {
    "linear": _linear,
    "relu": _relu,
    "ReLU": _relu,
    "relu6": _relu6,
    "leaky_relu": _leaky(0.2),
    "LeakyReLU": _leaky(0.3),
    "ThresholdedReLU": _thresholded,
    "elu": _with_alpha("Elu"),
    "ELU": _with_alpha("Elu"),
    "celu": _with_alpha("Celu"),
    "selu": _one("Selu"),
    "gelu": _gelu,
    "silu": _silu,
    "swish": _silu,
    "mish": _one("Mish"),
    "softmax": _softmax("Softmax"),
    "Softmax": _softmax("Softmax"),
    "log_softmax": _softmax("LogSoftmax"),
    "softplus": _one("Softplus"),
    "softsign": _one("Softsign"),
    "sigmoid": _one("Sigmoid"),
    "log_sigmoid": _log_sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _one("HardSwish"),
    "hard_swish": _one("HardSwish"),
    "tanh": _one("Tanh"),
    "hard_tanh": _hard_tanh,
    "tanh_shrink": _tanh_shrink,
    "soft_shrink": _shrink("moved"),
    "hard_shrink": _shrink(""),
    "exponential": _one("Exp"),
    "sparse_sigmoid": _sparse_sigmoid,
    "sparse_plus": _sparse_plus,
    "squareplus": _squareplus,
    "sparsemax": _sparsemax,
    "glu": _glu,
}


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
    if function is None:
        return x
    if function.name not in ACTIVATIONS:
        raise context.unsupported(f"no rule for the activation {function.name[:80]!r}")
    config = Config(function.config, f"{context.where}: {function.name}")
    x = context.cast(x, "float32")
    return _apply(context, function.name, x, config).masked(x.mask)


def _apply(context: LayerContext, name: str, x: Tensor, config: Config) -> Tensor:
    """Apply a function; one of single elements before the axes are permuted."""
    if name.lower() in _ALONG_AN_AXIS:
        return ACTIVATIONS[name](context, x, config)
    [inner], perm = context.before_transpose(x)
    return context.transpose(ACTIVATIONS[name](context, inner, config), perm)


def activation(context: LayerContext) -> Tensor:
    """Activation: the function that the config names.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> activation(context)                                # doctest: +SKIP
    """
    return activate(context, context.x, context.config.function("activation"))


def activation_layer(context: LayerContext) -> Tensor:
    """ReLU, LeakyReLU, ELU, Softmax...: a class of its own.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> activation_layer(context)                          # doctest: +SKIP
    """
    x = context.cast(context.inputs[0] if context.inputs else context.x, "float32")
    mask = context.mask
    is_masked = mask is not None and context.class_name == "Softmax"
    if is_masked and mask is not None:
        lowest = context.constant(np.float32(-1e9))
        x = context.op("Where", [mask, x, lowest], dtype="float32", shape=x.shape)
    y = _apply(context, context.class_name, x, context.config)
    if is_masked and mask is not None:
        zero = context.constant(0.0)
        y = context.op("Where", [mask, y, zero], dtype="float32", shape=y.shape)
    return y.masked(context.inputs[0].mask)


def prelu(context: LayerContext) -> Tensor:
    """PReLU: a slope of its own for each element, or shared along some axes.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        shared_axes are none of the input.

    Examples
    --------
    >>> prelu(context)                                     # doctest: +SKIP
    """
    x = context.cast(context.x, "float32")
    shape: list[int | None] = [d if isinstance(d, int) else None for d in x.shape[1:]]
    if context.config.has("shared_axes"):
        for axis in context.config.ints("shared_axes"):
            if not 1 <= axis < x.rank:
                raise context.config.error("shared_axes", f"axes of {x.shape}")
            shape[axis - 1] = 1
    slope = context.weight("alpha", shape)
    return context.op("PRelu", [x, slope], mask=x.mask)
