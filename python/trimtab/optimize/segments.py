"""Running a graph piece by piece over many batches, each piece once.

What changes a graph layer by layer, each time with what it changed before at work,
would run the graph once per layer. `Segments` keeps what the rest of the graph needs
of each batch, so that all pieces together cost about two runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trimtab.graph import Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.optimize.wiring import Wiring
from trimtab.types import Array, numpy_dtype

__all__ = ["Segments", "channel_means"]

Batch = Mapping[str, Array]


def channel_means(
    wiring: Wiring, tensors: Mapping[str, tuple[int, int]]
) -> dict[str, str]:
    """Add the mean of each channel of some tensors to a graph.

    Parameters
    ----------
    wiring : Wiring
        Of the graph, which is changed.
    tensors : mapping of str to (int, int)
        Tensor -> number of dims behind the axis of channels, number of channels.

    Returns
    -------
    means : dict of str to str
        Tensor -> the tensor of its means, of shape (channels,).

    Examples
    --------
    >>> channel_means(Wiring(graph), {"conv1": (2, 64)})   # doctest: +SKIP
    {'conv1': 'conv1_mean'}
    """
    found = {}
    for tensor, (n_behind, n_channels) in tensors.items():
        src = tensor
        if not n_behind:  # any number of dims before: one is enough
            rows = wiring.add_constant(_int64([-1, n_channels]), f"{tensor}_rows")
            src = wiring.unique(f"{tensor}_flat")
            wiring.graph.nodes.append(Node("Reshape", [tensor, rows], [src]))
        axes = [0, *range(2, 2 + n_behind)]
        mean = wiring.unique(f"{tensor}_mean")
        node = Node("ReduceMean", [src], [mean], attributes={"keepdims": 0})
        if wiring.model.opsets.get("", 1) >= 18:
            node.inputs.append(wiring.add_constant(_int64(axes), f"{tensor}_axes"))
        else:
            node.attributes["axes"] = axes
        wiring.graph.nodes.append(node)
        found[tensor] = mean
    return found


def _int64(values: list[int]) -> Array:
    return np.array(values, np.int64)


class Segments:
    """A graph that is run up to one tensor after the other.

    Parameters
    ----------
    graph : trimtab.graph.Model
        May be changed behind what was run.
    batches : sequence of mapping of str to ndarray
        Inputs.

    Examples
    --------
    >>> segments = Segments(graph, batches)                # doctest: +SKIP
    >>> segments.advance(["conv2_input"])                  # doctest: +SKIP
    >>> segments.look({"conv2_output": (2, 64)})           # doctest: +SKIP
    """

    def __init__(self, graph: Model, batches: Sequence[Batch]) -> None:
        self._graph = graph
        self._held = [_as_declared(graph.graph, batch) for batch in batches]
        self._done: set[int] = set()
        self._fixed = _constant_nodes(graph.graph)

    def advance(self, tensors: Sequence[str]) -> None:
        """Run what computes some tensors, and keep what the rest reads.

        Parameters
        ----------
        tensors : sequence of str
        """
        nodes = self._missing(tensors)
        if not nodes:
            return
        self._done.update(id(node) for node in nodes)
        kept = self._still_read(nodes)
        if kept:
            part = self._part(nodes, kept)
            with runnable(part) as model:
                names = [value.name for value in part.graph.inputs]
                for held in self._held:
                    held.update(model.run({name: held[name] for name in names}))
        later = self._read_later()
        for held in self._held:
            for name in [name for name in held if name not in later]:
                del held[name]

    def look(self, tensors: Mapping[str, tuple[int, int]]) -> dict[str, Array]:
        """Give channels' means of tensors, without going on.

        Parameters
        ----------
        tensors : mapping of str to (int, int)
            As in `channel_means`.

        Returns
        -------
        means : dict of str to ndarray of float64
            Over all batches.
        """
        part = self._part(self._missing(list(tensors)), list(tensors))
        wiring = Wiring(part)
        means = channel_means(wiring, tensors)
        part.graph.outputs[:] = [Value(name) for name in means.values()]
        sums: dict[str, Array] = {}
        with runnable(part) as model:
            names = [value.name for value in part.graph.inputs]
            for held in self._held:
                found = model.run({name: held[name] for name in names})
                for tensor, mean in means.items():
                    share = found[mean].astype("float64") / len(self._held)
                    sums[tensor] = sums[tensor] + share if tensor in sums else share
        return sums

    def _missing(self, tensors: Sequence[str]) -> list[Node]:
        """Nodes that tensors depend on and that did not run, in their order."""
        wanted = set(tensors)
        nodes = []
        for node in reversed(self._graph.graph.nodes):
            if id(node) in self._done or not wanted.intersection(node.outputs):
                continue
            nodes.append(node)
            wanted.update(_reads(node))
        return nodes[::-1]

    def _read_later(self) -> set[str]:
        """Tensors that nodes which did not run read."""
        names = {
            name
            for node in self._graph.graph.nodes
            if id(node) not in self._done
            for name in _reads(node)
        }
        return names

    def _still_read(self, nodes: Sequence[Node]) -> list[str]:
        """What was computed just now, but not of constants, and is read later."""
        later = self._read_later()
        return [
            name
            for node in nodes
            if id(node) not in self._fixed
            for name in node.outputs
            if name in later
        ]

    def _part(self, nodes: Sequence[Node], outputs: Sequence[str]) -> Model:
        """Nodes as a graph of its own, with what it needs of constants."""
        whole = self._graph.graph
        own = {id(node) for node in nodes}
        names = {name for node in nodes for name in _reads(node)} | set(outputs)
        # Nodes of constants run again wherever they are needed.
        for node in reversed(whole.nodes):
            if id(node) in self._fixed and names.intersection(node.outputs):
                own.add(id(node))
                names.update(_reads(node))
        chosen = [node for node in whole.nodes if id(node) in own]
        made = {name for node in chosen for name in node.outputs}
        inputs = [
            Value(name, array.dtype.name, (None,) * array.ndim)
            for name, array in self._held[0].items()
            if name in names and name not in made
        ]
        constants = {k: v for k, v in whole.constants.items() if k in names}
        graph = Graph(
            "part", inputs, [Value(name) for name in outputs], chosen, constants
        )
        return Model(graph, dict(self._graph.opsets))


def _as_declared(graph: Graph, batch: Batch) -> dict[str, Array]:
    """Inputs in the dtypes that the graph declares."""
    return {
        value.name: np.asarray(
            batch[value.name], value.dtype and numpy_dtype(value.dtype)
        )
        for value in graph.inputs
        if value.name in batch
    }


def _constant_nodes(graph: Graph) -> set[int]:
    """Nodes that depend on constants alone."""
    known = set(graph.constants)
    found = set()
    for node in graph.nodes:
        if not node.attributes or not node.bodies:
            names = [name for name in node.inputs if name]
            if names and known.issuperset(names):
                found.add(id(node))
                known.update(node.outputs)
    return found


def _reads(node: Node) -> list[str]:
    """Tensors that a node reads, those of its bodies included."""
    names = [name for name in node.inputs if name]
    for body in node.bodies if node.attributes else ():
        names.extend(body.captures)
    return names
