"""What an artefact stores of a graph -> `graph.Model`; every field is checked.

Mirrors `native_write`. The engine validates the result again, so the checks here are
for messages that name the place, and for Python's own sake.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trimtab.errors import ModelFormatError, ModelLimitError
from trimtab.formats.native import STORED_AS
from trimtab.formats.tensor_file import TensorFile
from trimtab.graph import DTYPES, KINDS, Constant, Dims, Graph, Model, Node, Value
from trimtab.limits import Limits

__all__ = ["GraphParser"]

_MAX_RANK = 32
_INT64 = range(-(1 << 63), 1 << 63)
_FLOATS = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}


def text(value: Any, what: str) -> str:
    """Check a text: what UTF-8 and C can hold."""
    if type(value) is not str:
        raise ModelFormatError(f"{what}: expected a text, got {type(value).__name__}")
    if "\0" in value or not (value.isascii() or _is_unicode(value)):
        raise ModelFormatError(f"{what}: {value[:100]!r} is no text")
    return value


def _is_unicode(value: str) -> bool:
    return not any(0xD800 <= ord(letter) < 0xE000 for letter in value)


def items(value: Any, what: str) -> list[Any]:
    """Check a list."""
    if type(value) is not list:
        raise ModelFormatError(f"{what}: expected a list, got {type(value).__name__}")
    return value


def fields(value: Any, what: str, known: frozenset[str]) -> dict[str, Any]:
    """Check an object, and that its keys are among those known."""
    if type(value) is not dict:
        raise ModelFormatError(
            f"{what}: expected an object, got {type(value).__name__}"
        )
    for key in value:
        if key not in known:
            raise ModelFormatError(f"{what}: the key {key[:100]!r} is not known")
    return value


def _integer(value: Any, what: str) -> int:
    if type(value) is not int or value not in _INT64:
        raise ModelFormatError(f"{what}: expected an integer of 64 bits")
    return value


def _float(value: Any, what: str) -> float:
    if type(value) is float or (type(value) is int and value in _INT64):
        return float(value)
    if type(value) is str and value in _FLOATS:
        return _FLOATS[value]
    raise ModelFormatError(f"{what}: expected a number")


def _dims(value: Any, what: str) -> Dims | None:
    if value is None:
        return None
    dims: list[int | str | None] = []
    for dim in items(value, what):
        if type(dim) is int:
            if not 0 <= dim < 1 << 63:
                raise ModelFormatError(f"{what}: a dim is {dim}")
            dims.append(dim)
        else:
            dims.append(None if dim is None else text(dim, what))
    return tuple(dims)


def _n_bytes(dtype: str, shape: tuple[int, ...], found: int) -> int:
    """Bytes of a tensor of which `found` are there; strings have their own lengths."""
    if dtype == "string":
        return max(4 * math.prod(shape), found)
    return (math.prod(shape) * DTYPES[dtype][1] + 7) // 8


_MODEL = frozenset({"opsets", "overridable", "graphs"})
_GRAPH = frozenset({"name", "inputs", "outputs", "captures", "constants", "nodes"})
_VALUE = frozenset({"name", "dtype", "shape", "kind"})
_NODE = frozenset({"op", "domain", "name", "inputs", "outputs", "attributes"})
_TENSOR = frozenset({"tensor", "dtype", "shape"})
_CONSTANT = _TENSOR | {"name"}


class GraphParser:
    """Makes the graphs of one artefact.

    Parameters
    ----------
    file : TensorFile
    limits : Limits

    Examples
    --------
    >>> parser = GraphParser(file, Limits())               # doctest: +SKIP
    >>> parser.model({"opsets": {"": 18}, "graphs": [...]})    # doctest: +SKIP
    Model('main': x -> y, 12 nodes)
    """

    def __init__(self, file: TensorFile, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._constants: dict[str, Constant] = {}
        self._graphs: list[Graph] = []
        self._depths: list[int] = []
        self._n_nodes = 0
        self._n_values = 0

    # ---- tensors ---------------------------------------------------------------

    def constant(self, plain: Any, what: str, known: frozenset[str] = _TENSOR) -> Any:
        """Make the constant that a description names.

        Parameters
        ----------
        plain : object
            ``{"tensor": ..., "dtype": ..., "shape": ...}``, the last two only where
            the container has another dtype.
        what : str
            For messages.
        known : frozenset of str
            Keys that may be there.

        Returns
        -------
        constant : Constant
            The same one for the same tensor.

        Raises
        ------
        ModelFormatError
            There is no such tensor, or it is another one.

        Examples
        --------
        >>> parser.constant({"tensor": "w"}, "w")          # doctest: +SKIP
        Constant(...)
        """
        entry = fields(plain, what, known)
        key = text(entry.get("tensor"), what)
        place = self._file.tensors.get(key)
        if place is None:
            raise ModelFormatError(f"{what}: the file has no tensor {key[:100]!r}")
        dtype = entry.get("dtype", _EXACT.get(place.dtype))
        if type(dtype) is not str or dtype not in STORED_AS:
            raise ModelFormatError(f"{what}: dtype {dtype!r} is not known")
        if STORED_AS[dtype][0] != place.dtype:
            raise ModelFormatError(
                f"{what}: {dtype} is stored as {STORED_AS[dtype][0]}, tensor "
                f"{key[:100]!r} has {place.dtype}"
            )
        shape = place.shape
        if "shape" in entry:
            dims = _dims(entry["shape"], what) or ()
            if not all(type(dim) is int for dim in dims):
                raise ModelFormatError(f"{what}: a constant has no symbolic dims")
            shape = tuple(dim for dim in dims if isinstance(dim, int))
        if (
            len(shape) > _MAX_RANK
            or _n_bytes(dtype, shape, place.n_bytes) != place.n_bytes
        ):
            raise ModelFormatError(
                f"{what}: {dtype} of shape {list(shape[:_MAX_RANK])} does not take the "
                f"{place.n_bytes} bytes of tensor {key[:100]!r}"
            )
        found = self._constants.get(key)
        if found is None:
            found = Constant(dtype, shape, self._file.data(key))
            self._constants[key] = found
        elif (found.dtype, found.shape) != (dtype, shape):
            raise ModelFormatError(f"{what}: tensor {key[:100]!r} is two things")
        return found

    # ---- graphs ----------------------------------------------------------------

    def model(self, plain: Any) -> Model:
        """Make the model.

        Parameters
        ----------
        plain : object
            What the JSON holds.

        Returns
        -------
        model : Model

        Raises
        ------
        ModelFormatError, ModelLimitError
            It is malformed, or asks for too much.

        Examples
        --------
        >>> parser.model(json.loads(text))                 # doctest: +SKIP
        Model('main': x -> y, 12 nodes)
        """
        entry = fields(plain, "the graph", _MODEL)
        plain_opsets = entry.get("opsets")
        if not isinstance(plain_opsets, dict):
            raise ModelFormatError("opsets: expected versions by domain")
        opsets = {
            text(domain, "an opset"): _integer(version, f"opset {domain[:100]!r}")
            for domain, version in plain_opsets.items()
        }
        if not all(1 <= version < 1 << 31 for version in opsets.values()):
            raise ModelFormatError(f"opsets: a version is not positive: {opsets}")
        plains = items(entry.get("graphs"), "graphs")
        if not plains:
            raise ModelFormatError("graphs: there is none")
        if len(plains) > self._limits.max_nodes + 1:
            raise ModelLimitError(
                f"{len(plains)} graphs, max_nodes is {self._limits.max_nodes}"
            )
        self._graphs = [Graph("") for _ in plains]
        self._depths = [0] + [-1] * (len(plains) - 1)
        for number, graph in enumerate(plains):
            if self._depths[number] < 0:
                raise ModelFormatError(f"graph {number} is the body of no node")
            self._fill(number, graph)
        overridable = [
            text(name, "overridable")
            for name in items(entry.get("overridable", []), "overridable")
        ]
        return Model(self._graphs[0], opsets, overridable=overridable)

    def _count(self, n_nodes: int, n_values: int) -> None:
        self._n_nodes += n_nodes
        self._n_values += n_values
        for what, found, most in (
            ("nodes", self._n_nodes, self._limits.max_nodes),
            ("values", self._n_values, self._limits.max_values),
        ):
            if found > most:
                raise ModelLimitError(f"at least {found} {what}, max_{what} is {most}")

    def _fill(self, number: int, plain: Any) -> None:
        what = f"graph {number}"
        entry = fields(plain, what, _GRAPH)
        graph = self._graphs[number]
        graph.name = text(entry.get("name"), what)
        lists = {key: items(entry.get(key), f"{what}: {key}") for key in _GRAPH_LISTS}
        self._count(len(lists["nodes"]), sum(map(len, lists.values())))
        graph.inputs = [self._value(value, what) for value in lists["inputs"]]
        graph.outputs = [self._value(value, what) for value in lists["outputs"]]
        graph.captures = [text(name, f"{what}: captures") for name in lists["captures"]]
        for constant in lists["constants"]:
            entry = fields(constant, f"{what}: a constant", _CONSTANT)
            name = text(entry.get("name"), f"{what}: a constant")
            if name in graph.constants or not name:
                raise ModelFormatError(
                    f"{what}: constant {name[:100]!r} is defined twice or has no name"
                )
            graph.constants[name] = self.constant(
                entry, f"constant {name[:100]!r}", _CONSTANT
            )
        graph.nodes = [
            self._node(number, i, node) for i, node in enumerate(lists["nodes"])
        ]

    @staticmethod
    def _value(plain: Any, what: str) -> Value:
        entry = fields(plain, f"{what}: a value", _VALUE)
        name = text(entry.get("name"), f"{what}: a value")
        dtype = entry.get("dtype")
        if dtype is not None and (type(dtype) is not str or dtype not in DTYPES):
            raise ModelFormatError(
                f"value {name[:100]!r}: dtype {dtype!r} is not known"
            )
        kind = entry.get("kind", "tensor")
        if type(kind) is not str or kind not in KINDS:
            raise ModelFormatError(f"value {name[:100]!r}: kind {kind!r} is not known")
        dims = _dims(entry.get("shape"), f"value {name[:100]!r}")
        return Value(name, dtype, dims, kind)

    def _node(self, graph: int, number: int, plain: Any) -> Node:
        what = f"graph {graph}, node {number}"
        entry = fields(plain, what, _NODE)
        op_type = text(entry.get("op"), what)
        if not op_type:
            raise ModelFormatError(f"{what} has no operator")
        names = [
            [text(name, what) for name in items(entry.get(key), f"{what}: {key}")]
            for key in ("inputs", "outputs")
        ]
        self._count(0, len(names[0]) + len(names[1]))
        node = Node(
            op_type,
            names[0],
            names[1],
            text(entry.get("name", ""), what),
            text(entry.get("domain", ""), what),
        )
        attributes = entry.get("attributes")
        if attributes is None:
            return node
        if type(attributes) is not dict:
            raise ModelFormatError(f"{what}: expected attributes by name")
        for name in attributes:
            where = f"{op_type[:100]} {node.name[:100]!r}, attribute {name[:100]!r}"
            value = attributes[text(name, where)]
            node.attributes[name] = self._attribute(value, where, graph)
        return node

    def _attribute(self, plain: Any, what: str, graph: int) -> Any:
        entry = fields(plain, what, _KINDS)
        if len(entry) != 1:
            raise ModelFormatError(f"{what}: expected one of {sorted(_KINDS)}")
        ((kind, value),) = entry.items()
        if kind == "int":
            return _integer(value, what)
        if kind == "float":
            return _float(value, what)
        if kind == "string":
            return text(value, what)
        if kind == "tensor":
            return self.constant(value, what)
        if kind == "graph":
            return self._body(value, what, graph)
        return self._list(kind, value, what)

    def _list(self, kind: str, value: Any, what: str) -> Any:
        if kind == "strings":
            return [text(item, what) for item in items(value, what)]
        if type(value) is str:
            found = self.constant({"tensor": value}, what)
            if found.dtype != ("float32" if kind == "floats" else "int64"):
                raise ModelFormatError(f"{what}: {kind} stored as {found.dtype}")
            return found.numpy().reshape(-1)
        if kind == "ints":
            return [_integer(item, what) for item in items(value, what)]
        floats = [_float(item, what) for item in items(value, what)]
        return floats or np.zeros(0, np.float32)

    def _body(self, value: Any, what: str, graph: int) -> Graph:
        number = _integer(value, what)
        if not graph < number < len(self._graphs):
            raise ModelFormatError(
                f"{what}: graph {number} cannot be a body of graph {graph}"
            )
        if self._depths[number] >= 0:
            raise ModelFormatError(f"{what}: graph {number} is the body of two nodes")
        self._depths[number] = self._depths[graph] + 1
        if self._depths[number] > self._limits.max_depth:
            raise ModelLimitError(
                f"{what}: bodies nested deeper than max_depth "
                f"({self._limits.max_depth})"
            )
        return self._graphs[number]


_GRAPH_LISTS = ("inputs", "outputs", "captures", "constants", "nodes")
_KINDS = frozenset(
    {"int", "float", "string", "tensor", "graph", "ints", "floats", "strings"}
)
#: Element type of the container -> ours, where they are one to one.
_EXACT = {stored: name for name, (stored, is_exact) in STORED_AS.items() if is_exact}
