"""The graph in the form that is quantised: layers visible, nothing between them.

Enters: a graph as a reader gave it. Leaves: one that computes the same up to rounding,
in which what depends on constants alone is a constant, batch norms and constant
scales are part of the layer before them, zero padding is part of the convolution
behind it, and every layer goes by the name that its user gave it.
"""

from __future__ import annotations

import math

import numpy as np

from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.fold_affine import fold_affine
from trimtab.optimize.opset import raise_opset
from trimtab.optimize.runnable import runnable
from trimtab.optimize.wiring import Wiring, is_operator

__all__ = ["prepare_graph"]

# A constant that grows out of smaller ones stays computed beyond this.
_FOLDED_BYTES = 1 << 20

# What gives another result each time, or needs no reading of its input.
_NEVER_FOLDED = frozenset(
    [
        *("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"),
        *("Bernoulli", "Multinomial"),
        *("If", "Loop", "Scan", "QuantizeLinear", "DequantizeLinear"),
    ]
)


def prepare_graph(model: Model) -> Model:
    """Rewrite a graph so that its layers can be quantised.

    Parameters
    ----------
    model : trimtab.graph.Model
        Is not changed.

    Returns
    -------
    model : trimtab.graph.Model
        Gives the same results up to rounding; every layer that
        `trimtab.optimize.layers.find_layers` finds is a node of the layer's name.

    Examples
    --------
    >>> prepared = prepare_graph(read_model(data))         # doctest: +SKIP
    """
    from trimtab.optimize.layers import find_layers, users_names

    model = raise_opset(model.copy())
    wiring = Wiring(model)
    _constant_nodes(wiring)
    _remove_copies(wiring)
    _fold_constants(wiring)
    _fold_padding(wiring)
    fold_affine(wiring)
    _pool_last(wiring)
    wiring.drop_unread()
    for layer, name in zip(find_layers(model), users_names(model), strict=True):
        node = wiring.producer(layer.result)
        assert node is not None
        node.name = name
    return model


def _constant_nodes(wiring: Wiring) -> None:
    """Turn Constant nodes into constants."""
    graph = wiring.graph
    for node in [node for node in graph.nodes if is_operator(node, "Constant")]:
        value = _value_of(node)
        if value is not None and not wiring.is_seen(node.outputs[0]):
            graph.constants[node.outputs[0]] = value
            graph.nodes.remove(node)
    wiring.refresh()


# Attribute of Constant -> dtype of the value.
_CONSTANT_DTYPES = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def _value_of(node: Node) -> Constant | None:
    """Value of a Constant node; None for strings and sparse tensors."""
    for name, value in node.attributes.items():
        if name == "value" and isinstance(value, Constant):
            return value
        if name in _CONSTANT_DTYPES:
            return Constant.of(np.array(value, _CONSTANT_DTYPES[name]))
    return None


def _remove_copies(wiring: Wiring) -> None:
    """Let readers of Identity and of Dropout read its input."""
    graph = wiring.graph
    for node in [node for node in graph.nodes if _is_copy(wiring, node)]:
        src, dst = node.inputs[0], node.outputs[0]
        if wiring.is_seen(dst):
            if not _take_name(wiring, node):
                continue
        else:
            wiring.redirect(dst, src)
        graph.nodes.remove(node)
        wiring.refresh()


def _take_name(wiring: Wiring, copy: Node) -> bool:
    """Let whoever computes the input of a copy give it the name of the output."""
    src, dst = copy.inputs[0], copy.outputs[0]
    maker = wiring.producer(src)
    if maker is None or wiring.is_seen(src):
        return False
    wiring.redirect(src, dst)
    maker.outputs = [dst if name == src else name for name in maker.outputs]
    return True


def _is_copy(wiring: Wiring, node: Node) -> bool:
    """Does it give its input unchanged?"""
    if is_operator(node, "Identity"):
        return True
    if not is_operator(node, "Dropout"):
        return False
    mask = node.outputs[1] if len(node.outputs) > 1 else ""
    if mask and (wiring.readers(mask) or wiring.is_seen(mask)):
        return False
    if len(node.inputs) < 3 or not node.inputs[2]:
        return True
    training = wiring.graph.constants.get(node.inputs[2])
    return training is not None and not training.numpy().any()


def _fold_constants(wiring: Wiring) -> None:
    """Compute now what depends on constants alone."""
    graph = wiring.graph
    known = set(graph.constants)
    folded: list[Node] = []
    for node in graph.nodes:
        names = [name for name in node.inputs if name]
        if node.domain or node.op_type in _NEVER_FOLDED or node.bodies:
            continue
        if names and known.issuperset(names):
            folded.append(node)
            known.update(name for name in node.outputs if name)
    inside = {id(node) for node in folded}
    edge = [
        name
        for node in folded
        for name in node.outputs
        if name
        and (
            wiring.is_seen(name)
            or any(id(reader) not in inside for reader in wiring.readers(name))
        )
    ]
    edge = [name for name in edge if not wiring.is_seen(name)]
    if edge:
        _compute(wiring, folded, edge)


