"""STRIDED_SLICE: NumPy's indexing with its ellipsis, new axes and picked elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.formats.tflite.operation import Operation

__all__ = ["STRIDED_SLICES"]

_LAST = (1 << 63) - 1


@dataclass
class _Plan:
    """What each entry of begin, end and strides does."""

    picks: list[tuple[int, int]] = field(default_factory=list)  # dim, entry
    slices: list[tuple[int, int]] = field(default_factory=list)
    new_axes: list[int] = field(default_factory=list)  # dims of the result


def _plan(op: Operation, n: int, rank: int) -> _Plan:
    """Walk the entries as NumPy walks the parts of an index."""
    new, ellipsis, shrink = (
        op.option(f"{name}_mask") for name in ("new_axis", "ellipsis", "shrink_axis")
    )
    plan, dim, out = _Plan(), 0, 0
    n_new = sum(
        bool(new >> entry & 1) and not ellipsis >> entry & 1 for entry in range(n)
    )
    for entry in range(n):
        if ellipsis >> entry & 1:
            skipped = max(0, rank - (n - 1 - n_new))
            dim, out, ellipsis = dim + skipped, out + skipped, 0
        elif new >> entry & 1:
            plan.new_axes.append(out)
            out += 1
        elif shrink >> entry & 1:
            plan.picks.append((dim, entry))
            dim += 1
        else:
            plan.slices.append((dim, entry))
            dim, out = dim + 1, out + 1
    if dim > rank:
        raise ModelFormatError(f"{op.title}: {n} entries for an input of {rank} dims")
    return plan


def _entry(op: Operation, vector: str, entry: int) -> str:
    """One number of a computed vector, as a vector of one."""
    return op.emit("Gather", [vector, op.const([entry], "int64")], axis=0)


def _limit(
    op: Operation, place: int, entry: int, is_open: bool, open_value: int
) -> int | str:
    """Begin or end of one entry: a number, or a computed vector of one."""
    if is_open:
        return open_value
    if op.scope.constant(op.index(place)) is not None:
        return op.ints(place, "the limits")[entry]
    return _entry(op, op.int64(place), entry)


def _vector(op: Operation, entries: list[int | str]) -> str:
    """One vector of numbers, some of them computed."""
    if all(isinstance(entry, int) for entry in entries):
        return op.const(entries, "int64")
    parts = [
        op.const([entry], "int64") if isinstance(entry, int) else entry
        for entry in entries
    ]
    return parts[0] if len(parts) == 1 else op.emit("Concat", parts, axis=0)


def _end(op: Operation, entry: int, begin: int | str, step: int) -> int | str:
    end = _limit(
        op,
        2,
        entry,
        bool(op.option("end_mask") >> entry & 1),
        _LAST if step > 0 else -_LAST,
    )
    if not op.option("offset") or op.option("end_mask") >> entry & 1:
        return end
    if isinstance(end, int) and isinstance(begin, int):
        return begin + end  # an end that counts from the begin
    return op.emit("Add", [_vector(op, [begin]), _vector(op, [end])])


def _strided_slice(op: Operation) -> None:
    strides = op.ints(3, "the strides")
    rank = op.tensor(0).rank
    for place in (1, 2):
        limits = op.tensor(place)
        known = op.scope.constant(op.index(place))
        n = limits.shape[0] if known is None and limits.rank == 1 else -1
        if (known.size if known is not None else n) != len(strides):
            raise ModelFormatError(
                f"{op.title}: input {place} must have {len(strides)} numbers, its "
                f"shape is {limits.shape}"
            )
    if 0 in strides or len(strides) > 32:
        raise ModelFormatError(f"{op.title}: strides {strides}")
    plan = _plan(op, len(strides), rank)
    x = _pick(op, op.x(), plan, strides)
    if plan.slices:
        begins: list[int | str] = []
        ends: list[int | str] = []
        for _, entry in plan.slices:
            step = strides[entry]
            is_open = bool(op.option("begin_mask") >> entry & 1)
            begins.append(_limit(op, 1, entry, is_open, 0 if step > 0 else _LAST))
            ends.append(_end(op, entry, begins[-1], step))
        picked = [dim for dim, _ in plan.picks]
        axes = [dim - sum(p < dim for p in picked) for dim, _ in plan.slices]
        steps = [strides[entry] for _, entry in plan.slices]
        if not _takes_all(begins, ends, steps):
            operands = [_vector(op, begins), _vector(op, ends)]
            operands += [op.const(numbers, "int64") for numbers in (axes, steps)]
            x = op.emit("Slice", [x, *operands])
    if plan.new_axes:
        x = op.emit("Unsqueeze", [x, op.const(plan.new_axes, "int64")])
    op.move(x if x != op.x() else op.emit("Identity", [x]))


def _takes_all(
    begins: list[int | str], ends: list[int | str], steps: list[int]
) -> bool:
    return all(
        begin == 0 and end == _LAST and step == 1
        for begin, end, step in zip(begins, ends, steps, strict=True)
    )


def _pick(op: Operation, x: str, plan: _Plan, strides: list[int]) -> str:
    """Take one element of a dim, from the last dim on so that numbers stay valid."""
    for dim, entry in reversed(plan.picks):
        if strides[entry] < 1:
            raise UnsupportedOpError(f"{op.title}: a picked element with a stride < 1")
        is_open = bool(op.option("begin_mask") >> entry & 1)
        begin = _limit(op, 1, entry, is_open, 0)
        if isinstance(begin, int):
            end = begin + 1 if begin != -1 else _LAST
            limits = [op.const([value], "int64") for value in (begin, end, dim)]
            x = op.emit("Slice", [x, *limits])
        else:
            x = op.emit("Gather", [x, begin], axis=dim)
        x = op.emit("Squeeze", [x, op.const([dim], "int64")])
    return x


STRIDED_SLICES: Mapping[str, Callable[[Operation], None]] = {
    "STRIDED_SLICE": _strided_slice,
}
