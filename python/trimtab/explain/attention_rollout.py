"""Attention rollout: how much of each token reaches another through all layers.

References
----------
Abnar and Zuidema, Quantifying Attention Flow in Transformers, 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.graph import Graph, Node
from trimtab.optimize.wiring import Wiring
from trimtab.types import Array

__all__ = ["attention_rollout", "find_attention"]

Floats = npt.NDArray[np.float64]


def find_attention(graph: Graph) -> list[Node]:
    """Find what holds a model's attention: Softmax of scores, and Attention.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    nodes : list of Node
        In the order in which they run. A Softmax counts where a MatMul reads it.

    Examples
    --------
    >>> [node.op_type for node in find_attention(graph)]   # doctest: +SKIP
    ['Attention', 'Attention']
    """
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    found = []
    for node in graph.nodes:
        if node.op_type == "Attention" and node.domain in ("", "ai.onnx"):
            found.append(node)
        elif node.op_type == "Softmax":
            behind = readers.get(node.outputs[0], [])
            if any(
                r.op_type == "MatMul" and r.inputs[0] == node.outputs[0] for r in behind
            ):
                found.append(node)
    return found


def attention_rollout(
    model: Any, inputs: Mapping[str, Array], token: int | None = None
) -> tuple[Floats, int]:
    """Multiply the attention of all layers, half of each being the residual path.

    Parameters
    ----------
    model : Model
        Attention over the tokens of one sequence, the same number in all layers.
    inputs : mapping of str to ndarray
        One sample.
    token : int, optional
        Whose mixture is asked for; by default the mean over all.

    Returns
    -------
    shares : ndarray of shape (tokens,)
        Of each token in the last layer's; they sum to 1.
    n_layers : int

    Raises
    ------
    InputError
        The model has no attention, or of differing lengths.

    Examples
    --------
    >>> attention_rollout(model, inputs)                   # doctest: +SKIP
    """
    wiring = Wiring(model._graph_again())
    nodes = find_attention(wiring.graph)
    if not nodes:
        raise InputError(
            "attention_rollout: the model has no Attention and no Softmax that a "
            "MatMul reads: use method='occlusion'"
        )
    constants = wiring.graph.constants
    wanted = [
        name
        for node in nodes
        for name in (_read(node) if node.op_type == "Attention" else [node.outputs[0]])
        if name not in constants and name not in inputs
    ]
    seen = dict(inputs) | model.taps.run(dict(inputs), list(dict.fromkeys(wanted)))
    total: Floats | None = None
    for node in nodes:
        weights = _weights(node, seen, wiring)
        n = weights.shape[-1]
        if weights.shape[-2] != n or (total is not None and len(total) != n):
            raise InputError(
                f"attention_rollout: {node.name or node.outputs[0]!r} attends from "
                f"{weights.shape[-2]} to {n} tokens: expected one sequence throughout"
            )
        layer = weights.reshape(-1, n, n).mean(axis=0) + np.eye(n)
        layer /= layer.sum(axis=1, keepdims=True)
        total = layer if total is None else layer @ total
    assert total is not None
    if token is not None and not -len(total) <= token < len(total):
        raise InputError(f"target: expected a token below {len(total)}, got {token}")
    shares = total.mean(axis=0) if token is None else total[token]
    return np.asarray(shares), len(nodes)


def _read(node: Node) -> list[str]:
    """Query, key and mask."""
    names = [node.inputs[0], node.inputs[1], *node.inputs[3:4]]
    return [name for name in names if name]


def _weights(node: Node, seen: Mapping[str, Array], wiring: Wiring) -> Floats:
    if node.op_type == "Softmax":
        return np.asarray(seen[node.outputs[0]], np.float64)
    values = [
        seen[name] if name in seen else wiring.constant(name) for name in _read(node)
    ]
    query, key = (np.asarray(value, np.float64) for value in values[:2])
    if query.ndim != 4 or query.shape[1] != key.shape[1]:
        raise InputError(
            "attention_rollout: expected queries and keys of shape (batch, heads, "
            f"tokens, size) with equal heads, got {list(query.shape)} and "
            f"{list(key.shape)}"
        )
    scale = node.attributes.get("scale") or 1 / np.sqrt(query.shape[-1])
    scores = query @ key.swapaxes(-1, -2) * scale
    if len(values) > 2:
        mask = np.asarray(values[2])
        scores = (
            np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
        )
    if node.attributes.get("is_causal"):
        is_before = np.tril(np.ones(scores.shape[-2:], bool))
        scores = np.where(is_before, scores, -np.inf)
    scores -= scores.max(axis=-1, keepdims=True)
    found = np.exp(scores)
    return np.asarray(found / found.sum(axis=-1, keepdims=True))