def _compute(wiring: Wiring, nodes: list[Node], names: list[str]) -> None:
    """Replace tensors that constants determine by their values."""
    graph = wiring.graph
    given = {
        name: graph.constants[name]
        for node in nodes
        for name in node.inputs
        if name in graph.constants
    }
    # The engine wants something to be called with.
    part = Graph(
        "constants",
        [Value("__call", "float32", (1,))],
        [Value(name) for name in names],
        nodes,
        given,
    )
    with runnable(Model(part, dict(wiring.model.opsets))) as model:
        values = model.run({"__call": np.zeros(1, np.float32)})
    allowed = max(_FOLDED_BYTES, sum(value.n_bytes for value in given.values()))
    for name, value in values.items():
        if value.nbytes > allowed or value.dtype.name not in _FOLDED_DTYPES:
            continue
        graph.constants[name] = Constant.of(value)
        maker = wiring.producer(name)
        assert maker is not None
        unread = wiring.unique(f"{name}_folded")
        maker.outputs = [unread if other == name else other for other in maker.outputs]
    wiring.refresh()
    wiring.drop_unread()


_FOLDED_DTYPES = frozenset(
    ["float32", "float64", "int64", "int32", "uint8", "int8", "bool"]
)


def _pool_last(wiring: Wiring) -> None:
    """Put activation functions that never fall before the max pooling before them.

    The largest of some values is where the largest of their images is; and there the
    activation is part of the layer.
    """
    for pool in [n for n in wiring.graph.nodes if is_operator(n, "MaxPool")]:
        behind = wiring.only_reader(pool.outputs[0])
        if any(pool.outputs[1:]) or behind is None or not _never_falls(wiring, behind):
            continue
        between = wiring.unique(f"{behind.outputs[0]}_pooled")
        pool.inputs[0], behind.inputs[0] = between, pool.inputs[0]
        pool.outputs[0], behind.outputs[0] = behind.outputs[0], between
        nodes = wiring.graph.nodes
        i, j = (next(k for k, n in enumerate(nodes) if n is m) for m in (pool, behind))
        nodes[i], nodes[j] = behind, pool
        wiring.refresh()


def _never_falls(wiring: Wiring, node: Node) -> bool:
    """Is it an elementwise function that grows or stays, of one tensor?"""
    if is_operator(node, "LeakyRelu"):
        return float(node.attributes.get("alpha", 0.01)) >= 0
    return is_operator(node, "Relu", "Sigmoid", "Tanh") or (
        is_operator(node, "Clip")
        and all(name in wiring.graph.constants for name in node.inputs[1:] if name)
    )


def _fold_padding(wiring: Wiring) -> None:
    """Move constant zeros around an input into the convolution that reads it."""
    for node in list(wiring.graph.nodes):
        pads = _zero_pads(wiring, node)
        if pads is None:
            continue
        readers = wiring.readers(node.outputs[0])
        if wiring.is_seen(node.outputs[0]) or not readers:
            continue
        if not all(_takes_padding(wiring, reader, node) for reader in readers):
            continue
        for reader in readers:
            half = len(pads) // 2
            old = reader.attributes.get("pads", [0] * (2 * half - 4))
            more = [*pads[2:half], *pads[half + 2 :]]
            reader.attributes["pads"] = [a + b for a, b in zip(old, more, strict=True)]
        wiring.redirect(node.outputs[0], node.inputs[0])
    wiring.drop_unread()


def _takes_padding(wiring: Wiring, reader: Node, pad: Node) -> bool:
    """Is it a convolution over the padded tensor whose padding is in numbers?"""
    automatic = reader.attributes.get("auto_pad", "NOTSET")
    return (
        is_operator(reader, "Conv")
        and reader.inputs[0] == pad.outputs[0]
        and reader.inputs.count(pad.outputs[0]) == 1
        and automatic == "NOTSET"
        and reader.inputs[1] in wiring.graph.constants
        and 2 * len(wiring.graph.constants[reader.inputs[1]].shape)
        == len(_zero_pads(wiring, pad) or [])
    )


def _zero_pads(wiring: Wiring, node: Node) -> list[int] | None:
    """Numbers of zeros that a Pad adds around spatial dims; None for other nodes."""
    if not is_operator(node, "Pad") or len(node.inputs) < 2:
        return None
    if node.attributes.get("mode", "constant") != "constant":
        return None
    constants = wiring.graph.constants
    optional = [constants.get(name) for name in node.inputs[2:3] if name]
    if any(value is None or value.numpy().any() for value in optional):
        return None
    if any(node.inputs[3:]) or node.inputs[1] not in constants:
        return None
    pads = [int(n) for n in constants[node.inputs[1]].numpy().reshape(-1)]
    half = len(pads) // 2
    outer = [*pads[:2], *pads[half : half + 2]]
    is_plain = half > 2 and not any(outer) and min(pads) >= 0
    return pads if is_plain and max(pads) < math.inf else None
