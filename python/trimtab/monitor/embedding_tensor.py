"""Which tensor of a model is its embedding, and reading it beside the outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.graph import Graph, Node
    from trimtab.model import Model

__all__ = ["find_embedding", "pool_embedding", "run_with_embedding"]

#: Layers with weights, whose first input is what came so far.
_HEADS = frozenset(
    (
        "Conv",
        "Gemm",
        "MatMul",
        "MatMulNBits",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "ConvInteger",
        "MatMulInteger",
        "DynamicQuantizeMatMul",
        "MatMulIntegerToFloat",
    )
)
#: What may stand between a head and an output.
_TAIL = frozenset(
    (
        "Add",
        "ArgMax",
        "Cast",
        "Clip",
        "DequantizeLinear",
        "Div",
        "Flatten",
        "Identity",
        "LogSoftmax",
        "Mul",
        "QuantizeLinear",
        "Relu",
        "Reshape",
        "Sigmoid",
        "Softmax",
        "Squeeze",
        "Sub",
        "Tanh",
        "TopK",
        "Transpose",
        "Unsqueeze",
    )
)
#: Of these both inputs are numbers of the same kind.
_OF_TWO = frozenset(("Add", "Div", "Mul", "Sub"))
#: Only of what a softmax takes: else a pooled map is itself an embedding.
_POOLING = frozenset(("GlobalAveragePool", "ReduceMean", "AveragePool"))
_SOFTMAX = frozenset(("Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK"))
#: Numbers of the embedding in other clothes.
_SAME = frozenset(("DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"))
#: Longer rows are thinned, evenly.
_MAX_ITEMS = 1 << 16


def find_embedding(model: Model, *, output: str | None = None) -> str:
    """Find a model's penultimate tensor.

    That is the input of the last layer with weights, where nothing but biases,
    activations and changes of shape come after it. A model without such a head (an
    encoder, say) gives embeddings itself: then it is the output.

    Parameters
    ----------
    model : Model
    output : str, optional
        Whose head is looked for; the first output by default.

    Returns
    -------
    tensor : str
        A name in `Model.taps`.

    Raises
    ------
    InputError
        The model has no such output.

    Examples
    --------
    >>> find_embedding(trimtab.load_model("mnist.onnx"))   # doctest: +SKIP
    'relu_2'
    """
    graph = model._graph_again().graph
    outputs = [spec.name for spec in model.outputs]
    wanted = outputs[0] if output is None and outputs else output
    if wanted not in outputs:
        raise InputError(
            f"output: the model has no output {output!r}; it has {outputs}"
        )
    makers = {name: node for node in graph.nodes for name in node.outputs if name}
    head = _head_of(wanted, makers, _constants(graph))
    if head is None:
        return wanted
    tensor = head.inputs[0]
    while tensor in makers and makers[tensor].op_type in _SAME:
        tensor = makers[tensor].inputs[0]
    return tensor if tensor in model.taps else wanted


def _constants(graph: Graph) -> set[str]:
    """Tensors that depend on no input."""
    found = set(graph.constants)
    for node in graph.nodes:
        if not node.bodies and all(name in found for name in node.inputs if name):
            found.update(name for name in node.outputs if name)
    return found


def _head_of(tensor: str, makers: dict[str, Node], constants: set[str]) -> Node | None:
    """The layer with weights that a tensor comes from, through the tail only."""
    is_scored = False
    for _ in range(len(makers)):
        node = makers.get(tensor)
        if node is None:
            return None
        moving = [name for name in node.inputs if name and name not in constants]
        if node.op_type in _HEADS:
            return node if moving and moving[0] == node.inputs[0] else None
        is_scored = is_scored or node.op_type in _SOFTMAX
        passes = node.op_type in _TAIL or (is_scored and node.op_type in _POOLING)
        if node.op_type not in _OF_TWO:
            moving = moving[:1]  # the others say how: shapes, axes, scales
        moving = [name for name in moving if not _is_scale(name, makers)]
        if not passes or len(moving) != 1:
            return None
        tensor = moving[0]
    return None


def _is_scale(tensor: str, makers: dict[str, Node]) -> bool:
    """Is it a scale that dynamic quantisation found, or one times a weight's?"""
    node = makers.get(tensor)
    if node is not None and node.op_type == "Mul":
        node = next((makers[name] for name in node.inputs if name in makers), None)
    return node is not None and node.op_type == "DynamicQuantizeLinear"


def pool_embedding(tensor: Any, *, mask: Any = None) -> Array:
    """Make a row of numbers of each item of an embedding.

    Parameters
    ----------
    tensor : array-like
        (n, width) stays as it is; of states (n, tokens, width) the mean over tokens
        and of maps (n, channels, height, width) the mean over positions is taken;
        other shapes are laid flat.
    mask : array-like of shape (n, tokens), optional
        Tokens where it is 0 do not count.

    Returns
    -------
    rows : ndarray of shape (n, width)
        Of more than 65,536 numbers so many are kept, evenly spaced.

    Raises
    ------
    InputError
        These are no numbers, or the mask does not fit.

    Examples
    --------
    >>> pool_embedding(np.ones((2, 8, 7, 7), np.float32)).shape
    (2, 8)
    """
    x = np.asarray(tensor)
    if x.dtype.kind not in "biuf" or x.ndim == 0:
        raise InputError(
            f"embedding: expected numbers, got {x.dtype} of shape {x.shape}"
        )
    if x.ndim == 3:
        rows = _mean_of_tokens(x, mask)
    elif x.ndim == 4:
        rows = x.mean(axis=(2, 3))
    else:
        rows = x.reshape(1 if x.ndim == 1 else len(x), -1)
    step = -(-rows.shape[1] // _MAX_ITEMS)
    return rows[:, ::step] if step > 1 else rows


def _mean_of_tokens(x: Array, mask: Any) -> Array:
    if mask is None:
        rows: Array = x.mean(axis=1)
        return rows
    kept = np.asarray(mask)
    if kept.shape != x.shape[:2]:
        raise InputError(
            f"mask: expected shape {x.shape[:2]} as the states have, got {kept.shape}"
        )
    weights = (kept != 0).astype(x.dtype)[..., None]
    counted = np.maximum(weights.sum(axis=1), 1)
    pooled: Array = (x * weights).sum(axis=1) / counted
    return pooled


def run_with_embedding(
    model: Model, inputs: Any, tensor: str, *, mask: Any = None
) -> tuple[dict[str, Array], Array]:
    """Run a model once for its outputs and its embedding.

    Parameters
    ----------
    model : Model
    inputs : array, tuple of arrays, or mapping of str to array
        As in `Model.run`.
    tensor : str
        What `find_embedding` gave.
    mask : array-like, optional
        As in `pool_embedding`.

    Returns
    -------
    outputs : dict of str to ndarray
    rows : ndarray of shape (n, width)
        The embedding, pooled.

    Examples
    --------
    >>> outputs, rows = run_with_embedding(model, x, "relu_2")     # doctest: +SKIP
    """
    names = [spec.name for spec in model.outputs]
    wanted = names if tensor in names else [*names, tensor]
    found = model.run(inputs, outputs=wanted)
    rows = pool_embedding(found[tensor], mask=mask)
    return {name: found[name] for name in names}, rows
