"""GELU that an exporter spelled out becomes one operator again.

Forward it is one pass then, and backward one more, instead of several tensors that are
kept in between.
"""

from __future__ import annotations

import math

from trimtab.graph import Graph, Model, Node

__all__ = ["compose_gelu"]

_DOMAIN = "com.microsoft"
_TOLERANCE = 1e-6


def compose_gelu(model: Model) -> None:
    """Rewrite x/2 (1 + erf(x / sqrt 2)), factors in any order, as Gelu.

    What else reads a tensor in between still finds it.

    Parameters
    ----------
    model : trimtab.graph.Model
        Is edited.

    Examples
    --------
    >>> compose_gelu(model)                                # doctest: +SKIP
    """
    nodes = _Nodes(model.graph)
    for node in model.graph.nodes:
        if node.op_type != "Erf" or node.domain:
            continue
        x = nodes.scaled(node.inputs[0])
        root = None if x is None else nodes.product(node, x)
        if root is not None:
            root.op_type, root.domain = "Gelu", _DOMAIN
            root.inputs, root.attributes = [str(x)], {}
            model.opsets.setdefault(_DOMAIN, 1)


class _Nodes:
    """Who makes a tensor and who reads it."""

    def __init__(self, graph: Graph) -> None:
        self.constants = graph.constants
        self.made_by = {name: node for node in graph.nodes for name in node.outputs}
        self.read_by: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self.read_by.setdefault(name, []).append(node)

    def is_number(self, name: str, value: float) -> bool:
        found = self.constants.get(name)
        if found is None or math.prod(found.shape) != 1:
            return False
        number = float(found.numpy().reshape(()))
        return math.isclose(number, value, rel_tol=_TOLERANCE)

    def scaled(self, name: str) -> str | None:
        """The tensor of which this one is 1 / sqrt 2."""
        node = self.made_by.get(name)
        if node is None or node.domain:
            return None
        if node.op_type == "Div" and self.is_number(node.inputs[1], math.sqrt(2.0)):
            return node.inputs[0]
        if node.op_type == "Mul":
            return self.other(node, math.sqrt(0.5))
        return None

    def other(self, node: Node, value: float) -> str | None:
        """The input of a node of two whose other one is this number."""
        for i in (0, 1):
            if self.is_number(node.inputs[i], value):
                return node.inputs[1 - i]
        return None

    def reader(self, name: str, op_type: str) -> Node | None:
        found = self.read_by.get(name, [])
        is_one = len(found) == 1 and found[0].op_type == op_type and not found[0].domain
        return found[0] if is_one else None

    def product(self, erf: Node, x: str) -> Node | None:
        """The last of the products of 1 + erf with x and with 1/2."""
        node = self.reader(erf.outputs[0], "Add")
        if node is None or self.other(node, 1.0) != erf.outputs[0]:
            return None
        missing = {"x", "half"}
        while missing:
            made = node.outputs[0]
            node = self.reader(made, "Mul")
            if node is None or node.inputs.count(made) != 1:
                return None
            factor = self.factors(node.inputs[1 - node.inputs.index(made)], x)
            if not factor or not factor <= missing:
                return None
            missing -= factor
        return node

    def factors(self, name: str, x: str) -> set[str]:
        """Which of x and 1/2 a tensor is the product of."""
        if name == x:
            return {"x"}
        if self.is_number(name, 0.5):
            return {"half"}
        node = self.made_by.get(name)
        is_both = (
            node is not None
            and node.op_type == "Mul"
            and not node.domain
            and self.other(node, 0.5) == x
        )
        return {"x", "half"} if is_both else set()
