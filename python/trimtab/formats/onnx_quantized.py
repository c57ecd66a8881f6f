"""Operators that take and give integers -> DequantizeLinear, operator, QuantizeLinear.

Enters: the main graph of an ONNX file, not yet sorted. Leaves: the same graph with
every node that `REWRITES` knows replaced by the operator on real numbers between
DequantizeLinear and QuantizeLinear: the form in which all quantised models enter the
engine, which makes integer arithmetic of it again. The results are those of the
definition, within one step of the output's scale.

Weights of uint8 become int8 (they and their zero points less 128): the numbers they
mean are the same, and most of them are then symmetric.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trimtab.formats.onnx_ml_write import Keep, MlWriter
from trimtab.graph import Graph, Node

__all__ = ["REWRITES", "rewrite_quantized"]

_Trio = tuple[str, str, str]  # tensor, scale, zero point
_MICROSOFT = "com.microsoft"
_MIN_OPSET = 10  # QuantizeLinear came then
_FLOAT = 1  # TensorProto.DataType
_BLOCK_SOFTMAX = 13  # before, Softmax saw everything from its axis on as one row


def _maybe(node: Node, i: int) -> str:
    """Name of input i; empty where there is none."""
    return node.inputs[i] if i < len(node.inputs) else ""


def _input(node: Node, i: int) -> str:
    """Name of input i, which a node of a sound file has."""
    found = _maybe(node, i)
    if not found:
        raise Keep
    return found


# ---- tensors -----------------------------------------------------------------------


def _axis_of(w: MlWriter, scale: str, axis: int) -> dict[str, Any]:
    """The attribute that goes with scales; none for one scale."""
    value = w.value_of(scale)
    if value is None:
        return {} if (w.rank_of(scale) or 0) == 0 else {"axis": axis}
    if value.size == 1:
        return {}
    if value.ndim != 1:
        raise Keep
    return {"axis": axis}


def _trio(node: Node, i: int) -> _Trio:
    """Input i and behind it its scale and zero point (maybe none)."""
    return _input(node, i), _input(node, i + 1), _maybe(node, i + 2)


def _real(w: MlWriter, node: Node, trio: _Trio, axis: int | None = None) -> str:
    """Tensor of the real numbers; `axis` is where scales may vary."""
    tensor, scale, zero = trio
    more = {} if axis is None else _axis_of(w, scale, axis)
    zero = zero if not zero or more else _scalar_like(w, node, scale, zero)
    inputs = [tensor, scale, zero] if zero else [tensor, scale]
    return w.op(node, "DequantizeLinear", inputs, **more)


def _scalar_like(w: MlWriter, node: Node, scale: str, zero: str) -> str:
    """A zero point in the shape of its scale: files mix () and (1,)."""
    value, reference = w.value_of(zero), w.value_of(scale)
    if value is None or reference is None or value.shape == reference.shape:
        return zero
    if value.size != reference.size:
        raise Keep
    return w.constant(node, value.reshape(reference.shape))


def _weights(w: MlWriter, node: Node, trio: _Trio, axis: int) -> tuple[str, str]:
    """Tensor of real weights, and the scale in use."""
    tensor, scale, zero = trio
    elements = w.value_of(tensor)
    zeros = None if not zero else w.value_of(zero)
    scales = w.value_of(scale)
    if zeros is not None and scales is not None and zeros.size != scales.size:
        # one zero point for scales of their own
        zeros = np.broadcast_to(zeros.reshape(-1), scales.shape).copy()
        zero = w.constant(node, zeros)
    if elements is not None and elements.dtype == np.uint8:
        if zeros is None and zero:
            return _real(w, node, (tensor, scale, zero), axis), scale
        shape = () if scales is None else scales.shape
        zeros = np.zeros(shape, np.uint8) if zeros is None else zeros
        tensor = w.constant(node, _signed(elements))
        zero = w.constant(node, _signed(zeros))
    return _real(w, node, (tensor, scale, zero), axis), scale


def _signed(values: Any) -> Any:
    return (values.view(np.uint8) ^ np.uint8(128)).view(np.int8)


def _product(w: MlWriter, node: Node, a: str, b: str, factor: float = 1.0) -> str:
    """The scale that products of two tensors have."""
    x, y = w.value_of(a), w.value_of(b)
    if x is not None and y is not None:
        scale = x.reshape(-1) * y.reshape(-1) * np.float32(factor)
        shape = () if x.size == y.size == 1 else scale.shape
        return w.constant(node, scale.reshape(shape).astype(np.float32))
    found = w.op(node, "Mul", [a, b])
    if factor != 1.0:
        found = w.op(node, "Mul", [found, w.constant(node, np.float32(factor))])
    return found


def _bias(w: MlWriter, node: Node, tensor: str, scale: str) -> str:
    return w.op(node, "DequantizeLinear", [tensor, scale], **_axis_of(w, scale, 0))


def _quantize(w: MlWriter, node: Node, tensor: str, i: int) -> None:
    """Write the result of the node; its scale is input i, the zero point behind it."""
    scale, zero = _input(node, i), _maybe(node, i + 1)
    if zero:
        zero = _scalar_like(w, node, scale, zero)
    inputs = [tensor, scale, zero] if zero else [tensor, scale]
    w.op(node, "QuantizeLinear", inputs, node.outputs[0])


# ---- products ----------------------------------------------------------------------


def _write_conv(w: MlWriter, node: Node) -> None:
    if node.attributes.get("channels_last", 0):
        raise Keep
    x, kernel = _trio(node, 0), _trio(node, 3)
    inputs = [_real(w, node, x)]
    real, scale = _weights(w, node, kernel, 0)
    inputs.append(real)
    if _maybe(node, 8):
        inputs.append(_bias(w, node, _input(node, 8), _product(w, node, x[1], scale)))
    attributes = {k: v for k, v in node.attributes.items() if k != "channels_last"}
    y = w.op(node, "Conv", inputs, **attributes)
    _quantize(w, node, y, 6)


def _write_matmul(w: MlWriter, node: Node) -> None:
    a = _real(w, node, _trio(node, 0), -2)
    b, _ = _weights(w, node, _trio(node, 3), -1)
    _quantize(w, node, w.op(node, "MatMul", [a, b]), 6)


def _write_gemm(w: MlWriter, node: Node) -> None:
    turned_b = node.attributes.get("transB", 0)
    a, b = _trio(node, 0), _trio(node, 3)
    alpha = float(node.attributes.get("alpha", 1.0))
    inputs = [_real(w, node, a)]
    real, scale = _weights(w, node, b, 0 if turned_b else 1)
    inputs.append(real)
    if _maybe(node, 6):
        product = _product(w, node, a[1], scale, alpha)
        value = w.value_of(product)
        has_axis = value is not None and value.size > 1
        axis: dict[str, Any] = {"axis": -1} if has_axis else {}
        inputs.append(
            w.op(node, "DequantizeLinear", [_input(node, 6), product], **axis)
        )
    kinds = ("transA", "transB")
    attributes = {k: v for k, v in node.attributes.items() if k in kinds}
    wanted = node.outputs[0] if not _maybe(node, 7) else ""
    y = w.op(node, "Gemm", inputs, wanted, alpha=alpha, **attributes)
    if not wanted:
        _quantize(w, node, y, 7)


def _write_integer_product(
    w: MlWriter, node: Node, a: _Trio, b: _Trio, bias: str
) -> None:
    """MatMulInteger, and its sums times both scales plus a bias."""
    inputs = [a[0], b[0], a[2], b[2]]
    sums = w.op(node, "MatMulInteger", inputs)
    real = w.op(node, "Cast", [sums], to=_FLOAT)
    scale = _product(w, node, a[1], b[1])
    y = w.op(node, "Mul", [real, scale], "" if bias else node.outputs[0])
    if bias:
        w.op(node, "Add", [y, bias], node.outputs[0])


def _write_dynamic_matmul(w: MlWriter, node: Node) -> None:
    quantized = w.op(node, "DynamicQuantizeLinear", [_input(node, 0)])
    scale, zero = (w.free(f"{node.name}.{kind}") for kind in ("scale", "zero_point"))
    w.nodes[-1].outputs += [scale, zero]
    b = (_input(node, 1), _input(node, 2), _maybe(node, 3))
    _write_integer_product(w, node, (quantized, scale, zero), b, _maybe(node, 4))


def _write_matmul_to_float(w: MlWriter, node: Node) -> None:
    a = (_input(node, 0), _input(node, 2), _maybe(node, 4))
    b = (_input(node, 1), _input(node, 3), _maybe(node, 5))
    _write_integer_product(w, node, a, b, _maybe(node, 6))


# ---- others ------------------------------------------------------------------------


def _write_binary(op_type: str) -> Callable[[MlWriter, Node], None]:
    def write(w: MlWriter, node: Node) -> None:
        reals = [_real(w, node, _trio(node, i)) for i in (0, 3)]
        y = w.op(node, op_type, reals)
        _quantize(w, node, y, 6)

    return write


def _write_unary(op_type: str, *kept: str) -> Callable[[MlWriter, Node], None]:
    """With the attributes `kept`; channels must come second."""

    def write(w: MlWriter, node: Node) -> None:
        if node.attributes.get("channels_last", 0):
            raise Keep
        attributes = {k: v for k, v in node.attributes.items() if k in kept}
        y = w.op(node, op_type, [_real(w, node, _trio(node, 0))], **attributes)
        _quantize(w, node, y, 3)

    return write


_POOL = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads")


def _write_softmax(w: MlWriter, node: Node) -> None:
    axis = int(node.attributes.get("axis", -1))
    blocks = int(node.attributes.get("opset", w.opset)) < _BLOCK_SOFTMAX
    if axis != -1 and blocks != (w.opset < _BLOCK_SOFTMAX):
        raise Keep
    y = w.op(node, "Softmax", [_real(w, node, _trio(node, 0))], axis=axis)
    _quantize(w, node, y, 3)


def _write_concat(w: MlWriter, node: Node) -> None:
    starts = range(2, len(node.inputs), 3)
    reals = [_real(w, node, _trio(node, i)) for i in starts]
    y = w.op(node, "Concat", reals, axis=node.attributes.get("axis", 0))
    _quantize(w, node, y, 0)


def _write_where(w: MlWriter, node: Node) -> None:
    reals = [_real(w, node, _trio(node, i)) for i in (1, 4)]
    y = w.op(node, "Where", [_input(node, 0), *reals])
    _quantize(w, node, y, 7)


def _write_renamed(w: MlWriter, node: Node) -> None:
    """QuantizeLinear and DequantizeLinear have a twin in com.microsoft."""
    more = {k: v for k, v in node.attributes.items() if k == "axis"}
    w.op(node, node.op_type, list(node.inputs), node.outputs[0], **more)


#: (Domain, operator) -> what writes it with DequantizeLinear and QuantizeLinear.
REWRITES: dict[tuple[str, str], Callable[[MlWriter, Node], None]] = {
    ("", "QLinearConv"): _write_conv,
    ("", "QLinearMatMul"): _write_matmul,
    (_MICROSOFT, "DequantizeLinear"): _write_renamed,
    (_MICROSOFT, "DynamicQuantizeMatMul"): _write_dynamic_matmul,
    (_MICROSOFT, "MatMulIntegerToFloat"): _write_matmul_to_float,
    (_MICROSOFT, "QGemm"): _write_gemm,
    (_MICROSOFT, "QLinearAdd"): _write_binary("Add"),
    (_MICROSOFT, "QLinearAveragePool"): _write_unary("AveragePool", *_POOL, "strides"),
    (_MICROSOFT, "QLinearConcat"): _write_concat,
    (_MICROSOFT, "QLinearConv"): _write_conv,
    (_MICROSOFT, "QLinearGlobalAveragePool"): _write_unary("GlobalAveragePool"),
    (_MICROSOFT, "QLinearLeakyRelu"): _write_unary("LeakyRelu", "alpha"),
    (_MICROSOFT, "QLinearMul"): _write_binary("Mul"),
    (_MICROSOFT, "QLinearSigmoid"): _write_unary("Sigmoid"),
    (_MICROSOFT, "QLinearSoftmax"): _write_softmax,
    (_MICROSOFT, "QLinearWhere"): _write_where,
    (_MICROSOFT, "QuantizeLinear"): _write_renamed,
}


def rewrite_quantized(graph: Graph, opsets: dict[str, int]) -> None:
    """Replace what `REWRITES` knows.

    Nodes that have too few inputs or are of a kind that is not known stay, for the
    fallback.

    Parameters
    ----------
    graph : Graph
        Changed in place.
    opsets : dict of str to int
        Of the file; ai.onnx is added where it is not imported.

    Examples
    --------
    >>> names = ["a", "s", "z", "b", "s", "z", "t", "z"]
    >>> node = Node("QLinearAdd", names, ["y"], "n", "com.microsoft")
    >>> graph = Graph("g", nodes=[node])
    >>> rewrite_quantized(graph, {"": 13, "com.microsoft": 1})
    >>> [node.op_type for node in graph.nodes]
    ['DequantizeLinear', 'DequantizeLinear', 'Add', 'QuantizeLinear']
    """
    opset = opsets.setdefault("", 13)
    if opset < _MIN_OPSET:
        return
    w = MlWriter(graph, opset)
    for node in graph.nodes:
        _rewrite_node(w, node)
    graph.nodes = w.nodes


def _rewrite_node(w: MlWriter, node: Node) -> None:
    rewrite = REWRITES.get((node.domain, node.op_type))
    before = len(w.nodes)
    if rewrite is not None:
        try:
            rewrite(w, node)
            return
        except Keep:
            del w.nodes[before:]
    w.nodes.append(node)
