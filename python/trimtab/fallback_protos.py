"""Nodes as ONNX messages, with the bodies that they hold."""

from __future__ import annotations

from typing import Any

from trimtab.graph import DTYPES, Constant, Graph, Node

__all__ = ["captured_names", "model_of_node"]


def captured_names(node: Node) -> list[str]:
    """Tensors of the graph around a node that its bodies read.

    They come after the node's own inputs, body after body, as the engine hands them
    over.

    Parameters
    ----------
    node : Node

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> body = Graph("body", captures=["w"])
    >>> captured_names(Node("Loop", ["n", ""], ["y"], attributes={"body": body}))
    ['w']
    """
    return [name for body in node.bodies for name in body.captures]


def _tensor(name: str, constant: Constant) -> Any:
    from onnx import TensorProto

    code, _ = DTYPES[constant.dtype]
    proto = TensorProto(name=name, dims=constant.shape, data_type=code)
    if constant.dtype == "string":
        texts = constant.numpy().reshape(-1).tolist()
        proto.string_data.extend(t.encode(errors="surrogateescape") for t in texts)
    else:
        proto.raw_data = constant.elements().tobytes()
    return proto


def _fill_node(node: Node, proto: Any, waiting: list[tuple[Graph, Any]]) -> None:
    """Write a node; its bodies are left to be written."""
    from onnx import AttributeProto, helper

    proto.op_type, proto.domain, proto.name = node.op_type, node.domain, node.name
    proto.input.extend(node.inputs)
    proto.output.extend(node.outputs)
    for name, value in node.attributes.items():
        if isinstance(value, Graph):
            attribute = proto.attribute.add(name=name, type=AttributeProto.GRAPH)
            waiting.append((value, attribute.g))
            continue
        if isinstance(value, Constant):
            value = _tensor("", value)
        elif hasattr(value, "tolist"):
            value = value.tolist()
        if isinstance(value, list) and not value:
            continue
        proto.attribute.append(helper.make_attribute(name, value))


def _fill_graph(graph: Graph, proto: Any, waiting: list[tuple[Graph, Any]]) -> None:
    proto.name = graph.name or "body"
    proto.input.extend(_any_value(value.name) for value in graph.inputs)
    proto.output.extend(_any_value(value.name) for value in graph.outputs)
    proto.initializer.extend(_tensor(*item) for item in graph.constants.items())
    for node in graph.nodes:
        _fill_node(node, proto.node.add(), waiting)


def _any_value(name: str) -> Any:
    from onnx import helper

    return helper.make_empty_tensor_value_info(name)


def model_of_node(node: Node, opsets: dict[str, int]) -> Any:
    """Make a model that holds one node alone; its captures are inputs too.

    Parameters
    ----------
    node : Node
    opsets : dict of str to int
        Version of the operators of each domain.

    Returns
    -------
    proto : onnx.ModelProto

    Examples
    --------
    >>> proto = model_of_node(Node("Relu", ["x"], ["y"], "n"), {"": 18})
    >>> proto.graph.node[0].op_type, proto.graph.input[0].name
    ('Relu', 'x')
    """
    from onnx import helper

    names = dict.fromkeys([*node.inputs, *captured_names(node)])
    graph = helper.make_graph(
        [],
        node.name or "node",
        [_any_value(name) for name in names if name],
        [_any_value(name) for name in dict.fromkeys(node.outputs) if name],
    )
    waiting: list[tuple[Graph, Any]] = []
    _fill_node(node, graph.node.add(), waiting)
    proto = helper.make_model(
        helper.make_graph([], "main", [], []),
        opset_imports=[helper.make_opsetid(*pair) for pair in opsets.items()],
    )
    for body, message in waiting:  # grows while it is walked
        _fill_graph(body, message, waiting)
    proto.graph.CopyFrom(graph)
    return proto
