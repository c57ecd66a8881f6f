"""Functions of several tensors that broadcast: what was stretched is summed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trimtab.train.emitter import Tensor
from trimtab.train.site import Rule, Site

__all__ = ["ARITHMETIC"]


def _each(site: Site, *gradients: Callable[[], Tensor]) -> list[Tensor | None]:
    """Compute the gradients that are wanted, each summed to the shape of its input."""
    return [
        site.e.sum_to(gradient(), site.x(i)) if site.wants(i) else None
        for i, gradient in enumerate(gradients)
    ]


def _add(site: Site) -> Sequence[Tensor | None]:
    return _each(site, *[lambda: site.g for _ in site.node.inputs])


def _sub(site: Site) -> Sequence[Tensor | None]:
    return _each(site, lambda: site.g, lambda: -site.g)


def _mul(site: Site) -> Sequence[Tensor | None]:
    return _each(site, lambda: site.g * site.x(1), lambda: site.g * site.x(0))


def _div(site: Site) -> Sequence[Tensor | None]:
    by = site.x(1)
    return _each(site, lambda: site.g / by, lambda: -site.g * site.y / by)


def _mean(site: Site) -> Sequence[Tensor | None]:
    part = site.g / float(len(site.node.inputs))
    return _each(site, *[lambda: part for _ in site.node.inputs])


def _pow(site: Site) -> Sequence[Tensor | None]:
    e, base, exponent = site.e, site.x(0), site.x(1)

    def of_exponent() -> Tensor:
        positive = base > 0.0
        log = e.emit("Log", e.where(positive, base, 1.0))
        return e.where(positive, site.g * site.y * log, 0.0)

    def of_base() -> Tensor:
        known = site.array(1)
        if known is not None and known.size == 1 and float(known.reshape(())) == 2.0:
            return site.g * (base * 2.0)
        exact = e.emit("CastLike", exponent, base)
        return site.g * exact * e.emit("Pow", base, exact - 1.0)

    return _each(site, of_base, of_exponent)


def _extreme(site: Site) -> Sequence[Tensor | None]:
    """The gradient goes to the item that was chosen; equal ones share it."""
    if len(site.node.inputs) == 1:
        return [site.g]
    like = site.g
    chosen = [
        site.e.emit("CastLike", site.e.emit("Equal", name, site.y), like)
        for name in site.node.inputs
    ]
    share = site.g / site.e.emit("Sum", *chosen)
    return _each(site, *[lambda c=c: share * c for c in chosen])


def _where(site: Site) -> Sequence[Tensor | None]:
    e, condition = site.e, site.x(0)
    return [
        None,
        *_each_from(
            site,
            1,
            lambda: e.where(condition, site.g, 0.0),
            lambda: e.where(condition, 0.0, site.g),
        ),
    ]


def _each_from(
    site: Site, first: int, *gradients: Callable[[], Tensor]
) -> list[Tensor | None]:
    return [
        site.e.sum_to(gradient(), site.x(i)) if site.wants(i) else None
        for i, gradient in enumerate(gradients, first)
    ]


def _prelu(site: Site) -> Sequence[Tensor | None]:
    e, x = site.e, site.x(0)
    return _each(
        site,
        lambda: e.where(x > 0.0, site.g, site.g * site.x(1)),
        lambda: e.where(x > 0.0, 0.0, site.g * x),
    )


#: Operator -> rule.
ARITHMETIC: dict[str, Rule] = {
    "Add": _add,
    "Div": _div,
    "Max": _extreme,
    "Mean": _mean,
    "Min": _extreme,
    "Mul": _mul,
    "PRelu": _prelu,
    "Pow": _pow,
    "Sub": _sub,
    "Sum": _add,
    "Where": _where,
}
