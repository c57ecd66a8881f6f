"""Matrix products of com.microsoft: with transposes, a scale, an activation behind
them, weights of few bits."""

from __future__ import annotations

import numpy as np

from trimtab.formats.onnx_contrib_common import (
    DTYPE_CODES,
    activate,
    constant_of,
    maybe,
    number,
    permuted,
    scaled,
    text,
    whole,
)
from trimtab.formats.onnx_ml_write import Keep, MlWriter
from trimtab.graph import Node
from trimtab.types import Array

__all__ = ["write_fused_gemm", "write_fused_matmul", "write_matmul_nbits"]

_MAX_WEIGHTS = 1 << 31  # of a matrix that is written out


# ---- FusedMatMul -------------------------------------------------------------------


def _operand(w: MlWriter, node: Node, i: int, turns: int, moves_batch: int) -> str:
    """Input i, its batch dims behind the first one brought forward, turned."""
    tensor = node.inputs[i]
    if moves_batch:
        rank = w.rank_of(tensor)
        if rank is None or rank < 2:
            raise Keep
        axes = [*range(1, rank - 1), 0, rank - 1]
        if turns:
            axes[-2:] = axes[:-3:-1]
        return permuted(w, node, tensor, axes)
    if not turns:
        return tensor
    rank = w.rank_of(tensor)
    if rank == 1:
        return tensor  # a vector is its own transpose
    if rank is not None:
        axes = [*range(rank - 2), rank - 1, rank - 2]
        return permuted(w, node, tensor, axes)
    return w.op(node, "TransposeLast", [tensor], domain="trimtab")


def write_fused_matmul(w: MlWriter, node: Node) -> None:
    """FusedMatMul, its older name TransposeMatMul, FusedMatMulActivation.

    Parameters
    ----------
    w : MlWriter
    node : Node

    Examples
    --------
    >>> write_fused_matmul(w, node)                     # doctest: +SKIP
    """
    a, b = (
        _operand(w, node, i, whole(node, f"trans{x}"), whole(node, f"transBatch{x}"))
        for i, x in enumerate("AB")
    )
    alpha, kind = number(node, "alpha", 1.0), text(node, "activation")
    last = "" if kind else node.outputs[0]
    y = w.op(node, "MatMul", [a, b], last if alpha == 1.0 else "")
    if alpha != 1.0:
        y = scaled(w, node, y, alpha, last)
    if kind:
        activate(w, node, kind, _activation(node), y, node.outputs[0])


def _activation(node: Node) -> list[float]:
    """Parameters of an activation, as FusedGemm has them."""
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    return [number(node, name, 0.0) for name in names if name in node.attributes]


def write_fused_gemm(w: MlWriter, node: Node) -> None:
    """FusedGemm: Gemm and an activation.

    Parameters
    ----------
    w : MlWriter
    node : Node

    Examples
    --------
    >>> write_fused_gemm(w, node)                       # doctest: +SKIP
    """
    kinds = ("alpha", "beta", "transA", "transB")
    more = {k: v for k, v in node.attributes.items() if k in kinds}
    kind = text(node, "activation")
    y = w.op(node, "Gemm", list(node.inputs), "" if kind else node.outputs[0], **more)
    if kind:
        activate(w, node, kind, _activation(node), y, node.outputs[0])


# ---- MatMulNBits -------------------------------------------------------------------


def write_matmul_nbits(w: MlWriter, node: Node) -> None:
    """MatMulNBits where the engine's own does not serve: scales of float16, columns in
    an order of their own (g_idx).

    Parameters
    ----------
    w : MlWriter
    node : Node

    Raises
    ------
    Keep
        It is of another kind.

    Examples
    --------
    >>> write_matmul_nbits(w, node)                     # doctest: +SKIP
    """
    scales, groups = constant_of(w, node.inputs[2]), maybe(node, 4)
    order = constant_of(w, groups).reshape(-1) if groups else None
    block = whole(node, "block_size")
    if order is not None and block > 0:
        if np.array_equal(order, np.arange(order.size) // block):
            order = None
        elif scales.dtype in (np.float16, np.float32):
            _write_unpacked(w, node, order)
            return
    if scales.dtype == np.float32:
        if order is None and groups:
            w.op(
                node,
                "MatMulNBits",
                [*node.inputs[:4], "", *node.inputs[5:]],
                node.outputs[0],
                domain=node.domain,
                **node.attributes,
            )
            return
        raise Keep
    if scales.dtype != np.float16:
        raise Keep
    inputs = [w.floats(node, node.inputs[0]), node.inputs[1]]
    for i in (2, 3, 5):
        inputs += [""] if i == 5 else []
        inputs.append(_as_float32(w, node, maybe(node, i)))
    more = dict(node.attributes)
    y = w.op(node, "MatMulNBits", inputs, domain=node.domain, **more)
    w.op(node, "Cast", [y], node.outputs[0], to=DTYPE_CODES["float16"])


def _as_float32(w: MlWriter, node: Node, tensor: str) -> str:
    value = w.value_of(tensor) if tensor else None
    if value is None or value.dtype != np.float16:
        return tensor
    return w.constant(node, value.astype(np.float32))


def _unpacked(packed: Array, bits: int, n: int) -> Array:
    """Rows of n numbers of so many bits, the lowest first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    rows = packed.reshape(packed.shape[0], -1, 1) >> shifts & np.uint8((1 << bits) - 1)
    found: Array = rows.reshape(packed.shape[0], -1)[:, :n]
    return found


def _write_unpacked(w: MlWriter, node: Node, order: Array) -> None:
    """The weights as numbers, where every column names its block."""
    bits = whole(node, "bits", 4)
    n, k, block = (whole(node, name) for name in ("N", "K", "block_size"))
    blocks = -(-k // block)
    if bits not in (2, 4, 8) or min(n, k) < 1 or n * k > _MAX_WEIGHTS:
        raise Keep
    packed = constant_of(w, node.inputs[1])
    scales = constant_of(w, node.inputs[2])
    if packed.dtype != np.uint8 or packed.size * 8 != n * blocks * block * bits:
        raise Keep
    if order.dtype.kind not in "iu" or order.size != k:
        raise Keep
    if order.min() < 0 or order.max() >= blocks or scales.size != n * blocks:
        raise Keep
    zeros: Array = np.full((n, blocks), 1 << bits - 1, np.float32)
    if maybe(node, 3):
        found = constant_of(w, maybe(node, 3))
        if found.size % n != 0 or found.dtype.kind not in "uf":
            raise Keep
        found = found.reshape(n, -1)
        zeros = _unpacked(found, bits, blocks) if found.dtype == np.uint8 else found
    if zeros.shape != (n, blocks):
        raise Keep
    numbers = _unpacked(packed.reshape(n, -1), bits, k).astype(np.float32)
    matrix = (numbers - zeros[:, order]) * scales.reshape(n, blocks)[:, order]
    weights = w.constant(node, np.ascontiguousarray(matrix.T).astype(scales.dtype))
    bias = maybe(node, 5)
    y = w.op(node, "MatMul", [node.inputs[0], weights], "" if bias else node.outputs[0])
    if bias:
        w.op(node, "Add", [y, bias], node.outputs[0])
