"""Element types of a graph's values, as far as declarations and schemas tell them.

What a function's builder wants to know of a node's inputs. The type of an output is
that of an input with the same type parameter, the only one that the schema allows, or
what an attribute says.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from typing import Any

__all__ = ["ElementTypes"]

# Attributes that name the element type of the output.
_BY_ATTRIBUTE = ("to", "dtype", "output_datatype", "output_dtype")

# Attributes of a constant -> the type that it has then (TensorProto.DataType).
_OF_VALUE = {"value_float": 1, "value_floats": 1, "value_int": 7, "value_ints": 7}


class ElementTypes:
    """Types of values by name.

    Parameters
    ----------
    graphs : sequence of onnx.GraphProto
    versions : mapping of str to int
        Version of each domain of operators.

    Examples
    --------
    >>> ElementTypes(graphs, {"": 18})                     # doctest: +SKIP
    """

    def __init__(self, graphs: Sequence[Any], versions: MutableMapping[str, int]):
        self._versions = versions
        # a number (TensorProto.DataType), or a serialised TypeProto with a shape
        self._known: MutableMapping[str, int | bytes] = {}
        for graph in graphs:
            for tensor in graph.initializer:
                self._known[tensor.name] = tensor.data_type
            for value in (*graph.value_info, *graph.input, *graph.output):
                if value.type.tensor_type.elem_type:
                    self._known[value.name] = value.type.SerializeToString()

    def branch(self) -> ElementTypes:
        """The same types; what is noted there is not noted here.

        Returns
        -------
        types : ElementTypes
        """
        other = ElementTypes([], self._versions)
        other._known = ChainMap({}, self._known)
        return other

    def of_inputs(self, node: Any) -> list[bytes] | None:
        """Types of a node's inputs for a builder.

        Parameters
        ----------
        node : onnx.NodeProto

        Returns
        -------
        types : list of bytes or None
            Serialised TypeProtos, empty for an absent input; None when one is unknown.
        """
        types = []
        for name in node.input:
            known = self._known.get(name, 0)
            if name and not known:
                return None
            types.append(known if isinstance(known, bytes) else _type_of(known))
        return types

    def note(self, node: Any) -> None:
        """Find out the types of a node's outputs.

        Parameters
        ----------
        node : onnx.NodeProto
        """
        import onnx

        domain = "" if node.domain == "ai.onnx" else node.domain
        version = self._versions.get(domain, 1)
        try:
            schema = onnx.defs.get_schema(node.op_type, version, domain)
        except onnx.defs.SchemaError:
            return
        variables = self._variables(node, schema)
        for i, name in enumerate(node.output):
            if not name or name in self._known or not schema.outputs:
                continue
            formal = schema.outputs[min(i, len(schema.outputs) - 1)]
            found = variables.get(formal.type_str) or _by_attribute(node)
            found = found or _only_type(formal.types)
            if found:
                self._known[name] = found

    def _variables(self, node: Any, schema: Any) -> dict[str, int]:
        """What type parameters stand for in a node."""
        found: dict[str, int] = {}
        for i, name in enumerate(node.input):
            if not schema.inputs or name not in self._known:
                continue
            formal = schema.inputs[min(i, len(schema.inputs) - 1)]
            found.setdefault(formal.type_str, _element(self._known[name]))
        return found


def _element(known: int | bytes) -> int:
    if isinstance(known, int):
        return known
    from onnx import TypeProto

    return int(TypeProto.FromString(known).tensor_type.elem_type)


def _type_of(element: int) -> bytes:
    from onnx import TypeProto

    proto = TypeProto()
    if element:
        proto.tensor_type.elem_type = element
    return bytes(proto.SerializeToString())


def _by_attribute(node: Any) -> int:
    for attribute in node.attribute:
        if attribute.name in _BY_ATTRIBUTE:
            return int(attribute.i)
        if attribute.name in _OF_VALUE:
            return _OF_VALUE[attribute.name]
        if attribute.name == "value" and attribute.HasField("t"):
            return int(attribute.t.data_type)
    return 0


def _only_type(types: Any) -> int:
    """The one type of a formal output; 0 when there are several."""
    from onnx import TensorProto

    if len(types) != 1:
        return 0
    name = next(iter(types)).removeprefix("tensor(").removesuffix(")")
    name = {"float": "FLOAT", "double": "DOUBLE"}.get(name, name.upper())
    return int(TensorProto.DataType.Value(name)) if name in _names() else 0


def _names() -> list[str]:
    from onnx import TensorProto

    return list(TensorProto.DataType.keys())
