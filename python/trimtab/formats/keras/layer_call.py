"""A call of a layer: the tensors, config and weights that come in, and its errors.

Enters: what the file says of a layer and of one call of it. Leaves: checked values, or
an error that names the layer. `layer.LayerContext` adds what a rule makes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.formats.builder import GraphBuilder
from trimtab.formats.keras.config import Config
from trimtab.formats.keras.weights import LayerWeights
from trimtab.graph import Dims
from trimtab.limits import Limits

__all__ = ["LayerCall", "Source", "Tensor"]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph in the making, as Keras sees it.

    Parameters
    ----------
    name : str
        In the graph.
    dtype : str
        Key of `trimtab.graph.DTYPES`.
    shape : tuple of (int, str or None)
        The batch first. A symbol stands for one number, None for any.
    mask : Tensor, optional
        Keras' mask: bool, true for the steps that count; of shape (batch, steps)
        after Embedding and Masking.
    """

    name: str
    dtype: str
    shape: Dims
    mask: Tensor | None = None

    @property
    def rank(self) -> int:
        """Number of dims."""
        return len(self.shape)

    @property
    def is_float(self) -> bool:
        """Are the elements floating-point numbers?"""
        return "float" in self.dtype

    def masked(self, mask: Tensor | None) -> Tensor:
        """Give the same tensor with another mask, or without one.

        Parameters
        ----------
        mask : Tensor or None

        Returns
        -------
        tensor : Tensor

        Examples
        --------
        >>> Tensor("x", "float32", ("batch", 3)).masked(None).mask is None
        True
        """
        return replace(self, mask=mask)


@dataclass
class Source:
    """What all layers of a file share.

    Parameters
    ----------
    builder : GraphBuilder
        Of the main graph.
    limits : Limits
        Bounds on what the file may ask for.
    keras_version : str
        As the file says, "2.11.0"; "" when it does not.
    assets : callable
        Gives the content of a file that belongs to a layer, by its path
        ("layers/text_vectorization/vocabulary.txt"), or None.
    """

    builder: GraphBuilder
    limits: Limits
    keras_version: str = ""
    assets: Callable[[str], bytes | None] = lambda path: None
    shared: dict[tuple[str, str], str] = field(default_factory=dict)
    turned: dict[str, tuple[Tensor, tuple[int, ...]]] = field(default_factory=dict)
    turns: dict[tuple[str, tuple[int, ...]], Tensor] = field(default_factory=dict)

    @property
    def keras_major(self) -> int:
        """1, 2 or 3: definitions changed between them (hard_sigmoid)."""
        first = self.keras_version.partition(".")[0]
        return int(first) if first in ("1", "2", "3") else 2


@dataclass
class LayerCall:
    """One call of one layer.

    Parameters
    ----------
    source : Source
        What all layers share.
    name : str
        Of the layer, with the nested models it is in: "encoder/dense".
    class_name : str
        Key of `table.LAYERS`.
    config : Config
        Its config.
    weights : LayerWeights
        Its weights, none taken.
    args : tuple
        Positional arguments of the call: tensors, lists and dicts of tensors,
        constants.
    kwargs : mapping
        Arguments by name.
    depth : int
        How many models and wrappers it is inside.
    """

    source: Source
    name: str
    class_name: str
    config: Config
    weights: LayerWeights
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    depth: int = 0

    @property
    def where(self) -> str:
        """Opens messages: "layer 'conv' (Conv2D)"."""
        return self.config.where

    @property
    def inputs(self) -> list[Tensor]:
        """Tensors of the first argument: one, or those of a list or dict."""
        first = self.args[0] if self.args else None
        if first is None and self.kwargs:  # call(inputs=x)
            first = next(iter(self.kwargs.values()))
        return _tensors(first)

    @property
    def x(self) -> Tensor:
        """The only tensor of the first argument.

        Raises
        ------
        ModelFormatError
            There are none or several.
        """
        found = self.inputs
        if len(found) != 1:
            raise self.error(f"expected one input, got {len(found)}")
        return found[0]

    def argument(self, name: str, position: int | None = None) -> Any:
        """Give an argument of the call, or None.

        Parameters
        ----------
        name : str
            "mask", "initial_state", "training".
        position : int, optional
            Where it may stand among the positional ones.

        Returns
        -------
        value : object
            A `Tensor`, a list of them, or a constant.

        Examples
        --------
        >>> call.argument("initial_state")              # doctest: +SKIP
        """
        if name in self.kwargs:
            return self.kwargs[name]
        if position is not None and position < len(self.args):
            return self.args[position]
        return None

    @property
    def mask(self) -> Tensor | None:
        """The mask of the call: an argument, else that of the first input."""
        given = self.argument("mask")
        if isinstance(given, Tensor):
            return given
        found = self.inputs
        return found[0].mask if found else None

    def error(self, what: str) -> ModelFormatError:
        """Make an error that names the layer.

        Parameters
        ----------
        what : str
            What was expected and what came.

        Returns
        -------
        error : ModelFormatError
            To be raised.

        Examples
        --------
        >>> raise call.error("expected 2 inputs, got 3")    # doctest: +SKIP
        """
        return ModelFormatError(f"{self.where}: {what}")

    def unsupported(self, what: str) -> UnsupportedOpError:
        """Make the error for something official that cannot be expressed.

        Parameters
        ----------
        what : str
            "merge_mode='x' is not supported".

        Returns
        -------
        error : UnsupportedOpError
            To be raised.

        Examples
        --------
        >>> raise call.unsupported("stateful layers")       # doctest: +SKIP
        """
        return UnsupportedOpError(f"{self.where}: {what}")

    def size(self, tensor: Tensor, axis: int) -> int:
        """Give a dim that must be a number.

        Parameters
        ----------
        tensor : Tensor
        axis : int
            Negative ones count from the end.

        Returns
        -------
        size : int

        Raises
        ------
        ModelFormatError
            There is no such axis, or its size is open.

        Examples
        --------
        >>> call.size(call.x, -1)                    # doctest: +SKIP
        64
        """
        if not -tensor.rank <= axis < tensor.rank:
            raise self.error(f"an input of shape {tensor.shape} has no axis {axis}")
        found = tensor.shape[axis]
        if not isinstance(found, int):
            raise self.error(
                f"axis {axis} of an input of shape {tensor.shape} has no fixed size"
            )
        return found

    def rank(self, tensor: Tensor, *allowed: int) -> int:
        """Check the number of dims.

        Parameters
        ----------
        tensor : Tensor
        *allowed : int

        Returns
        -------
        rank : int

        Raises
        ------
        ModelFormatError
            It is none of these.

        Examples
        --------
        >>> call.rank(call.x, 3)                     # doctest: +SKIP
        3
        """
        if tensor.rank not in allowed:
            raise self.error(
                f"expected an input of {' or '.join(map(str, allowed))} dims, got "
                f"shape {tensor.shape}"
            )
        return tensor.rank


def _tensors(value: Any) -> list[Tensor]:
    """Tensors of a list, or of a dict by its keys' order, at any depth."""
    found, todo = [], [value]
    while todo:
        item = todo.pop()
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, list | tuple):
            todo.extend(reversed(item))
        elif isinstance(item, Mapping):
            todo.extend(item[key] for key in sorted(item, key=str, reverse=True))
    return found
