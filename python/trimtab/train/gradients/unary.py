"""Functions of one tensor: the gradient is that of the result times a derivative."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from trimtab.train.emitter import Emitter, Operand, Tensor
from trimtab.train.site import Rule, Site

__all__ = ["UNARY"]

_Derivative: TypeAlias = Callable[[Emitter, Tensor, Tensor, Tensor], Tensor]


def _rule(gradient: _Derivative) -> Rule:
    """Make a rule of a formula over (emitter, gradient, x, y)."""

    def rule(site: Site) -> Sequence[Tensor | None]:
        return [gradient(site.e, site.g, site.x(), site.y)]

    return rule


def _flat(site: Site) -> Sequence[Tensor | None]:
    """Constant almost everywhere."""
    return []


def _same(site: Site) -> Sequence[Tensor | None]:
    return [site.g]


def _masked(site: Site, keep: Tensor) -> Sequence[Tensor | None]:
    return [site.e.where(keep, site.g, 0.0)]


def sigmoid(x: Tensor) -> Tensor:
    """Emit the logistic function.

    Parameters
    ----------
    x : Tensor

    Returns
    -------
    y : Tensor
    """
    return x.emitter.emit("Sigmoid", x)


def _leaky_relu(site: Site) -> Sequence[Tensor | None]:
    slope = float(site.attribute("alpha", 0.01))
    return [site.e.where(site.x() > 0.0, site.g, site.g * slope)]


def _elu(site: Site) -> Sequence[Tensor | None]:
    alpha = float(site.attribute("alpha", 1.0))
    return [site.e.where(site.x() > 0.0, site.g, site.g * (site.y + alpha))]


def _celu(site: Site) -> Sequence[Tensor | None]:
    alpha = float(site.attribute("alpha", 1.0))
    slope = site.e.emit("Exp", site.x() / alpha)
    return [site.e.where(site.x() > 0.0, site.g, site.g * slope)]


def _selu(site: Site) -> Sequence[Tensor | None]:
    alpha = float(site.attribute("alpha", 1.6732632423543772))
    gamma = float(site.attribute("gamma", 1.0507009873554805))
    below = site.g * (site.y + alpha * gamma)
    return [site.e.where(site.x() > 0.0, site.g * gamma, below)]


def _thresholded_relu(site: Site) -> Sequence[Tensor | None]:
    return _masked(site, site.x() > float(site.attribute("alpha", 1.0)))


def _hard_sigmoid(site: Site) -> Sequence[Tensor | None]:
    inside = site.e.emit("And", site.y > 0.0, site.y < 1.0)
    slope = float(site.attribute("alpha", 0.2))
    return [site.e.where(inside, site.g * slope, 0.0)]


def _hard_swish(site: Site) -> Sequence[Tensor | None]:
    x, g = site.x(), site.g
    middle = site.e.where(x > -3.0, g * (x / 3.0 + 0.5), 0.0)
    return [site.e.where(x < 3.0, middle, g)]


def _swish(alpha: float) -> Rule:
    def rule(site: Site) -> Sequence[Tensor | None]:
        slope = float(site.attribute("alpha", alpha))
        s = sigmoid(site.x() * slope)
        return [site.g * (s + slope * site.y * (1.0 - s))]

    return rule


def _mish(e: Emitter, g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    t = e.emit("Tanh", e.emit("Softplus", x))
    return g * (t + x * sigmoid(x) * (1.0 - t * t))


def _gelu(site: Site) -> Sequence[Tensor | None]:
    form = site.attribute("approximate", "none")
    return [site.e.ours("GeluGrad", site.x(), site.g, approximate=form)]


def _gelu_of_sum(form: str) -> Rule:
    """GELU of an input plus a bias of the last dim (com.microsoft)."""

    def rule(site: Site) -> Sequence[Tensor | None]:
        x = site.x() + site.x(1) if site.has(1) else site.x()
        g = site.e.ours("GeluGrad", x, site.g, approximate=form)
        return [g, site.e.sum_to(g, site.x(1)) if site.wants(1) else None]

    return rule


def _clip(site: Site) -> Sequence[Tensor | None]:
    """Both bounds belong to the inside."""
    g = site.g
    bounds: tuple[tuple[int, Callable[[Tensor, Operand], Tensor]], ...] = (
        (1, Tensor.__ge__),
        (2, Tensor.__le__),
    )
    for i, keeps in bounds:
        if site.has(i):
            if site.wants(i):
                raise site.refusal("its bounds are learned")
            g = site.e.where(keeps(site.x(), site.x(i)), g, 0.0)
    return [g]


def _shrink(site: Site) -> Sequence[Tensor | None]:
    bound = float(site.attribute("lambd", 0.5))
    return _masked(site, site.e.emit("Abs", site.x()) > bound)


def _cast(site: Site) -> Sequence[Tensor | None]:
    return [site.e.emit("CastLike", site.g, site.x())]


#: Derivatives as formulas over (emitter, gradient of y, x, y).
_FORMULAS: dict[str, _Derivative] = {
    "Abs": lambda e, g, x, y: g * e.emit("Sign", x),
    "Acos": lambda e, g, x, y: -g / e.emit("Sqrt", 1.0 - x * x),
    "Acosh": lambda e, g, x, y: g / e.emit("Sqrt", x * x - 1.0),
    "Asin": lambda e, g, x, y: g / e.emit("Sqrt", 1.0 - x * x),
    "Asinh": lambda e, g, x, y: g / e.emit("Sqrt", x * x + 1.0),
    "Atan": lambda e, g, x, y: g / (1.0 + x * x),
    "Atanh": lambda e, g, x, y: g / (1.0 - x * x),
    "Cos": lambda e, g, x, y: -g * e.emit("Sin", x),
    "Cosh": lambda e, g, x, y: g * e.emit("Sinh", x),
    "Erf": lambda e, g, x, y: g * (2.0 / math.sqrt(math.pi)) * e.emit("Exp", -(x * x)),
    "Exp": lambda e, g, x, y: g * y,
    "Log": lambda e, g, x, y: g / x,
    "Mish": _mish,
    "Neg": lambda e, g, x, y: -g,
    "Reciprocal": lambda e, g, x, y: -g * (y * y),
    "Relu": lambda e, g, x, y: e.where(y > 0.0, g, 0.0),
    "Sigmoid": lambda e, g, x, y: g * (y * (1.0 - y)),
    "Sin": lambda e, g, x, y: g * e.emit("Cos", x),
    "Sinh": lambda e, g, x, y: g * e.emit("Cosh", x),
    "Softplus": lambda e, g, x, y: g * sigmoid(x),
    "Softsign": lambda e, g, x, y: (
        g * (1.0 - e.emit("Abs", y)) * (1.0 - e.emit("Abs", y))
    ),
    "Sqrt": lambda e, g, x, y: g * 0.5 / y,
    "Tan": lambda e, g, x, y: g * (1.0 + y * y),
    "Tanh": lambda e, g, x, y: g * (1.0 - y * y),
}

_CONSTANT = (
    "And", "ArgMax", "ArgMin", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr",
    "BitwiseXor", "Ceil", "ConstantOfShape", "Equal", "EyeLike", "Floor", "Greater",
    "GreaterOrEqual", "Hardmax", "IsInf", "IsNaN", "Less", "LessOrEqual", "NonZero",
    "Not", "OneHot", "Or", "Range", "Round", "Shape", "Sign", "Size", "Xor",
)  # fmt: skip

#: Operator -> rule.
UNARY: dict[str, Rule] = {
    **{name: _rule(formula) for name, formula in _FORMULAS.items()},
    **dict.fromkeys(_CONSTANT, _flat),
    "Cast": _cast,
    "CastLike": _cast,
    "Celu": _celu,
    "Clip": _clip,
    "Dropout": _same,
    "Elu": _elu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Identity": _same,
    "LeakyRelu": _leaky_relu,
    "Selu": _selu,
    "Shrink": _shrink,
    "Swish": _swish(1.0),
    "ThresholdedRelu": _thresholded_relu,
    "com.microsoft.BiasGelu": _gelu_of_sum("none"),
    "com.microsoft.FastGelu": _gelu_of_sum("tanh"),
    "com.microsoft.Gelu": _gelu_of_sum("none"),
    "com.microsoft.QuickGelu": _swish(1.702),
}
