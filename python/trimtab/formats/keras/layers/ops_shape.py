"""Operations of keras.ops that move elements, and the product of matrices.

Enters: a `LayerContext` and the operation's arguments by name. Leaves: a `Tensor`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.merge import broadcast, joined_shape
from trimtab.formats.keras.layers.ops_math import (
    Arguments,
    Operation,
    axes_of,
    operands,
    tensor_of,
)
from trimtab.graph import Dims

__all__ = ["SHAPES"]

_END = 1 << 62
_MAX_RANK = 12


def _sizes(c: LayerContext, value: Any, name: str) -> list[int]:
    """A list of integers, all known."""
    items = value if isinstance(value, list | tuple) else [value]
    for item in items:
        if isinstance(item, Tensor):
            raise c.unsupported(f"{name} that is computed")
        if isinstance(item, bool) or not isinstance(item, int) or abs(item) > 1 << 31:
            raise c.error(f"{name}: expected integers, got {value!r:.80}")
    if len(items) > _MAX_RANK:
        raise c.error(f"{name}: more than {_MAX_RANK} dims")
    return list(items)


def _reshape(c: LayerContext, a: Arguments) -> Tensor:
    x = tensor_of(c, a["x"])
    given = [-1 if size is None else size for size in a["newshape"]]
    target = _sizes(c, given, "newshape")
    if target.count(-1) > 1:
        raise c.error(f"newshape: more than one open size in {target}")
    known = [d for d in x.shape if isinstance(d, int)]
    opens = [d for d in x.shape if not isinstance(d, int)]
    wanted = math.prod(t for t in target if t != -1)
    out: list[Any] = [None if t == -1 else t for t in target]
    if -1 in target and wanted and math.prod(known) % wanted == 0:
        place, rest = target.index(-1), math.prod(known) // wanted
        if not opens:
            out[place] = rest
        elif len(opens) == 1 and rest == 1:
            out[place] = opens[0]
    return c.op("Reshape", [x, c.constant(target)], shape=tuple(out), allowzero=1)


def _transpose(c: LayerContext, a: Arguments) -> Tensor:
    x = tensor_of(c, a["x"])
    axes = a.get("axes")
    order = list(range(x.rank))[::-1] if axes is None else axes_of(c, axes, x.rank)
    if sorted(order) != list(range(x.rank)):
        raise c.error(f"axes: expected a permutation, got {axes!r:.80}")
    return c.transpose(x, order)


def _swap(c: LayerContext, a: Arguments) -> Tensor:
    x = tensor_of(c, a["x"])
    one, other = axes_of(c, [a["axis1"], a["axis2"]], x.rank)
    order = list(range(x.rank))
    order[one], order[other] = order[other], order[one]
    return c.transpose(x, order)


def _move(c: LayerContext, a: Arguments) -> Tensor:
    x = tensor_of(c, a["x"])
    sources = axes_of(c, a["source"], x.rank)
    targets = axes_of(c, a["destination"], x.rank)
    if len(sources) != len(targets):
        raise c.error(f"{len(sources)} sources for {len(targets)} destinations")
    order = [axis for axis in range(x.rank) if axis not in sources]
    for target, source in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source)
    return c.transpose(x, order)


def _expand(c: LayerContext, a: Arguments) -> Tensor:
    x = tensor_of(c, a["x"])
    given = a["axis"] if isinstance(a["axis"], list | tuple) else [a["axis"]]
    axes = sorted(axes_of(c, given, x.rank + len(given)))
    return unsqueeze(c, x, axes)


def unsqueeze(c: LayerContext, x: Tensor, axes: list[int]) -> Tensor:
    """Add axes of size 1.

    Parameters
    ----------
    c : LayerContext
    x : Tensor
    axes : list of int
        Ascending, in the result.

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> unsqueeze(context, x, [1])                         # doctest: +SKIP
    """
    if not axes:
        return x
    shape = list(x.shape)
    for axis in axes:
        shape.insert(axis, 1)
    return c.op("Unsqueeze", [x, c.constant(axes)], shape=tuple(shape))


def _squeeze(c: LayerContext, a: Arguments) -> Tensor:
    x = tensor_of(c, a["x"])
    if a.get("axis") is None:
        axes = [axis for axis, dim in enumerate(x.shape) if dim == 1]
    else:
        axes = axes_of(c, a["axis"], x.rank)
    if not axes:
        return x
    shape = tuple(d for axis, d in enumerate(x.shape) if axis not in axes)
    return c.op("Squeeze", [x, c.constant(axes)], shape=shape)


def _list(c: LayerContext, value: Any) -> list[Tensor]:
    if not isinstance(value, list | tuple) or not value:
        raise c.error(f"expected a list of tensors, got {value!r:.80}")
    return operands(c, *value)


def _concatenate(c: LayerContext, a: Arguments) -> Tensor:
    xs = _list(c, a["xs"])
    axis = axes_of(c, a.get("axis", -1), xs[0].rank)[0]
    if any(x.rank != xs[0].rank for x in xs):
        raise c.error(f"cannot join shapes {[x.shape for x in xs]}")
    shape = joined_shape([x.shape for x in xs], axis)
    return c.op("Concat", xs, shape=shape, axis=axis)


def _stack(c: LayerContext, a: Arguments) -> Tensor:
    xs = _list(c, a["x"])
    axis = axes_of(c, a.get("axis", 0), xs[0].rank + 1)[0]
    raised = [unsqueeze(c, x, [axis]) for x in xs]
    shape = list(raised[0].shape)
    shape[axis] = len(xs)
    return c.op("Concat", raised, shape=tuple(shape), axis=axis)


def _split(c: LayerContext, a: Arguments) -> list[Tensor]:
    x = tensor_of(c, a["x"])
    axis = axes_of(c, a.get("axis", 0), x.rank)[0]
    size = c.size(x, axis)
    given = a["indices_or_sections"]
    if isinstance(given, int):
        if given < 1 or size % given:
            raise c.error(f"{size} elements in {given} parts")
        parts = [size // given] * given
    else:
        ends = [*_sizes(c, given, "indices_or_sections"), size]
        starts = [0, *ends[:-1]]
        parts = [end - start for start, end in zip(starts, ends, strict=True)]
        if any(part < 0 for part in parts):
            raise c.error(f"parts of {parts}")
    names = c.ops("Split", [x, c.constant(parts)], len(parts), axis=axis)
    found = []
    for name, part in zip(names, parts, strict=True):
        shape = list(x.shape)
        shape[axis] = part
        found.append(Tensor(name, x.dtype, tuple(shape)))
    return found


def _tile(c: LayerContext, a: Arguments) -> Tensor:
    x = tensor_of(c, a["x"])
    repeats = _sizes(c, a["repeats"], "repeats")
    missing = x.rank - len(repeats)
    if missing < 0 or any(not 0 < r <= 1 << 20 for r in repeats):
        raise c.unsupported(f"repeats {repeats} of an input of {x.rank} dims")
    repeats = [1] * missing + repeats
    shape = tuple(
        d * r if isinstance(d, int) else d if r == 1 else None
        for d, r in zip(x.shape, repeats, strict=True)
    )
    return c.op("Tile", [x, c.constant(repeats)], shape=shape)


def _broadcast_to(c: LayerContext, a: Arguments) -> Tensor:
    x = tensor_of(c, a["x"])
    target = _sizes(c, a["shape"], "shape")
    return c.op("Expand", [x, c.constant(target)], shape=tuple(target))


def _take(c: LayerContext, a: Arguments) -> Tensor:
    x = tensor_of(c, a["x"])
    index = tensor_of(c, a["indices"])
    if a.get("axis") is None or index.is_float:
        raise c.unsupported("take() without an axis, or by numbers")
    axis = axes_of(c, a["axis"], x.rank)[0]
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return c.op("Gather", [x, index], shape=shape, axis=axis)


def _flip(c: LayerContext, a: Arguments) -> Tensor:
    x = tensor_of(c, a["x"])
    axes = axes_of(c, a.get("axis"), x.rank)
    n = len(axes)
    parts = [[-1] * n, [-_END] * n, axes, [-1] * n]
    return c.op("Slice", [x, *(c.constant(p, "int64") for p in parts)])


def _matmul(c: LayerContext, a: Arguments) -> Tensor:
    x, y = operands(c, a["x1"], a["x2"], least="float32")
    for key in ("transpose_a", "transpose_b"):
        if a.get(key):
            z = x if key == "transpose_a" else y
            order = [*range(z.rank - 2), z.rank - 1, z.rank - 2]
            z = c.transpose(z, order)
            x, y = (z, y) if key == "transpose_a" else (x, z)
    if x.rank < 2 or y.rank < 2:
        raise c.unsupported("products of vectors")
    ahead: Dims = ()
    if x.rank > 2 or y.rank > 2:
        ahead = broadcast(x.shape[:-2] or (1,), y.shape[:-2] or (1,))
    return c.op("MatMul", [x, y], shape=(*ahead, x.shape[-2], y.shape[-1]))


def _get_item(c: LayerContext, a: Arguments) -> Tensor:
    """x[key]: numbers, slices, ... and new axes."""
    x = tensor_of(c, a["x"])
    keys = a["key"] if isinstance(a["key"], list | tuple) else [a["key"]]
    n_own = sum(key is not None and key is not Ellipsis for key in keys)
    if keys.count(Ellipsis) > 1 or n_own > x.rank or len(keys) > 2 * _MAX_RANK:
        raise c.error(f"{n_own} indices of an input of shape {x.shape}")
    if Ellipsis not in keys:
        keys = [*keys, Ellipsis]
    cuts: list[tuple[int, int, int, int]] = []
    dropped: list[int] = []
    added: list[int] = []
    shape: list[Any] = []
    axis = 0
    for key in keys:
        if key is Ellipsis:
            rest = x.rank - n_own
            shape.extend(x.shape[axis : axis + rest])
            axis += rest
        elif key is None:
            added.append(len(shape))
            shape.append(1)
        else:
            start, end, step, size = _range(c, key, x.shape[axis])
            if (start, end, step) != (0, _END, 1):
                cuts.append((start, end, axis, step))
            if isinstance(key, slice):
                shape.append(size)
            else:
                dropped.append(axis)
            axis += 1
    if cuts:
        columns = zip(*cuts, strict=True)
        x = c.op("Slice", [x, *(c.constant(p, "int64") for p in columns)])
    if dropped:
        x = c.op("Squeeze", [x, c.constant(dropped)])
    if added:
        x = c.op("Unsqueeze", [x, c.constant(added)])
    return Tensor(x.name, x.dtype, tuple(shape))


def _range(
    c: LayerContext, key: Any, dim: int | str | None
) -> tuple[int, int, int, int | str | None]:
    """Start, end and step of an index, and the size that it leaves."""
    if not isinstance(key, slice):
        if isinstance(key, Tensor):
            raise c.unsupported("an index that is computed")
        number = _sizes(c, key, "index")[0]
        if isinstance(dim, int) and not -dim <= number < dim:
            raise c.error(f"index {number} of an axis of {dim}")
        return number, number + 1 if number != -1 else _END, 1, 1
    parts = [key.start, key.stop, key.step]
    if any(isinstance(part, Tensor) for part in parts):
        raise c.unsupported("a slice that is computed")
    for part in parts:
        if part is not None:
            _sizes(c, part, "slice")
    step = 1 if key.step is None else key.step
    if step == 0:
        raise c.error("a slice of step 0")
    size: int | str | None = None
    if isinstance(dim, int):
        size = len(range(dim)[key])
    elif (key.start or 0) == 0 and key.stop is None and step == 1:
        size = dim
    start = key.start if key.start is not None else (0 if step > 0 else -1)
    stop = key.stop if key.stop is not None else (_END if step > 0 else -_END)
    return start, stop, step, size


def _pad(c: LayerContext, a: Arguments) -> Tensor:
    x = tensor_of(c, a["x"])
    if a.get("mode", "constant") not in ("constant", "reflect"):
        raise c.unsupported(f"mode {a['mode']!r:.80}")
    pairs = a["pad_width"]
    if not isinstance(pairs, list) or len(pairs) != x.rank:
        raise c.error(f"pad_width: expected {x.rank} pairs, got {pairs!r:.80}")
    checked = [_sizes(c, pair, "pad_width") for pair in pairs]
    if any(len(pair) != 2 or min(pair) < 0 for pair in checked):
        raise c.error(f"pad_width: expected pairs of 0 or more, got {pairs!r:.80}")
    shape = tuple(
        d + sum(p) if isinstance(d, int) else d if not any(p) else None
        for d, p in zip(x.shape, checked, strict=True)
    )
    pads = c.constant([p[0] for p in checked] + [p[1] for p in checked])
    inputs: list[Tensor | str] = [x, pads]
    if a.get("mode", "constant") == "constant":
        inputs.append(c.constant(np.array(a.get("constant_values") or 0, x.dtype)))
    return c.op("Pad", inputs, shape=shape, mode=a.get("mode", "constant"))


#: class of keras.ops -> names of its arguments, what it adds to the graph
SHAPES: dict[str, tuple[str, Operation]] = {
    "Reshape": ("x newshape", _reshape),
    "Transpose": ("x axes", _transpose),
    "Swapaxes": ("x axis1 axis2", _swap),
    "Moveaxis": ("x source destination", _move),
    "ExpandDims": ("x axis", _expand),
    "Squeeze": ("x axis", _squeeze),
    "Concatenate": ("xs axis", _concatenate),
    "Stack": ("x axis", _stack),
    "Split": ("x indices_or_sections axis", _split),
    "Tile": ("x repeats", _tile),
    "BroadcastTo": ("x shape", _broadcast_to),
    "Take": ("x indices axis", _take),
    "Flip": ("x axis", _flip),
    "Matmul": ("x1 x2", _matmul),
    "GetItem": ("x key", _get_item),
    "Pad": ("x pad_width constant_values", _pad),
}
