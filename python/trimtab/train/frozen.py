"""The part of a model in front of everything that is learned: computed once."""

from __future__ import annotations

from collections.abc import Collection

from trimtab.graph import Graph, Model, Node, Value

__all__ = ["split_frozen"]


def split_frozen(
    model: Model, wrt: Collection[str], output: str | None = None
) -> tuple[Model, Model] | None:
    """Cut a model where learning begins.

    Parameters
    ----------
    model : trimtab.graph.Model
        Is not changed.
    wrt : collection of str
        Constants that are learned.
    output : str, optional
        The only output that matters; the first by default.

    Returns
    -------
    parts : tuple of Model or None
        A frozen model from the inputs to the tensors that the rest reads, and the
        rest, whose inputs those are. None where nothing is frozen.

    Examples
    --------
    >>> import numpy as np
    >>> from trimtab.graph import Constant
    >>> w = Constant.of(np.ones((2, 2), np.float32))
    >>> nodes = [Node("Relu", ["x"], ["h"]), Node("MatMul", ["h", "w"], ["y"])]
    >>> graph = Graph("g", [Value("x")], [Value("y")], nodes, {"w": w})
    >>> split_frozen(Model(graph, {"": 18}), ["w"])
    (Model('g': x -> h, 1 nodes), Model('g': h -> y, 1 nodes))
    """
    graph = model.graph
    target = graph.outputs[0].name if output is None else output
    nodes = _needed(graph.nodes, {target})
    learned: set[str] = set(wrt)
    first: list[Node] = []
    rest: list[Node] = []
    for node in nodes:
        is_learned = not learned.isdisjoint(_reads(node))
        (rest if is_learned else first).append(node)
        if is_learned:
            learned.update(name for name in node.outputs if name)
    made = {name for node in first for name in node.outputs if name}
    given = {value.name for value in graph.inputs}
    wanted = list(
        dict.fromkeys(
            name for node in rest for name in _reads(node) if name in made | given
        )
    )
    if not first or not made.intersection(wanted) or given.intersection(wanted):
        return None
    first = _needed(first, set(wanted))
    values = [Value(name) for name in wanted]
    outputs = [value for value in graph.outputs if value.name == target]
    return (
        _part(model, [*graph.inputs], values, first),
        _part(model, values, outputs, rest),
    )


def _reads(node: Node) -> list[str]:
    return [*node.inputs, *(name for body in node.bodies for name in body.captures)]


def _needed(nodes: list[Node], wanted: set[str]) -> list[Node]:
    """Nodes that compute these tensors, in their order."""
    found = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.outputs):
            found.append(node)
            wanted.update(_reads(node))
    return found[::-1]


def _part(
    model: Model, inputs: list[Value], outputs: list[Value], nodes: list[Node]
) -> Model:
    graph = model.graph
    read = {name for node in nodes for name in _reads(node)}
    constants = {name: c for name, c in graph.constants.items() if name in read}
    part = Graph(graph.name, inputs, outputs, nodes, constants)
    return Model(part, dict(model.opsets), metadata=dict(model.metadata))
