"""Operators that onnxruntime added (com.microsoft), and their like in ai.onnx, written
with those that the engine runs fast.

Enters: the main graph of an ONNX file, not yet sorted. Leaves: the same graph and its
bodies with every node that `CONTRIB` knows replaced. What the engine has operators for
(MultiHeadAttention, GroupQueryAttention, SkipLayerNormalization and so on) stays.
"""

from __future__ import annotations

from collections.abc import Callable

from trimtab.formats.onnx_contrib_attention import write_attention, write_q_attention
from trimtab.formats.onnx_contrib_conv import (
    write_fused_conv,
    write_nhwc_conv,
    write_nhwc_pool,
)
from trimtab.formats.onnx_contrib_dense import (
    write_fused_gemm,
    write_fused_matmul,
    write_matmul_nbits,
)
from trimtab.formats.onnx_contrib_flex import write_flex_attention
from trimtab.formats.onnx_contrib_lstm import write_dynamic_lstm
from trimtab.formats.onnx_contrib_text import (
    write_bias_split_gelu,
    write_embed_layer_norm,
    write_swiglu,
)
from trimtab.formats.onnx_ml_write import Keep, MlWriter
from trimtab.graph import Graph, Node

__all__ = ["CONTRIB", "rewrite_contrib"]

_MICROSOFT, _PREVIEW = "com.microsoft", "ai.onnx.preview"
_MIN_OPSET = 11


def _write_renamed(w: MlWriter, node: Node) -> None:
    """com.microsoft had it before ai.onnx."""
    w.op(node, node.op_type, list(node.inputs), node.outputs[0], **node.attributes)


#: (Domain, operator) -> inputs that it has at least, and what writes it with others.
CONTRIB: dict[tuple[str, str], tuple[int, Callable[[MlWriter, Node], None]]] = {
    ("", "SwiGLU"): (2, write_swiglu),
    (_MICROSOFT, "Attention"): (2, write_attention),
    (_MICROSOFT, "BiasSplitGelu"): (2, write_bias_split_gelu),
    (_MICROSOFT, "DynamicQuantizeLSTM"): (12, write_dynamic_lstm),
    (_MICROSOFT, "EmbedLayerNormalization"): (7, write_embed_layer_norm),
    (_MICROSOFT, "FusedConv"): (2, write_fused_conv),
    (_MICROSOFT, "FusedGemm"): (2, write_fused_gemm),
    (_MICROSOFT, "FusedMatMul"): (2, write_fused_matmul),
    (_MICROSOFT, "FusedMatMulActivation"): (2, write_fused_matmul),
    (_MICROSOFT, "GatherND"): (1, _write_renamed),
    (_MICROSOFT, "MatMulNBits"): (3, write_matmul_nbits),
    (_MICROSOFT, "NhwcConv"): (2, write_nhwc_conv),
    (_MICROSOFT, "NhwcFusedConv"): (2, write_nhwc_conv),
    (_MICROSOFT, "NhwcMaxPool"): (1, write_nhwc_pool),
    (_MICROSOFT, "QAttention"): (5, write_q_attention),
    (_MICROSOFT, "TransposeMatMul"): (2, write_fused_matmul),
    (_MICROSOFT, "Trilu"): (1, _write_renamed),
    (_PREVIEW, "FlexAttention"): (3, write_flex_attention),
}


def rewrite_contrib(graph: Graph, opsets: dict[str, int]) -> None:
    """Replace what `CONTRIB` knows, in bodies too.

    Nodes of a kind that is not known stay, for the fallback.

    Parameters
    ----------
    graph : Graph
        Changed in place.
    opsets : dict of str to int
        Of the file; what is written needs is added where it is not imported.

    Examples
    --------
    >>> node = Node("FusedMatMul", ["a", "b"], ["y"], "n", "com.microsoft")
    >>> node.attributes["transB"] = 1
    >>> graph = Graph("g", nodes=[node])
    >>> rewrite_contrib(graph, {"": 13, "com.microsoft": 1})
    >>> [node.op_type for node in graph.nodes]
    ['TransposeLast', 'MatMul']
    """
    opset = opsets.setdefault("", 17)
    if opset < _MIN_OPSET:
        return
    waiting = [graph]
    for found in waiting:  # grows while it is walked
        w = MlWriter(found, opset, graph)
        for node in found.nodes:
            _rewrite_node(w, node)
        found.nodes = w.nodes
        for node in found.nodes:
            opsets.setdefault(node.domain, 1)
            waiting += node.bodies


def _rewrite_node(w: MlWriter, node: Node) -> None:
    n_inputs, rewrite = CONTRIB.get((node.domain, node.op_type), (0, None))
    before = len(w.nodes)
    if rewrite is not None and len(node.inputs) >= n_inputs and node.outputs:
        try:
            rewrite(w, node)
            return
        except Keep:
            del w.nodes[before:]
    w.nodes.append(node)
