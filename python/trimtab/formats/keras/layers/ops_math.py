"""Operations of keras.ops that compute: element by element, and along axes.

Enters: a `LayerContext` and the operation's arguments by name. Leaves: a `Tensor`.
`operations.OPERATIONS` names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from trimtab.formats.keras.config import Config
from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.activations import ACTIVATIONS
from trimtab.formats.keras.layers.merge import broadcast
from trimtab.graph import DTYPES, Dims

__all__ = ["MATH", "Arguments", "Operation", "axes_of", "operands", "tensor_of"]

Arguments: TypeAlias = "Mapping[str, Any]"
Operation: TypeAlias = "Callable[[LayerContext, Arguments], Tensor | list[Tensor]]"

# Kind of a plain number -> dtype that its operand gets at least.
_WEAK = {"f": "float32", "b": "bool"}
_ORDER = ("bool", "uint8", "int8", "int16", "int32", "int64", "float32")


def tensor_of(context: LayerContext, value: Any, name: str = "x") -> Tensor:
    """Give an argument as a tensor: itself, or a constant.

    Parameters
    ----------
    context : LayerContext
    value : object
        Tensor, number, or lists of numbers.
    name : str
        Of the argument, for messages.

    Returns
    -------
    tensor : Tensor

    Raises
    ------
    ModelFormatError
        It is something else.

    Examples
    --------
    >>> tensor_of(context, 2.0)                            # doctest: +SKIP
    """
    if isinstance(value, Tensor):
        return value
    try:
        array = np.array(value)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise context.error(f"{name}: expected a tensor or numbers, got {value!r:.80}")
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    return Tensor(context.constant(array), array.dtype.name, array.shape)


def operands(context: LayerContext, *values: Any, least: str = "bool") -> list[Tensor]:
    """Give arguments as tensors of one dtype, as Keras promotes them.

    Parameters
    ----------
    context : LayerContext
    *values : object
    least : str, default="bool"
        Dtype that they have at least.

    Returns
    -------
    tensors : list of Tensor

    Examples
    --------
    >>> operands(context, context.x, 1.0)                  # doctest: +SKIP
    """
    tensors = [x for x in values if isinstance(x, Tensor)]
    dtypes = [_rank(x.dtype) for x in tensors] + [_ORDER.index(least)]
    for value in values:
        if not isinstance(value, Tensor):
            kind = np.array(value).dtype.kind
            dtypes.append(
                _ORDER.index({"f": "float32", "b": "bool"}.get(kind, "uint8"))
            )
    dtype = _ORDER[max(dtypes)]
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(context.cast(value, dtype))
        else:
            plain = tensor_of(context, value)
            array = np.array(value).astype(dtype)
            found.append(Tensor(context.constant(array), dtype, plain.shape))
    return found


def _rank(dtype: str) -> int:
    return _ORDER.index(dtype) if dtype in _ORDER else len(_ORDER) - 1


def axes_of(context: LayerContext, value: Any, rank: int) -> list[int]:
    """Give an axis argument as axes counted from the front.

    Parameters
    ----------
    context : LayerContext
    value : int, list of int or None
        None is all axes.
    rank : int

    Returns
    -------
    axes : list of int

    Raises
    ------
    ModelFormatError
        It is something else.

    Examples
    --------
    >>> axes_of(context, -1, 3)                            # doctest: +SKIP
    [2]
    """
    if value is None:
        return list(range(rank))
    items = value if isinstance(value, list | tuple) else [value]
    for item in items:
        is_int = isinstance(item, int) and not isinstance(item, bool)
        if not is_int or not -rank <= item < rank:
            raise context.error(f"expected axes of {rank} dims, got {value!r:.80}")
    return [item % rank for item in items]


def unary(op_type: str, least: str = "float32", dtype: str | None = None) -> Operation:
    """Make the operation that is one operator of one input.

    Parameters
    ----------
    op_type : str
    least : str, default="float32"
        Dtype that the input is given at least.
    dtype : str, optional
        Of the output.

    Returns
    -------
    operation : callable

    Examples
    --------
    >>> unary("Exp")                                       # doctest: +SKIP
    """

    def apply(c: LayerContext, a: Arguments) -> Tensor:
        x = operands(c, a["x"], least=least)[0]
        return c.op(op_type, [x], dtype=dtype)

    return apply


def binary(op_type: str, least: str = "uint8", dtype: str | None = None) -> Operation:
    """Make the operation that is one operator of two inputs.

    Parameters
    ----------
    op_type : str
    least : str, default="uint8"
        Dtype that the inputs are given at least.
    dtype : str, optional
        Of the output.

    Returns
    -------
    operation : callable

    Examples
    --------
    >>> binary("Add")                                      # doctest: +SKIP
    """

    def apply(c: LayerContext, a: Arguments) -> Tensor:
        x, y = operands(c, a["x1"], a["x2"], least=least)
        shape = broadcast(x.shape, y.shape) if x.shape or y.shape else ()
        return c.op(op_type, [x, y], shape=shape, dtype=dtype)

    return apply


def _logical(op_type: str) -> Operation:
    def apply(c: LayerContext, a: Arguments) -> Tensor:
        x, y = (c.cast(tensor_of(c, a[k]), "bool") for k in ("x1", "x2"))
        return c.op(op_type, [x, y], shape=broadcast(x.shape, y.shape))

    return apply


def _not_equal(c: LayerContext, a: Arguments) -> Tensor:
    found = binary("Equal", dtype="bool")(c, a)
    assert isinstance(found, Tensor)
    return c.op("Not", [found])


def _logical_not(c: LayerContext, a: Arguments) -> Tensor:
    return c.op("Not", [c.cast(tensor_of(c, a["x"]), "bool")])


def _floor_divide(c: LayerContext, a: Arguments) -> Tensor:
    x, y = operands(c, a["x1"], a["x2"])
    if not x.is_float:
        raise c.unsupported("division of integers")
    shape = broadcast(x.shape, y.shape)
    return c.op("Floor", [c.op("Div", [x, y], shape=shape)])


def _modulo(c: LayerContext, a: Arguments) -> Tensor:
    """With the sign of the divisor; ONNX has that for integers only."""
    x, y = operands(c, a["x1"], a["x2"])
    shape = broadcast(x.shape, y.shape)
    if not x.is_float:
        return c.op("Mod", [x, y], shape=shape)
    whole = c.op("Floor", [c.op("Div", [x, y], shape=shape)])
    return c.op("Sub", [x, c.op("Mul", [whole, y])], shape=shape)


def _reciprocal_root(c: LayerContext, a: Arguments) -> Tensor:
    x = operands(c, a["x"], least="float32")[0]
    return c.op("Reciprocal", [c.op("Sqrt", [x])])


def _square(c: LayerContext, a: Arguments) -> Tensor:
    x = operands(c, a["x"], least="uint8")[0]
    return c.op("Mul", [x, x])


def _log1p(c: LayerContext, a: Arguments) -> Tensor:
    x = operands(c, a["x"], least="float32")[0]
    return c.op("Log", [c.op("Add", [x, c.constant(1.0)])])


def _expm1(c: LayerContext, a: Arguments) -> Tensor:
    x = operands(c, a["x"], least="float32")[0]
    return c.op("Sub", [c.op("Exp", [x]), c.constant(1.0)])


def _clip(c: LayerContext, a: Arguments) -> Tensor:
    low, high = a.get("x_min"), a.get("x_max")
    for bound in (low, high):
        if bound is not None and not isinstance(bound, int | float):
            raise c.unsupported("bounds that are no numbers")
    x, *bounds = operands(c, a["x"], *(b for b in (low, high) if b is not None))
    names: list[Tensor | str] = list(bounds)
    if low is None:
        names.insert(0, "")
    return c.op("Clip", [x, *names])


def _cast(c: LayerContext, a: Arguments) -> Tensor:
    dtype = str(a.get("dtype"))
    if dtype in ("float16", "bfloat16", "float64"):
        dtype = "float32"
    if dtype not in DTYPES or dtype == "string":
        raise c.error(f"expected a dtype, got {dtype[:80]!r}")
    x = tensor_of(c, a["x"])
    if x.dtype == "float32" and dtype in ("uint8", "int8", "int16", "uint16"):
        x = c.cast(x, "int32")
    return c.cast(x, dtype).masked(None)


def _where(c: LayerContext, a: Arguments) -> Tensor:
    condition = c.cast(tensor_of(c, a["condition"]), "bool")
    if a.get("x1") is None or a.get("x2") is None:
        raise c.unsupported("where() without values")
    x, y = operands(c, a["x1"], a["x2"])
    shape = broadcast(condition.shape, x.shape, y.shape)
    return c.op("Where", [condition, x, y], shape=shape, dtype=x.dtype)


def _activation(name: str, **defaults: Any) -> Operation:
    """The function of the same name; its options are the operation's arguments."""

    def apply(c: LayerContext, a: Arguments) -> Tensor:
        x = c.cast(tensor_of(c, a["x"]), "float32")
        options = {**defaults, **{k: v for k, v in a.items() if k != "x"}}
        return ACTIVATIONS[name](c, x, Config(options, c.where))

    return apply


