"""Operators that work element by element, and selections between elements.

Where all operands stand with channels first already, the result is computed so too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from trimtab.errors import ModelFormatError
from trimtab.formats.tflite.operation import Operation
from trimtab.graph import Attribute

__all__ = ["ELEMENTWISE"]

_Convert = Callable[[Operation], None]


def _channels_first(op: Operation, place: int) -> str | None:
    """An operand as it is used with operands that have channels first."""
    index, tensor = op.index(place), op.tensor(place)
    if op.scope.has_channels_first(index):
        return op.nchw(place)
    array = op.scope.real_constant(index)
    if array is None:
        return op.nchw(place) if tensor.rank == 4 else None
    if array.ndim == 0 or array.ndim > 4:
        return op.x(place) if array.ndim == 0 else None
    full = array.reshape((1,) * (4 - array.ndim) + array.shape)
    turned = op.scope.work.constants.turned(full, [0, 3, 1, 2], tensor.name)
    return op.builder.constant(turned, f"{tensor.name}_nchw")


def _operands(op: Operation, places: range) -> tuple[list[str], bool]:
    """Operands, and whether they have channels first: all of them or none."""
    if any(op.scope.has_channels_first(op.index(place)) for place in places):
        found = [_channels_first(op, place) for place in places]
        first = [name for name in found if name is not None]
        if len(first) == len(places):
            return first, True
    return [op.x(place) for place in places], False


def _unary(op_type: str, **attributes: Attribute) -> _Convert:
    def convert(op: Operation) -> None:
        inputs, first = _operands(op, range(1))
        op.finish(op.emit(op_type, inputs, **attributes), channels_first=first)

    return convert


def _binary(op_type: str) -> _Convert:
    def convert(op: Operation) -> None:
        inputs, first = _operands(op, range(2))
        op.finish(op.emit(op_type, inputs), channels_first=first)

    return convert


def _composed(build: Callable[[Operation, str], str]) -> _Convert:
    """Of one operand, several nodes."""

    def convert(op: Operation) -> None:
        inputs, first = _operands(op, range(1))
        op.finish(build(op, inputs[0]), channels_first=first)

    return convert


def _not_equal(op: Operation) -> None:
    op.write(op.emit("Not", [op.emit("Equal", [op.x(0), op.x(1)])]))


def _squared_difference(op: Operation) -> None:
    inputs, first = _operands(op, range(2))
    difference = op.emit("Sub", inputs)
    op.write(op.emit("Mul", [difference, difference]), channels_first=first)


def _is_float(op: Operation) -> bool:
    return op.tensor(0).quantization is not None or op.tensor(0).dtype in (
        "float32",
        "float16",
        "float64",
    )


def _floor_div(op: Operation) -> None:
    a, b = op.x(0), op.x(1)
    if _is_float(op):
        op.write(op.emit("Floor", [op.emit("Div", [a, b])]))
        return
    rest = op.emit("Mod", [a, b])  # of the sign of b
    op.write(op.emit("Div", [op.emit("Sub", [a, rest]), b]))


def _floor_mod(op: Operation) -> None:
    a, b = op.x(0), op.x(1)
    if not _is_float(op):
        op.write(op.emit("Mod", [a, b]))
        return
    rest = op.emit("Mod", [a, b], fmod=1)  # of the sign of a
    zero = op.const(0, "float32")
    signs = [op.emit("Less", [side, zero]) for side in (rest, b)]
    differ = op.emit("Xor", signs)
    is_rest = op.emit("Not", [op.emit("Equal", [rest, zero])])
    wrong = op.emit("And", [differ, is_rest])
    op.write(op.emit("Where", [wrong, op.emit("Add", [rest, b]), rest]))


def _clip(low: float, high: float) -> _Convert:
    return _composed(lambda op, x: op.clip(x, low, high))


def _leaky_relu(op: Operation) -> None:
    _unary("LeakyRelu", alpha=float(op.option("alpha")))(op)


def _gelu(op: Operation) -> None:
    _unary("Gelu", approximate="tanh" if op.option("approximate") else "none")(op)


def _prelu(op: Operation) -> None:
    inputs, first = _operands(op, range(2))
    op.write(op.emit("PRelu", inputs), channels_first=first)


def _softmax(op: Operation) -> None:
    beta, x = float(op.option("beta")), op.x()
    if beta != 1.0:
        x = op.emit("Mul", [x, op.const(beta, "float32")])
    op.write(op.emit("Softmax", [x], axis=-1))


def _fake_quant(op: Operation) -> None:
    low, high = float(op.option("min")), float(op.option("max"))
    bits = int(op.option("num_bits"))
    if not 2 <= bits <= 16 or not low <= 0 <= high or low == high:
        raise ModelFormatError(
            f"{op.title}: {bits} bits between {low} and {high} are no range"
        )
    lowest, highest = int(op.option("narrow_range")), 2**bits - 1
    scale = (high - low) / (highest - lowest)
    zero = float(np.clip(np.floor(lowest - low / scale + 0.5), lowest, highest))
    low, high = (lowest - zero) * scale, (highest - zero) * scale
    shifted = op.emit("Sub", [op.clip(op.x(), low, high), op.const(low, "float32")])
    steps = op.emit("Mul", [shifted, op.const(1 / scale, "float32")])
    steps = op.emit("Floor", [op.emit("Add", [steps, op.const(0.5, "float32")])])
    steps = op.emit("Mul", [steps, op.const(scale, "float32")])
    op.write(op.emit("Add", [steps, op.const(low, "float32")]))


def _add_n(op: Operation) -> None:
    total = op.x(0)
    for place in range(1, len(op.record.inputs)):
        total = op.emit("Add", [total, op.x(place)])
    op.write(total if len(op.record.inputs) > 1 else op.emit("Identity", [total]))


def _select(op: Operation) -> None:
    condition, rank = op.x(0), op.tensor(1).rank
    if op.tensor(0).rank == 1 and rank > 1:  # chooses whole rows
        condition = op.reshape(condition, [-1, *[1] * (rank - 1)])
    op.write(op.emit("Where", [condition, op.x(1), op.x(2)]))


def _select_v2(op: Operation) -> None:
    op.write(op.emit("Where", [op.x(0), op.x(1), op.x(2)]))


def _where(op: Operation) -> None:
    condition = op.x()
    if op.tensor(0).dtype != "bool":
        condition = op.cast(condition, "bool")
    places = op.emit("NonZero", [condition])
    op.write(op.emit("Transpose", [places], perm=[1, 0]))


def _cast(op: Operation) -> None:
    index, target = op.index(0), op.result().dtype
    raw = op.scope.raw(index)
    if target != op.tensor(0).dtype:
        raw = op.cast(raw, target)
    op.scope.set_raw(op.result_index(), raw)


def _quantize(op: Operation) -> None:
    """QUANTIZE, DEQUANTIZE and DENSIFY: the numbers stay, the steps change."""
    known = op.scope.real_constant(op.index(0))
    if known is not None and op.result().dtype == "float32":
        op.scope.set_constant(op.result_index(), known)
        return
    inputs, first = _operands(op, range(1))
    op.write(inputs[0], channels_first=first)


ELEMENTWISE: Mapping[str, _Convert] = {
    **{
        kind: _unary(op_type)
        for kind, op_type in {
            "ABS": "Abs",
            "CEIL": "Ceil",
            "COS": "Cos",
            "ELU": "Elu",
            "EXP": "Exp",
            "FLOOR": "Floor",
            "HARD_SWISH": "HardSwish",
            "LOG": "Log",
            "LOGICAL_NOT": "Not",
            "LOGISTIC": "Sigmoid",
            "NEG": "Neg",
            "RELU": "Relu",
            "ROUND": "Round",
            "SIGN": "Sign",
            "SIN": "Sin",
            "SQRT": "Sqrt",
            "TANH": "Tanh",
        }.items()
    },
    **{
        kind: _binary(op_type)
        for kind, op_type in {
            "ADD": "Add",
            "DIV": "Div",
            "EQUAL": "Equal",
            "GREATER": "Greater",
            "GREATER_EQUAL": "GreaterOrEqual",
            "LESS": "Less",
            "LESS_EQUAL": "LessOrEqual",
            "LOGICAL_AND": "And",
            "LOGICAL_OR": "Or",
            "MAXIMUM": "Max",
            "MINIMUM": "Min",
            "MUL": "Mul",
            "POW": "Pow",
            "SUB": "Sub",
        }.items()
    },
    "ADD_N": _add_n,
    "CAST": _cast,
    "DENSIFY": _quantize,
    "DEQUANTIZE": _quantize,
    "FAKE_QUANT": _fake_quant,
    "FLOOR_DIV": _floor_div,
    "FLOOR_MOD": _floor_mod,
    "GELU": _gelu,
    "LEAKY_RELU": _leaky_relu,
    "LOG_SOFTMAX": lambda op: op.write(op.emit("LogSoftmax", [op.x()], axis=-1)),
    "NOT_EQUAL": _not_equal,
    "PRELU": _prelu,
    "QUANTIZE": _quantize,
    "RELU6": _clip(0.0, 6.0),
    "RELU_0_TO_1": _clip(0.0, 1.0),
    "RELU_N1_TO_1": _clip(-1.0, 1.0),
    "RSQRT": _composed(lambda op, x: op.emit("Reciprocal", [op.emit("Sqrt", [x])])),
    "SELECT": _select,
    "SELECT_V2": _select_v2,
    "SOFTMAX": _softmax,
    "SQUARE": _composed(lambda op, x: op.emit("Mul", [x, x])),
    "SQUARED_DIFFERENCE": _squared_difference,
    "WHERE": _where,
}
