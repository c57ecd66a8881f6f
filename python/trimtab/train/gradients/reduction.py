"""Sums, means, norms and extremes over axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trimtab.train.emitter import Operand, Tensor
from trimtab.train.site import Rule, Site

__all__ = ["REDUCTION"]


def _raised(site: Site, t: Tensor) -> Tensor:
    """Give a result of the reduction its axes back, with one item each."""
    listed = site.attribute("axes", None)
    if site.attribute("keepdims", 1):
        return t
    if site.has(1):
        return site.e.emit("Unsqueeze", t, site.x(1))
    if listed is not None:
        return site.e.emit("Unsqueeze", t, site.e.ints(list(listed)))
    return t  # a scalar: it broadcasts as it is


def _is_noop(site: Site) -> bool:
    known = site.array(1)
    has_axes = (known is not None and known.size > 0) or bool(
        site.attribute("axes", None)
    )
    if site.has(1) and known is None:
        raise site.refusal("its axes are computed by the model")
    return bool(site.attribute("noop_with_empty_axes", 0)) and not has_axes


def _rule(gradient: Callable[[Site, Tensor, Tensor], Tensor], pointwise: bool) -> Rule:
    """Make a rule of a formula over (site, raised gradient, raised result).

    `pointwise`: without axes the operator still maps items, which has no rule.
    """

    def rule(site: Site) -> Sequence[Tensor | None]:
        if _is_noop(site):
            if pointwise:
                raise site.refusal("it has no axes")
            return [site.g]
        found = gradient(site, _raised(site, site.g), _raised(site, site.y))
        return [site.e.expand_as(found, site.x())]

    return rule


def count(site: Site, whole: Operand, part: Operand) -> Tensor:
    """Emit how many items of one tensor became one of another.

    Parameters
    ----------
    site : Site
    whole, part : Tensor or str

    Returns
    -------
    n : Tensor
        A scalar of the dtype of the weights, known when compiling.
    """
    e = site.e
    n = e.emit("Div", e.emit("Size", whole), e.emit("Size", part))
    return e.emit("CastLike", n, e.number(0.0))


def _mean(site: Site, g: Tensor, y: Tensor) -> Tensor:
    return g / count(site, site.x(), site.y)


def _extreme(site: Site, g: Tensor, y: Tensor) -> Tensor:
    """Equal items share the gradient."""
    e = site.e
    chosen = e.emit("CastLike", e.emit("Equal", site.x(), y), g)
    return chosen * (g / e.sum_to(chosen, y))


#: Operator -> rule.
REDUCTION: dict[str, Rule] = {
    "ReduceL1": _rule(lambda s, g, y: g * s.e.emit("Sign", s.x()), True),
    "ReduceL2": _rule(lambda s, g, y: g * s.x() / y, True),
    "ReduceLogSum": _rule(lambda s, g, y: g / s.e.emit("Exp", y), True),
    "ReduceLogSumExp": _rule(lambda s, g, y: g * s.e.emit("Exp", s.x() - y), True),
    "ReduceMax": _rule(_extreme, False),
    "ReduceMean": _rule(_mean, False),
    "ReduceMin": _rule(_extreme, False),
    "ReduceSum": _rule(lambda s, g, y: g, False),
    "ReduceSumSquare": _rule(lambda s, g, y: g * (s.x() * 2.0), True),
}
