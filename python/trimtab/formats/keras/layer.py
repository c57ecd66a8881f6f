"""What a rule for a layer gets and gives.

A rule is a function of a `LayerContext`: it reads the config, takes the weights, adds
ONNX operators for one call of the layer, and gives the outputs as `Tensor`. All
floating-point layers compute in float32, whatever precision they were trained in.
Rules are named in `table.LAYERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.formats.builder import GraphBuilder
from trimtab.formats.keras.config import Config
from trimtab.formats.keras.weights import LayerWeights
from trimtab.graph import DTYPES, Attribute, Constant, Dims
from trimtab.limits import Limits

__all__ = ["LayerContext", "Rule", "Source", "Tensor"]


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
class LayerContext:
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

    # ---- what comes in ----

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
        >>> context.argument("initial_state")              # doctest: +SKIP
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

    # ---- errors ----

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
        >>> raise context.error("expected 2 inputs, got 3")    # doctest: +SKIP
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
        >>> raise context.unsupported("stateful layers")       # doctest: +SKIP
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
        >>> context.size(context.x, -1)                    # doctest: +SKIP
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
        >>> context.rank(context.x, 3)                     # doctest: +SKIP
        3
        """
        if tensor.rank not in allowed:
            raise self.error(
                f"expected an input of {' or '.join(map(str, allowed))} dims, got "
                f"shape {tensor.shape}"
            )
        return tensor.rank

    # ---- what goes out ----

    def op(
        self,
        op_type: str,
        inputs: Sequence[Tensor | str],
        *,
        shape: Dims | None = None,
        dtype: str | None = None,
        mask: Tensor | None = None,
        domain: str = "",
        options: Mapping[str, Attribute] | None = None,
        **attributes: Attribute,
    ) -> Tensor:
        """Add an operator with one output.

        Parameters
        ----------
        op_type : str
        inputs : sequence of Tensor or str
            Tensors, names of constants, "" for what is absent.
        shape, dtype : optional
            Of the output; those of the first `Tensor` by default.
        mask : Tensor, optional
            Of the output.
        domain : str, optional
        options : mapping of str to Attribute, optional
            More attributes.
        **attributes : Attribute

        Returns
        -------
        tensor : Tensor

        Examples
        --------
        >>> context.op("Relu", [context.x], mask=context.mask)  # doctest: +SKIP
        """
        like = next((x for x in inputs if isinstance(x, Tensor)), None)
        if like is None:
            like = Tensor("", "float32", ())
        name = self.source.builder.op(
            op_type,
            [x.name if isinstance(x, Tensor) else x for x in inputs],
            name=f"{self.name}/{op_type}",
            output="",
            domain=domain,
            **{**(options or {}), **attributes},
        )
        return Tensor(
            name,
            like.dtype if dtype is None else dtype,
            like.shape if shape is None else shape,
            mask,
        )

    def ops(
        self,
        op_type: str,
        inputs: Sequence[Tensor | str],
        n_outputs: int,
        **attributes: Attribute,
    ) -> list[str]:
        """Add an operator with several outputs.

        Parameters
        ----------
        op_type : str
        inputs : sequence of Tensor or str
        n_outputs : int
        **attributes : Attribute

        Returns
        -------
        names : list of str
            Of the outputs.

        Examples
        --------
        >>> context.ops("Split", [x], 2, axis=-1, num_outputs=2)  # doctest: +SKIP
        """
        return self.source.builder.ops(
            op_type,
            [x.name if isinstance(x, Tensor) else x for x in inputs],
            n_outputs=n_outputs,
            name=f"{self.name}/{op_type}",
            outputs=None,
            domain="",
            **attributes,
        )

    def constant(
        self, value: npt.ArrayLike, dtype: str | None = None, name: str = "constant"
    ) -> str:
        """Add a constant that is not a weight.

        Parameters
        ----------
        value : array-like
        dtype : str, optional
            int64 for integers and float32 for numbers by default.
        name : str, optional

        Returns
        -------
        tensor : str

        Examples
        --------
        >>> context.constant([0, 2, 1])                    # doctest: +SKIP
        'conv/constant'
        """
        array = np.asarray(value)
        if dtype is None and array.dtype == np.float64:
            dtype = "float32"
        return self.source.builder.constant(array, f"{self.name}/{name}", dtype)

    def weight(
        self, name: str, shape: Sequence[int | None] | None = None, *, part: str = ""
    ) -> Tensor:
        """Take the next weight and add it as it is.

        Calls of one layer share it. It stays in the file until it is needed.

        Parameters
        ----------
        name : str
            "kernel".
        shape : sequence of (int or None), optional
            Sizes that it must have.
        part : str, default=""
            The object inside the layer that owns it: "cell".

        Returns
        -------
        tensor : Tensor

        Raises
        ------
        ModelFormatError
            There is none, or it has another shape.

        Examples
        --------
        >>> context.weight("kernel", (3, 4))               # doctest: +SKIP
        Tensor(name='dense/kernel', dtype='float32', shape=(3, 4), mask=None)
        """
        taken = self.weights.take(name, shape, part=part)
        if taken.dtype in ("float16", "bfloat16", "float64"):
            return self.made(
                f"{part and part + '/'}{name}", taken.numpy().astype(np.float32)
            )
        return self._shared(f"{part and part + '/'}{name}", taken)

    def array(
        self, name: str, shape: Sequence[int | None] | None = None, *, part: str = ""
    ) -> np.ndarray[Any, Any]:
        """Take the next weight as an array, to be changed; see `weight`, `made`.

        Parameters
        ----------
        name : str
        shape : sequence of (int or None), optional
        part : str, default=""

        Returns
        -------
        array : ndarray
            Floating-point weights as float32.

        Raises
        ------
        ModelFormatError
            There is none, or it has another shape.

        Examples
        --------
        >>> context.array("recurrent_kernel", (8, 32), part="cell")  # doctest: +SKIP
        """
        taken = self.weights.take(name, shape, part=part)
        array = taken.numpy()
        return array.astype(np.float32) if "float" in taken.dtype else array

    def made(self, name: str, value: npt.ArrayLike) -> Tensor:
        """Add a constant made of weights; calls of one layer share it.

        Parameters
        ----------
        name : str
            Unique within the layer.
        value : array-like
            Equal for every call.

        Returns
        -------
        tensor : Tensor

        Examples
        --------
        >>> context.made("W", kernel.T)                    # doctest: +SKIP
        Tensor(name='lstm/W', dtype='float32', shape=(1, 32, 5), mask=None)
        """
        return self._shared(name, Constant.of(np.asarray(value)))

    def _shared(self, name: str, value: Constant) -> Tensor:
        key = (self.name, name)
        if key not in self.source.shared:
            self.source.shared[key] = self.source.builder.constant(
                value, f"{self.name}/{name}"
            )
        return Tensor(self.source.shared[key], value.dtype, value.shape)

    def asset(self, name: str) -> bytes | None:
        """Give a file that belongs to the layer, or None.

        Parameters
        ----------
        name : str
            "vocabulary.txt".

        Returns
        -------
        content : bytes or None

        Examples
        --------
        >>> context.asset("vocabulary.txt")                # doctest: +SKIP
        b'[UNK]\\nthe\\na'
        """
        path = getattr(self.weights, "path", None)
        return None if path is None else self.source.assets(f"{path}/{name}")

    # ---- small tools ----

    def cast(self, tensor: Tensor, dtype: str) -> Tensor:
        """Give a tensor of another dtype; itself where it has that one.

        Parameters
        ----------
        tensor : Tensor
        dtype : str

        Returns
        -------
        tensor : Tensor

        Examples
        --------
        >>> context.cast(context.x, "float32")             # doctest: +SKIP
        """
        if tensor.dtype == dtype:
            return tensor
        to = DTYPES[dtype][0]
        return self.op("Cast", [tensor], dtype=dtype, mask=tensor.mask, to=to)

    def transpose(self, tensor: Tensor, perm: Sequence[int]) -> Tensor:
        """Permute the axes; permutations that meet become one, or none.

        Parameters
        ----------
        tensor : Tensor
        perm : sequence of int

        Returns
        -------
        tensor : Tensor

        Examples
        --------
        >>> context.transpose(context.x, [0, 2, 1])        # doctest: +SKIP
        """
        order = tuple(perm)
        mask = tensor.mask
        if tensor.name in self.source.turned:
            tensor, first = self.source.turned[tensor.name]
            order = tuple(first[axis] for axis in order)
        if order == tuple(range(tensor.rank)):
            return tensor.masked(mask)
        key = (tensor.name, order)
        if key not in self.source.turns:
            shape = tuple(tensor.shape[axis] for axis in order)
            made = self.op("Transpose", [tensor], shape=shape, perm=list(order))
            self.source.turns[key] = made
            self.source.turned[made.name] = (tensor, order)
        return self.source.turns[key].masked(mask)

    def before_transpose(self, *tensors: Tensor) -> tuple[list[Tensor], list[int]]:
        """Give tensors as they were before one permutation of all of them.

        What is done element by element can be done before it as well; then the
        permutations of layers that follow each other meet.

        Parameters
        ----------
        *tensors : Tensor
            Of one rank.

        Returns
        -------
        tensors : list of Tensor
            As given, where none of them was permuted.
        perm : list of int
            What takes them back, by `transpose`.

        Examples
        --------
        >>> [x], perm = context.before_transpose(context.x)    # doctest: +SKIP
        """
        order = tuple(range(tensors[0].rank))
        for tensor in tensors:
            if tensor.name in self.source.turned:
                order = self.source.turned[tensor.name][1]
                break
        back = [order.index(axis) for axis in range(len(order))]
        return [self.transpose(tensor, back) for tensor in tensors], list(order)

    def inner(
        self, serialised: Mapping[str, Any], inputs: Any, *, part: str, **kwargs: Any
    ) -> list[Tensor]:
        """Apply a layer inside this one: a wrapper's, a cell's.

        Parameters
        ----------
        serialised : mapping
            class_name and config, as the wrapper's config holds them.
        inputs : Tensor or list of Tensor
            First argument of its call.
        part : str
            Its path in the weights: "forward_layer", "layer".
        **kwargs : object
            Other arguments of the call.

        Returns
        -------
        outputs : list of Tensor

        Raises
        ------
        ModelFormatError
            It is malformed, or nested too deeply.
        UnsafeModelError
            Its class is not Keras' own.
        UnsupportedOpError
            No rule for it.

        Examples
        --------
        >>> context.inner(context.config.object("layer"), x, part="layer")
        ...                                                # doctest: +SKIP
        """
        from trimtab.formats.keras.apply import apply_layer, open_layer

        inside = open_layer(self, serialised, part)
        inside.args, inside.kwargs = (inputs,), kwargs
        return apply_layer(inside)


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


Rule: TypeAlias = Callable[[LayerContext], Union[Tensor, "list[Tensor]"]]
"""What `table.LAYERS` names. Masks are part of the tensors that come back: a rule
whose layer hands its input's mask on gives it to its output."""
