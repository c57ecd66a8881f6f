"""Who computes and who reads each tensor of a graph: what every rewrite asks.

A `Wiring` holds the main graph of a model that is being edited. Tensors that a body
of If, Loop or Scan reads count as seen from outside: no rewrite takes them away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from trimtab.graph import Constant, Graph, Model, Node
from trimtab.types import Array

__all__ = ["Wiring", "is_operator"]


def is_operator(node: Node | None, *op_types: str) -> bool:
    """Is it one of these operators of ai.onnx?

    Parameters
    ----------
    node : Node or None
    *op_types : str

    Returns
    -------
    answer : bool

    Examples
    --------
    >>> is_operator(Node("Relu", ["x"], ["y"]), "Relu", "Clip")
    True
    """
    return node is not None and node.domain == "" and node.op_type in op_types


def _reads(node: Node) -> list[str]:
    """Tensors that a node reads, those of its bodies included."""
    if not node.attributes:
        return node.inputs
    return [*node.inputs, *(name for body in node.bodies for name in body.captures)]


class Wiring:
    """The main graph of a model, with its producers and readers.

    Parameters
    ----------
    model : trimtab.graph.Model
        Is edited; give a copy to keep the original.

    Examples
    --------
    >>> from trimtab.graph import Value
    >>> relu = Node("Relu", ["x"], ["y"])
    >>> wiring = Wiring(Model(Graph("g", [Value("x")], [Value("y")], [relu]), {"": 23}))
    >>> wiring.producer("y") is relu, wiring.readers("x") == [relu]
    (True, True)
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.graph: Graph = model.graph
        self.refresh()

    def refresh(self) -> None:
        """Look at the graph again, after nodes were added or taken away."""
        graph = self.graph
        self._producers: dict[str, Node] = {}
        self._readers: defaultdict[str, list[Node]] = defaultdict(list)
        self._seen = {value.name for value in graph.outputs}
        self._names = {value.name for value in graph.inputs} | set(graph.constants)
        for body in self.model.graphs()[:-1]:
            self._names.update(name for n in body.nodes for name in n.outputs)
            self._names.update(body.constants)
            self._names.update(value.name for value in body.inputs)
        for node in graph.nodes:
            for name in node.outputs:
                if name:
                    self._producers[name] = node
            for name in dict.fromkeys(node.inputs):
                if name:
                    self._readers[name].append(node)
            for body in node.bodies if node.attributes else ():
                self._seen.update(body.captures)
        self._names.update(self._producers)

    def producer(self, tensor: str) -> Node | None:
        """Give the node that computes a tensor; None for inputs and constants.

        Parameters
        ----------
        tensor : str

        Returns
        -------
        node : Node or None
        """
        return self._producers.get(tensor)

    def readers(self, tensor: str) -> list[Node]:
        """Give the nodes of the main graph that read a tensor, each once.

        Parameters
        ----------
        tensor : str

        Returns
        -------
        nodes : list of Node
        """
        return self._readers.get(tensor, [])

    def is_seen(self, tensor: str) -> bool:
        """Is the tensor an output of the model, or read by a body?

        Parameters
        ----------
        tensor : str

        Returns
        -------
        answer : bool
        """
        return tensor in self._seen

    def only_reader(self, tensor: str) -> Node | None:
        """Give the one node that reads a tensor, or None where others see it too.

        Parameters
        ----------
        tensor : str

        Returns
        -------
        node : Node or None
        """
        readers = self.readers(tensor)
        if len(readers) != 1 or self.is_seen(tensor):
            return None
        return readers[0] if readers[0].inputs.count(tensor) == 1 else None

    def constant(self, tensor: str) -> Array | None:
        """Read a float32 constant; None where the tensor is something else.

        Parameters
        ----------
        tensor : str

        Returns
        -------
        value : ndarray or None
        """
        found = self.graph.constants.get(tensor)
        return None if found is None or found.dtype != "float32" else found.numpy()

    def unique(self, wanted: str) -> str:
        """Reserve a tensor name: the one wanted, or that with a number.

        Parameters
        ----------
        wanted : str

        Returns
        -------
        name : str
        """
        name, number = wanted, 0
        while name in self._names:
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name)
        return name

    def add_constant(self, value: Array, wanted: str) -> str:
        """Add a constant and give its name.

        Parameters
        ----------
        value : ndarray
        wanted : str
            Its name, where that is free.

        Returns
        -------
        tensor : str
        """
        name = self.unique(wanted)
        self.graph.constants[name] = Constant.of(np.asarray(value))
        return name

    def redirect(
        self, old: str, new: str, *, only: Callable[[Node], bool] | None = None
    ) -> None:
        """Let readers of one tensor read another.

        Parameters
        ----------
        old, new : str
        only : callable, optional
            Which readers; all by default.
        """
        for node in list(self.readers(old)):
            if only is not None and not only(node):
                continue
            node.inputs = [new if name == old else name for name in node.inputs]
            self._readers[old].remove(node)
            self._readers[new].append(node)

    def insert_behind(self, tensor: str, nodes: Sequence[Node]) -> None:
        """Add nodes that read a tensor right behind the node that computes it.

        Parameters
        ----------
        tensor : str
        nodes : sequence of Node
            In their order.
        """
        maker = self.producer(tensor)
        own = self.graph.nodes
        at = 0
        if maker is not None:
            at = 1 + next(i for i, node in enumerate(own) if node is maker)
        own[at:at] = nodes
        self.refresh()

    def drop_unread(self) -> None:
        """Take away nodes and constants that nothing reads."""
        graph = self.graph
        live = set(self._seen)
        kept = []
        for node in reversed(graph.nodes):
            if any(name in live for name in node.outputs):
                live.update(_reads(node))
                kept.append(node)
        graph.nodes[:] = kept[::-1]
        for name in [name for name in graph.constants if name not in live]:
            del graph.constants[name]
        self.refresh()
