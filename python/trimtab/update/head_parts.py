"""The nodes of a model's last dense layer, found from an output backwards."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NoReturn

from trimtab.errors import UnsupportedOpError
from trimtab.graph import Constant, Model, Node
from trimtab.optimize.wiring import Wiring, is_operator

__all__ = ["ACTIVATIONS", "FLOATS", "THROUGH", "Parts", "walk_back"]

#: Element types that weights may have.
FLOATS = ("float32", "float64", "float16")

#: Operator -> what heads call it.
ACTIVATIONS = {
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
}
#: Operators that hand a row's numbers on as they are.
THROUGH = ("Identity", "Dropout", "Flatten", "Reshape", "Squeeze")
# Nodes between an output and its dense layer, at most.
_N_BEHIND = 16


@dataclass
class Parts:
    """What stands between an output and the features.

    Parameters
    ----------
    output, activation, logits, features : str
        See `trimtab.update.head.Head`.
    product : Node
        Gemm, MatMul or Conv.
    add : Node or None
        The sum behind a MatMul.
    behind : list of Node
        Nodes behind them that hand numbers on, the nearest to the output first.
    factors : list of Node
        Products with, and quotients by, one number.
    scale : float
        All those factors together.
    alpha, beta : float
        Of a Gemm.
    weight, held : str
        The constant of the weights, and the tensor by which the product reads it.
    is_transposed, is_held_transposed : bool
        Are they (n_outputs, n_features)?
    bias : str
        Its constant, or "".
    """

    output: str
    activation: str = "none"
    logits: str = ""
    features: str = ""
    product: Node = field(default_factory=lambda: Node("", [], []))
    add: Node | None = None
    behind: list[Node] = field(default_factory=list)
    factors: list[Node] = field(default_factory=list)
    scale: float = 1.0
    alpha: float = 1.0
    beta: float = 1.0
    weight: str = ""
    held: str = ""
    is_transposed: bool = False
    is_held_transposed: bool = False
    bias: str = ""

    @property
    def nodes(self) -> list[Node]:
        """Product, sum and factors, in their order."""
        add = [] if self.add is None else [self.add]
        return [self.product, *add, *self.factors[::-1]]


def walk_back(model: Model, output: str) -> Parts:
    """Find the dense layer that an output comes from.

    Parameters
    ----------
    model : trimtab.graph.Model
    output : str

    Returns
    -------
    parts : Parts
        Nodes are those of the graph.

    Raises
    ------
    UnsupportedOpError
        There is none, or its weights are not in float.

    Examples
    --------
    >>> walk_back(model, "probabilities").product.op_type  # doctest: +SKIP
    'Gemm'
    """
    wiring = Wiring(model)
    parts = Parts(output)
    tensor = parts.logits = output
    for _ in range(_N_BEHIND):
        node = wiring.producer(tensor)
        if node is None:
            _refuse(output, None)
        found = _step(wiring, parts, node)
        if found is None:
            return parts
        tensor = found
    _refuse(output, wiring.producer(tensor))


def _step(wiring: Wiring, parts: Parts, node: Node) -> str | None:
    """Take note of a node; the tensor before it, or None at the product."""
    is_behind = parts.add is None
    if is_operator(node, *THROUGH) and is_behind:
        parts.behind.append(node)
        return node.inputs[0]
    if is_operator(node, *ACTIVATIONS) and is_behind and not parts.factors:
        if parts.activation != "none" or node.attributes.get("axis", -1) not in (-1, 1):
            _refuse(parts.output, node)
        parts.activation = ACTIVATIONS[node.op_type]
        parts.logits = node.inputs[0]
        return parts.logits
    if is_operator(node, "Mul", "Div") and is_behind:
        return _factor(wiring, parts, node)
    if is_operator(node, "Add") and is_behind:
        return _sum(wiring, parts, node)
    if is_operator(node, "Gemm") and is_behind:
        _gemm(wiring, parts, node)
    elif is_operator(node, "MatMul"):
        _weights(wiring, parts, node, is_transposed=False)
    elif is_operator(node, "Conv") and is_behind:
        _pixel(wiring, parts, node)
    else:
        _refuse(parts.output, node)
    return None


def _factor(wiring: Wiring, parts: Parts, node: Node) -> str:
    constants = wiring.graph.constants
    number = 1 if node.op_type == "Div" else int(node.inputs[0] not in constants)
    value = _number(constants.get(node.inputs[number]))
    if value is None:
        _refuse(parts.output, node)
    parts.scale *= 1 / value if node.op_type == "Div" else value
    parts.factors.append(node)
    return node.inputs[1 - number]


def _number(constant: Constant | None) -> float | None:
    """A constant of one number that can be divided by."""
    if constant is None or constant.dtype not in FLOATS:
        return None
    if math.prod(constant.shape) != 1:
        return None
    value = float(constant.numpy().reshape(()))
    return (
        value if math.isfinite(value) and value and math.isfinite(1 / value) else None
    )


def _sum(wiring: Wiring, parts: Parts, node: Node) -> str:
    constants = wiring.graph.constants
    at = int(node.inputs[0] not in constants)
    other = node.inputs[1 - at]
    product = wiring.producer(other)
    if node.inputs[at] not in constants or not is_operator(product, "MatMul"):
        is_sum = node.inputs[at] in constants
        _refuse(parts.output, product if is_sum and product is not None else node)
    parts.add, parts.bias = node, node.inputs[at]
    return other


def _gemm(wiring: Wiring, parts: Parts, node: Node) -> None:
    if int(node.attributes.get("transA", 0)):
        _refuse(parts.output, node)
    parts.alpha = float(node.attributes.get("alpha", 1.0))
    parts.beta = float(node.attributes.get("beta", 1.0))
    parts.bias = node.inputs[2] if len(node.inputs) > 2 else ""
    is_transposed = bool(int(node.attributes.get("transB", 0)))
    _weights(wiring, parts, node, is_transposed=is_transposed)


def _pixel(wiring: Wiring, parts: Parts, node: Node) -> None:
    """A convolution of one pixel with one pixel: a dense layer."""
    before = wiring.producer(node.inputs[0])
    numbers: dict[str, Any] = node.attributes
    is_plain = int(numbers.get("group", 1)) == 1 and not any(numbers.get("pads", []))
    if not is_plain or not is_operator(before, "GlobalAveragePool", "GlobalMaxPool"):
        _refuse(parts.output, node)
    parts.bias = node.inputs[2] if len(node.inputs) > 2 else ""
    _weights(wiring, parts, node, is_transposed=True)


def _weights(wiring: Wiring, parts: Parts, node: Node, *, is_transposed: bool) -> None:
    """Follow the weights to their constant, and check them and the bias."""
    constants = wiring.graph.constants
    parts.product, parts.features = node, node.inputs[0]
    parts.held = parts.weight = node.inputs[1]
    parts.is_transposed = parts.is_held_transposed = is_transposed
    for _ in range(_N_BEHIND):
        maker = wiring.producer(parts.weight)
        if maker is None or not is_operator(maker, "Identity", "Transpose"):
            break
        if maker.op_type == "Transpose":
            parts.is_transposed = not parts.is_transposed
        parts.weight = maker.inputs[0]
    constant = constants.get(parts.weight)
    if constant is None or constant.dtype not in FLOATS:
        _refuse(parts.output, wiring.producer(parts.weight) or node)
    rank = 4 if node.op_type == "Conv" else 2
    if len(constant.shape) != rank or any(size != 1 for size in constant.shape[2:]):
        _refuse(parts.output, node)
    n_outputs = constant.shape[0 if parts.is_transposed else 1]
    bias = constants.get(parts.bias)
    is_bias = bias is not None and bias.dtype in FLOATS
    if parts.bias and not (
        is_bias and bias is not None and _is_bias(bias.shape, n_outputs)
    ):
        _refuse(parts.output, parts.add or node)


def _is_bias(shape: tuple[int, ...], n_outputs: int) -> bool:
    """One number for each output, or one for all, in a shape that says so."""
    if len(shape) > 2:
        return False
    return math.prod(shape) == 1 or (math.prod(shape) == n_outputs == shape[-1])


# ---- refusing -----------------------------------------------------------------------


def _refuse(output: str, node: Node | None) -> NoReturn:
    if node is None:
        what = "is an input or a constant"
    elif node.op_type == "DequantizeLinear":
        raise UnsupportedOpError(
            f"the last layer before {output!r} has quantised weights: update the model "
            "in float, then optimize_model again"
        )
    else:
        name = f" {node.name!r}" if node.name else ""
        what = f"comes from {node.op_type}{name}"
    raise UnsupportedOpError(
        f"{output!r} {what}: a head is a dense layer (Gemm, MatMul and Add, or Conv of "
        "one pixel) with weights in float, and softmax, sigmoid or nothing behind it; "
        "an embedding model has none: prototypes give it one"
    )
