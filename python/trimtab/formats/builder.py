"""Graphs built operator by operator, for readers of formats that are not ONNX.

Enters: operators in the order in which they run. Leaves: a `trimtab.graph.Model`.
Names are kept where they are free and numbered where they are taken, so that
errors and profiles speak of the layers that the user knows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from trimtab.graph import (
    Attribute,
    Constant,
    Dims,
    Graph,
    Model,
    Node,
    Value,
    trimmed,
)

__all__ = ["OPSET", "GraphBuilder"]

#: Opset of ai.onnx that the built graphs use.
OPSET = 23


class GraphBuilder:
    """A graph in the making.

    Parameters
    ----------
    name : str
        Of the graph.
    parent : GraphBuilder, optional
        Of the graph whose If, Loop or Scan gets this one as a body; names of the
        parent may be used as inputs and are not given again.

    Examples
    --------
    >>> b = GraphBuilder("scale")
    >>> x = b.input("x", "float32", ("batch", 3))
    >>> y = b.op("Mul", [x, b.constant([2.0, 3.0, 4.0], "scale", "float32")])
    >>> b.output(y, "y")
    'y'
    >>> b.build("example")
    Model('scale': x -> y, 2 nodes)
    """

    def __init__(self, name: str, parent: GraphBuilder | None = None) -> None:
        self._graph = Graph(name)
        # Every name in use, with the number that was last tried behind it.
        self._taken: dict[str, int] = {} if parent is None else parent._taken
        self._own: set[str] = set()
        self._computed: set[str] = set()
        self._returned: set[str] = set()
        self._reserved: set[str] = set()
        self._parent = parent

    def unique(self, name: str) -> str:
        """Reserve a name: the one wanted, or that with a number.

        Parameters
        ----------
        name : str

        Returns
        -------
        name : str

        Examples
        --------
        >>> b = GraphBuilder("g")
        >>> b.unique("w"), b.unique("w")
        ('w', 'w_1')
        """
        wanted = name or "tensor"
        number = self._taken.get(wanted, 0)
        found = wanted
        while found in self._taken:
            number += 1
            found = f"{wanted}_{number}"
        self._taken[wanted] = number
        self._taken.setdefault(found, 0)
        return found

    def reserve(self, name: str) -> None:
        """Keep a name for `output`; whoever else wants it gets it with a number.

        Parameters
        ----------
        name : str

        Examples
        --------
        >>> b = GraphBuilder("g")
        >>> b.reserve("y")
        >>> y = b.op("Relu", [b.input("x", "float32", (2,))], name="y")
        >>> b.output(y, "y")
        'y'
        >>> b.build("example")
        Model('g': x -> y, 2 nodes)
        """
        if name not in self._taken:
            self._taken[name] = 0
            self._reserved.add(name)

    def input(self, name: str, dtype: str | None, shape: Dims | None) -> str:
        """Add an input.

        Parameters
        ----------
        name : str
        dtype : str or None
            Key of `trimtab.graph.DTYPES`.
        shape : tuple or None
            A number, a symbol or None for each dim.

        Returns
        -------
        tensor : str

        Examples
        --------
        >>> GraphBuilder("g").input("x", "float32", ("n", 4))
        'x'
        """
        found = self.unique(name)
        self._own.add(found)
        self._graph.inputs.append(Value(found, dtype, shape))
        return found

    def constant(
        self,
        value: npt.ArrayLike | Constant,
        name: str = "",
        dtype: str | None = None,
    ) -> str:
        """Add a constant.

        Parameters
        ----------
        value : array-like or Constant
        name : str, optional
        dtype : str, optional
            Converts `value`, which must then be array-like.

        Returns
        -------
        tensor : str

        Examples
        --------
        >>> GraphBuilder("g").constant([1, 2], "axes")
        'axes'
        """
        if not isinstance(value, Constant):
            import numpy as np

            value = Constant.of(np.asarray(value, dtype))
        found = self.unique(name or "constant")
        self._own.add(found)
        self._graph.constants[found] = value
        return found

    def op(
        self,
        op_type: str,
        inputs: Sequence[str],
        *,
        name: str = "",
        output: str = "",
        domain: str = "",
        **attributes: Attribute,
    ) -> str:
        """Add a node with one output.

        Parameters
        ----------
        op_type : str
        inputs : sequence of str
            Tensors; "" for an optional one that is absent.
        name : str, optional
            Of the node, and of its output unless `output` is given.
        output : str, optional
            Name wanted for the output.
        domain : str, optional
        **attributes : Attribute

        Returns
        -------
        tensor : str

        Examples
        --------
        >>> b = GraphBuilder("g")
        >>> b.op("Relu", [b.input("x", "float32", (2,))], name="activation")
        'activation'
        """
        return self.ops(
            op_type,
            inputs,
            n_outputs=1,
            name=name,
            outputs=[output] if output else None,
            domain=domain,
            **attributes,
        )[0]

    def ops(
        self,
        op_type: str,
        inputs: Sequence[str],
        *,
        n_outputs: int,
        name: str = "",
        outputs: Sequence[str] | None = None,
        domain: str = "",
        **attributes: Attribute,
    ) -> list[str]:
        """Add a node with several outputs.

        Parameters
        ----------
        op_type : str
        inputs : sequence of str
            Empty ones at the end are left out.
        n_outputs : int
        name : str, optional
        outputs : sequence of str, optional
            Names wanted for the outputs.
        domain : str, optional
        **attributes : Attribute

        Returns
        -------
        tensors : list of str

        Examples
        --------
        >>> b = GraphBuilder("g")
        >>> b.ops("Split", [b.input("x", "float32", (4,))], n_outputs=2, num_outputs=2)
        ['Split', 'Split_1']
        """
        wanted = outputs or [name or op_type] * n_outputs
        found = [self.unique(output) for output in wanted]
        self._own.update(found)
        self._computed.update(found)
        self._graph.nodes.append(
            Node(op_type, trimmed(inputs), found, name or found[0], domain, attributes)
        )
        return found

    def output(
        self,
        tensor: str,
        name: str = "",
        dtype: str | None = None,
        shape: Dims | None = None,
    ) -> str:
        """Make a tensor an output of the graph.

        Parameters
        ----------
        tensor : str
        name : str, optional
            How the output is called; the tensor's own name by default.
        dtype : str, optional
        shape : tuple, optional
            What is known of it.

        Returns
        -------
        tensor : str
            The name that the output got.

        Examples
        --------
        >>> b = GraphBuilder("g")
        >>> b.output(b.input("x", "float32", (2,)), "y")
        'y'
        """
        is_plain = tensor in self._computed and tensor not in self._returned
        if not is_plain or (name and name != tensor):
            if name in self._reserved:  # it is free again for this one node
                self._reserved.remove(name)
                del self._taken[name]
            tensor = self.op("Identity", [tensor], output=name or tensor)
        self._returned.add(tensor)
        self._graph.outputs.append(Value(tensor, dtype, shape))
        return tensor

    def body(self) -> Graph:
        """Give the graph, as a body for the parent's If, Loop or Scan.

        Returns
        -------
        graph : Graph

        Examples
        --------
        >>> GraphBuilder("then").body().name
        'then'
        """
        read = {name for node in self._graph.nodes for name in node.inputs if name}
        for node in self._graph.nodes:
            for inner in node.bodies:
                read.update(inner.captures)
        outputs = {value.name for value in self._graph.outputs}
        self._graph.captures = sorted((read | outputs) - self._own)
        return self._graph

    def build(self, format: str, metadata: dict[str, str] | None = None) -> Model:
        """Give the model.

        Parameters
        ----------
        format : str
            Key of `trimtab.formats.FORMATS` or `OBJECTS`.
        metadata : dict of str to str, optional
            What is known of its source.

        Returns
        -------
        model : Model

        Examples
        --------
        >>> GraphBuilder("g").build("keras").opsets
        {'': 23}
        """
        domains = {node.domain for node in self._graph.nodes if node.domain}
        opsets = {"": OPSET, **dict.fromkeys(sorted(domains), 1)}
        return Model(self._graph, opsets, metadata=metadata, format=format)
