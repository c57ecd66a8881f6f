"""Layers in bfloat16: `to_bf16` rewrites a graph, `load_model(precision="bf16")` asks
for it.

A layer that computes in bfloat16 is written with ONNX's own operators::

    float32(Layer(bfloat16(x), bfloat16(W), bfloat16(b)))

Sums are kept in float32 by whoever runs it. Everything between layers computes in
float32: activations, normalisations, softmax, losses; integers, shapes and positions
are not touched. The engine puts the casts into the layers (csrc/graph/fuse_bf16.c).

The two products of attention have no weights; where the whole model computes in
bfloat16 they do too (csrc/graph/mix_attention.c).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import cast

from trimtab.errors import InputError
from trimtab.graph import DTYPES, Constant, Graph, Model, Node

__all__ = [
    "BF16_LAYERS",
    "attention_products",
    "bf16_layers",
    "round_attention",
    "to_bf16",
]

#: Operators whose layers may compute in bfloat16 -> number of the input of weights.
BF16_LAYERS: dict[str, int] = {
    "Conv": 1,
    "ConvTranspose": 1,
    "MatMul": 1,
    "Gemm": 1,
}
# Operators between the scores of attention and its softmax.
_MOST_BETWEEN = 3
_NAMES = {number: name for name, (number, *_) in DTYPES.items()}
_BF16, _F32 = DTYPES["bfloat16"][0], DTYPES["float32"][0]


def _is_f32(constant: Constant | None) -> bool:
    return constant is not None and constant.dtype == "float32"


def _is_layer(graph: Graph, node: Node) -> bool:
    """Does it multiply by float32 weights, with a constant bias or none?"""
    at = BF16_LAYERS.get(node.op_type)
    if at is None or node.domain not in ("", "ai.onnx") or len(node.inputs) <= at:
        return False
    constants = graph.constants
    if not node.inputs[0] or node.inputs[0] in constants:
        return False
    bias = [name for name in node.inputs[at + 1 :] if name]
    return all(_is_f32(constants.get(name)) for name in [node.inputs[at], *bias])


def _name(node: Node) -> str:
    return node.name or node.outputs[0]


def bf16_layers(graph: Model) -> list[str]:
    """Find the layers that may compute in bfloat16.

    Parameters
    ----------
    graph : trimtab.graph.Model

    Returns
    -------
    names : list of str
        Convolutions and matrix products of the main graph by constant float32
        weights: names of their nodes, or of their first outputs where these have none.

    Examples
    --------
    >>> import numpy as np
    >>> from trimtab.graph import Value
    >>> relu = Node("Relu", ["x"], ["h"])
    >>> dense = Node("MatMul", ["h", "w"], ["y"], "dense")
    >>> weights = {"w": Constant.of(np.eye(3, dtype=np.float32))}
    >>> x, y = Value("x", "float32"), Value("y")
    >>> graph = Graph("g", [x], [y], [relu, dense], weights)
    >>> bf16_layers(Model(graph, {"": 23}))
    ['dense']
    """
    main = graph.graph
    return [_name(node) for node in main.nodes if _is_layer(main, node)]


def _scores(softmax: Node, made_by: Mapping[str, Node]) -> Node | None:
    """Find the product behind a softmax, past a scale and a mask."""
    name = softmax.inputs[0]
    for _ in range(_MOST_BETWEEN + 1):
        node = made_by.get(name)
        if node is None or node.op_type == "MatMul":
            return node
        if node.op_type not in ("Add", "Mul", "Div"):
            return None
        name = next((x for x in node.inputs if x in made_by), "")
    return None


def _is_all_f32(graph: Graph) -> bool:
    """Say whether no tensor of the graph can be of another floating type."""
    dtypes = {value.dtype for value in graph.inputs}
    dtypes |= {constant.dtype for constant in graph.constants.values()}
    dtypes |= {
        _NAMES.get(cast("int", node.attributes["to"]), "float64")
        for node in graph.nodes
        if node.op_type == "Cast" and "to" in node.attributes
    }
    return not any("float" in (dtype or "") and dtype != "float32" for dtype in dtypes)


def _attention(graph: Graph) -> dict[int, int]:
    """Find the products of attention: their places, and how many inputs are rounded."""
    if not _is_all_f32(graph):
        return {}
    made_by = {name: node for node in graph.nodes for name in node.outputs if name}
    places = {id(node): i for i, node in enumerate(graph.nodes)}
    found: dict[int, int] = {}
    for i, node in enumerate(graph.nodes):
        if node.domain not in ("", "ai.onnx") or any(
            name not in made_by for name in node.inputs[:2]
        ):
            continue
        if node.op_type == "Attention" and not any(
            (*node.inputs[4:], *node.outputs[1:])
        ):
            found[i] = 3
        softmax = made_by[node.inputs[0]] if node.op_type == "MatMul" else None
        if softmax is None or softmax.op_type != "Softmax":
            continue
        scores = _scores(softmax, made_by)
        if scores is not None and all(name in made_by for name in scores.inputs):
            found[i] = found[places[id(scores)]] = 2
    return found


def _chosen(model: Model, layers: Collection[str] | None) -> dict[int, int]:
    """Nodes that are to compute in bfloat16: their places, and how many inputs are."""
    main = model.graph
    able = [i for i, node in enumerate(main.nodes) if _is_layer(main, node)]
    if layers is None:
        attention = _attention(main)
        return {
            i: attention.get(i, len(main.nodes[i].inputs)) for i in (*able, *attention)
        }
    wanted = set(layers)
    found = {i for i in able if wanted & {_name(main.nodes[i]), *main.nodes[i].outputs}}
    known = {x for i in found for x in (_name(main.nodes[i]), *main.nodes[i].outputs)}
    if unknown := sorted(wanted - known):
        raise InputError(
            f"layers: {unknown[0]!r} is no layer that can compute in bfloat16; "
            "expected names of convolutions and matrix products by constant "
            "float32 weights, as trimtab.optimize.bf16.bf16_layers lists them"
        )
    return {i: len(main.nodes[i].inputs) for i in found}


class _Casts:
    """The casts of one graph: each tensor is cast to a type once, when it is first
    read as that."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[Node] = []
        self._taken = {
            *graph.constants,
            *(value.name for value in (*graph.inputs, *graph.outputs)),
            *(name for node in graph.nodes for name in node.outputs),
            *graph.captures,
        }
        self._bf16: dict[str, str] = {}

    def new_name(self, name: str) -> str:
        """Name that no tensor has."""
        made, n = f"{name}_bf16", 1
        while made in self._taken:
            made, n = f"{name}_bf16_{n}", n + 1
        self._taken.add(made)
        return made

    def rounded(self, name: str) -> str:
        """Give the tensor in bfloat16."""
        if name and name not in self._bf16:
            self._bf16[name] = made = self.new_name(name)
            self.nodes.append(Node("Cast", [name], [made], made, "", {"to": _BF16}))
        return self._bf16.get(name, "")


