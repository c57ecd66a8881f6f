"""Templates of nodes that treat each element by itself, and of reductions."""

from __future__ import annotations

import numpy as np

from .builder import FLOATS, INTS, Builder, Stuck, Value

# Bits in, bits out; or one correctly rounded operation.
_EXACT_UNARY = {
    "Abs": FLOATS + INTS,
    "Neg": (*FLOATS, "int32", "int64", "int8", "int16"),
    "Relu": FLOATS,
    "Identity": (*FLOATS, *INTS, "bool"),
    "Floor": FLOATS,
    "Ceil": FLOATS,
    "Round": FLOATS,
    "Sign": FLOATS + INTS,
    "Not": ("bool",),
}
_UNARY = {
    "Sqrt": FLOATS,
    "Exp": FLOATS,
    "Log": FLOATS,
    "Sigmoid": FLOATS,
    "Tanh": FLOATS,
    "Erf": FLOATS,
    "Softplus": FLOATS,
    "Softsign": FLOATS,
    "Sin": FLOATS,
    "Cos": FLOATS,
    "Atan": FLOATS,
    "Asinh": FLOATS,
    "Reciprocal": FLOATS,
    "Elu": FLOATS,
    "Selu": FLOATS,
    "LeakyRelu": FLOATS,
    "HardSigmoid": FLOATS,
    "HardSwish": FLOATS,
    "ThresholdedRelu": FLOATS,
}
_NEEDS_EXACT = {"Floor", "Ceil", "Round", "Sign", "ThresholdedRelu"}
_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow", "PRelu")
_COMPARISONS = ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")
_REDUCTIONS = (
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSumExp",
)


# Of integers, onnxruntime computes these in floating point: what overflows differs.
_OVERFLOWING = ("ReduceProd", "ReduceSumSquare", "ReduceL1")


def partner(b: Builder, x: Value, *, tame: bool = False) -> Value:
    """A value of the same dtype whose shape broadcasts with that of x."""
    if b.chance(40):
        try:
            return b.find(lambda v: v.dtype == x.dtype and v.shape == x.shape)
        except Stuck:
            pass
    shape = [1 if b.chance(25) else n for n in x.shape]
    shape = shape[b.choices.integer(0, len(shape)) :] if b.chance(40) else shape
    if b.chance(10) and len(shape) == x.rank:
        shape = [b.choices.pick((1, 2)), *shape]
    return b.fresh(x.dtype, tuple(shape), tame=tame)


def broadcast(*values: Value) -> tuple[int, ...]:
    return tuple(np.broadcast_shapes(*[v.shape for v in values]))


def unary(b: Builder) -> None:
    table = _EXACT_UNARY if b.chance(40) else _UNARY
    name = b.choices.pick(sorted(table))
    if name == "HardSwish" and b.opset < 14:
        raise Stuck
    x = b.find(
        lambda v: v.dtype in table[name] and (v.exact or name not in _NEEDS_EXACT)
    )
    is_exact = table is _EXACT_UNARY
    b.add(name, [x], (x.dtype, x.shape), exact=is_exact, moved=name == "Identity")


def clip(b: Builder) -> None:
    x = b.find(lambda v: v.dtype in (*FLOATS, "int32", "int64", "int8", "uint8"))
    low = b.given(np.array(b.choices.integer(0, 2), x.dtype)) if b.chance(70) else None
    high = b.given(np.array(b.choices.integer(2, 5), x.dtype)) if b.chance(70) else None
    b.add("Clip", [x, low, high], (x.dtype, x.shape), exact=True)


def arithmetic(b: Builder) -> None:
    name = b.choices.pick(_ARITHMETIC)
    dtypes = (*FLOATS, "int32", "int64") if name in ("Add", "Sub", "Mul") else FLOATS
    x = b.find(lambda v: v.dtype in dtypes)
    y = partner(b, x)
    if name == "PRelu":  # the slope goes to x alone
        if broadcast(x, y) != x.shape:
            raise Stuck
        b.add(name, [x, y], (x.dtype, x.shape))
        return
    swap = b.chance(30)
    is_exact = x.dtype in INTS
    inputs = [y, x] if swap else [x, y]
    b.add(name, inputs, (x.dtype, broadcast(x, y)), exact=is_exact)


def division(b: Builder) -> None:
    """Of integers: never by zero, never of the smallest by -1."""
    x = b.find(lambda v: v.dtype in ("int32", "int64"))
    divisor = np.abs(b.array(x.dtype, x.shape, tame=True)) + np.array(2, x.dtype)
    name = b.choices.pick(("Div", "Mod"))
    b.add(name, [x, b.given(divisor)], (x.dtype, x.shape), exact=True)


def variadic(b: Builder) -> None:
    name = b.choices.pick(("Max", "Min", "Sum", "Mean"))
    x = b.find(lambda v: v.dtype in FLOATS)
    others = [partner(b, x) for _ in range(b.choices.integer(0, 3))]
    shape = broadcast(x, *others)
    is_exact = name in ("Max", "Min")
    b.add(name, [x, *others], (x.dtype, shape), exact=is_exact)


def compare(b: Builder) -> None:
    name = b.choices.pick(_COMPARISONS)
    if b.opset < 16 and name.endswith("OrEqual"):
        raise Stuck
    x = b.find(lambda v: v.exact and v.dtype in (*FLOATS, "int32", "int64"))
    y = partner(b, x)
    if not y.exact:
        raise Stuck
    b.add(name, [x, y], ("bool", broadcast(x, y)), exact=True)


