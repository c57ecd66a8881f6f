"""Plain arithmetic that functional models record: keras.ops, and TensorFlow's calls.

Enters: a `LayerContext` whose arguments are the operation's. Leaves: its outputs. Both
tables are allow-lists.
"""

from __future__ import annotations

from typing import Any

from trimtab.errors import UnsupportedOpError
from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.ops_math import MATH, Operation
from trimtab.formats.keras.layers.ops_shape import SHAPES

__all__ = ["OPERATIONS", "TENSORFLOW", "operation", "tensorflow_operation"]

#: class of keras.ops -> names of its arguments, what it adds to the graph
OPERATIONS: dict[str, tuple[str, Operation]] = {**MATH, **SHAPES}

_REDUCTION = "input_tensor=x"
_BINARY = "x=x1 y=x2 a=x1 b=x2 dividend=x1 divisor=x2"

#: function of TensorFlow -> class of keras.ops, its arguments' other names
TENSORFLOW: dict[str, tuple[str, str]] = {
    **{
        name: (target, _BINARY)
        for name, target in {
            "add": "Add", "subtract": "Subtract", "multiply": "Multiply",
            "divide": "Divide", "truediv": "Divide", "pow": "Power",
            "floordiv": "FloorDivide", "mod": "Mod", "floormod": "Mod",
            "maximum": "Maximum", "minimum": "Minimum", "equal": "Equal",
            "not_equal": "NotEqual", "greater": "Greater", "less": "Less",
            "greater_equal": "GreaterEqual", "less_equal": "LessEqual",
            "logical_and": "LogicalAnd", "logical_or": "LogicalOr",
            "matmul": "Matmul",
        }.items()
    },
    **{
        name: (target, "features=x logits=x input=x")
        for name, target in {
            "abs": "Abs", "negative": "Negative", "neg": "Negative", "exp": "Exp",
            "log": "Log", "sqrt": "Sqrt", "rsqrt": "Rsqrt", "square": "Square",
            "sin": "Sin", "cos": "Cos", "tanh": "Tanh", "floor": "Floor",
            "ceil": "Ceil", "round": "Round", "sign": "Sign", "erf": "Erf",
            "sigmoid": "Sigmoid", "relu": "Relu", "relu6": "Relu6", "elu": "Elu",
            "selu": "Selu", "softplus": "Softplus", "softsign": "Softsign",
            "silu": "Silu", "swish": "Silu", "softmax": "Softmax",
            "log_softmax": "LogSoftmax", "identity": "Identity",
            "stop_gradient": "StopGradient", "logical_not": "LogicalNot",
            "zeros_like": "ZerosLike", "ones_like": "OnesLike", "log1p": "Log1p",
            "reciprocal": "Reciprocal", "cast": "Cast", "squeeze": "Squeeze",
        }.items()
    },
    **{
        f"reduce_{name}": (target, _REDUCTION)
        for name, target in {
            "sum": "Sum", "mean": "Mean", "max": "Max", "min": "Min", "prod": "Prod",
            "any": "Any", "all": "All", "logsumexp": "Logsumexp", "std": "Std",
            "variance": "Var",
        }.items()
    },
    "gelu": ("Gelu", "features=x"),
    "leaky_relu": ("LeakyRelu", "features=x alpha=negative_slope"),
    "clip_by_value": ("Clip", "t=x clip_value_min=x_min clip_value_max=x_max"),
    "reshape": ("Reshape", "tensor=x shape=newshape"),
    "transpose": ("Transpose", "a=x perm=axes"),
    "expand_dims": ("ExpandDims", "input=x"),
    "concat": ("Concatenate", "values=xs"),
    "stack": ("Stack", "values=x"),
    "split": ("Split", "value=x num_or_size_splits=indices_or_sections"),
    "tile": ("Tile", "input=x multiples=repeats"),
    "where": ("Where", "x=x1 y=x2"),
    "gather": ("Take", "params=x"),
    "argmax": ("Argmax", "input=x"),
    "argmin": ("Argmin", "input=x"),
    "l2_normalize": ("Normalize", ""),
    "broadcast_to": ("BroadcastTo", "input=x"),
    "getitem": ("GetItem", "slice_spec=key"),
}  # fmt: skip

# Modules of TensorFlow that the functions may be called by.
_MODULES = ("", "math", "nn", "linalg", "keras.backend", "keras.activations")
_IGNORED = ("name", "training")


def operation(context: LayerContext) -> list[Tensor]:
    """An operation of keras.ops.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    outputs : list of Tensor

    Raises
    ------
    ModelFormatError
        An argument is missing or malformed.
    UnsupportedOpError
        There is no rule for it.

    Examples
    --------
    >>> operation(context)                                 # doctest: +SKIP
    """
    name = context.class_name.removeprefix("ops.")
    options = {k: v for k, v in context.config.values.items() if k not in _IGNORED}
    return _call(context, name, {**options, **context.kwargs})


def _call(context: LayerContext, name: str, options: dict[str, Any]) -> list[Tensor]:
    if name not in OPERATIONS:
        raise UnsupportedOpError(
            f"{context.where}: trimtab has no rule for the operation {name[:80]!r}"
        )
    names, function = OPERATIONS[name]
    found = dict(zip(names.split(), context.args, strict=False))
    found.update({k: v for k, v in options.items() if k not in _IGNORED})
    try:
        outputs = function(context, found)
    except KeyError as error:
        raise context.error(f"the argument {error} is missing") from None
    return [outputs] if isinstance(outputs, Tensor) else outputs


def tensorflow_operation(context: LayerContext) -> list[Tensor]:
    """TFOpLambda, SlicingOpLambda, TensorFlowOpLayer: calls of TensorFlow.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    outputs : list of Tensor

    Raises
    ------
    UnsupportedOpError
        There is no rule for the function.

    Examples
    --------
    >>> tensorflow_operation(context)                      # doctest: +SKIP
    """
    function = context.config.text("function")
    module, _, name = function.removeprefix("compat.v1.").rpartition(".")
    is_operator = module == "__operators__"
    if not (is_operator or module in _MODULES) or name not in TENSORFLOW:
        raise UnsupportedOpError(
            f"{context.where}: trimtab has no rule for TensorFlow's {function[:80]!r}"
        )
    target, renamed = TENSORFLOW[name]
    names = dict(pair.split("=") for pair in renamed.split())
    options = {names.get(k, k): v for k, v in context.kwargs.items()}
    if name == "gather" and options.get("axis") is None:
        options["axis"] = 0
    if name in ("concat", "stack") and options.get("axis") is None:
        options["axis"] = 0
    if name == "split" and isinstance(parts := options["indices_or_sections"], list):
        options["indices_or_sections"] = [
            sum(parts[: i + 1]) for i in range(len(parts) - 1)
        ]
    if name == "gelu":
        options.setdefault("approximate", False)
    if name == "argmax" and options.get("axis") is None:
        options["axis"] = 0
    return _call(context, target, {k: v for k, v in options.items() if v is not None})
