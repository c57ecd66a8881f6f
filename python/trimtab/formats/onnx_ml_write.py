"""Writing plain operators in place of those of ai.onnx.ml and other domains.

Enters: a graph and one node of it at a time. Leaves: nodes and constants that are
named after the node they stand for, and the names of the classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.graph import Constant, Dims, Graph, Node, Value, trimmed
from trimtab.types import Array

__all__ = ["CORE_DOMAIN", "DOMAIN", "Keep", "MlWriter", "attribute"]

DOMAIN = "ai.onnx.ml"
#: Of operators of the core that no file names.
CORE_DOMAIN = "trimtab"
_FLOAT = 1  # TensorProto.DataType


class Keep(Exception):
    """The node is of a kind that stays as it is."""


class MlWriter:
    """Adds nodes to a graph.

    Parameters
    ----------
    graph : Graph
        The new constants go there; the new nodes to `nodes`.
    opset : int
        Of ai.onnx, whose operators are written.
    main : Graph, optional
        The graph around, when `graph` is a body: its constants are known too.
    """

    def __init__(self, graph: Graph, opset: int, main: Graph | None = None) -> None:
        self.opset = opset
        self._main = graph if main is None else main
        self.nodes: list[Node] = []
        self.classes: list[str] | None = None
        self._graph = graph
        self._taken = set(graph.constants) | {value.name for value in graph.inputs}
        self._taken.update(name for node in graph.nodes for name in node.outputs)

    def note_classes(self, names: list[str]) -> bool:
        """Keep the names of the classes; False when the graph has other ones.

        Parameters
        ----------
        names : list of str
            In the order of the numbers that stand for them.

        Returns
        -------
        is_kept : bool
        """
        if self.classes is None:
            self.classes = names
        return self.classes == names

    def names_of(self, tensor: str) -> list[str] | None:
        """Strings of a constant that holds some.

        Parameters
        ----------
        tensor : str

        Returns
        -------
        names : list of str or None
        """
        constant = self._graph.constants.get(tensor)
        if constant is None or constant.dtype != "string":
            return None
        names: list[str] = constant.numpy().reshape(-1).tolist()
        return names

    def rank_of(self, tensor: str) -> int | None:
        """Number of dims of a constant or an input, where it is known.

        Parameters
        ----------
        tensor : str

        Returns
        -------
        rank : int or None
        """
        shape = self.shape_of(tensor)
        return None if shape is None else len(shape)

    def shape_of(self, tensor: str) -> Dims | None:
        """Dims of a constant or an input, where they are known.

        Parameters
        ----------
        tensor : str

        Returns
        -------
        shape : tuple or None
        """
        constant = self._constant(tensor)
        if constant is not None:
            return constant.shape
        found = self._input(tensor)
        return None if found is None else found.shape

    def dtype_of(self, tensor: str) -> str | None:
        """Element type of a constant or an input, where it is known.

        Parameters
        ----------
        tensor : str

        Returns
        -------
        dtype : str or None
        """
        found = self._constant(tensor) or self._input(tensor)
        return None if found is None else found.dtype

    def _constant(self, tensor: str) -> Constant | None:
        own = self._graph.constants.get(tensor)
        if own is None and tensor not in self._taken:
            return self._main.constants.get(tensor)
        return own

    def _input(self, tensor: str) -> Value | None:
        return next((v for v in self._graph.inputs if v.name == tensor), None)

    def value_of(self, tensor: str) -> Array | None:
        """Elements of a constant.

        Parameters
        ----------
        tensor : str

        Returns
        -------
        array : ndarray or None
            None where the tensor is no constant, or of texts.
        """
        constant = self._constant(tensor)
        if constant is None or constant.dtype == "string":
            return None
        return constant.numpy()

    # ---- writing -------------------------------------------------------------------

    def free(self, wanted: str) -> str:
        """Take a name for a tensor.

        Parameters
        ----------
        wanted : str

        Returns
        -------
        name : str
            With a number behind it where it was taken.
        """
        found, number = wanted, 0
        while found in self._taken:
            number += 1
            found = f"{wanted}_{number}"
        self._taken.add(found)
        return found

    def constant(self, node: Node, value: Array) -> str:
        """Add a constant for a node.

        Parameters
        ----------
        node : Node
        value : ndarray

        Returns
        -------
        tensor : str
        """
        return self.hold(f"{node.name}.constant", Constant.of(value))

    def hold(self, wanted: str, constant: Constant) -> str:
        """Add a constant under a name of its own.

        Parameters
        ----------
        wanted : str
        constant : Constant

        Returns
        -------
        tensor : str
        """
        name = self.free(wanted)
        self._graph.constants[name] = constant
        return name

    def op(
        self,
        node: Node,
        op_type: str,
        inputs: list[str],
        output: str = "",
        domain: str = "",
        **more: Any,
    ) -> str:
        """Add a node in place of another, which names it.

        Parameters
        ----------
        node : Node
        op_type : str
        inputs : list of str
            Empty ones at the end are left out.
        output : str, optional
            Tensor that it gives; a new one by default.
        domain : str, optional
            Of the operator; ai.onnx by default.
        **more : object
            Attributes.

        Returns
        -------
        tensor : str
        """
        found = output or self.free(f"{node.name}.{op_type}")
        name = f"{node.name}.{op_type}"
        self.nodes.append(Node(op_type, trimmed(inputs), [found], name, domain, more))
        return found

    def reduce(self, node: Node, op_type: str, tensor: str, output: str = "") -> str:
        """Reduce over the last dim, which stays with size 1.

        Parameters
        ----------
        node : Node
        op_type : str
        tensor : str
        output : str, optional

        Returns
        -------
        tensor : str
        """
        if self.opset >= 18:
            axes = self.constant(node, np.array([-1], np.int64))
            return self.op(node, op_type, [tensor, axes], output, keepdims=1)
        return self.op(node, op_type, [tensor], output, axes=[-1], keepdims=1)

    def floats(self, node: Node, tensor: str) -> str:
        """Convert to float32, as all of ai.onnx.ml computes.

        Parameters
        ----------
        node : Node
        tensor : str

        Returns
        -------
        tensor : str
        """
        return self.op(node, "Cast", [tensor], to=_FLOAT)


def attribute(node: Node, name: str, dtype: str = "float32") -> Array:
    """Give a list attribute as an array; empty where there is none.

    Parameters
    ----------
    node : Node
    name : str
    dtype : str, default="float32"

    Returns
    -------
    values : ndarray of one dim

    Examples
    --------
    >>> node = Node("Scaler", ["x"], ["y"], attributes={"scale": [2.0]})
    >>> attribute(node, "scale"), attribute(node, "offset")
    (array([2.], dtype=float32), array([], dtype=float32))
    """
    return np.asarray(node.attributes.get(name, []), dtype).reshape(-1)
