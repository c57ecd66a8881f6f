"""GraphProto -> `Graph`: constants, nodes, bodies and what they capture.

Two passes, neither recursive. `convert` walks graphs from the main one inwards and
makes nodes and constants; `resolve` walks them back from the innermost outwards, finds
what each body reads of its surroundings, sorts the nodes and drops what nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trimtab.errors import ModelFormatError, ModelLimitError, UnsupportedOpError
from trimtab.formats.onnx_tensor import (
    DTYPE_NAMES,
    TensorReader,
    constant_of_attribute,
)
from trimtab.graph import KINDS, Dims, Graph, Node, Value
from trimtab.limits import Limits
from trimtab.types import Array
from trimtab.weight_file import Stored

__all__ = ["GraphReader"]

_FLOAT, _INT, _STRING, _TENSOR, _GRAPH, _FLOATS, _INTS, _STRINGS = range(1, 9)
_TYPE = 13


def _decoded(data: bytes | str) -> str:
    """Text of a string attribute; bytes that are none stay readable."""
    text = data if isinstance(data, str) else data.decode(errors="backslashreplace")
    return text.replace("\0", "\\x00")


def _floats(attribute: Any) -> Any:
    items = list(attribute.floats)
    return items if items else np.zeros(0, np.float32)


_PLAIN: dict[int, Callable[[Any], Any]] = {
    _FLOAT: lambda a: a.f,
    _INT: lambda a: a.i,
    _STRING: lambda a: _decoded(a.s),
    _FLOATS: _floats,
    _INTS: lambda a: list(a.ints),
    _STRINGS: lambda a: [_decoded(s) for s in a.strings],
}
# Files of IR version 1 do not say which field of an attribute counts.
_SINGLE_FIELDS = {
    "f": _FLOAT,
    "i": _INT,
    "s": _STRING,
    "t": _TENSOR,
    "g": _GRAPH,
}
_LIST_FIELDS = {"floats": _FLOATS, "ints": _INTS, "strings": _STRINGS}


def _kind_of(attribute: Any) -> int:
    """AttributeType, from the fields that are set where the file does not say."""
    kind: int = attribute.type
    if kind != 0:
        return kind
    for field, code in _SINGLE_FIELDS.items():
        if attribute.HasField(field):
            return code
    for field, code in _LIST_FIELDS.items():
        if len(getattr(attribute, field)):
            return code
    return _INTS


def _check_name(name: Any, what: str) -> str:
    if not isinstance(name, str) or "\0" in name:
        raise ModelFormatError(f"{what} has a name that is no text: {name!r}")
    return name


def read_value(info: Any, where: str) -> Value:
    """`Value` of a ValueInfoProto."""
    name = _check_name(info.name, f"an {where}")
    if not info.HasField("type"):
        return Value(name)
    kind, tensor = _read_kind(info.type, f"{where} {name!r}")
    if tensor is None:
        return Value(name, kind=kind)
    dtype = None
    if tensor.elem_type != 0:
        dtype = DTYPE_NAMES.get(tensor.elem_type)
        if dtype is None:
            raise ModelFormatError(
                f"{where} {name!r}: element type {tensor.elem_type} is not known"
            )
    if not tensor.HasField("shape"):
        return Value(name, dtype, kind=kind)
    return Value(name, dtype, _read_dims(tensor.shape, name, where), kind)


def _read_kind(proto: Any, what: str) -> tuple[str, Any]:
    """Kind of a value, and the type of its tensors if it says one."""
    found = proto.WhichOneof("value")
    outer: list[str] = []
    while found in ("optional_type", "sequence_type"):
        outer.append(found.removesuffix("_type"))
        proto = getattr(proto, found).elem_type
        found = proto.WhichOneof("value")
        if len(outer) > 2:
            break
    kind = " ".join(outer) or "tensor"
    if found not in (None, "tensor_type") or kind not in KINDS:
        words = [*outer, "" if found is None else found.removesuffix("_type")]
        raise UnsupportedOpError(
            f"{what} is a {' of '.join(filter(None, words))}: only tensors, sequences "
            "of tensors and optionals of those are supported"
        )
    return kind, None if found is None else proto.tensor_type


def _read_dims(shape: Any, name: str, where: str) -> Dims:
    dims: list[int | str | None] = []
    for dim in shape.dim:
        if dim.HasField("dim_value"):
            # -1 stands for "any size" in files of several exporters.
            if dim.dim_value < -1:
                raise ModelFormatError(
                    f"{where} {name!r}: dim {len(dims)} is {dim.dim_value}"
                )
            dims.append(None if dim.dim_value == -1 else dim.dim_value)
        elif dim.HasField("dim_param") and dim.dim_param:
            dims.append(_check_name(dim.dim_param, f"a dim of {where} {name!r}"))
        else:
            dims.append(None)
    return tuple(dims)


class GraphReader:
    """Makes the graphs of one model.

    Parameters
    ----------
    tensors : TensorReader
    limits : Limits
    raw : callable
        Gives the elements of an initializer of the main graph that were left out of
        its message, by its name; None for the others.

    Examples
    --------
    >>> reader = GraphReader(tensors, Limits(), lambda name: None)  # doctest: +SKIP
    >>> reader.convert(proto.graph)                              # doctest: +SKIP
    Graph(name='main', ...)
    """

    def __init__(
        self,
        tensors: TensorReader,
        limits: Limits,
        raw: Callable[[str], Array | Stored | None],
    ) -> None:
        self._tensors = tensors
        self._limits = limits
        self._raw = raw
        self._waiting: list[tuple[Any, Graph, int]] = []
        self._depth = 0
        self.overridable: list[str] = []
        #: Changes the main graph before names are resolved.
        self.rewrite: Callable[[Graph], None] | None = None

    # ---- inwards: nodes and constants ------------------------------------------

    def convert(self, proto: Any) -> Graph:
        """Make the main graph of a GraphProto, bodies included.

        Parameters
        ----------
        proto : onnx.GraphProto
            The main graph.

        Returns
        -------
        graph : Graph

        Examples
        --------
        >>> reader.convert(proto.graph)                    # doctest: +SKIP
        Graph(name='main', ...)
        """
        main = Graph("")
        self._waiting = [(proto, main, 0)]
        for message, graph, depth in self._waiting:  # grows while it is walked
            self._depth = depth
            self._fill(message, graph)
        if self.rewrite is not None:
            self.rewrite(main)
        for _, graph, _ in reversed(self._waiting):
            _Scope(graph, is_main=graph is main).resolve()
        return main

    def _fill(self, proto: Any, graph: Graph) -> None:
        is_main = graph is self._waiting[0][1]
        graph.name = _check_name(proto.name, "a graph")
        for tensor in proto.initializer:
            name = self._new_name(graph, tensor.name)
            raw = self._raw(name) if is_main else None
            graph.constants[name] = self._tensors.read(tensor, raw)
        for sparse in proto.sparse_initializer:
            name = self._new_name(graph, sparse.values.name)
            graph.constants[name] = self._tensors.read_sparse(sparse)
        for info in proto.input:
            value = read_value(info, "input")
            if value.name in graph.constants:
                self.overridable.append(value.name)
            else:
                graph.inputs.append(value)
        graph.outputs = [read_value(info, "output") for info in proto.output]
        for i, node in enumerate(proto.node):
            self._add_node(graph, node, i)

    def _new_name(self, graph: Graph, name: str) -> str:
        """Check the name of a constant before it is read."""
        _check_name(name, "an initializer or Constant")
        if not name or name in graph.constants:
            raise ModelFormatError(
                f"graph {graph.name!r}: initializer {name!r} is defined twice or "
                "has no name"
            )
        return name

    def _add_node(self, graph: Graph, proto: Any, number: int) -> None:
        op_type = proto.op_type
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        outputs = list(proto.output)
        if op_type == "Constant" and domain == "":
            if len(outputs) != 1 or len(proto.attribute) != 1 or proto.input:
                raise ModelFormatError(
                    f"Constant {proto.name or outputs!r}: expected one output and one "
                    f"attribute, got {len(outputs)} and {len(proto.attribute)}"
                )
            name = self._new_name(graph, outputs[0])
            raw = self._raw(name) if self._depth == 0 else None
            graph.constants[name] = constant_of_attribute(
                self._tensors, name, proto.attribute[0], raw
            )
            return
        node = Node(
            op_type,
            list(proto.input),
            outputs,
            proto.name or f"{op_type}_{number}",
            domain,
        )
        for text in (op_type, domain, node.name, *node.inputs, *outputs):
            if type(text) is not str or "\0" in text:
                _check_name(text, f"node {number} of graph {graph.name!r}")
        if not op_type:
            raise ModelFormatError(
                f"graph {graph.name!r}: node {number} {proto.name!r} has no op_type"
            )
        for attribute in proto.attribute:
            self._add_attribute(node, attribute)
        graph.nodes.append(node)

    def _add_attribute(self, node: Node, proto: Any) -> None:
        name = _check_name(proto.name, f"an attribute of {node.name!r}")
        if name in node.attributes:
            raise ModelFormatError(
                f"{node.op_type} {node.name!r}: attribute {name!r} is given twice"
            )
        kind = proto.type or _kind_of(proto)
        plain = _PLAIN.get(kind)
        if plain is not None:
            if proto.ref_attr_name:
                raise ModelFormatError(
                    f"{node.op_type} {node.name!r}: attribute {name!r} refers to "
                    f"{proto.ref_attr_name!r} outside of a function"
                )
            node.attributes[name] = plain(proto)
        elif kind == _TENSOR and proto.HasField("t"):
            node.attributes[name] = self._tensors.read(
                proto.t, where=f"{node.name}.{name}"
            )
        elif kind == _GRAPH and proto.HasField("g"):
            if self._depth == self._limits.max_depth:
                raise ModelLimitError(
                    f"{node.op_type} {node.name!r}: bodies nest deeper than max_depth "
                    f"({self._limits.max_depth})"
                )
            body = Graph("")
            node.attributes[name] = body
            self._waiting.append((proto.g, body, self._depth + 1))
        elif kind == _TYPE and node.op_type == "Optional":
            pass  # of what it is empty: it is nothing whatever that is
        elif kind in (_TENSOR, _GRAPH):
            raise ModelFormatError(
                f"{node.op_type} {node.name!r}: attribute {name!r} is empty"
            )
        else:
            raise UnsupportedOpError(
                f"{node.op_type} {node.name!r}: attribute {name!r} is of kind {kind}, "
                "which is not supported"
            )


class _Scope:
    """The names of one graph, whose bodies have been resolved before."""

    def __init__(self, graph: Graph, *, is_main: bool) -> None:
        self._graph = graph
        self._is_main = is_main
        self._made: set[str] = set()  # by nodes
        self._used: set[str] = set()
        self._captures: dict[str, None] = {}

    def resolve(self) -> None:
        graph = self._graph
        known = set(graph.constants)
        for value in graph.inputs:
            if not value.name or value.name in known:
                raise self._twice(value.name)
            known.add(value.name)
        self._collect_made(known)
        is_sorted = self._walk(known)
        for value in graph.outputs:
            self._use(value.name, known, "the outputs")
        graph.captures = list(self._captures)
        if not is_sorted:
            _sort(graph)
        self._drop_unused()

    def _twice(self, name: str) -> ModelFormatError:
        return ModelFormatError(
            f"graph {self._graph.name!r}: tensor {name!r} is defined twice"
        )

    def _collect_made(self, known: set[str]) -> None:
        made = self._made
        for node in self._graph.nodes:
            for name in node.outputs:
                if not name:
                    continue
                if name in made or name in known:
                    raise self._twice(name)
                made.add(name)

    def _walk(self, known: set[str]) -> bool:
        """Note what is used and captured; tell whether the nodes are in order."""
        is_sorted = True
        available = set(known)
        for node in self._graph.nodes:
            for name in _reads(node):
                if name in available:
                    self._used.add(name)
                elif name in self._made:
                    is_sorted = False
                    self._used.add(name)
                else:
                    self._use(name, known, f"{node.op_type} {node.name!r}")
                    available.add(name)
            available.update(node.outputs)
        return is_sorted

    def _use(self, name: str, known: set[str], reader: str) -> None:
        """Note a use; a name that is not of this graph is a capture."""
        self._used.add(name)
        if name in known or name in self._made or name in self._captures:
            return
        if self._is_main or not name:
            raise ModelFormatError(
                f"graph {self._graph.name!r}: {reader} reads tensor {name!r}, which is "
                "neither an input, an initializer nor the output of a node"
            )
        self._captures[name] = None

    def _drop_unused(self) -> None:
        """Drop constants that nobody reads."""
        graph = self._graph
        graph.constants = {
            name: constant
            for name, constant in graph.constants.items()
            if name in self._used
        }


def _reads(node: Node) -> list[str]:
    """Names that a node and its bodies read, absent inputs left out."""
    names = [name for name in node.inputs if name]
    if node.attributes:
        for body in node.bodies:
            names += body.captures
    return names


def _sort(graph: Graph) -> None:
    """Bring nodes into topological order (Kahn), keeping theirs where it is one."""
    maker = {
        name: number
        for number, node in enumerate(graph.nodes)
        for name in node.outputs
        if name
    }
    readers: list[list[int]] = [[] for _ in graph.nodes]
    waiting = [0] * len(graph.nodes)
    for number, node in enumerate(graph.nodes):
        for source in {maker[name] for name in _reads(node) if name in maker}:
            readers[source].append(number)
            waiting[number] += 1
    ready = [number for number, n in enumerate(waiting) if n == 0]
    for number in ready:  # grows while it is walked
        for reader in readers[number]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                ready.append(reader)
    if len(ready) < len(graph.nodes):
        stuck = next(n for n, count in enumerate(waiting) if count > 0)
        node = graph.nodes[stuck]
        raise ModelFormatError(
            f"graph {graph.name!r}: the nodes form a cycle, with {node.op_type} "
            f"{node.name!r} on it or behind it"
        )
    graph.nodes = [graph.nodes[number] for number in ready]