def _convert(node: Node, n_inputs: int, casts: _Casts) -> None:
    """Append the layer in bfloat16 and the cast of its result."""
    result = node.outputs[0]
    made = casts.new_name(result)
    inputs = [casts.rounded(name) for name in node.inputs[:n_inputs]]
    inputs += node.inputs[n_inputs:]
    attributes = dict(node.attributes)
    casts.nodes.append(
        Node(node.op_type, inputs, [made], node.name, node.domain, attributes)
    )
    casts.nodes.append(Node("Cast", [made], [result], f"{made}_f32", "", {"to": _F32}))


def to_bf16(graph: Model, layers: Collection[str] | None = None) -> Model:
    """Let layers compute in bfloat16.

    Inputs and outputs of the model keep their types.

    Parameters
    ----------
    graph : trimtab.graph.Model
        It is not changed.
    layers : collection of str, optional
        Names of nodes, or of their outputs; by default all that `bf16_layers` finds,
        and the products of attention.

    Returns
    -------
    model : trimtab.graph.Model
        With new nodes over the same constants: weights stay float32 and are rounded
        when the engine packs them.

    Raises
    ------
    InputError
        A name is that of no such layer.

    Examples
    --------
    >>> import numpy as np
    >>> from trimtab.graph import Value
    >>> dense = Node("MatMul", ["x", "w"], ["y"], "dense")
    >>> weights = {"w": Constant.of(np.eye(3, dtype=np.float32))}
    >>> graph = Graph("g", [Value("x", "float32")], [Value("y")], [dense], weights)
    >>> [node.op_type for node in to_bf16(Model(graph, {"": 23})).graph.nodes]
    ['Cast', 'Cast', 'MatMul', 'Cast']
    """
    return _converted(graph, _chosen(graph, layers))


def attention_products(graph: Model) -> dict[str, int]:
    """Find the products of attention.

    Parameters
    ----------
    graph : trimtab.graph.Model

    Returns
    -------
    products : dict of str to int
        Result of a product of two tensors that are no weights, or of the operator
        Attention -> how many of its inputs are multiplied.

    Examples
    --------
    >>> attention_products(graph)                          # doctest: +SKIP
    {'scores': 2, 'context': 2}
    """
    main = graph.graph
    return {main.nodes[i].outputs[0]: n for i, n in _attention(main).items()}


def round_attention(graph: Model, products: Mapping[str, int]) -> Model:
    """Let products of attention compute in bfloat16.

    Parameters
    ----------
    graph : trimtab.graph.Model
        It is not changed.
    products : mapping of str to int
        As `attention_products` gives them, also for a graph that this one was made of.

    Returns
    -------
    model : trimtab.graph.Model

    Examples
    --------
    >>> round_attention(graph, attention_products(graph))  # doctest: +SKIP
    Model(...)
    """
    main = graph.graph
    return _converted(
        graph,
        {
            i: products[node.outputs[0]]
            for i, node in enumerate(main.nodes)
            if node.outputs and node.outputs[0] in products
        },
    )


def _converted(graph: Model, chosen: Mapping[int, int]) -> Model:
    """Copy the graph with these nodes between casts."""
    model = graph.copy()
    if not chosen:
        return model
    casts = _Casts(model.graph)
    for i, node in enumerate(model.graph.nodes):
        if i in chosen:
            _convert(node, chosen[i], casts)
        else:
            casts.nodes.append(node)
    model.graph.nodes[:] = casts.nodes
    return model
