"""Where a graph is rounded to integers, so that it stays integer from layer to layer.

Enters: a graph and the layers that shall run in int8. Leaves: the tensors that get a
quantise/dequantise pair, which of them must share its parameters, and who reads the
rounded tensor. The rules:

- what an int8 layer reads is rounded, once for all readers;
- what only moves elements (max pooling, concatenation, reshaping...) runs on rounded
  elements, so the rounding moves in front of it, with the same parameters behind it;
- activation functions, a bias and one residual sum run on a layer's exact result,
  before it is rounded;
- the other operands of a residual sum are rounded if the sum is;
- a mean that is all that reads a layer's result reads it rounded, whoever reads the
  mean: errors average out, and the layer stores bytes in place of floats;
- everything else computes in float32, on the exact tensor where that is there anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trimtab.graph import Model, Node
from trimtab.optimize.layers import Layer
from trimtab.optimize.wiring import Wiring, is_operator

__all__ = ["Placement"]

# Run on the exact result of the layer before them.
_ACTIVATIONS = (
    *("Relu", "Clip", "LeakyRelu", "Elu", "Sigmoid", "HardSigmoid", "Tanh"),
    *("HardSwish", "Gelu"),
)

# Each gives means of what it reads: rounded elements in, rounded elements out, but
# means lie closer together, so the parameters are their own.
_MEANS = ("GlobalAveragePool", "ReduceMean")


def _is_plain_pool(wiring: Wiring, node: Node) -> bool:
    return not any(node.outputs[1:])


def _is_nearest(wiring: Wiring, node: Node) -> bool:
    return bool(node.attributes.get("mode", "nearest") == "nearest")


def _pads_zeros(wiring: Wiring, node: Node) -> bool:
    if node.attributes.get("mode", "constant") != "constant" or len(node.inputs) < 3:
        return True
    value = wiring.graph.constants.get(node.inputs[2])
    return not node.inputs[2] or (value is not None and not value.numpy().any())


# Operators whose results are elements of what they read, or means of few neighbours:
# operator -> is it so for this node? Only the first input is data, but of Concat all.
_MOVERS: dict[str, Callable[[Wiring, Node], bool] | None] = {
    "AveragePool": None,
    "Concat": None,
    "DepthToSpace": None,
    "Flatten": None,
    "GlobalMaxPool": None,
    "MaxPool": _is_plain_pool,
    "Pad": _pads_zeros,
    "Reshape": None,
    "Resize": _is_nearest,
    "Slice": None,
    "SpaceToDepth": None,
    "Split": None,
    "Squeeze": None,
    "Transpose": None,
    "Unsqueeze": None,
}


class Placement:
    """Which tensors are rounded.

    Parameters
    ----------
    graph : trimtab.graph.Model
        Is not changed.
    layers : sequence of Layer
        Those that run in int8.

    Attributes
    ----------
    tensors : list of str
        Tensors that get a pair, in the order in which they are computed.
    ties : list of (str, list of str, bool)
        Result, what it is moved from, and whether that is a concatenation: all have
        the same parameters, but a concatenation may also round again.
    sources : set of str
        Tensors that come out of int8 layers without computing in float32.
    reads : set of (int, str)
        Node, by its number, and tensor: this node reads the rounded tensor.

    Examples
    --------
    >>> placement = Placement(graph, find_layers(graph))   # doctest: +SKIP
    >>> placement.observed                                 # doctest: +SKIP
    ['image', 'relu_1', 'relu_2']
    """

    def __init__(self, graph: Model, layers: Sequence[Layer]) -> None:
        self._wiring = Wiring(graph)
        self._nodes = graph.graph.nodes
        self._numbers = {id(node): i for i, node in enumerate(self._nodes)}
        self._layers = {layer.result: layer for layer in layers}
        self._biased = {layer.output for layer in layers}
        self._inputs = {value.name for value in graph.graph.inputs}
        self.sources = self._find_sources()
        self.ties: list[tuple[str, list[str], bool]] = []
        self.reads: set[tuple[int, str]] = set()
        self._wanted: set[str] = set()
        # Exact results on their way to a rounding.
        self._flowing: set[str] = set()
        for layer in layers:
            self._want(self._wiring.producer(layer.result), layer.activation)
        for node in reversed(self._nodes):
            self._visit(node)
        self.tensors = [
            name
            for name in (
                *(value.name for value in graph.graph.inputs),
                *(name for node in self._nodes for name in node.outputs),
            )
            if name in self._wanted
        ]
        self.ties.reverse()
        self._read_on()

    @property
    def observed(self) -> list[str]:
        """Tensors whose ranges must be known; those moved from others follow."""
        moved = {result for result, _, _ in self.ties}
        return [name for name in self.tensors if name not in moved]

    def _find_sources(self) -> set[str]:
        found: set[str] = set()
        for node in self._nodes:
            if node.outputs[0] in self._layers or node.outputs[0] in self._biased:
                found.add(node.outputs[0])
                continue
            if is_operator(node, *_ACTIVATIONS, *_MEANS):
                operands = node.inputs[:1]
            elif is_operator(node, "Add"):
                operands = node.inputs
            else:
                operands = self._moved(node)
            if operands and found.issuperset(operands):
                found.update(name for name in node.outputs if name)
        return found

    def _moved(self, node: Node) -> list[str]:
        """Tensors whose elements a node only moves; none for other nodes."""
        if node.domain or node.op_type not in _MOVERS:
            return []
        check = _MOVERS[node.op_type]
        if check is not None and not check(self._wiring, node):
            return []
        return node.inputs if node.op_type == "Concat" else node.inputs[:1]

    def _want(self, reader: Node | None, tensor: str) -> None:
        """Let a node read the rounded tensor."""
        assert reader is not None
        self._wanted.add(tensor)
        self.reads.add((self._numbers[id(reader)], tensor))

    def _is_integer(self, tensor: str) -> bool:
        return tensor in self.sources or tensor in self._wanted

    def _visit(self, node: Node) -> None:
        """Move the rounding of a node's result in front of the node if that pays."""
        results = [name for name in node.outputs if name in self._wanted]
        moved = self._moved(node)
        if moved:
            is_given = len(moved) == 1 and moved[0] in self._inputs
            if results and (is_given or all(map(self._is_integer, moved))):
                for name in dict.fromkeys(moved):
                    self._want(node, name)
                for result in results:
                    is_joined = node.op_type == "Concat"
                    self.ties.append((result, list(dict.fromkeys(moved)), is_joined))
            return
        if is_operator(node, *_MEANS):
            self._visit_mean(node, bool(results))
            return
        flows = results or node.outputs[0] in self._flowing
        if not flows or node.outputs[0] in self._layers:
            return
        if node.outputs[0] in self._biased or is_operator(node, *_ACTIVATIONS):
            self._flowing.update(name for name in node.inputs if name in self.sources)
        elif is_operator(node, "Add") and all(map(self._is_integer, node.inputs)):
            self._visit_sum(node)

    def _visit_mean(self, node: Node, is_wanted: bool) -> None:
        """Take the mean of rounded elements, whose errors it takes out, too."""
        src = node.inputs[0]
        is_wanted |= node.outputs[0] in self._flowing
        is_last = src in self.sources and self._wiring.only_reader(src) is node
        if is_last or (is_wanted and self._is_integer(src)):
            self._want(node, src)

    def _visit_sum(self, node: Node) -> None:
        """Round the operands of a residual sum but the one that flows into it."""
        exact = [name for name in node.inputs if self._is_exact(name, node)]
        exact.sort(key=lambda name: self._numbers[id(self._wiring.producer(name))])
        for name in node.inputs:
            if exact and name == exact[-1]:
                self._flowing.add(name)
            else:
                self._want(node, name)

    def _is_exact(self, tensor: str, reader: Node) -> bool:
        """Does a layer's result reach this reader and no other?"""
        while tensor not in self._wanted:
            if self._wiring.only_reader(tensor) is not reader:
                return False
            if tensor in self._layers:
                return True
            maker = self._wiring.producer(tensor)
            is_link = tensor in self._biased or is_operator(maker, *_ACTIVATIONS)
            if maker is None or not is_link:
                return False
            tensor = next(n for n in maker.inputs if n in self.sources)
            reader = maker
        return False

    def _read_on(self) -> None:
        """Let nodes in float32 read the rounded tensor where there is no other."""
        for number, node in enumerate(self._nodes):
            for name in node.inputs:
                if name in self._wanted and name in self.sources:
                    self.reads.add((number, name))
