"""What a model means, in ONNX's words: the one representation every format ends in.

A `Model` holds a `Graph`; a graph holds `Node` objects in topological order over
tensors that go by name. Readers (`trimtab.formats`) make it, `trimtab.wire` encodes
it for the engine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from trimtab.packed import pack, unpack
from trimtab.record import ComparedRecord, Record
from trimtab.types import Array, element_type, numpy_dtype
from trimtab.weight_file import Stored

if TYPE_CHECKING:
    from trimtab.formats.native import Artefact

__all__ = [
    "DTYPES",
    "KINDS",
    "Attribute",
    "Constant",
    "Dims",
    "Graph",
    "Model",
    "Node",
    "Value",
    "trimmed",
]

#: Element types: name -> (code of TensorProto.DataType, bits of one element).
DTYPES: dict[str, tuple[int, int]] = {
    "float32": (1, 32),
    "uint8": (2, 8),
    "int8": (3, 8),
    "uint16": (4, 16),
    "int16": (5, 16),
    "int32": (6, 32),
    "int64": (7, 64),
    "string": (8, 0),
    "bool": (9, 8),
    "float16": (10, 16),
    "float64": (11, 64),
    "uint32": (12, 32),
    "uint64": (13, 64),
    "complex64": (14, 64),
    "complex128": (15, 128),
    "bfloat16": (16, 16),
    "float8e4m3fn": (17, 8),
    "float8e4m3fnuz": (18, 8),
    "float8e5m2": (19, 8),
    "float8e5m2fnuz": (20, 8),
    "uint4": (21, 4),
    "int4": (22, 4),
    "float4e2m1": (23, 4),
    "float8e8m0": (24, 8),
    "uint2": (25, 2),
    "int2": (26, 2),
    "float6e2m3": (27, 6),
    "float6e3m2": (28, 6),
}

#: What a value may be: kind -> what the engine adds to the code of the dtype.
KINDS = {"tensor": 0, "sequence": 256, "optional": 512, "optional sequence": 768}

Dims: TypeAlias = "tuple[int | str | None, ...]"
"""Sizes: a number, a symbol that stands for one number, or None for any."""


class Value(ComparedRecord):
    """A tensor as far as the file declares it.

    Parameters
    ----------
    name : str
    dtype : str or None
        Key of `DTYPES`; None when unknown.
    shape : tuple of (int, str or None) or None
        None when even the number of dims is unknown.
    kind : {"tensor", "sequence", "optional", "optional sequence"}
        Dtype and shape of a sequence are those of its tensors.
    """

    __slots__ = ("dtype", "kind", "name", "shape")

    def __init__(
        self,
        name: str,
        dtype: str | None = None,
        shape: Dims | None = None,
        kind: str = "tensor",
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.kind = kind


class Constant(Record):
    """A tensor whose elements are known.

    Parameters
    ----------
    dtype : str
        Key of `DTYPES`.
    shape : tuple of int
    data : ndarray or Stored
        The bytes, row-major; elements below a byte are packed, low bits first.
        Strings are UTF-8: the length of each as uint32, then all of them one after
        the other.

    Examples
    --------
    >>> Constant.of(np.ones((2, 3), np.float32)).n_bytes
    24
    """

    __slots__ = ("data", "dtype", "shape")

    def __init__(
        self, dtype: str, shape: tuple[int, ...], data: Array | Stored
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.data = data

    @classmethod
    def of(cls, array: Any, dtype: str | None = None) -> Constant:
        """Make one from an array; copies only what is strided or below a byte.

        Parameters
        ----------
        array : array-like
            Of any dtype that ONNX has.
        dtype : str, optional
            Element type whose bits an array of another dtype holds.

        Returns
        -------
        constant : Constant

        Raises
        ------
        TypeError
            ONNX has no such element type.

        Examples
        --------
        >>> Constant.of([1, 2]).dtype
        'int64'
        """
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        if array.dtype.kind in "OUST" and dtype is None:
            from trimtab.texts import pack_texts

            texts = pack_texts(array.reshape(-1).tolist())
            return cls("string", array.shape, texts)
        dtype = dtype or element_type(array.dtype)
        if dtype not in DTYPES:
            raise TypeError(f"no element type of ONNX is {array.dtype}")
        is_small = 0 < (bits := DTYPES[dtype][1]) < 8
        return cls(dtype, array.shape, pack(array, bits) if is_small else array)

    @property
    def n_bytes(self) -> int:
        """Bytes of the elements.

        Examples
        --------
        >>> Constant("int4", (3,), np.zeros(2, np.uint8)).n_bytes
        2
        """
        return self.data.nbytes

    def elements(self) -> Array:
        """Give the elements' bytes; reads them if they are in a file.

        Examples
        --------
        >>> Constant("int4", (3,), np.array([33, 3], np.uint8)).elements()
        array([33,  3], dtype=uint8)
        """
        return self.data.read() if isinstance(self.data, Stored) else self.data

    def numpy(self) -> Array:
        """Give the elements as an array; only those below a byte are copied.

        Examples
        --------
        >>> Constant.of(np.eye(2)).numpy().sum()
        np.float64(2.0)
        """
        if self.dtype == "string":
            from trimtab.texts import unpack_texts

            return unpack_texts(self.elements(), self.shape)
        flat = self.elements().reshape(-1).view(np.uint8)
        if 0 < (bits := DTYPES[self.dtype][1]) < 8:
            flat = unpack(flat, bits, math.prod(self.shape))
        return flat.view(numpy_dtype(self.dtype)).reshape(self.shape)


Attribute: TypeAlias = Union[
    int,
    float,
    str,
    Constant,
    "Graph",
    "list[int]",
    "list[float]",
    "list[str]",
    "np.ndarray[Any, Any]",
]
"""Value of an attribute. A list holds ints, floats or strings of one type; an empty
one counts as ints unless it is an array of float32."""


class Node(ComparedRecord):
    """One operator applied to tensors.

    Parameters
    ----------
    op_type : str
    inputs, outputs : list of str
        Names of tensors; "" where an optional one is absent.
    name : str
    domain : str
        "" is ai.onnx.
    attributes : dict of str to Attribute
        A `Graph` is the body of an If, Loop or Scan.
    """

    __slots__ = ("attributes", "domain", "inputs", "name", "op_type", "outputs")

    def __init__(
        self,
        op_type: str,
        inputs: list[str],
        outputs: list[str],
        name: str = "",
        domain: str = "",
        attributes: dict[str, Any] | None = None,
    ) -> None:
        self.op_type = op_type
        self.inputs = inputs
        self.outputs = outputs
        self.name = name
        self.domain = domain
        self.attributes: dict[str, Any] = {} if attributes is None else attributes

    @property
    def bodies(self) -> list[Graph]:
        """Graphs among the attributes, in their order.

        Examples
        --------
        >>> Node("Relu", ["x"], ["y"]).bodies
        []
        """
        return [v for v in self.attributes.values() if isinstance(v, Graph)]


def trimmed(names: Sequence[str]) -> list[str]:
    """Leave out the empty names at the end: inputs that a node does not have.

    Parameters
    ----------
    names : sequence of str

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> trimmed(["x", "", "bias", "", ""])
    ['x', '', 'bias']
    """
    n = next((i for i in range(len(names), 0, -1) if names[i - 1]), 0)
    return list(names[:n])


class Graph(Record):
    """Nodes in topological order over named tensors.

    Parameters
    ----------
    name : str
    inputs, outputs : list of Value
        Declared dtypes and shapes. Those of outputs are only what the file says.
    nodes : list of Node
    constants : dict of str to Constant
        Weights and other constants by name; none of them is an input.
    captures : list of str
        Tensors of enclosing graphs that this body reads, or that a body inside it
        reads. Empty for the main graph.
    """

    __slots__ = ("captures", "constants", "inputs", "name", "nodes", "outputs")

    def __init__(
        self,
        name: str,
        inputs: list[Value] | None = None,
        outputs: list[Value] | None = None,
        nodes: list[Node] | None = None,
        constants: dict[str, Constant] | None = None,
        captures: list[str] | None = None,
    ) -> None:
        self.name = name
        self.inputs: list[Value] = [] if inputs is None else inputs
        self.outputs: list[Value] = [] if outputs is None else outputs
        self.nodes: list[Node] = [] if nodes is None else nodes
        self.constants: dict[str, Constant] = {} if constants is None else constants
        self.captures: list[str] = [] if captures is None else captures


class Model(Record):
    """A model as read from a file.

    Parameters
    ----------
    graph : Graph
        The main graph.
    opsets : dict of str to int
        Version of the operators of each domain; "" is ai.onnx.
    overridable : list of str
        Constants that the file also lists as inputs (IR versions up to 3, or on
        purpose): their values are fixed here.
    metadata : dict of str to str
        What the file says of itself.
    format : str
        Key of `trimtab.formats.FORMATS`.
    artefact : Artefact or None
        What an artefact of ours holds beside the graph.

    Examples
    --------
    >>> relu = Node("Relu", ["x"], ["y"])
    >>> Model(Graph("g", [Value("x")], [Value("y")], [relu]), {"": 18}).n_nodes
    1
    """

    __slots__ = ("artefact", "format", "graph", "metadata", "opsets", "overridable")

    def __init__(
        self,
        graph: Graph,
        opsets: dict[str, int],
        overridable: list[str] | None = None,
        metadata: dict[str, str] | None = None,
        format: str = "",
        artefact: Artefact | None = None,
    ) -> None:
        self.artefact = artefact
        self.graph = graph
        self.opsets = opsets
        self.overridable: list[str] = [] if overridable is None else overridable
        self.metadata: dict[str, str] = {} if metadata is None else metadata
        self.format = format

    def graphs(self) -> list[Graph]:
        """All graphs, bodies before the graph that holds them, the main one last.

        The position in this list is the number by which the engine speaks of a graph.

        Examples
        --------
        >>> [graph.name for graph in Model(Graph("main"), {}).graphs()]
        ['main']
        """
        found: list[Graph] = [self.graph]
        for graph in found:  # grows while it is walked: parents come first
            for node in graph.nodes:
                if node.attributes:
                    found.extend(node.bodies)
        return found[::-1]

    def copy(self) -> Model:
        """Copy the main graph's lists and nodes; constants and bodies are shared.

        Returns
        -------
        model : Model
            Its main graph can be edited.

        Examples
        --------
        >>> model = Model(Graph("g", nodes=[Node("Relu", ["x"], ["y"])]), {"": 18})
        >>> model.copy().graph.nodes[0] is model.graph.nodes[0]
        False
        """
        old = self.graph
        nodes = [
            Node(
                n.op_type, [*n.inputs], [*n.outputs], n.name, n.domain, {**n.attributes}
            )
            for n in old.nodes
        ]
        graph = Graph(
            old.name,
            [*old.inputs],
            [*old.outputs],
            nodes,
            dict(old.constants),
            [*old.captures],
        )
        return Model(
            graph,
            dict(self.opsets),
            [*self.overridable],
            dict(self.metadata),
            self.format,
        )

    @property
    def n_nodes(self) -> int:
        """Nodes of all graphs together."""
        return sum(len(graph.nodes) for graph in self.graphs())

    def __repr__(self) -> str:
        """Give the signature in one line."""

        def text(values: Sequence[Value]) -> str:
            return ", ".join(value.name for value in values)

        return (
            f"Model({self.graph.name!r}: {text(self.graph.inputs)} -> "
            f"{text(self.graph.outputs)}, {self.n_nodes} nodes)"
        )
