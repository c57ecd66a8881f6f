"""Resize: each axis is a matrix, which Resize itself gives for the unit matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.train.emitter import Tensor
from trimtab.train.site import Rule, Site

__all__ = ["RESIZE"]

# What says how an axis is sampled, not which axes there are.
_KEPT = (
    "antialias",
    "coordinate_transformation_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "mode",
    "nearest_mode",
)


def _axes(site: Site) -> list[tuple[int, float | None]]:
    """The axes that change, each with its scale where the node gives scales."""
    scales, sizes = site.array(2), site.array(3)
    listed = site.attribute("axes", None)
    if site.has(2) and scales is not None and scales.size:
        axes = range(scales.size) if listed is None else listed
        each = zip(axes, scales.reshape(-1), strict=True)
        return [(int(axis), float(scale)) for axis, scale in each if scale != 1.0]
    if listed is not None:
        return [(int(axis), None) for axis in listed]
    rank = site.rank(0) if sizes is None else int(sizes.size)
    if rank is None:
        raise site.refusal("which axes it changes is not known before it runs")
    return [(axis, None) for axis in range(min(2, rank), rank)]


def _check(site: Site) -> None:
    if any(axis < 0 for axis in site.attribute("axes", None) or ()):
        raise site.refusal("its axes count from the end")
    mode = site.attribute("coordinate_transformation_mode", "half_pixel")
    if mode == "tf_crop_and_resize":
        raise site.refusal("it crops")
    if site.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise site.refusal("it keeps the aspect ratio")


def _matrix(site: Site, axis: int, scale: float | None) -> Tensor:
    """[old, new]: what each old item gives to each new one; known when compiling."""
    e = site.e
    old, new = (
        e.emit("Gather", e.shape(t), e.ints([axis])) for t in (site.x(), site.y)
    )
    unit = e.emit("Expand", e.number(0.0), e.emit("Concat", old, old, axis=0))
    unit = e.emit("CastLike", e.emit("EyeLike", unit), e.number(0.0))
    options = {n: a for n, a in site.node.attributes.items() if n in _KEPT}
    if scale is None:
        sizes = e.emit("Concat", old, new, axis=0)
        return e.emit("Resize", unit, "", "", sizes, **options)
    scales = e.constant(np.array([1.0, scale], np.float32))
    return e.emit("Resize", unit, "", scales, **options)


def _resize(site: Site) -> Sequence[Tensor | None]:
    """The gradient along an axis is a product with its matrix, axis by axis."""
    e, g = site.e, site.g
    _check(site)
    for axis, scale in _axes(site):
        before = e.emit("Slice", e.shape(g), e.ints([0]), e.ints([axis]))
        behind = e.emit("Slice", e.shape(g), e.ints([axis + 1]), e.ints([2**31]))
        old, new = (
            e.emit("Gather", e.shape(t), e.ints([axis])) for t in (site.x(), site.y)
        )
        minus = e.ints([-1])
        rest = e.emit("ReduceProd", e.emit("Concat", e.ints([1]), behind, axis=0))
        three = e.emit("Reshape", g, e.emit("Concat", minus, new, rest, axis=0))
        moved = e.emit("MatMul", _matrix(site, axis, scale), three)
        g = e.emit("Reshape", moved, e.emit("Concat", before, old, behind, axis=0))
    return [g]


#: Operator -> rule.
RESIZE: dict[str, Rule] = {"Resize": _resize}
