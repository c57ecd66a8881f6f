"""Products of matrices: MatMul with its batch dims, Gemm."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.train.emitter import Tensor
from trimtab.train.site import Rule, Site

__all__ = ["MATMUL"]


def _matmul(site: Site) -> Sequence[Tensor | None]:
    """Vectors become matrices of one row or column first, as MatMul sees them."""
    e, g, a, b = site.e, site.g, site.x(0), site.x(1)
    is_row, is_column = site.rank(0) == 1, site.rank(1) == 1
    if is_column:
        b, g = e.emit("Unsqueeze", b, e.ints([1])), e.emit("Unsqueeze", g, e.ints([-1]))
    if is_row:
        a, g = e.emit("Unsqueeze", a, e.ints([0])), e.emit("Unsqueeze", g, e.ints([-2]))
    found: list[Tensor | None] = [None, None]
    if site.wants(0):
        summed = e.sum_to(e.emit("MatMul", g, e.ours("TransposeLast", b)), a)
        found[0] = e.reshape_as(summed, site.x(0)) if is_row else summed
    if site.wants(1):
        if site.rank(1) == 2:
            summed = _of_weights(site, a, b, g)
        else:
            summed = e.sum_to(e.emit("MatMul", e.ours("TransposeLast", a), g), b)
        found[1] = e.reshape_as(summed, site.x(1)) if is_column else summed
    return found


def _of_weights(site: Site, a: Tensor, b: Tensor, g: Tensor) -> Tensor:
    """One product over all rows of the batch: the weights are the same for each."""
    e = site.e
    dims = e.shape(b)
    k, n = (e.emit("Gather", dims, e.ints([i])) for i in (0, 1))
    flat = [
        e.emit("Reshape", x, e.emit("Concat", e.ints([-1]), width, axis=0))
        for x, width in ((a, k), (g, n))
    ]
    return e.emit("Gemm", *flat, transA=1)


def _gemm(site: Site) -> Sequence[Tensor | None]:
    e, g, a, b = site.e, site.g, site.x(0), site.x(1)
    alpha = float(site.attribute("alpha", 1.0))
    beta = float(site.attribute("beta", 1.0))
    ta, tb = (int(site.attribute(name, 0)) for name in ("transA", "transB"))
    found: list[Tensor | None] = [None, None, None]
    if site.wants(0):
        found[0] = (
            e.emit("Gemm", b, g, alpha=alpha, transA=tb, transB=1)
            if ta
            else e.emit("Gemm", g, b, alpha=alpha, transB=1 - tb)
        )
    if site.wants(1):
        found[1] = (
            e.emit("Gemm", g, a, alpha=alpha, transA=1, transB=ta)
            if tb
            else e.emit("Gemm", a, g, alpha=alpha, transA=1 - ta)
        )
    if site.wants(2):
        summed = e.sum_to(g, site.x(2))
        found[2] = summed if beta == 1.0 else summed * beta
    return found


#: Operator -> rule.
MATMUL: dict[str, Rule] = {"Gemm": _gemm, "MatMul": _matmul}
