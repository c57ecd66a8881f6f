"""Operators that the engine lacks and ONNX defines by others: nodes become bodies.

The schema of such an operator holds a function, or builds one for the attributes and
input types of a node. A node is expanded only if the engine has every operator of what
comes out; else it stays, for the fallback or to be refused. The schemas come with
``import onnx``, which happens only for a model with an operator that is unknown here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trimtab import _core
from trimtab.errors import ModelFormatError, ModelLimitError, TrimtabError
from trimtab.formats.onnx_types import ElementTypes
from trimtab.limits import Limits

__all__ = ["expand_schema_functions"]

# Domains whose schemas may have bodies (those of ai.onnx.ml have none).
_DOMAINS = ("", "ai.onnx.preview", "ai.onnx.preview.training", "ai.onnx.training")

# The reader makes other nodes of these (onnx_quantized.py), or none (constants).
_REWRITTEN = ("Constant", "QLinear")

# Operators whose nodes mean something else from an opset on: a body that was written
# before it cannot stand in a model of after it. Other versions only add types, or
# attributes with a default that changes nothing.
_CHANGED: dict[str, tuple[int, ...]] = {
    "BatchNormalization": (7, 9, 14),
    "Clip": (6, 11),
    "DFT": (20,),
    "Dropout": (7, 10, 12),
    "GroupNormalization": (21,),
    "Hardmax": (13,),
    "LogSoftmax": (13,),
    "Pad": (2, 11),
    "ReduceSum": (13,),
    "Resize": (11, 13),
    "Scan": (9,),
    "Slice": (10,),
    "Softmax": (13,),
    "Split": (2, 13, 18),
    "Squeeze": (13,),
    "TopK": (10, 11),
    "Unsqueeze": (13,),
    "Upsample": (7, 9),
    **{
        f"Reduce{kind}": (18,)
        for kind in "L1 L2 LogSum LogSumExp Max Mean Min Prod SumSquare".split()
    },
}

_MAX_DEPTH = 8  # functions that call functions; those of onnx 1.23 go 2 deep
_MAX_BODY = 4096  # nodes that one node becomes


def expand_schema_functions(proto: Any, limits: Limits) -> Any:
    """Replace nodes that the engine lacks by the bodies that ONNX gives for them.

    Parameters
    ----------
    proto : onnx.ModelProto
        Is changed. The functions that it defines itself have been inlined.
    limits : Limits
        `max_nodes` bounds the result.

    Returns
    -------
    proto : onnx.ModelProto
        The same object.

    Raises
    ------
    ModelFormatError
        Names that are no text.
    ModelLimitError
        The result would have too many nodes.

    Examples
    --------
    >>> expand_schema_functions(onnx.load("model.onnx"), Limits())  # doctest: +SKIP
    """
    versions = {_plain(entry.domain): entry.version for entry in proto.opset_import}
    graphs = _graphs(proto.graph)
    if any(_is_candidate(node, versions) for graph in graphs for node in graph.node):
        try:
            _Expansion(proto, graphs, versions, limits).run()
        except TrimtabError:
            raise
        except (TypeError, ValueError) as error:  # what protobuf raises for such names
            raise ModelFormatError(f"functions cannot be expanded: {error}") from error
    return proto


def _plain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _graphs(graph: Any) -> list[Any]:
    """The graph and all bodies in it, outer ones first."""
    found = [graph]
    for outer in found:  # grows while it is walked
        for node in outer.node:
            found.extend(_bodies(node))
    return found


def _bodies(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _has_operator(node: Any, versions: dict[str, int]) -> bool:
    """Does the engine have it? What is no name or version is left as it is."""
    domain = _plain(node.domain)
    version = versions.get(domain, 1)
    names = domain, node.op_type
    if not all(isinstance(name, str) and "\0" not in name for name in names):
        return True
    return (
        node.op_type == "Constant"
        or not 0 < version < 1 << 31
        or _core.has_operator(domain, node.op_type, version)
    )


def _has_all(node: Any, versions: dict[str, int]) -> bool:
    """Does the engine have the operators in the bodies of a node?"""
    graphs = [inner for body in _bodies(node) for inner in _graphs(body)]
    return all(_has_operator(n, versions) for graph in graphs for n in graph.node)


def _is_candidate(node: Any, versions: dict[str, int]) -> bool:
    domain = _plain(node.domain)
    return (
        domain in _DOMAINS
        and domain in versions
        and not str(node.op_type).startswith(_REWRITTEN)
        and not _has_operator(node, versions)
    )


class _Expansion:
    """One model under expansion."""

    def __init__(
        self, proto: Any, graphs: list[Any], versions: dict[str, int], limits: Limits
    ) -> None:
        self.proto = proto
        self.versions = versions
        self.limits = limits
        self.n_nodes = sum(len(graph.node) for graph in graphs)
        self.n_expanded = 0
        self.types = ElementTypes(graphs, versions)
        self.prefix = "expanded"
        taken = [name for graph in graphs for name in _names(graph)]
        while any(name.startswith(self.prefix) for name in taken):
            self.prefix += "_"

    def run(self) -> None:
        """Expand what can be, graph by graph."""
        waiting = [self.proto.graph]
        for graph in waiting:  # grows while it is walked
            self._expand_graph(graph)
            for node in graph.node:
                waiting.extend(_bodies(node))

    def _expand_graph(self, graph: Any) -> None:
        made: list[Any] = []
        is_changed = False
        for node in graph.node:
            expanded = None
            if _is_candidate(node, self.versions):
                expanded = self.expand(node)
            is_changed |= expanded is not None
            for new in [node] if expanded is None else expanded:
                self.types.note(new)
                made.append(new)
        if is_changed:
            texts = [node.SerializeToString() for node in made]
            del graph.node[:]
            for text in texts:
                graph.node.add().ParseFromString(text)

    def expand(self, node: Any) -> list[Any] | None:
        """Nodes of the engine in place of one, or None."""
        done: list[Any] = []
        waiting = [(node, 0)]  # the next one last
        imports: dict[str, int] = {}
        types = self.types.branch()
        while waiting:
            inner, depth = waiting.pop()
            versions = {**imports, **self.versions}
            if _has_operator(inner, versions):
                if depth > 0 and not _has_all(inner, versions):
                    return None
                types.note(inner)
                done.append(inner)
                continue
            body = self._body(inner, types, imports) if depth < _MAX_DEPTH else None
            if body is None or len(done) + len(waiting) + len(body) > _MAX_BODY:
                return None
            waiting.extend((new, depth + 1) for new in reversed(body))
        self.n_nodes += len(done) - 1
        if self.n_nodes > self.limits.max_nodes:
            raise ModelLimitError(
                f"expanding {node.op_type} {node.name!r} and others gives "
                f"{self.n_nodes} nodes, max_nodes is {self.limits.max_nodes}"
            )
        for domain, version in imports.items():
            self.proto.opset_import.add(domain=domain, version=version)
            self.versions[domain] = version
        return done

    def _body(
        self, node: Any, types: ElementTypes, imports: dict[str, int]
    ) -> list[Any] | None:
        """The nodes of the function of a node, with the names of the model."""
        domain = _plain(node.domain)
        version = self.versions.get(domain, imports.get(domain, 0))
        found = _function(node, domain, version, types)
        if found is None:
            return None
        schema, function = found
        for inner, wanted in _imports(function).items():
            if inner not in self.versions:
                imports.setdefault(inner, wanted)
        if not _fits(function, {**imports, **self.versions}):
            return None
        self.n_expanded += 1
        return _instance(
            node, schema, function, f"{self.prefix}_{self.n_expanded}_{node.op_type}_"
        )


def _names(graph: Any) -> Iterator[str]:
    for value in (*graph.input, *graph.initializer):
        yield str(value.name)
    for node in graph.node:
        yield from map(str, node.input)
        yield from map(str, node.output)


def _function(
    node: Any, domain: str, version: int, types: ElementTypes
) -> tuple[Any, Any] | None:
    """The schema of a node and its function, if it has one."""
    import onnx

    try:
        schema: Any = onnx.defs.get_schema(node.op_type, version, domain)
    except onnx.defs.SchemaError:
        return None
    if not _is_well_formed(node, schema):
        return None
    if schema.has_function:
        fitting = [v for v in schema.function_opset_versions if v <= version]
        if not fitting:
            return None
        text = schema.get_function_with_opset_version(max(fitting))
    elif schema.has_context_dependent_function:
        versions = schema.context_dependent_function_opset_versions
        fitting = [v for v in versions if v <= version]
        inputs = types.of_inputs(node)
        if not fitting or inputs is None:
            return None
        try:
            text = schema.get_context_dependent_function_with_opset_version(
                max(fitting), node.SerializeToString(), inputs
            )
        except Exception:  # what the C++ library throws has no common base
            return None
    else:
        return None
    function = onnx.FunctionProto.FromString(text)
    return (schema, function) if function.node else None


def _imports(function: Any) -> dict[str, int]:
    """Versions that a body is written in; the newest where it does not say."""
    import onnx

    found = {_plain(entry.domain): entry.version for entry in function.opset_import}
    found.setdefault("", onnx.defs.onnx_opset_version())
    return found


def _is_well_formed(node: Any, schema: Any) -> bool:
    """Does a node have as many inputs, and such attributes, as the schema says?"""
    for attribute in node.attribute:
        described = schema.attributes.get(attribute.name)
        if described is None or int(described.type.value) != attribute.type:
            return False
    n_inputs, n_outputs = len(node.input), len(node.output)
    return bool(
        schema.min_input <= n_inputs <= schema.max_input
        and schema.min_output <= n_outputs <= schema.max_output
    )


def _fits(function: Any, versions: dict[str, int]) -> bool:
    """Do the nodes of a body mean the same in the opsets of the model?"""
    import onnx

    for entry in function.opset_import:  # what is not said here fits
        domain = _plain(entry.domain)
        low, high = sorted((entry.version, versions.get(domain, 0)))
        for graph in _graphs(function):
            for node in graph.node:
                if _plain(node.domain) != domain:
                    continue
                if any(low < v <= high for v in _CHANGED.get(node.op_type, ())):
                    return False
                if high == entry.version != low and (
                    _since(onnx, node, low) != _since(onnx, node, high)
                ):
                    return False  # a word of a later opset
    return True


def _since(onnx: Any, node: Any, version: int) -> int:
    try:
        schema = onnx.defs.get_schema(node.op_type, version, _plain(node.domain))
    except onnx.defs.SchemaError:
        return 0
    return int(schema.since_version)


def _defined(function: Any) -> set[str]:
    """Names that the body gives to values; others in it are from outside."""
    found: set[str] = set()
    for graph in _graphs(function):
        for node in graph.node:
            found.update(node.output)
        if graph is not function:
            found.update(value.name for value in graph.input)
            found.update(tensor.name for tensor in graph.initializer)
    return found


def _instance(node: Any, schema: Any, function: Any, prefix: str) -> list[Any]:
    """The nodes of a function with the names and attributes of a call."""
    given = {attribute.name: attribute for attribute in node.attribute}
    names = {name: prefix + name for name in _defined(function)}
    names.update(dict.fromkeys(function.input, ""))
    names.update(zip(function.input, node.input, strict=False))
    for inner, outer in zip(function.output, node.output, strict=False):
        if outer:
            names[inner] = outer
    names[""] = ""
    for graph in reversed(_graphs(function)):  # inner ones are copied with outer ones
        if graph is not function:
            _rename_values(graph, names)
        for inner in graph.node:
            _bind_attributes(inner, given, schema, function)
            inner.input[:] = [names.get(name, name) for name in inner.input]
            inner.output[:] = [names.get(name, name) for name in inner.output]
            first = next((name for name in inner.output if name), inner.op_type)
            inner.name = f"{node.name or node.op_type}/{first}"
    return list(function.node)


def _rename_values(graph: Any, names: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = names.get(value.name, value.name)


def _bind_attributes(
    inner: Any, given: dict[str, Any], schema: Any, function: Any
) -> None:
    """Put the call's attributes, or their defaults, in place of references."""
    bound = []
    for attribute in inner.attribute:
        own, name = attribute.name, attribute.ref_attr_name
        if name:
            value = given.get(name) or _default(name, schema, function)
            if value is None:
                continue  # the body's operator has a default of its own
            attribute.ParseFromString(value.SerializeToString())
            attribute.name = own
        bound.append(attribute.SerializeToString())
    del inner.attribute[:]
    for text in bound:
        inner.attribute.add().ParseFromString(text)


def _default(name: str, schema: Any, function: Any) -> Any:
    for attribute in function.attribute_proto:
        if attribute.name == name:
            return attribute
    described = schema.attributes.get(name)
    if described is not None and described.default_value.type:
        return described.default_value
    return None
