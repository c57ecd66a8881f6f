"""Operators that only move items: shapes, slices, gathers, concatenations.

Those without a shorter inverse share one rule: the operator is applied to the numbers
of the items, which tells where each came from, and the gradients are added up there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.train.emitter import Tensor
from trimtab.train.site import Rule, Site

__all__ = ["MOVES"]


def zeros_as(site: Site, x: Tensor) -> Tensor:
    """Emit zeros of the shape of a tensor.

    Parameters
    ----------
    site : Site
    x : Tensor

    Returns
    -------
    zeros : Tensor
    """
    return site.e.expand_as(site.e.number(0.0), x)


def _reshaped(site: Site) -> Sequence[Tensor | None]:
    return [site.e.reshape_as(site.g, site.x())]


def _transpose(site: Site) -> Sequence[Tensor | None]:
    perm = site.attribute("perm", None)
    if perm is None:
        return [site.e.emit("Transpose", site.g)]
    back = [int(i) for i in np.argsort(perm)]
    return [site.e.emit("Transpose", site.g, perm=back)]


def _transpose_last(site: Site) -> Sequence[Tensor | None]:
    return [site.e.ours("TransposeLast", site.g)]


def _expand(site: Site) -> Sequence[Tensor | None]:
    return [site.e.sum_to(site.g, site.x())]


def _sum_to(site: Site) -> Sequence[Tensor | None]:
    return [site.e.expand_as(site.g, site.x())]


def _size_along(site: Site, x: Tensor, axis: int) -> Tensor:
    return site.e.emit("Gather", site.e.shape(x), site.e.ints([axis]))


def _concat(site: Site) -> Sequence[Tensor | None]:
    axis, e = int(site.attribute("axis", 0)), site.e
    n = len(site.node.inputs)
    if n == 1:
        return [site.g]
    sizes = [_size_along(site, site.x(i), axis) for i in range(n)]
    parts = e.emit_many("Split", n, site.g, e.emit("Concat", *sizes, axis=0), axis=axis)
    return list(parts)


def _split(site: Site) -> Sequence[Tensor | None]:
    parts = [
        zeros_as(site, site.e.tensor(site.node.outputs[i])) if g is None else g
        for i, g in enumerate(site.gradients)
    ]
    axis = int(site.attribute("axis", 0))
    return [site.e.emit("Concat", *parts, axis=axis)]


def _numbers(site: Site) -> Tensor:
    """Number the items of input 0, in its shape; known when compiling."""
    e, x = site.e, site.x()
    zero, one = (e.constant(np.array(value, np.int64)) for value in (0, 1))
    return e.reshape_as(e.emit("Range", zero, e.emit("Size", x), one), x)


def _by_number(site: Site) -> Sequence[Tensor | None]:
    """Add each gradient up where its item came from."""
    e, node = site.e, site.node
    moved = e.emit(
        node.op_type,
        _numbers(site),
        *node.inputs[1:],
        domain=node.domain,
        **node.attributes,
    )
    return [_added_at(site, moved, site.g)]


def _added_at(site: Site, numbers: Tensor, g: Tensor) -> Tensor:
    e, x, row = site.e, site.x(), site.e.ints([-1])
    flat_zeros = e.emit(
        "Expand", e.number(0.0), e.emit("Reshape", e.emit("Size", x), row)
    )
    flat = [e.emit("Reshape", t, row) for t in (numbers, g)]
    found = e.emit("ScatterElements", flat_zeros, *flat, axis=0, reduction="add")
    return e.reshape_as(found, x)


def _pad(site: Site) -> Sequence[Tensor | None]:
    """Padding with a constant is undone by negative padding."""
    e = site.e
    if site.wants(2):
        raise site.refusal("its padding value is learned")
    mode = site.attribute("mode", "constant")
    if mode != "constant":
        return _by_number(site)
    axes: list[str] = site.node.inputs[3:4]
    if not axes or not axes[0]:
        return [e.emit("Pad", site.g, e.emit("Neg", site.x(1)))]
    return [e.emit("Pad", site.g, e.emit("Neg", site.x(1)), "", axes[0])]


def _gather(site: Site) -> Sequence[Tensor | None]:
    """Rows that were taken several times get the sum."""
    e, x, axis = site.e, site.x(0), int(site.attribute("axis", 0))
    dims = e.shape(x)
    column = e.emit("Reshape", site.x(1), e.ints([-1, 1]))
    if axis == 0:
        width = e.emit("Slice", dims, e.ints([1]), e.ints([2**31]))
        flat = e.emit(
            "Concat",
            e.emit("Reshape", e.emit("Size", site.x(1)), e.ints([1])),
            width,
            axis=0,
        )
        rows = e.emit("Reshape", site.g, flat)
        return [e.emit("ScatterND", zeros_as(site, x), column, rows, reduction="add")]
    before, size, behind = _three_dims(site, dims, axis)
    n = e.emit("Reshape", e.emit("Size", site.x(1)), e.ints([1]))
    three = e.emit("Reshape", site.g, e.emit("Concat", before, n, behind, axis=0))
    rows = e.emit("Transpose", three, perm=[1, 0, 2])
    zeros = e.emit(
        "Expand", e.number(0.0), e.emit("Concat", size, before, behind, axis=0)
    )
    found = e.emit("ScatterND", zeros, column, rows, reduction="add")
    return [e.reshape_as(e.emit("Transpose", found, perm=[1, 0, 2]), x)]


def _three_dims(site: Site, dims: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sizes before an axis, along it and behind it, each of shape (1,)."""
    e = site.e

    def product(part: Tensor) -> Tensor:
        return e.emit("ReduceProd", e.emit("Concat", e.ints([1]), part, axis=0))

    before = product(e.emit("Slice", dims, e.ints([0]), e.ints([axis])))
    behind = e.ints([1])
    if axis != -1:
        behind = product(e.emit("Slice", dims, e.ints([axis + 1]), e.ints([2**31])))
    return before, e.emit("Gather", dims, e.ints([axis])), behind


