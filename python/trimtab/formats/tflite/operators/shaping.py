"""Operators that move elements: reshaping, slicing, joining, padding, gathering."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.formats.tflite.operation import Operation

__all__ = ["SHAPING"]

_Convert = Callable[[Operation], None]
_LAST = (1 << 63) - 1
_MAX_INDICES = 1 << 20


def _reshape(op: Operation) -> None:
    shape = op.scope.constant(op.index(1)) if op.has(1) else None
    if op.has(1) and shape is None:
        op.move(op.emit("Reshape", [op.x(), op.int64(1)]))
        return
    wanted = op.ints(1, "the shape") if op.has(1) else op.option("new_shape")
    if wanted == [0] and op.result().rank == 0:
        wanted = []  # how old converters wrote a scalar
    op.move(op.reshape(op.x(), wanted))


def _squeeze(op: Operation) -> None:
    rank = op.tensor(0).rank
    axes = [op.axis(axis, rank) for axis in op.option("squeeze_dims")]
    inputs = [op.x()] + ([op.const(sorted(set(axes)), "int64")] if axes else [])
    op.move(op.emit("Squeeze", inputs))


def _expand_dims(op: Operation) -> None:
    axes = op.const(op.ints(1, "the axis"), "int64")
    op.move(op.emit("Unsqueeze", [op.x(), axes]))


def _transpose(op: Operation) -> None:
    perm = op.ints(1, "the permutation")
    if sorted(perm) != list(range(op.tensor(0).rank)):
        raise ModelFormatError(f"{op.title}: {perm} is no permutation of its dims")
    if perm == [0, 3, 1, 2] and op.scope.has_channels_first(op.index(0)):
        op.move(op.emit("Identity", [op.nchw()]))
        return
    op.move(op.emit("Transpose", [op.x()], perm=perm))


def _concatenation(op: Operation) -> None:
    places = range(len(op.record.inputs))
    rank = op.tensor(0).rank
    axis = op.axis(op.option("axis"), rank)
    first = rank == 4 and all(
        op.scope.has_channels_first(op.index(place)) for place in places
    )
    inputs = [op.nchw(place) if first else op.x(place) for place in places]
    if first:
        axis = [0, 2, 3, 1][axis]
    joined = op.emit("Concat", inputs, axis=axis)
    if op.option("activation"):
        op.finish(joined, channels_first=first)
    else:
        op.move(joined, channels_first=first)


def _split(op: Operation) -> None:
    axis = op.axis(op.ints(0, "the axis")[0], op.tensor(1).rank)
    _split_into(op, op.x(1), axis, None)


def _split_v(op: Operation) -> None:
    tensor = op.tensor(0)
    axis = op.axis(op.ints(2, "the axis")[0], tensor.rank)
    sizes = op.ints(1, "the sizes")
    if sizes.count(-1) == 1 and tensor.signature[axis] is not None:
        sizes[sizes.index(-1)] = tensor.shape[axis] - sum(sizes) - 1
    if min(sizes, default=0) < 0 or len(sizes) != len(op.record.outputs):
        raise ModelFormatError(
            f"{op.title}: sizes {sizes} for {len(op.record.outputs)} outputs"
        )
    _split_into(op, op.x(0), axis, sizes)


def _split_into(op: Operation, x: str, axis: int, sizes: list[int] | None) -> None:
    n = len(op.record.outputs)
    if n == 0:
        raise ModelFormatError(f"{op.kind} has no output")
    attributes: dict[str, Any] = {"axis": axis}
    inputs = [x]
    if sizes is None:
        attributes["num_outputs"] = n
    else:
        inputs.append(op.const(sizes, "int64"))
    names = [op.result(place).name for place in range(n)]
    found = op.builder.ops("Split", inputs, n_outputs=n, outputs=names, **attributes)
    for place, name in enumerate(found):
        op.move(name, place)


def _pack(op: Operation) -> None:
    axis = op.axis(op.option("axis"), op.tensor(0).rank + 1)
    axes = op.const([axis], "int64")
    parts = [
        op.builder.op("Unsqueeze", [op.x(place), axes])
        for place in range(len(op.record.inputs))
    ]
    op.move(op.emit("Concat", parts, axis=axis))


def _unpack(op: Operation) -> None:
    axis = op.axis(op.option("axis"), op.tensor(0).rank)
    n = len(op.record.outputs)
    if n == 0:
        raise ModelFormatError(f"{op.kind} has no output")
    parts = op.builder.ops("Split", [op.x()], n_outputs=n, axis=axis, num_outputs=n)
    axes = op.const([axis], "int64")
    for place, part in enumerate(parts):
        name = op.result(place).name
        op.move(op.builder.op("Squeeze", [part, axes], name=name), place)


def _slice(op: Operation) -> None:
    begin, size = op.scope.constant(op.index(1)), op.scope.constant(op.index(2))
    if begin is not None and size is not None:
        begins, sizes = op.ints(1, "the begin"), op.ints(2, "the size")
        if len(begins) != len(sizes) or min(begins, default=0) < 0:
            raise ModelFormatError(f"{op.title}: begins at {begins} with sizes {sizes}")
        ends = [_LAST if n < 0 else b + n for b, n in zip(begins, sizes, strict=True)]
        limits = [op.const(begins, "int64"), op.const(ends, "int64")]
    else:
        start, count = op.int64(1), op.int64(2)
        rest = op.emit("Less", [count, op.const(0, "int64")])
        end = op.emit("Add", [start, count])
        limits = [start, op.emit("Where", [rest, op.const(_LAST, "int64"), end])]
    op.move(op.emit("Slice", [op.x(), *limits]))


def _gather(op: Operation) -> None:
    batch_dims, rank = op.option("batch_dims"), op.tensor(0).rank
    axis = op.axis(op.option("axis"), rank)
    if batch_dims < 0:
        batch_dims += op.tensor(1).rank
    if batch_dims == 0:
        op.move(op.emit("Gather", [op.x(), op.int64(1)], axis=axis))
        return
    if batch_dims != axis or not 0 < batch_dims <= op.tensor(1).rank:
        raise UnsupportedOpError(
            f"{op.title}: batch_dims {batch_dims} with axis {axis}; both must be equal"
        )
    inner = op.emit("Unsqueeze", [op.int64(1), op.const([-1], "int64")])
    op.move(op.emit("GatherND", [op.x(), inner], batch_dims=batch_dims))


def _gather_nd(op: Operation) -> None:
    op.move(op.emit("GatherND", [op.x(), op.int64(1)]))


def _zeros(op: Operation, shape: str, dtype: str) -> str:
    return op.emit("Expand", [op.const(0, dtype), shape])


def _scatter_nd(op: Operation) -> None:
    dtype = _held(op.tensor(1).dtype, op.tensor(1).quantization is not None)
    base = _zeros(op, op.int64(2), dtype)
    inputs = [base, op.int64(0), op.x(1)]
    op.write(op.emit("ScatterND", inputs, reduction="add"))


def _held(dtype: str, is_quantized: bool) -> str:
    """Element type that stands for one of the file in the graph."""
    return "float32" if is_quantized or dtype == "float16" else dtype


def _bounded(op: Operation, n: int) -> None:
    """Refuse to make more indices than the claimed shape of a real model needs."""
    if n > _MAX_INDICES:
        raise UnsupportedOpError(
            f"{op.title}: {n} indices, at most {_MAX_INDICES} are supported"
        )


def _dynamic_update_slice(op: Operation) -> None:
    shape = [dim for dim in op.tensor(1).signature if dim is not None]
    if len(shape) != op.tensor(1).rank or not shape:
        raise UnsupportedOpError(f"{op.title}: an update of a shape that may vary")
    _bounded(op, math.prod(shape) * len(shape))
    sizes = op.emit("Shape", [op.x(0)])
    room = op.emit("Sub", [sizes, op.const(list(shape), "int64")])
    start = op.emit("Max", [op.int64(2), op.const(0, "int64")])
    start = op.emit("Min", [start, room])
    places = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    index = op.emit("Add", [op.const(places.astype(np.int64)), start])
    op.move(op.emit("ScatterND", [op.x(0), index, op.x(1)]))


def _pads(op: Operation, rank: int) -> tuple[str | None, list[int]]:
    """Pads as a tensor where they are computed, else as numbers: begins, ends."""
    if op.scope.constant(op.index(1)) is None:
        turned = op.emit("Transpose", [op.int64(1)], perm=[1, 0])
        return op.reshape(turned, [-1]), []
    pads = op.ints(1, "the paddings")
    if len(pads) != 2 * rank or min(pads, default=0) < 0:
        raise ModelFormatError(f"{op.title}: paddings {pads} for {rank} dims")
    return None, [*pads[::2], *pads[1::2]]


def _pad(op: Operation) -> None:
    rank = op.tensor(0).rank
    computed, pads = _pads(op, rank)
    value = [op.x(2)] if op.has(2) else []
    if computed is not None or rank != 4:
        amounts = computed or op.const(pads, "int64")
        op.move(op.emit("Pad", [op.x(), amounts, *value]))
        return
    order = [0, 3, 1, 2]
    turned = [pads[end + dim] for end in (0, 4) for dim in order]
    inputs = [op.nchw(), op.const(turned, "int64"), *value]
    op.move(op.emit("Pad", inputs), channels_first=True)


def _mirror_pad(op: Operation) -> None:
    tensor, mode = op.tensor(0), op.option("mode")
    computed, pads = _pads(op, tensor.rank)
    if mode == 0:
        amounts = computed or op.const(pads, "int64")
        op.move(op.emit("Pad", [op.x(), amounts], mode="reflect"))
        return
    x, rank = op.x(), tensor.rank
    for dim in range(rank):
        if computed is not None or (
            pads[dim] + pads[rank + dim] and tensor.signature[dim] is None
        ):
            raise UnsupportedOpError(
                f"{op.title}: symmetric padding of a dim that may vary"
            )
        size, before, after = tensor.shape[dim], pads[dim], pads[rank + dim]
        if before == after == 0:
            continue
        _bounded(op, size)
        if max(before, after) > size:
            raise ModelFormatError(
                f"{op.title}: pads {before} and {after} of a dim of {size}"
            )
        places = np.pad(np.arange(size), (before, after), mode="symmetric")
        x = op.emit("Gather", [x, op.const(places, "int64")], axis=dim)
    op.move(x if x != op.x() else op.emit("Identity", [x]))


def _fill(op: Operation) -> None:
    op.move(op.emit("Expand", [op.x(1), op.int64(0)]))


def _broadcast_to(op: Operation) -> None:
    op.move(op.emit("Expand", [op.x(), op.int64(1)]))


def _tile(op: Operation) -> None:
    op.move(op.emit("Tile", [op.x(), op.int64(1)]))


def _shape(op: Operation) -> None:
    shape = op.emit("Shape", [op.x()])
    if op.result().dtype != "int64":
        shape = op.cast(shape, op.result().dtype)
    op.write(shape)


def _rank(op: Operation) -> None:
    op.write(op.const(op.tensor(0).rank, op.result().dtype))


def _range(op: Operation) -> None:
    op.write(op.emit("Range", [op.x(0), op.x(1), op.x(2)]))


def _zeros_like(op: Operation) -> None:
    tensor = op.tensor(0)
    dtype = _held(tensor.dtype, tensor.quantization is not None)
    op.write(_zeros(op, op.emit("Shape", [op.x()]), dtype))


def _one_hot(op: Operation) -> None:
    rank = op.tensor(0).rank
    axis = op.axis(op.option("axis"), rank + 1)
    depth = op.emit("Squeeze", [op.int64(1)]) if op.tensor(1).rank else op.int64(1)
    numbers = op.emit("Range", [op.const(0, "int64"), depth, op.const(1, "int64")])
    numbers = op.reshape(numbers, [-1, *[1] * (rank - axis)])
    index = op.emit("Unsqueeze", [op.int64(0), op.const([axis], "int64")])
    is_on = op.emit("Equal", [index, numbers])
    op.write(op.emit("Where", [is_on, op.x(2), op.x(3)]))


def _reverse_v2(op: Operation) -> None:
    rank = op.tensor(0).rank
    axes = sorted({op.axis(axis, rank) for axis in op.ints(1, "the axes")})
    n = len(axes)
    limits = [[_LAST] * n, [-_LAST] * n, axes, [-1] * n]
    constants = [op.const(limit, "int64") for limit in limits]
    op.move(op.emit("Slice", [op.x(), *constants]))


def _reverse_sequence(op: Operation) -> None:
    rank = op.tensor(0).rank
    result = op.emit(
        "ReverseSequence",
        [op.x(), op.int64(1)],
        batch_axis=op.axis(op.option("batch_dim"), rank),
        time_axis=op.axis(op.option("seq_dim"), rank),
    )
    op.move(result)


def _top_k(op: Operation) -> None:
    count = op.reshape(op.int64(1), [1])
    names = [op.result(place).name for place in range(len(op.record.outputs))]
    if len(names) != 2:
        raise ModelFormatError(f"{op.title}: expected 2 outputs, it has {len(names)}")
    values, places = op.builder.ops(
        "TopK", [op.x(), count], n_outputs=2, outputs=names, axis=-1
    )
    op.move(values, 0)
    dtype = op.result(1).dtype
    op.write(places if dtype == "int64" else op.cast(places, dtype), 1)


def _depth_to_space(op: Operation) -> None:
    result = op.emit("DepthToSpace", [op.nchw()], blocksize=_block(op), mode="DCR")
    op.move(result, channels_first=True)


def _space_to_depth(op: Operation) -> None:
    result = op.emit("SpaceToDepth", [op.nchw()], blocksize=_block(op))
    op.move(result, channels_first=True)


def _block(op: Operation) -> int:
    block = int(op.option("block_size"))
    if block < 1:
        raise ModelFormatError(f"{op.title}: block_size must be at least 1: {block}")
    return block


SHAPING: Mapping[str, _Convert] = {
    "BROADCAST_TO": _broadcast_to,
    "CONCATENATION": _concatenation,
    "DEPTH_TO_SPACE": _depth_to_space,
    "DYNAMIC_UPDATE_SLICE": _dynamic_update_slice,
    "EXPAND_DIMS": _expand_dims,
    "FILL": _fill,
    "GATHER": _gather,
    "GATHER_ND": _gather_nd,
    "MIRROR_PAD": _mirror_pad,
    "ONE_HOT": _one_hot,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "RANGE": _range,
    "RANK": _rank,
    "RESHAPE": _reshape,
    "REVERSE_SEQUENCE": _reverse_sequence,
    "REVERSE_V2": _reverse_v2,
    "SCATTER_ND": _scatter_nd,
    "SHAPE": _shape,
    "SLICE": _slice,
    "SPACE_TO_DEPTH": _space_to_depth,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "SQUEEZE": _squeeze,
    "TILE": _tile,
    "TOPK_V2": _top_k,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
    "ZEROS_LIKE": _zeros_like,
}