def reduced(x: Tensor, axes: Sequence[int], keeps: bool) -> Dims:
    """Give the shape after a reduction.

    Parameters
    ----------
    x : Tensor
    axes : sequence of int
    keeps : bool

    Returns
    -------
    shape : tuple

    Examples
    --------
    >>> reduced(Tensor("x", "float32", ("batch", 4)), [1], keeps=False)
    ('batch',)
    """
    return tuple(
        1 if axis in axes else dim
        for axis, dim in enumerate(x.shape)
        if keeps or axis not in axes
    )


def _reduction(op_type: str, least: str = "uint8") -> Operation:
    def apply(c: LayerContext, a: Arguments) -> Tensor:
        x = operands(c, a["x"], least=least)[0]
        axes = axes_of(c, a.get("axis"), x.rank)
        keeps = bool(a.get("keepdims", False))
        if not axes:
            return x
        where = c.constant(axes)
        shape = reduced(x, axes, keeps)
        return c.op(op_type, [x, where], shape=shape, keepdims=int(keeps))

    return apply


def _truth(op_type: str) -> Operation:
    """any and all: the largest and the smallest of 0 and 1."""

    def apply(c: LayerContext, a: Arguments) -> Tensor:
        x = c.cast(c.cast(tensor_of(c, a["x"]), "bool"), "float32")
        found = _reduction(op_type)(c, {**a, "x": x})
        assert isinstance(found, Tensor)
        return c.cast(found, "bool")

    return apply