def _gather_elements(site: Site) -> Sequence[Tensor | None]:
    axis = int(site.attribute("axis", 0))
    zeros = zeros_as(site, site.x(0))
    return [
        site.e.emit(
            "ScatterElements", zeros, site.x(1), site.g, axis=axis, reduction="add"
        )
    ]


def _gather_nd(site: Site) -> Sequence[Tensor | None]:
    if site.attribute("batch_dims", 0) != 0:
        return _by_number(site)
    zeros = zeros_as(site, site.x(0))
    return [site.e.emit("ScatterND", zeros, site.x(1), site.g, reduction="add")]


def _top_k(site: Site) -> Sequence[Tensor | None]:
    """The gradient of the values goes to where they were."""
    axis = int(site.attribute("axis", -1))
    zeros, where = zeros_as(site, site.x(0)), site.e.tensor(site.node.outputs[1])
    return [site.e.emit("ScatterElements", zeros, where, site.g, axis=axis)]


def _scatter(gather: str) -> Rule:
    """What was overwritten gets nothing; what was written, what is there."""

    def rule(site: Site) -> Sequence[Tensor | None]:
        e, node = site.e, site.node
        reduction = site.attribute("reduction", "none")
        if reduction not in ("none", "add"):
            raise site.refusal(f"its reduction is {reduction}")
        axis = {n: a for n, a in node.attributes.items() if n == "axis"}
        found: list[Tensor | None] = [None, None, None]
        if site.wants(0) and reduction == "add":
            found[0] = site.g
        elif site.wants(0):
            zeros = zeros_as(site, site.x(2))
            found[0] = e.emit(node.op_type, site.g, site.x(1), zeros, **axis)
        if site.wants(2):
            found[2] = e.emit(gather, site.g, site.x(1), **axis)
        return found

    return rule


def _trilu(site: Site) -> Sequence[Tensor | None]:
    upper = int(site.attribute("upper", 1))
    return [site.e.emit("Trilu", site.g, *site.node.inputs[1:2], upper=upper)]


def _cumsum(site: Site) -> Sequence[Tensor | None]:
    exclusive = int(site.attribute("exclusive", 0))
    reverse = 1 - int(site.attribute("reverse", 0))
    return [
        site.e.emit("CumSum", site.g, site.x(1), exclusive=exclusive, reverse=reverse)
    ]


#: Operator -> rule.
MOVES: dict[str, Rule] = {
    "Compress": _by_number,
    "Concat": _concat,
    "CumSum": _cumsum,
    "DepthToSpace": _by_number,
    "Expand": _expand,
    "Flatten": _reshaped,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Pad": _pad,
    "Reshape": _reshaped,
    "ReverseSequence": _by_number,
    "ScatterElements": _scatter("GatherElements"),
    "ScatterND": _scatter("GatherND"),
    "Slice": _by_number,
    "SpaceToDepth": _by_number,
    "Split": _split,
    "Squeeze": _reshaped,
    "Tile": _by_number,
    "TopK": _top_k,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _reshaped,
    "trimtab.SumTo": _sum_to,
    "trimtab.TransposeLast": _transpose_last,
}
