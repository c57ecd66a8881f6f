"""Names for the inputs and outputs of a graph that came from another framework.

Enters: a `Model` whose outputs are called as an exporter pleased. Leaves: the same
model with the names that the user knows. A tensor inside that has such a name by
chance gets another one: two tensors of one name are no valid graph.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from trimtab.graph import Graph, Model, Node, Value

__all__ = ["name_batch", "name_dims", "name_outputs", "rename_tensors"]

# What torch calls the size of a dim that has no name.
_MADE_UP = re.compile(r"[su]\d+", re.ASCII)


def _used(model: Model) -> set[str]:
    """All names of tensors."""
    names: set[str] = set()
    for graph in model.graphs():
        names.update(graph.constants)
        names.update(value.name for value in graph.inputs)
        for node in graph.nodes:
            names.update(node.inputs)
            names.update(node.outputs)
    return names


def _free(wanted: str, taken: set[str]) -> str:
    """The name, numbered if it is taken; taken from now on."""
    found, number = wanted, 0
    while found in taken:
        number += 1
        found = f"{wanted}_{number}"
    taken.add(found)
    return found


def rename_tensors(model: Model, names: Mapping[str, str]) -> None:
    """Rename tensors in all graphs; others that stand in the way are numbered.

    Parameters
    ----------
    model : Model
        Changed in place.
    names : mapping of str to str
        Old name -> new name; the new ones must differ.

    Examples
    --------
    >>> relu, neg = Node("Relu", ["a"], ["y"]), Node("Neg", ["y"], ["b"])
    >>> graph = Graph("g", [Value("a")], [Value("b")], [relu, neg])
    >>> rename_tensors(Model(graph, {"": 18}), {"a": "x", "b": "y"})
    >>> graph.nodes[1].inputs, graph.nodes[1].outputs
    (['y_1'], ['y'])
    """
    taken = _used(model) | set(names.values())
    moved = {old: new for old, new in names.items() if old != new}
    for new in names.values():
        if new not in names and new in _used(model):
            moved[new] = _free(new, taken)
    if not moved:
        return
    for graph in model.graphs():
        _rename(graph, moved)
    model.overridable = [moved.get(name, name) for name in model.overridable]


def _rename(graph: Graph, moved: Mapping[str, str]) -> None:
    for value in [*graph.inputs, *graph.outputs]:
        value.name = moved.get(value.name, value.name)
    graph.constants = {moved.get(k, k): c for k, c in graph.constants.items()}
    graph.captures = [moved.get(name, name) for name in graph.captures]
    for node in graph.nodes:
        node.inputs = [moved.get(name, name) for name in node.inputs]
        node.outputs = [moved.get(name, name) for name in node.outputs]


def name_outputs(model: Model, wanted: Sequence[str]) -> None:
    """Name the outputs of the main graph, in their order.

    Parameters
    ----------
    model : Model
        Changed in place. An output that is also an input, a constant or another
        output gets a node of its own.
    wanted : sequence of str
        One name for each output; those of inputs and of outputs before are numbered.

    Examples
    --------
    >>> graph = Graph("g", [Value("x")], [Value("x"), Value("x")])
    >>> name_outputs(Model(graph, {"": 18}), ["x", "copy"])
    >>> [value.name for value in graph.outputs]
    ['x_1', 'copy']
    """
    graph = model.graph
    made = {name for node in graph.nodes for name in node.outputs if name}
    taken = _used(model) | set(wanted)
    seen: set[str] = set()
    for position, value in enumerate(graph.outputs):
        if value.name not in made or value.name in seen:
            copy = _free(f"{value.name}_out", taken)
            graph.nodes.append(Node("Identity", [value.name], [copy], copy))
            graph.outputs[position] = value = Value(copy, value.dtype, value.shape)
        seen.add(value.name)
    given = {value.name for value in graph.inputs}
    names = {
        v.name: _free(w, given) for v, w in zip(graph.outputs, wanted, strict=True)
    }
    rename_tensors(model, names)


def name_dims(model: Model, symbols: Mapping[str, str]) -> None:
    """Rename symbols in the shapes of inputs and outputs.

    Parameters
    ----------
    model : Model
        Changed in place.
    symbols : mapping of str to str
        Symbol of the file -> what to call it.

    Examples
    --------
    >>> graph = Graph("g", [Value("x", "float32", ("s77", 4))])
    >>> name_dims(Model(graph, {"": 18}), {"s77": "batch"})
    >>> graph.inputs[0].shape
    ('batch', 4)
    """
    for value in [*model.graph.inputs, *model.graph.outputs]:
        if value.shape is not None:
            value.shape = tuple(
                symbols.get(dim, dim) if isinstance(dim, str) else dim
                for dim in value.shape
            )


def name_batch(model: Model) -> None:
    """Call the inputs' dim 0 batch, batch_1, ... where torch made a name up.

    Parameters
    ----------
    model : Model
        Changed in place.

    Examples
    --------
    >>> graph = Graph("g", [Value("x", "float32", ("s77", 4))])
    >>> name_batch(Model(graph, {"": 18}))
    >>> graph.inputs[0].shape
    ('batch', 4)
    """
    taken = {
        dim
        for value in [*model.graph.inputs, *model.graph.outputs]
        for dim in value.shape or ()
        if isinstance(dim, str)
    }
    symbols: dict[str, str] = {}
    for value in model.graph.inputs:
        first = value.shape[0] if value.shape else None
        is_made_up = isinstance(first, str) and _MADE_UP.fullmatch(first)
        if is_made_up and first not in symbols:
            symbols[str(first)] = _free("batch", taken)
    name_dims(model, symbols)