def _variance(root: bool) -> Operation:
    def apply(c: LayerContext, a: Arguments) -> Tensor:
        x = c.cast(tensor_of(c, a["x"]), "float32")
        axes = axes_of(c, a.get("axis"), x.rank)
        keeps = bool(a.get("keepdims", False))
        where = c.constant(axes)
        mean = c.op("ReduceMean", [x, where], keepdims=1)
        off = c.op("Sub", [x, mean])
        shape = reduced(x, axes, keeps)
        square = c.op("Mul", [off, off])
        y = c.op("ReduceMean", [square, where], shape=shape, keepdims=int(keeps))
        return c.op("Sqrt", [y]) if root else y

    return apply


def _position(op_type: str) -> Operation:
    def apply(c: LayerContext, a: Arguments) -> Tensor:
        x = tensor_of(c, a["x"])
        if a.get("axis") is None:
            raise c.unsupported("the position among all elements (axis=None)")
        axes = axes_of(c, a["axis"], x.rank)
        keeps = bool(a.get("keepdims", False))
        found = c.op(
            op_type,
            [x],
            shape=reduced(x, axes, keeps),
            dtype="int64",
            axis=axes[0],
            keepdims=int(keeps),
        )
        return c.cast(found, "int32")

    return apply


def _l2_normalize(c: LayerContext, a: Arguments) -> Tensor:
    if a.get("order", 2) != 2:
        raise c.unsupported(f"normalize of order {a['order']!r:.80}")
    x = c.cast(tensor_of(c, a["x"]), "float32")
    axes = c.constant(axes_of(c, a.get("axis", -1), x.rank))
    total = c.op("ReduceSumSquare", [x, axes], keepdims=1)
    bounded = c.op("Max", [total, c.constant(float(a.get("epsilon") or 1e-12))])
    return c.op("Div", [x, c.op("Sqrt", [bounded])], shape=x.shape)


def _identity(c: LayerContext, a: Arguments) -> Tensor:
    return tensor_of(c, a["x"])


def _filled(value: float) -> Operation:
    def apply(c: LayerContext, a: Arguments) -> Tensor:
        x = tensor_of(c, a["x"])
        sizes = c.op("Shape", [x], shape=(x.rank,), dtype="int64")
        fill = c.constant(np.array(value, x.dtype))
        return c.op("Expand", [fill, sizes], shape=x.shape, dtype=x.dtype)

    return apply


