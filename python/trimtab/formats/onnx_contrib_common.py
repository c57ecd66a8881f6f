"""What the rewrites of `trimtab.formats.onnx_contrib` share."""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.formats.onnx_ml_write import Keep, MlWriter
from trimtab.graph import Node
from trimtab.types import Array

__all__ = [
    "DTYPE_CODES",
    "MICROSOFT",
    "activate",
    "constant_of",
    "maybe",
    "number",
    "numbers",
    "permuted",
    "scaled",
    "split",
    "text",
    "wanted",
    "whole",
]

MICROSOFT = "com.microsoft"
#: Element type -> code of TensorProto.DataType, of the floats.
DTYPE_CODES = {"float32": 1, "float16": 10, "float64": 11, "bfloat16": 16}
#: Activation of a fused operator -> the attributes that its parameters are.
_ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "Elu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "HardSwish": (),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Selu": ("alpha", "gamma"),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": ("alpha",),
}


def maybe(node: Node, i: int) -> str:
    """Name of input i; empty where there is none.

    Parameters
    ----------
    node : Node
    i : int

    Returns
    -------
    name : str

    Examples
    --------
    >>> maybe(Node("Gemm", ["a", "b"], ["y"]), 2)
    ''
    """
    return node.inputs[i] if i < len(node.inputs) else ""


def wanted(node: Node, i: int) -> str:
    """Name of output i; empty where nobody reads it.

    Parameters
    ----------
    node : Node
    i : int

    Returns
    -------
    name : str

    Examples
    --------
    >>> wanted(Node("Gemm", ["a", "b"], ["y"]), 0)
    'y'
    """
    return node.outputs[i] if i < len(node.outputs) else ""


def number(node: Node, name: str, default: float) -> float:
    """A numeric attribute.

    Parameters
    ----------
    node : Node
    name : str
    default : float

    Returns
    -------
    value : float

    Raises
    ------
    Keep
        It is of another kind.

    Examples
    --------
    >>> number(Node("Gemm", ["a"], ["y"]), "alpha", 1.0)
    1.0
    """
    found = node.attributes.get(name, default)
    if not isinstance(found, int | float):
        raise Keep
    return float(found)


def whole(node: Node, name: str, default: int = 0) -> int:
    """An integer attribute.

    Parameters
    ----------
    node : Node
    name : str
    default : int, optional

    Returns
    -------
    value : int

    Raises
    ------
    Keep
        It is of another kind.

    Examples
    --------
    >>> whole(Node("Gemm", ["a"], ["y"]), "transA")
    0
    """
    found = node.attributes.get(name, default)
    if not isinstance(found, int):
        raise Keep
    return found


def text(node: Node, name: str) -> str:
    """A string attribute; empty where there is none.

    Parameters
    ----------
    node : Node
    name : str

    Returns
    -------
    value : str

    Raises
    ------
    Keep
        It is of another kind.

    Examples
    --------
    >>> text(Node("FusedGemm", ["a"], ["y"]), "activation")
    ''
    """
    found = node.attributes.get(name, "")
    if not isinstance(found, str):
        raise Keep
    return found


def numbers(node: Node, name: str) -> list[float]:
    """A list attribute; empty where there is none.

    Parameters
    ----------
    node : Node
    name : str

    Returns
    -------
    values : list of float

    Raises
    ------
    Keep
        It is of another kind.

    Examples
    --------
    >>> numbers(Node("Conv", ["x"], ["y"]), "pads")
    []
    """
    found = node.attributes.get(name, [])
    if not isinstance(found, list) or not all(
        isinstance(x, int | float) for x in found
    ):
        raise Keep
    return found


def constant_of(w: MlWriter, tensor: str) -> Array:
    """Elements of a constant that the node has to have.

    Parameters
    ----------
    w : MlWriter
    tensor : str

    Returns
    -------
    array : ndarray

    Raises
    ------
    Keep
        It is of another kind.

    Examples
    --------
    >>> constant_of(w, node.inputs[1]).shape             # doctest: +SKIP
    (64, 64)
    """
    value = w.value_of(tensor) if tensor else None
    if value is None:
        raise Keep
    return value


def scaled(w: MlWriter, node: Node, tensor: str, factor: float, output: str) -> str:
    """A tensor times a number, in the type of the node's first input.

    Parameters
    ----------
    w : MlWriter
    node : Node
    tensor : str
    factor : float
    output : str

    Returns
    -------
    tensor : str

    Raises
    ------
    Keep
        It is of another kind.

    Examples
    --------
    >>> scaled(w, node, "a", 0.5, "y")                    # doctest: +SKIP
    'y'
    """
    dtype = w.dtype_of(node.inputs[0]) or "float32"
    if dtype not in ("float32", "float16", "float64"):
        raise Keep
    number = w.constant(node, np.array(factor, dtype))
    return w.op(node, "Mul", [tensor, number], output)


def permuted(
    w: MlWriter, node: Node, tensor: str, axes: list[int], output: str = ""
) -> str:
    """A tensor with its dims in another order.

    Parameters
    ----------
    w : MlWriter
    node : Node
    tensor : str
    axes : list of int
    output : str, optional

    Returns
    -------
    tensor : str

    Examples
    --------
    >>> permuted(w, node, "x", [0, 2, 1])                 # doctest: +SKIP
    'n.Transpose'
    """
    return w.op(node, "Transpose", [tensor], output, perm=axes)


def split(
    w: MlWriter, node: Node, tensor: str, sizes: list[int], axis: int
) -> list[str]:
    """Parts of a tensor along an axis.

    Parameters
    ----------
    w : MlWriter
    node : Node
    tensor : str
    sizes : list of int
    axis : int

    Returns
    -------
    tensors : list of str

    Examples
    --------
    >>> split(w, node, "x", [4, 4], 2)                    # doctest: +SKIP
    ['n.Split', 'n.part1']
    """
    inputs = [tensor]
    more: dict[str, Any] = {"axis": axis}
    if w.opset >= 13:
        inputs.append(w.constant(node, np.array(sizes, np.int64)))
    else:
        more["split"] = sizes
    first = w.op(node, "Split", inputs, **more)
    others = [w.free(f"{node.name}.part{i}") for i in range(1, len(sizes))]
    w.nodes[-1].outputs += others
    return [first, *others]


def activate(
    w: MlWriter,
    node: Node,
    kind: str,
    parameters: list[float],
    tensor: str,
    output: str,
) -> None:
    """The activation of a fused operator; `parameters` in its order, or none.

    Parameters
    ----------
    w : MlWriter
    node : Node
    kind : str
    parameters : list of float
    tensor : str
    output : str

    Raises
    ------
    Keep
        It is of another kind.

    Examples
    --------
    >>> activate(w, node, "Relu", [], "x", "y")           # doctest: +SKIP
    """
    if kind == "Clip":
        if len(parameters) != 2:
            raise Keep
        bounds = [w.constant(node, np.array(x, np.float32)) for x in parameters]
        w.op(node, "Clip", [tensor, *bounds], output)
        return
    names = _ACTIVATIONS.get(kind)
    if names is None:
        raise Keep
    more: dict[str, Any] = dict(zip(names, parameters, strict=False))
    w.op(node, kind, [tensor], output, **more)