def logic(b: Builder) -> None:
    x = b.find(lambda v: v.dtype == "bool")
    y = partner(b, x)
    name = b.choices.pick(("And", "Or", "Xor"))
    b.add(name, [x, y], ("bool", broadcast(x, y)), exact=True)


def where(b: Builder) -> None:
    x = b.find(lambda v: v.dtype in (*FLOATS, "int32", "int64", "uint8"))
    y = partner(b, x)
    if b.chance(50):
        try:
            c = b.find(lambda v: v.dtype == "bool" and v.shape == x.shape)
        except Stuck:
            c = b.fresh("bool", x.shape)
    else:
        c = b.fresh("bool", tuple(1 if b.chance(50) else n for n in x.shape))
    shape = broadcast(c, x, y)
    b.add("Where", [c, x, y], (x.dtype, shape), exact=True, moved=True)


def tests_of_floats(b: Builder) -> None:
    x = b.find(lambda v: v.exact and v.dtype in ("float32", "float64", "float16"))
    name = b.choices.pick(("IsNaN", "IsInf"))
    if name == "IsInf" and (x.dtype == "float16" and b.opset < 20):
        raise Stuck
    b.add(name, [x], ("bool", x.shape), exact=True)


def cast(b: Builder) -> None:
    """To integers only what fits: the rest is left open by the specification."""
    from onnx import helper

    x = b.find(lambda v: v.exact and v.dtype in (*FLOATS, *INTS, "bool"))
    targets = [*FLOATS, "bool"] if x.dtype in FLOATS else [*FLOATS, *INTS, "bool"]
    if x.dtype in FLOATS and b.chance(40):
        x = without_nan(b, x)
        low, high = (b.given(np.array(n, x.dtype)) for n in (0, 100))
        x = b.add("Clip", [x, low, high], (x.dtype, x.shape), exact=True)
        targets = list(INTS)
    to = b.choices.pick(targets)
    code = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    b.add("Cast", [x], (to, x.shape), exact=True, to=code)


def reduce(b: Builder) -> None:
    name = b.choices.pick(_REDUCTIONS)
    is_pick = name in ("ReduceMax", "ReduceMin")
    dtypes = (*FLOATS, "int32", "int64")
    if name == "ReduceLogSumExp" or name in ("ReduceMean", "ReduceL2"):
        dtypes = FLOATS
    x = b.find(lambda v: v.dtype in dtypes and v.rank > 0)
    if x.dtype in INTS and name in _OVERFLOWING:
        low, high = (b.given(np.array(n, x.dtype)) for n in (-1, 1))
        x = b.add("Clip", [x, low, high], (x.dtype, x.shape), exact=True)
    axes = [i for i in range(x.rank) if b.chance(50)] or [x.rank - 1]
    keeps = b.choices.integer(0, 1)
    if is_pick and any(x.shape[i] == 0 for i in axes):
        raise Stuck  # of nothing there is no largest
    shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
    if not keeps:
        shape = [n for i, n in enumerate(x.shape) if i not in axes]
    if b.chance(30):
        axes = [i - x.rank for i in axes]
    as_input = b.opset >= 18 or name == "ReduceSum"
    inputs = [x, b.ints(axes)] if as_input else [x]
    more = {} if as_input else {"axes": axes}
    is_exact = is_pick or x.dtype in INTS
    b.add(name, inputs, (x.dtype, tuple(shape)), exact=is_exact, keepdims=keeps, **more)


def without_nan(b: Builder, x: Value) -> Value:
    """Zeros in place of NaN, for operators that leave open what becomes of one."""
    nan = b.add("IsNaN", [x], ("bool", x.shape), exact=True)
    zero = b.given(np.zeros((), x.dtype))
    return b.add("Where", [nan, zero, x], (x.dtype, x.shape), exact=True)


def arg_pick(b: Builder) -> None:
    x = b.find(lambda v: v.exact and v.dtype in FLOATS and v.rank > 0 and v.size > 0)
    x = without_nan(b, x)
    axis, keeps = b.choices.integer(0, x.rank - 1), b.choices.integer(0, 1)
    shape = [1 if i == axis else n for i, n in enumerate(x.shape)]
    if not keeps:
        del shape[axis]
    b.add(
        b.choices.pick(("ArgMax", "ArgMin")),
        [x],
        ("int64", tuple(shape)),
        exact=True,
        axis=axis,
        keepdims=keeps,
        select_last_index=b.choices.integer(0, 1),
    )


def cumsum(b: Builder) -> None:
    x = b.find(lambda v: v.dtype in ("float32", "float64", "int32", "int64") and v.rank)
    axis = b.given(np.array(b.choices.integer(-x.rank, x.rank - 1), np.int64))
    b.add(
        "CumSum",
        [x, axis],
        (x.dtype, x.shape),
        exact=x.dtype in INTS,
        exclusive=b.choices.integer(0, 1),
        reverse=b.choices.integer(0, 1),
    )


TEMPLATES = (
    unary,
    unary,
    clip,
    arithmetic,
    arithmetic,
    division,
    variadic,
    compare,
    logic,
    where,
    tests_of_floats,
    cast,
    reduce,
    reduce,
    arg_pick,
    cumsum,
)
