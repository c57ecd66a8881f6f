"""What a model means, in ONNX's words: the one representation every format ends in.

A `Model` holds a `Graph`; a graph holds `Node` objects in topological order over
tensors that go by name. Readers (`trimtab.formats`) make it, `trimtab.wire` encodes
it for the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, Union

import numpy as np

from trimtab.types import Array, numpy_dtype

__all__ = ["DTYPES", "Attribute", "Constant", "Dims", "Graph", "Model", "Node", "Value"]

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
}

Dims: TypeAlias = "tuple[int | str | None, ...]"
"""Sizes: a number, a symbol that stands for one number, or None for any."""


@dataclass(slots=True)
class Value:
    """A tensor as far as the file declares it.

    Parameters
    ----------
    name : str
    dtype : str or None
        Key of `DTYPES`; None when unknown.
    shape : tuple of (int, str or None) or None
        None when even the number of dims is unknown.
    """

    name: str
    dtype: str | None = None
    shape: Dims | None = None


@dataclass(slots=True, eq=False)
class Constant:
    """A tensor whose elements are known.

    Parameters
    ----------
    dtype : str
        Key of `DTYPES`.
    shape : tuple of int
    data : ndarray
        The elements' bytes, row-major and contiguous; any dtype will do. Two
        elements of 4 bits share a byte, the first in the lower half.

    Examples
    --------
    >>> Constant.of(np.ones((2, 3), np.float32)).n_bytes
    24
    """

    dtype: str
    shape: tuple[int, ...]
    data: Array

    @classmethod
    def of(cls, array: Any) -> Constant:
        """Make one from an array of a NumPy dtype; copies only what is strided.

        Parameters
        ----------
        array : array-like
            Of any dtype that ONNX has.

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
        if array.dtype.name not in DTYPES:
            raise TypeError(f"no element type of ONNX is {array.dtype}")
        return cls(array.dtype.name, array.shape, array)

    @property
    def n_bytes(self) -> int:
        """Bytes of the elements.

        Examples
        --------
        >>> Constant("int4", (3,), np.zeros(2, np.uint8)).n_bytes
        2
        """
        return self.data.nbytes

    def numpy(self) -> Array:
        """View the elements as an array of the NumPy dtype that holds them.

        Raises
        ------
        TypeError
            Elements of 4 bits have no NumPy dtype.

        Examples
        --------
        >>> Constant.of(np.eye(2)).numpy().sum()
        np.float64(2.0)
        """
        if DTYPES[self.dtype][1] < 8:
            raise TypeError(f"NumPy has no dtype for {self.dtype}")
        flat = self.data.reshape(-1).view(np.uint8)
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


@dataclass(slots=True)
class Node:
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

    op_type: str
    inputs: list[str]
    outputs: list[str]
    name: str = ""
    domain: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def bodies(self) -> list[Graph]:
        """Graphs among the attributes, in their order.

        Examples
        --------
        >>> Node("Relu", ["x"], ["y"]).bodies
        []
        """
        return [v for v in self.attributes.values() if isinstance(v, Graph)]


@dataclass(slots=True, eq=False)
class Graph:
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

    name: str
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Constant] = field(default_factory=dict)
    captures: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Model:
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

    Examples
    --------
    >>> relu = Node("Relu", ["x"], ["y"])
    >>> Model(Graph("g", [Value("x")], [Value("y")], [relu]), {"": 18}).n_nodes
    1
    """

    graph: Graph
    opsets: dict[str, int]
    overridable: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    format: str = ""

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
