"""Softmax and normalisations."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.train.batch_norm import per_channel
from trimtab.train.emitter import Tensor
from trimtab.train.site import Rule, Site

__all__ = ["NORMALISATION"]


def _softmax(site: Site) -> Sequence[Tensor | None]:
    e, g, y = site.e, site.g, site.y
    axis = int(site.attribute("axis", -1))
    if axis == -1:
        return [e.ours("SoftmaxGrad", y, g)]
    return [y * (g - e.sum(g * y, [axis]))]


def _log_softmax(site: Site) -> Sequence[Tensor | None]:
    e, g = site.e, site.g
    axis = int(site.attribute("axis", -1))
    if axis == -1:
        return [e.ours("LogSoftmaxGrad", site.y, g)]
    return [g - e.emit("Exp", site.y) * e.sum(g, [axis])]


def _mean(site: Site, x: Tensor, axes: list[int]) -> Tensor:
    return site.e.emit("ReduceMean", x, site.e.ints(axes))


def _axes(site: Site) -> list[int]:
    """The last dims, which are normalised, counted from the end."""
    axis, rank = int(site.attribute("axis", -1)), site.rank(1)
    if axis >= 0 and rank is None:
        raise site.refusal("the rank of its scale is not known")
    return list(range(axis if axis < 0 else -int(rank or 1), 0))


def _is_whole(site: Site, axes: list[int]) -> bool:
    """Has the scale an item for each of a row?"""
    shape = site.shapes.get(site.node.inputs[1], ())
    return len(shape) == len(axes) and all(
        isinstance(size, int) and size > 1 for size in shape
    )


def _by_rows(site: Site, axes: list[int], name: str, n: int) -> list[Tensor | None]:
    """One operator for the gradients of (x, scale, shift)."""
    found = site.e.emit_many(
        name,
        n,
        *(site.x(0), site.x(1), site.g),
        domain="trimtab",
        axis=axes[0],
        epsilon=float(site.attribute("epsilon", 1e-5)),
    )
    return [g if site.wants(i) else None for i, g in enumerate(found)]


def _layer_norm(site: Site) -> Sequence[Tensor | None]:
    axes = _axes(site)
    if _is_whole(site, axes):
        return _by_rows(site, axes, "LayerNormGrad", 3)
    centred = site.x(0) - _mean(site, site.x(0), axes)
    return _normalised(site, site.g, centred, axes, has_mean=True)


def _normalised(
    site: Site, g: Tensor, centred: Tensor, axes: list[int], *, has_mean: bool
) -> list[Tensor | None]:
    """Gradients of (x, scale, shift) of a normalisation over the last dims."""
    e = site.e
    epsilon = float(site.attribute("epsilon", 1e-5))
    spread = e.emit("Sqrt", _mean(site, centred * centred, axes) + epsilon)
    unit = centred / spread
    found: list[Tensor | None] = [None, None, None]
    if site.wants(0):
        scaled = g * site.x(1)
        inner = scaled - unit * _mean(site, scaled * unit, axes)
        if has_mean:
            inner = inner - _mean(site, scaled, axes)
        found[0] = inner / spread
    if site.wants(1):
        found[1] = e.sum_to(g * unit, site.x(1))
    if site.wants(2):
        found[2] = e.sum_to(g, site.x(2))
    return found


def _rms_norm(site: Site) -> Sequence[Tensor | None]:
    axes = _axes(site)
    if _is_whole(site, axes):
        return _by_rows(site, axes, "RMSNormGrad", 2)
    return _normalised(site, site.g, site.x(0), axes, has_mean=False)[:2]


def _per_channel(site: Site, v: Tensor) -> Tensor:
    return per_channel(site.e, v, site.x(0))


def _batch_norm(site: Site) -> Sequence[Tensor | None]:
    """With given statistics it is a scaling of channels."""
    e, g, x = site.e, site.g, site.x(0)
    epsilon = float(site.attribute("epsilon", 1e-5))
    spread = e.emit("Sqrt", site.x(4) + epsilon)
    found: list[Tensor | None] = [None, None, None]
    if site.wants(3) or site.wants(4):
        raise site.refusal("its running statistics are learned")
    if site.wants(0):
        found[0] = g * _per_channel(site, site.x(1) / spread)
    if site.wants(1):
        unit = (x - _per_channel(site, site.x(3))) / _per_channel(site, spread)
        summed = e.sum_to(g * unit, _per_channel(site, site.x(1)))
        found[1] = e.reshape_as(summed, site.x(1))
    if site.wants(2):
        summed = e.sum_to(g, _per_channel(site, site.x(2)))
        found[2] = e.reshape_as(summed, site.x(2))
    return found


#: Operator -> rule.
NORMALISATION: dict[str, Rule] = {
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _log_softmax,
    "RMSNormalization": _rms_norm,
    "SimplifiedLayerNormalization": _rms_norm,
    "Softmax": _softmax,
}
