"""Which tensors of a model hold strings: those nodes run elsewhere that compute with
them.

The engine carries strings and moves them; what looks into them runs in Python. Files
declare the types of inputs and outputs, so what is between them is followed here, from
the inputs on, the way ONNX's operators pass element types on.
"""

from __future__ import annotations

from trimtab import _core
from trimtab.graph import Constant, Graph, Model, Node

__all__ = ["find_string_nodes"]

_STRING = 8  # TensorProto.DataType
_ML = "ai.onnx.ml"
# Attributes whose presence says that the first output is of strings.
_ML_NAMES = ("classlabels_strings", "values_strings")
# The first output is of strings, the others are numbers.
_MAKERS = {("", "StringConcat"), ("", "StringNormalizer"), ("", "StringSplit")}
# The first output alone is of the type of the first input.
_ONE_OUTPUT = {"Unique", "TopK"}
# Outputs are of the element type of the input of this number.
_MOVERS = {
    **dict.fromkeys(
        (
            "Compress",
            "Concat",
            "ConcatFromSequence",
            "Expand",
            "Flatten",
            "Gather",
            "GatherElements",
            "GatherND",
            "Identity",
            "Optional",
            "OptionalGetElement",
            "Pad",
            "Reshape",
            "ReverseSequence",
            "Scatter",
            "ScatterElements",
            "ScatterND",
            "SequenceAt",
            "SequenceConstruct",
            "SequenceErase",
            "Slice",
            "Split",
            "SplitToSequence",
            "Squeeze",
            "Tile",
            "Transpose",
            "Unique",
            "Unsqueeze",
        ),
        0,
    ),
    "CastLike": 1,
    "OneHot": 2,
    "SequenceInsert": 1,
    "Where": 1,
}


def _has_names(node: Node) -> bool:
    """Does an operator of ai.onnx.ml give strings?"""
    if any(node.attributes.get(name) for name in _ML_NAMES):
        return True
    values = node.attributes.get("values_tensor")
    return isinstance(values, Constant) and values.dtype == "string"


def _string_outputs(node: Node, strings: set[str]) -> list[str]:
    """Outputs of strings, where these tensors of its graph hold some."""
    outputs = [name for name in node.outputs if name]
    first = node.outputs[:1]
    if node.bodies:
        declared = [v.dtype == "string" for v in node.bodies[0].outputs]
        declared = declared[len(declared) - len(node.outputs) :]
        pairs = zip(node.outputs, declared, strict=False)
        return [name for name, is_string in pairs if is_string]
    if node.domain == _ML:
        if node.op_type == "CategoryMapper":
            return [] if strings.intersection(node.inputs) else first
        return first if _has_names(node) else []
    if (node.domain, node.op_type) in _MAKERS:
        return first
    if node.op_type == "Cast":
        return outputs if node.attributes.get("to") == _STRING else []
    number = _MOVERS.get(node.op_type) if node.domain == "" else None
    if number is None or number >= len(node.inputs):
        return []
    if node.inputs[number] not in strings:
        return []
    return first if node.op_type in _ONE_OUTPUT else outputs


def _follow(graph: Graph, outer: set[str]) -> set[str]:
    """Names of a graph's tensors that hold strings."""
    strings = {name for name in graph.captures if name in outer}
    strings.update(v.name for v in graph.inputs if v.dtype == "string")
    strings.update(n for n, c in graph.constants.items() if c.dtype == "string")
    for node in graph.nodes:
        strings.update(_string_outputs(node, strings))
    strings.update(v.name for v in graph.outputs if v.dtype == "string")
    return strings


def find_string_nodes(model: Model) -> list[tuple[Graph, Node]]:
    """Nodes whose operator the engine has, but not for strings.

    Parameters
    ----------
    model : trimtab.graph.Model

    Returns
    -------
    nodes : list of (Graph, Node)

    Examples
    --------
    >>> from trimtab.graph import Value
    >>> equal = Node("Equal", ["x", "x"], ["y"], "same")
    >>> graph = Graph("g", [Value("x", "string")], [Value("y", "bool")], [equal])
    >>> [node.name for _, node in find_string_nodes(Model(graph, {"": 19}))]
    ['same']
    """
    takes = {
        (op["domain"], op["name"]) for op in _core.operators() if op["takes_strings"]
    }
    graphs = model.graphs()
    outer: dict[int, set[str]] = {id(model.graph): set()}
    found = []
    for graph in reversed(graphs):  # what is around a body comes first
        strings = _follow(graph, outer[id(graph)])
        for node in graph.nodes:
            for body in node.bodies:
                outer[id(body)] = strings
            if (node.domain, node.op_type) in takes or not strings:
                continue
            if strings.intersection((*node.inputs, *node.outputs)):
                found.append((graph, node))
    return found
