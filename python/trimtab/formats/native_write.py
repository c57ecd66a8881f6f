"""`graph.Model` -> what an artefact stores of it: JSON and named tensors.

Mirrors `native_read`. Graphs stand in a flat list, bodies behind the graph that
holds them, so nothing is nested however deep the model is. docs/artefact.md describes
the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from trimtab.errors import ModelFormatError
from trimtab.formats.native import RESERVED, STORED_AS
from trimtab.graph import DTYPES, Constant, Graph, Model, Node, Value
from trimtab.types import Array
from trimtab.weight_file import Stored

__all__ = ["GraphWriter"]

# Longer lists of numbers become tensors: JSON takes six times the space.
_LONG_LIST = 64

Tensor = tuple[str, str, tuple[int, ...], "Array | Stored"]


def stored_form(constant: Constant) -> tuple[str, tuple[int, ...]]:
    """Dtype and shape under which the container holds a constant."""
    dtype, is_exact = STORED_AS[constant.dtype]
    if is_exact:
        return dtype, constant.shape
    if dtype == "U8":
        n_bytes = constant.n_bytes
        return dtype, constant.shape if _fits(constant, n_bytes) else (n_bytes,)
    return dtype, (*constant.shape, 2)


def _fits(constant: Constant, n_bytes: int) -> bool:
    """One byte for each element, as float8 has it; int4 and strings have not."""
    return math.prod(constant.shape) == n_bytes and DTYPES[constant.dtype][1] == 8


class GraphWriter:
    """Collects the tensors of one artefact and describes its graphs.

    Examples
    --------
    >>> writer = GraphWriter()
    >>> relu = Node("Relu", ["x"], ["y"])
    >>> plain = writer.model(Model(Graph("g", [Value("x")], [Value("y")], [relu]), {}))
    >>> plain["graphs"][0]["nodes"]
    [{'op': 'Relu', 'inputs': ['x'], 'outputs': ['y']}]
    """

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._taken: set[str] = set()
        self._keys: dict[int, str] = {}  # id of a constant -> name of its tensor
        self._kept: list[Any] = []  # what the ids belong to
        self._graphs: dict[int, int] = {}

    # ---- tensors ---------------------------------------------------------------

    def _unique(self, wanted: str) -> str:
        number, name = 0, wanted
        while name in self._taken:
            number += 1
            name = f"{wanted}.{number}"
        self._taken.add(name)
        return name

    def constant(
        self, wanted: str, constant: Constant, *, is_ours: bool = False
    ) -> str:
        """Add a constant; the same object is stored once.

        Parameters
        ----------
        wanted : str
            Name in the graph.
        constant : Constant
        is_ours : bool, default=False
            `wanted` is no name of the graph and gets the reserved prefix.

        Returns
        -------
        name : str
            Of its tensor.

        Raises
        ------
        ModelFormatError
            It holds texts.

        Examples
        --------
        >>> writer.constant("w", Constant.of([1, 2]))      # doctest: +SKIP
        'w'
        """
        key = self._keys.get(id(constant))
        if key is not None:
            return key
        if constant.dtype not in STORED_AS:
            raise ModelFormatError(
                f"tensor {wanted!r}: an artefact cannot hold {constant.dtype} elements"
            )
        if is_ours:
            wanted = RESERVED + wanted
        elif wanted in ("", "__metadata__") or wanted.startswith(RESERVED):
            wanted = f"{RESERVED}tensor/{wanted}"
        key = self._unique(wanted)
        dtype, shape = stored_form(constant)
        self.tensors.append((key, dtype, shape, constant.data))
        self._keys[id(constant)] = key
        self._kept.append(constant)
        return key

    def array(self, name: str, array: Any) -> dict[str, Any]:
        """Add an array under a reserved name, and describe it.

        Parameters
        ----------
        name : str
            Behind the reserved prefix.
        array : ndarray
            Of a dtype that a `Constant` can have.

        Returns
        -------
        description : dict

        Examples
        --------
        >>> GraphWriter().array("x", np.ones(2, np.float32))
        {'tensor': 'trimtab:x'}
        """
        constant = Constant.of(array)
        key = self.constant(name, constant, is_ours=True)
        return self.describe(key, constant)

    @staticmethod
    def describe(key: str, constant: Constant) -> dict[str, Any]:
        """Name a tensor, and say what it is where the container cannot.

        Parameters
        ----------
        key : str
            What `constant` gave.
        constant : Constant

        Returns
        -------
        description : dict

        Examples
        --------
        >>> GraphWriter.describe("w", Constant("int4", (3,), np.zeros(2, np.uint8)))
        {'tensor': 'w', 'dtype': 'int4', 'shape': [3]}
        """
        if STORED_AS[constant.dtype][1]:
            return {"tensor": key}
        shape = list(constant.shape)
        return {"tensor": key, "dtype": constant.dtype, "shape": shape}

    # ---- graphs ----------------------------------------------------------------

    def model(self, model: Model) -> dict[str, Any]:
        """Describe a model.

        Parameters
        ----------
        model : Model

        Returns
        -------
        plain : dict
            What JSON can hold.

        Examples
        --------
        >>> GraphWriter().model(Model(Graph("g"), {"": 18}))["opsets"]
        {'': 18}
        """
        graphs = model.graphs()[::-1]
        self._graphs = {id(graph): number for number, graph in enumerate(graphs)}
        # the names of the main graph's weights come first: they keep them
        for graph in graphs:
            for name, constant in graph.constants.items():
                self.constant(name, constant)
        return {
            "opsets": dict(model.opsets),
            "overridable": list(model.overridable),
            "graphs": [self._graph(graph) for graph in graphs],
        }

    def _graph(self, graph: Graph) -> dict[str, Any]:
        return {
            "name": graph.name,
            "inputs": [_value(value) for value in graph.inputs],
            "outputs": [_value(value) for value in graph.outputs],
            "captures": list(graph.captures),
            "constants": [
                {"name": name, **self.describe(self.constant(name, constant), constant)}
                for name, constant in graph.constants.items()
            ],
            "nodes": [self._node(node) for node in graph.nodes],
        }

    def _node(self, node: Node) -> dict[str, Any]:
        plain: dict[str, Any] = {"op": node.op_type}
        if node.domain:
            plain["domain"] = node.domain
        if node.name:
            plain["name"] = node.name
        plain["inputs"] = list(node.inputs)
        plain["outputs"] = list(node.outputs)
        if node.attributes:
            plain["attributes"] = {
                name: self._attribute(f"{node.name}.{name}", value)
                for name, value in node.attributes.items()
            }
        return plain

    def _attribute(self, where: str, value: Any) -> dict[str, Any]:
        """``{kind: value}``."""
        if isinstance(value, (bool, int, np.integer)):
            return {"int": int(value)}
        if isinstance(value, (float, np.floating)):
            return {"float": _number(float(value))}
        if isinstance(value, str):
            return {"string": value}
        if isinstance(value, Graph):
            return {"graph": self._graphs[id(value)]}
        if isinstance(value, Constant):
            key = self.constant(f"attribute/{where}", value, is_ours=True)
            return {"tensor": self.describe(key, value)}
        return self._list(where, value)

    def _list(self, where: str, items: Any) -> dict[str, Any]:
        from trimtab.wire import list_kind

        kind = list_kind(items)
        if kind == "strings":
            return {kind: list(items)}
        dtype = np.float32 if kind == "floats" else np.int64
        if len(items) > _LONG_LIST:
            array = np.asarray(items, dtype)
            return {kind: self.array(f"attribute/{where}", array)["tensor"]}
        numbers = np.asarray(items, dtype).tolist()
        return {kind: [_number(x) for x in numbers] if kind == "floats" else numbers}


def _value(value: Value) -> dict[str, Any]:
    shape = None if value.shape is None else list(value.shape)
    kind = {} if value.kind == "tensor" else {"kind": value.kind}
    return {"name": value.name, "dtype": value.dtype, "shape": shape, **kind}


def _number(value: float) -> float | str:
    """JSON knows no infinities."""
    return value if math.isfinite(value) else str(value)


def digests(tensors: Iterable[Tensor]) -> dict[str, str]:
    """BLAKE2b of 8 bytes of every tensor, to tell which of them was changed."""
    from hashlib import blake2b

    from trimtab.formats.tensor_file import blocks

    found = {}
    for name, _, _, data in tensors:
        digest = blake2b(digest_size=8)
        for block in blocks(data):
            digest.update(block)
        found[name] = digest.hexdigest()
    return found


def text_digest(text: str) -> str:
    """BLAKE2b of 8 bytes of a text."""
    from hashlib import blake2b

    return blake2b(text.encode(), digest_size=8).hexdigest()
