"""Convolutions and pools: what slides a window over an image."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.train.emitter import Tensor
from trimtab.train.gradients.reduction import count
from trimtab.train.site import Rule, Site

__all__ = ["WINDOWS"]


def _global_average(site: Site) -> Sequence[Tensor | None]:
    part = site.g / count(site, site.x(), site.y)
    return [site.e.expand_as(part, site.x())]


def _global_max(site: Site) -> Sequence[Tensor | None]:
    e, x, y = site.e, site.x(), site.y
    chosen = e.emit("CastLike", e.emit("Equal", x, y), site.g)
    return [chosen * (site.g / e.sum_to(chosen, y))]


def _conv(site: Site) -> Sequence[Tensor | None]:
    e, attributes = site.e, site.node.attributes
    three = (site.x(0), site.x(1), site.g)
    found: list[Tensor | None] = [None, None, None]
    if site.wants(0):
        found[0] = e.ours("ConvGradInput", *three, **attributes)
    if site.wants(1) or site.wants(2):
        n = 2 if site.wants(2) else 1
        made = e.emit_many("ConvGradWeight", n, *three, domain="trimtab", **attributes)
        found[1:] = [*made, None][:2]
    return found


def _conv_transpose(site: Site) -> Sequence[Tensor | None]:
    """The gradient of its input is a Conv with the same weights, and so on."""
    e, node = site.e, site.node
    if node.attributes.get("auto_pad", "NOTSET") != "NOTSET" or any(
        name in node.attributes for name in ("output_padding", "output_shape")
    ):
        raise site.refusal("its pads depend on the shape of its output")
    kept = ("dilations", "group", "kernel_shape", "pads", "strides")
    attributes = {name: a for name, a in node.attributes.items() if name in kept}
    found: list[Tensor | None] = [None, None, None]
    if site.wants(0):
        found[0] = e.emit("Conv", site.g, site.x(1), **attributes)
    if site.wants(1):
        three = (site.g, site.x(1), site.x(0))
        found[1] = e.ours("ConvGradWeight", *three, **attributes)
    if site.wants(2):
        rank = site.rank(1)
        if rank is None:
            raise site.refusal("the rank of its weights is not known")
        found[2] = e.sum(site.g, [0, *range(2, rank)], keep=False)
    return found


def _pool(name: str) -> Rule:
    def rule(site: Site) -> Sequence[Tensor | None]:
        return [site.e.ours(name, site.x(), site.g, **site.node.attributes)]

    return rule


#: Operator -> rule.
WINDOWS: dict[str, Rule] = {
    "AveragePool": _pool("AveragePoolGrad"),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max,
    "MaxPool": _pool("MaxPoolGrad"),
}
