"""What a rule for a layer gets and gives.

A rule is a function of a `LayerContext`: it reads the config, takes the weights, adds
ONNX operators for one call of the layer, and gives the outputs as `Tensor`. All
floating-point layers compute in float32, whatever precision they were trained in.
Rules are named in `table.LAYERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt

from trimtab.formats.keras.layer_call import LayerCall, Source, Tensor
from trimtab.graph import DTYPES, Attribute, Constant, Dims

__all__ = ["LayerContext", "Rule", "Source", "Tensor"]


class LayerContext(LayerCall):
    """One call of one layer, and what its rule adds to the graph.

    The parameters are those of `LayerCall`.
    """

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


Rule: TypeAlias = Callable[[LayerContext], Union[Tensor, "list[Tensor]"]]
"""What `table.LAYERS` names. Masks are part of the tensors that come back: a rule
whose layer hands its input's mask on gives it to its output."""
