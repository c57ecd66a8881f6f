"""What a rule of differentiation gets to see: `Site`, one node on the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from trimtab.errors import UnsupportedOpError
from trimtab.graph import Constant, Node
from trimtab.train.emitter import Emitter, Tensor
from trimtab.types import Array

__all__ = ["Rule", "Site"]


class Site:
    """One node, the gradients of its outputs, and the emitter that writes.

    Parameters
    ----------
    emitter : Emitter
    node : Node
    gradients : sequence of Tensor or None
        Of each output, None where the loss does not depend on it.
    wanted : set of str
        Tensors whose gradients are wanted.
    shapes : dict of str to tuple
        Shapes that are known before the batch is: weights and declared inputs.

    Attributes
    ----------
    e : Emitter
    """

    __slots__ = ("_wanted", "e", "gradients", "node", "shapes")

    def __init__(
        self,
        emitter: Emitter,
        node: Node,
        gradients: Sequence[Tensor | None],
        wanted: set[str],
        shapes: dict[str, tuple[Any, ...]],
    ) -> None:
        self.e = emitter
        self.node = node
        self.gradients = gradients
        self.shapes = shapes
        self._wanted = wanted

    @property
    def g(self) -> Tensor:
        """The gradient of output 0; refuses a node of which another one is used."""
        first = self.gradients[0]
        if first is None:
            raise self.refusal("only outputs other than the first reach the loss")
        return first

    @property
    def y(self) -> Tensor:
        """Output 0."""
        return self.e.tensor(self.node.outputs[0])

    def has(self, i: int) -> bool:
        """Is input i there?

        Parameters
        ----------
        i : int

        Returns
        -------
        answer : bool
        """
        return i < len(self.node.inputs) and self.node.inputs[i] != ""

    def x(self, i: int = 0) -> Tensor:
        """Input i.

        Parameters
        ----------
        i : int

        Returns
        -------
        tensor : Tensor

        Raises
        ------
        UnsupportedOpError
            It is absent.
        """
        if not self.has(i):
            raise self.refusal(f"input {i} is absent")
        return self.e.tensor(self.node.inputs[i])

    def wants(self, i: int) -> bool:
        """Is the gradient of input i wanted?

        Parameters
        ----------
        i : int

        Returns
        -------
        answer : bool
        """
        return self.has(i) and self.node.inputs[i] in self._wanted

    def attribute(self, name: str, fallback: Any) -> Any:
        """Read an attribute.

        Parameters
        ----------
        name : str
        fallback : object
            What its absence means.

        Returns
        -------
        value : object
        """
        return self.node.attributes.get(name, fallback)

    def array(self, i: int) -> Array | None:
        """Read input i where it is a constant.

        Parameters
        ----------
        i : int

        Returns
        -------
        array : ndarray or None
        """
        if not self.has(i):
            return None
        found: Constant | None = self.e.model.graph.constants.get(self.node.inputs[i])
        return None if found is None else found.numpy()

    def rank(self, i: int) -> int | None:
        """Give the rank of input i where it is known before the batch is.

        Parameters
        ----------
        i : int

        Returns
        -------
        rank : int or None
        """
        shape = self.shapes.get(self.node.inputs[i]) if self.has(i) else None
        return None if shape is None else len(shape)

    def refusal(self, why: str) -> UnsupportedOpError:
        """Make the error that says why this node cannot be differentiated.

        Parameters
        ----------
        why : str

        Returns
        -------
        error : UnsupportedOpError
        """
        node = self.node
        kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        name = node.name or (node.outputs[0] if node.outputs else "")
        return UnsupportedOpError(f"{kind} {name!r} has no gradient here: {why}")


Rule: TypeAlias = Callable[[Site], Sequence["Tensor | None"]]
"""Gives a gradient for each input, None where there is none or it is not wanted;
trailing ones may be left out."""