#: class of keras.ops -> names of its tensors, what it adds to the graph
MATH: dict[str, tuple[str, Operation]] = {
    **{
        name: ("x", unary(op_type))
        for name, op_type in {
            "Exp": "Exp", "Log": "Log", "Sqrt": "Sqrt", "Sin": "Sin", "Cos": "Cos",
            "Tan": "Tan", "Tanh": "Tanh", "Sinh": "Sinh", "Cosh": "Cosh",
            "Arcsin": "Asin", "Arccos": "Acos", "Arctan": "Atan", "Erf": "Erf",
            "Arcsinh": "Asinh", "Arccosh": "Acosh", "Arctanh": "Atanh",
            "Floor": "Floor", "Ceil": "Ceil", "Reciprocal": "Reciprocal",
        }.items()
    },
    "Abs": ("x", unary("Abs", "uint8")),
    "Absolute": ("x", unary("Abs", "uint8")),
    "Negative": ("x", unary("Neg", "int8")),
    "Sign": ("x", unary("Sign", "int8")),
    "Isnan": ("x", unary("IsNaN", "float32", "bool")),
    "Isinf": ("x", unary("IsInf", "float32", "bool")),
    "Round": ("x", unary("Round")),
    "Square": ("x", _square),
    "Rsqrt": ("x", _reciprocal_root),
    "Log1p": ("x", _log1p),
    "Expm1": ("x", _expm1),
    "Cast": ("x", _cast),
    "Identity": ("x", _identity),
    "StopGradient": ("x", _identity),
    "Clip": ("x x_min x_max", _clip),
    "Add": ("x1 x2", binary("Add")),
    "Subtract": ("x1 x2", binary("Sub")),
    "Multiply": ("x1 x2", binary("Mul")),
    "Divide": ("x1 x2", binary("Div", "float32")),
    "TrueDivide": ("x1 x2", binary("Div", "float32")),
    "FloorDivide": ("x1 x2", _floor_divide),
    "Mod": ("x1 x2", _modulo),
    "Power": ("x1 x2", binary("Pow")),
    "Maximum": ("x1 x2", binary("Max")),
    "Minimum": ("x1 x2", binary("Min")),
    "Equal": ("x1 x2", binary("Equal", dtype="bool")),
    "NotEqual": ("x1 x2", _not_equal),
    "Greater": ("x1 x2", binary("Greater", dtype="bool")),
    "GreaterEqual": ("x1 x2", binary("GreaterOrEqual", dtype="bool")),
    "Less": ("x1 x2", binary("Less", dtype="bool")),
    "LessEqual": ("x1 x2", binary("LessOrEqual", dtype="bool")),
    "LogicalAnd": ("x1 x2", _logical("And")),
    "LogicalOr": ("x1 x2", _logical("Or")),
    "LogicalXor": ("x1 x2", _logical("Xor")),
    "LogicalNot": ("x", _logical_not),
    "Where": ("condition x1 x2", _where),
    "ZerosLike": ("x", _filled(0)),
    "OnesLike": ("x", _filled(1)),
    "Sum": ("x", _reduction("ReduceSum")),
    "Mean": ("x", _reduction("ReduceMean", "float32")),
    "Max": ("x", _reduction("ReduceMax")),
    "Min": ("x", _reduction("ReduceMin")),
    "Prod": ("x", _reduction("ReduceProd")),
    "Logsumexp": ("x", _reduction("ReduceLogSumExp", "float32")),
    "Any": ("x", _truth("ReduceMax")),
    "All": ("x", _truth("ReduceMin")),
    "Var": ("x", _variance(root=False)),
    "Std": ("x", _variance(root=True)),
    "Argmax": ("x", _position("ArgMax")),
    "Argmin": ("x", _position("ArgMin")),
    "Normalize": ("x", _l2_normalize),
    **{
        name: ("x", _activation(function))
        for name, function in {
            "Relu": "relu", "ReLU": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid",
            "Softplus": "softplus", "Softsign": "softsign", "Silu": "silu",
            "LogSigmoid": "log_sigmoid", "LeakyRelu": "leaky_relu", "Elu": "elu",
            "HardSigmoid": "hard_sigmoid", "HardSilu": "hard_silu", "Selu": "selu",
            "Softmax": "softmax", "LogSoftmax": "log_softmax", "Celu": "celu",
            "Glu": "glu", "TanhShrink": "tanh_shrink", "HardTanh": "hard_tanh",
            "HardShrink": "hard_shrink", "SoftShrink": "soft_shrink", "Mish": "mish",
            "Squareplus": "squareplus", "SparsePlus": "sparse_plus",
            "SparseSigmoid": "sparse_sigmoid", "Sparsemax": "sparsemax",
        }.items()
    },
    "Gelu": ("x", _activation("gelu", approximate=True)),
}  # fmt: skip
