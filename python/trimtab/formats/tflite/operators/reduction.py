"""Operators over whole dims: sums, extremes and their places, norms."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trimtab.errors import ModelFormatError
from trimtab.formats.tflite.operation import Operation

__all__ = ["REDUCTIONS"]

_Convert = Callable[[Operation], None]
_NORM_FLOOR = 1e-6  # the smallest norm that L2_NORMALIZATION divides by


def _axes(op: Operation) -> list[int] | None:
    """Axes counted from the front; None where they are computed."""
    if op.scope.constant(op.index(1)) is None:
        return None
    rank = op.tensor(0).rank
    return sorted({op.axis(axis, rank) for axis in op.ints(1, "the axes")})


def _reduce(op_type: str) -> _Convert:
    def convert(op: Operation) -> None:
        op.write(*_reduced(op, op_type))

    return convert


def _reduced(op: Operation, op_type: str, x: str = "") -> tuple[str]:
    axes, keep = _axes(op), int(op.option("keep_dims"))
    if axes == [] or (axes is None and op.tensor(0).rank == 0):
        return (op.emit("Identity", [x or op.x()]),)
    if axes == [1, 2] and not x and op.scope.has_channels_first(op.index(0)):
        where = op.const([2, 3], "int64")
        found = op.emit(op_type, [op.nchw(), where], keepdims=keep)
        if keep:
            found = op.emit("Transpose", [found], perm=[0, 2, 3, 1])
        return (found,)
    where = op.int64(1) if axes is None else op.const(axes, "int64")
    return (op.emit(op_type, [x or op.x(), where], keepdims=keep),)


def _reduce_bool(op_type: str) -> _Convert:
    def convert(op: Operation) -> None:
        number = op.cast(op.x(), "int32")
        op.write(op.cast(*_reduced(op, op_type, number), "bool"))

    return convert


def _arg(op_type: str) -> _Convert:
    def convert(op: Operation) -> None:
        numbers = op.ints(1, "the axis")
        if len(numbers) != 1:
            raise ModelFormatError(f"{op.title}: expected one axis, got {numbers}")
        axis = op.axis(numbers[0], op.tensor(0).rank)
        found = op.emit(op_type, [op.x()], axis=axis, keepdims=0)
        dtype = op.result().dtype
        op.write(found if dtype == "int64" else op.cast(found, dtype))

    return convert


def _cumsum(op: Operation) -> None:
    axis = op.axis(op.ints(1, "the axis")[0], op.tensor(0).rank)
    result = op.emit(
        "CumSum",
        [op.x(), op.const(axis, "int64")],
        exclusive=int(op.option("exclusive")),
        reverse=int(op.option("reverse")),
    )
    op.write(result)


def _l2_normalization(op: Operation) -> None:
    x = op.x()
    norm = op.emit("ReduceL2", [x, op.const([-1], "int64")], keepdims=1)
    norm = op.emit("Max", [norm, op.const(_NORM_FLOOR, "float32")])
    op.finish(op.emit("Div", [x, norm]))


def _local_response(op: Operation) -> None:
    """Divide by a power of the mean square of the channels around."""
    radius = int(op.option("radius"))
    if not 0 <= radius < 1 << 16:
        raise ModelFormatError(f"{op.title}: radius {radius}")
    x, width = op.x(), 2 * radius + 1
    squares = op.emit("Mul", [x, x])
    rows = op.emit("Unsqueeze", [squares, op.const([1], "int64")])
    rows = op.emit("Reshape", [rows, op.const([0, 1, -1, op.tensor(0).shape[-1]])])
    mean = op.emit(
        "AveragePool",
        [rows],
        kernel_shape=[1, width],
        pads=[0, radius, 0, radius],
        count_include_pad=1,
    )
    around = op.emit("Reshape", [mean, op.emit("Shape", [x])])
    scale = op.const(float(op.option("alpha")) * width, "float32")
    scaled = op.emit("Mul", [around, scale])
    base = op.emit("Add", [scaled, op.const(op.option("bias"), "float32")])
    power = op.emit("Pow", [base, op.const(op.option("beta"), "float32")])
    op.write(op.emit("Div", [x, power]))


REDUCTIONS: Mapping[str, _Convert] = {
    "ARG_MAX": _arg("ArgMax"),
    "ARG_MIN": _arg("ArgMin"),
    "CUMSUM": _cumsum,
    "L2_NORMALIZATION": _l2_normalization,
    "LOCAL_RESPONSE_NORMALIZATION": _local_response,
    "MEAN": _reduce("ReduceMean"),
    "REDUCE_ALL": _reduce_bool("ReduceMin"),
    "REDUCE_ANY": _reduce_bool("ReduceMax"),
    "REDUCE_MAX": _reduce("ReduceMax"),
    "REDUCE_MIN": _reduce("ReduceMin"),
    "REDUCE_PROD": _reduce("ReduceProd"),
    "SUM": _reduce("ReduceSum"),
}
