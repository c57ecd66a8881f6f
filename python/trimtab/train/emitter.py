"""Writing nodes into a graph as formulas: `Emitter` and its `Tensor`.

A rule of differentiation, a loss, is a formula over tensors; here ``g * (1 - y * y)``
adds the nodes that compute it and gives the tensor that holds the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, Union

import numpy as np

from trimtab.graph import Attribute, Constant, Graph, Model, Node, Value
from trimtab.types import Array

__all__ = ["Emitter", "Operand", "Tensor"]

Operand: TypeAlias = Union["Tensor", str, float, int]
"""A tensor, its name, or a number that becomes a constant of the emitter's dtype."""


class Tensor:
    """A tensor of the graph that is being written; made by `Emitter.tensor`.

    The operators ``+ - * / > < >= <=`` and unary minus add nodes; numbers become
    constants of the emitter's dtype.

    Parameters
    ----------
    emitter : Emitter
    name : str
    """

    __slots__ = ("emitter", "name")

    def __init__(self, emitter: Emitter, name: str) -> None:
        self.emitter = emitter
        self.name = name

    def __add__(self, other: Operand) -> Tensor:
        """Emit Add."""
        return self.emitter.emit("Add", self, other)

    def __radd__(self, other: Operand) -> Tensor:
        """Emit Add."""
        return self.emitter.emit("Add", other, self)

    def __sub__(self, other: Operand) -> Tensor:
        """Emit Sub."""
        return self.emitter.emit("Sub", self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        """Emit Sub."""
        return self.emitter.emit("Sub", other, self)

    def __mul__(self, other: Operand) -> Tensor:
        """Emit Mul."""
        return self.emitter.emit("Mul", self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        """Emit Mul."""
        return self.emitter.emit("Mul", other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        """Emit Div."""
        return self.emitter.emit("Div", self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        """Emit Div."""
        return self.emitter.emit("Div", other, self)

    def __neg__(self) -> Tensor:
        """Emit Neg."""
        return self.emitter.emit("Neg", self)

    def __gt__(self, other: Operand) -> Tensor:
        """Emit Greater."""
        return self.emitter.emit("Greater", self, other)

    def __lt__(self, other: Operand) -> Tensor:
        """Emit Less."""
        return self.emitter.emit("Less", self, other)

    def __ge__(self, other: Operand) -> Tensor:
        """Emit the negation of Less: false comparisons with NaN aside, >=."""
        return self.emitter.emit("Not", self.emitter.emit("Less", self, other))

    def __le__(self, other: Operand) -> Tensor:
        """Emit the negation of Greater."""
        return self.emitter.emit("Not", self.emitter.emit("Greater", self, other))


Step: TypeAlias = Callable[
    ["Emitter", Tensor, list[Tensor]], tuple[list[Tensor], list[Tensor]]
]
"""One turn of a loop: (emitter of its body, number of the turn, state) -> the next
state and what is kept of this turn."""


class Emitter:
    """Adds nodes and constants to the end of a model's main graph.

    Parameters
    ----------
    model : trimtab.graph.Model
        Is edited; its opset is at least 13.
    dtype : str
        Of the constants that numbers become: "float32" or "float64".

    Examples
    --------
    >>> from trimtab.graph import Graph, Value
    >>> model = Model(Graph("g", [Value("x")]), {"": 17})
    >>> emitter = Emitter(model)
    >>> x = emitter.tensor("x")
    >>> _ = x * x + 1.0
    >>> [node.op_type for node in model.graph.nodes]
    ['Mul', 'Add']
    """

    def __init__(self, model: Model, dtype: str = "float32") -> None:
        self.model = model
        #: Where nodes and constants go.
        self.graph = model.graph
        self.dtype = dtype
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._count = 0
        self._names = {value.name for value in model.graph.inputs}
        for graph in model.graphs():
            self._names.update(graph.constants)
            self._names.update(value.name for value in graph.inputs)
            for node in graph.nodes:
                self._names.update(node.outputs)

    def unique(self, wanted: str) -> str:
        """Reserve a tensor name: the one wanted, or that with a number.

        Parameters
        ----------
        wanted : str

        Returns
        -------
        name : str
        """
        name = wanted
        while name in self._names:
            self._count += 1
            name = f"{wanted}_{self._count}"
        self._names.add(name)
        return name

    def tensor(self, name: str) -> Tensor:
        """Speak of a tensor that is there.

        Parameters
        ----------
        name : str

        Returns
        -------
        tensor : Tensor
        """
        return Tensor(self, name)

    def constant(self, value: Array) -> Tensor:
        """Add a constant, once for equal ones.

        Parameters
        ----------
        value : ndarray

        Returns
        -------
        tensor : Tensor
        """
        made = Constant.of(value)
        key = (made.dtype, made.shape, made.elements().tobytes())
        if key not in self._constants:
            name = self.unique("grad/constant")
            self.graph.constants[name] = made
            self._constants[key] = name
        return self.tensor(self._constants[key])

    def number(self, value: float) -> Tensor:
        """Add a scalar of the emitter's dtype.

        Parameters
        ----------
        value : float

        Returns
        -------
        tensor : Tensor
        """
        return self.constant(np.array(value, self.dtype))

    def ints(self, values: Sequence[int]) -> Tensor:
        """Add a list of int64: axes, a shape.

        Parameters
        ----------
        values : sequence of int

        Returns
        -------
        tensor : Tensor
        """
        return self.constant(np.array(values, np.int64).reshape(len(values)))

    def emit(
        self, op_type: str, *inputs: Operand, domain: str = "", **attributes: Attribute
    ) -> Tensor:
        """Add a node of one output.

        Parameters
        ----------
        op_type : str
        *inputs : Tensor, str, float or int
        domain : str
        **attributes : Attribute

        Returns
        -------
        output : Tensor
        """
        return self.emit_many(op_type, 1, *inputs, domain=domain, **attributes)[0]

    def emit_many(
        self,
        op_type: str,
        n_outputs: int,
        *inputs: Operand,
        domain: str = "",
        **attributes: Attribute,
    ) -> list[Tensor]:
        """Add a node of several outputs.

        Parameters
        ----------
        op_type : str
        n_outputs : int
        *inputs : Tensor, str, float or int
        domain : str
        **attributes : Attribute

        Returns
        -------
        outputs : list of Tensor
        """
        stem = f"grad/{op_type}"
        names = [self.unique(stem) for _ in range(n_outputs)]
        self.graph.nodes.append(
            Node(
                op_type,
                [self._name(x) for x in inputs],
                names,
                names[0],
                domain,
                dict(attributes),
            )
        )
        return [self.tensor(name) for name in names]

    def loop(
        self, n: Tensor, state: Sequence[Tensor], n_kept: int, step: Step
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Add a Loop of n turns.

        Parameters
        ----------
        n : Tensor
            int64 scalar.
        state : sequence of Tensor
            What the first turn begins with.
        n_kept : int
            How many tensors each turn keeps.
        step : callable
            Writes the body; it may read tensors from outside.

        Returns
        -------
        state : list of Tensor
            Behind the last turn.
        kept : list of Tensor
            What the turns kept, stacked along a new first axis.
        """
        body = Graph(self.unique("grad/body"))
        inside = Emitter.__new__(Emitter)
        inside.__dict__.update(self.__dict__)
        inside.graph, inside._constants = body, {}
        turn, going, *before = (
            self.unique(f"grad/{name}")
            for name in ("turn", "going", *("state",) * len(state))
        )
        after, kept = step(
            inside, Tensor(inside, turn), [Tensor(inside, s) for s in before]
        )
        still = inside.emit("Identity", going)
        body.inputs = [
            Value(turn, "int64", ()),
            Value(going, "bool", ()),
            *(Value(name, self.dtype) for name in before),
        ]
        # Outputs are tensors of their own: a state may be one of the inputs.
        named = [inside.emit("Identity", x) for x in (*after, *kept)]
        body.outputs = [Value(still.name, "bool", ())]
        body.outputs += [Value(x.name, self.dtype) for x in named]
        body.captures = _captures(body)
        self._count = max(self._count, inside._count)
        found = self.emit_many(
            "Loop",
            len(state) + n_kept,
            n,
            self.constant(np.array(True)),
            *state,
            body=body,
        )
        return found[: len(state)], found[len(state) :]

    def ours(self, op_type: str, *inputs: Operand, **attributes: Attribute) -> Tensor:
        """Add a node of domain trimtab.

        Parameters
        ----------
        op_type : str
        *inputs : Tensor, str, float or int
        **attributes : Attribute

        Returns
        -------
        output : Tensor
        """
        return self.emit(op_type, *inputs, domain="trimtab", **attributes)

    def where(self, condition: Tensor, a: Operand, b: Operand) -> Tensor:
        """Choose by item.

        Parameters
        ----------
        condition : Tensor
        a, b : Tensor, str, float or int

        Returns
        -------
        chosen : Tensor
        """
        return self.emit("Where", condition, a, b)

    def shape(self, x: Operand) -> Tensor:
        """Give the dims; known when compiling, so nothing is computed in a call.

        Parameters
        ----------
        x : Tensor or str

        Returns
        -------
        dims : Tensor
            int64 of shape (rank,).
        """
        return self.emit("Shape", x)

    def sum_to(self, g: Tensor, x: Operand) -> Tensor:
        """Sum over the dims in which `x` was stretched to the shape of `g`.

        Parameters
        ----------
        g : Tensor
        x : Tensor or str

        Returns
        -------
        summed : Tensor
            Of the shape of x.
        """
        return self.ours("SumTo", g, self.shape(x))

    def sum(
        self, x: Tensor, axes: Sequence[int] | None = None, *, keep: bool = True
    ) -> Tensor:
        """Sum over axes.

        Parameters
        ----------
        x : Tensor
        axes : sequence of int, optional
            All by default.
        keep : bool
            Do the axes stay, with one item?

        Returns
        -------
        summed : Tensor
        """
        inputs: list[Operand] = [x] if axes is None else [x, self.ints(axes)]
        return self.emit("ReduceSum", *inputs, keepdims=int(keep))

    def reshape_as(self, g: Tensor, x: Operand) -> Tensor:
        """Give the items the dims of another tensor.

        Parameters
        ----------
        g : Tensor
        x : Tensor or str

        Returns
        -------
        reshaped : Tensor
        """
        return self.emit("Reshape", g, self.shape(x))

    def expand_as(self, g: Tensor, x: Operand) -> Tensor:
        """Stretch to the shape of another tensor.

        Parameters
        ----------
        g : Tensor
        x : Tensor or str

        Returns
        -------
        stretched : Tensor
        """
        return self.emit("Expand", g, self.shape(x))

    def _name(self, x: Operand) -> str:
        if isinstance(x, Tensor):
            return x.name
        return x if isinstance(x, str) else self.number(float(x)).name


def _captures(body: Graph) -> list[str]:
    """Tensors that a body reads and does not make."""
    own = {value.name for value in body.inputs} | set(body.constants)
    own.update(name for node in body.nodes for name in node.outputs)
    read = [name for node in body.nodes for name in node.inputs if name]
    return [name for name in dict.fromkeys(read) if name not in own]
