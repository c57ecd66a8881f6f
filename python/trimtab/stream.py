"""Models that carry something from step to step: `Stream`.

Enters: a `trimtab.Model` and which of its outputs feed which of its inputs the next
time. Leaves: the other outputs, step by step. The model itself stays without memory,
so that any number of streams may share it.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError, ModelFormatError
from trimtab.signature import TensorSpec
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["Stream"]

_MAX_STATE_BYTES = 1 << 30


class Stream:
    """One sequence that a model works on; made by `Model.stream`.

    ``stream(x)`` runs one step: it takes the model's inputs without the states, in
    graph order or by name, and gives the outputs without the states. One thread at a
    time; many streams may share a model and run at once.

    Parameters
    ----------
    model : Model
    states : mapping of str to str, optional
        Output by input; by default what the model's file says.
    initial : mapping of str to array-like, optional
        First values by input. Where none is given the file's are taken, else zeros
        with 1 for every dim that may vary.

    Raises
    ------
    InputError
        The model has no such input or output, they do not fit each other, or nothing
        says which are states.
    ModelFormatError
        What the file says of its states is malformed.

    Examples
    --------
    >>> import trimtab
    >>> model = trimtab.load_model("hey_jarvis.tflite")    # doctest: +SKIP
    >>> stream = model.stream()                            # doctest: +SKIP
    >>> [stream(frame).item() for frame in frames]         # doctest: +SKIP
    [0, 0, 3, 251]
    """

    def __init__(
        self,
        model: Model,
        states: Mapping[str, str] | None = None,
        *,
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        told = _told(model)
        if states is None:
            states = {str(name): str(entry["output"]) for name, entry in told.items()}
        if not states:
            raise InputError(
                f"{model.name} does not say what it carries from step to step: name "
                "its states as {input: output}; it has inputs "
                f"{[spec.name for spec in model.inputs]} and outputs "
                f"{[spec.name for spec in model.outputs]}"
            )
        self._model = model
        self._inputs = {spec.name: spec for spec in model.inputs}
        self._outputs = [spec.name for spec in model.outputs]
        self._links = dict(states)
        self._check_links()
        for name in initial or {}:
            self._spec(name)
        self._initial = {
            name: self._first(name, initial or {}, told) for name in self._links
        }
        self._free = [name for name in self._inputs if name not in self._links]
        self._values = dict(self._initial)

    def _check_links(self) -> None:
        """Every state is an input and an output of one type, each used once."""
        types = {spec.name: spec.dtype for spec in self._model.outputs}
        for name, output in self._links.items():
            spec = self._inputs.get(name)
            if spec is None or output not in types:
                raise InputError(
                    f"state {name!r} from {output!r}: the model has inputs "
                    f"{list(self._inputs)} and outputs {self._outputs}"
                )
            if None not in (spec.dtype, types[output]) and spec.dtype != types[output]:
                raise InputError(
                    f"state {name!r} is {spec.dtype}, output {output!r} is "
                    f"{types[output]}"
                )
        if len(set(self._links.values())) != len(self._links):
            raise InputError(f"two states come from the same output: {self._links}")

    def _spec(self, name: str) -> TensorSpec:
        if name not in self._links:
            raise InputError(f"there is no state {name!r}, there are {[*self._links]}")
        return self._inputs[name]

    def _first(
        self,
        name: str,
        initial: Mapping[str, Any],
        told: Mapping[str, Mapping[str, Any]],
    ) -> Array:
        """First value of one state."""
        if name in initial:
            return self._fitting(name, initial[name])
        if name in told:
            return self._fitting(name, _stored(name, told[name]))
        spec = self._spec(name)
        if spec.shape is None:
            raise InputError(
                f"state {name!r}: the model does not say its shape; give its first "
                "value as initial={...}"
            )
        return np.zeros(spec.sizes({}), spec.numpy_dtype)

    def _fitting(self, name: str, value: Any) -> Array:
        """A copy of a value in the state's type, if its shape fits."""
        spec = self._spec(name)
        array = np.array(value, spec.numpy_dtype)
        fits = spec.shape is None or (
            array.ndim == len(spec.shape)
            and all(
                not isinstance(want, int) or want == have
                for want, have in zip(spec.shape, array.shape, strict=True)
            )
        )
        if not fits:
            raise InputError(f"state {spec}: got a value of shape {array.shape}")
        return array

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Run one step.

        Parameters
        ----------
        *inputs : array-like
            Inputs that are no states, in graph order.
        **named : array-like
            Inputs by name.

        Returns
        -------
        output : ndarray or tuple of ndarray
            The output that is no state; a tuple unless there is one. A state's value
            is not changed when a step fails.

        Raises
        ------
        InputError
            An input is missing or does not fit.

        Examples
        --------
        >>> stream(frame)                                  # doctest: +SKIP
        array([[0]], dtype=uint8)
        """
        if len(inputs) > len(self._free):
            raise InputError(
                f"expected at most {len(self._free)} inputs ({self._free}), got "
                f"{len(inputs)}"
            )
        given = dict(zip(self._free, inputs))  # noqa: B905 (fewer may be given)
        for name, value in named.items():
            if name not in self._free or name in given:
                raise InputError(
                    f"{name!r} is no input that is still free; there are {self._free}"
                )
            given[name] = value
        results = self._model.run({**given, **self._values})
        self._values = {
            name: results.pop(output) for name, output in self._links.items()
        }
        shown = tuple(results.values())
        return shown[0] if len(shown) == 1 else shown

    def reset(self) -> None:
        """Begin anew: every state takes its first value.

        Examples
        --------
        >>> stream.reset()                                 # doctest: +SKIP
        """
        self._values = dict(self._initial)

    @property
    def states(self) -> dict[str, Array]:
        """Copies of the states by input; may be assigned, some of them or all."""
        return {name: value.copy() for name, value in self._values.items()}

    @states.setter
    def states(self, values: Mapping[str, Any]) -> None:
        """Put states in their place; the others keep their value.

        Parameters
        ----------
        values : mapping of str to array-like
            By input.

        Examples
        --------
        >>> stream.states = {"h": kept["h"]}               # doctest: +SKIP
        """
        fitting = {name: self._fitting(name, value) for name, value in values.items()}
        self._values = {**self._values, **fitting}

    def __repr__(self) -> str:
        """Model and states."""
        links = ", ".join(f"{name} <- {out}" for name, out in self._links.items())
        return f"Stream({self._model.name!r}, {links})"


def _told(model: Model) -> dict[str, Mapping[str, Any]]:
    """States by input as the model's file tells them."""
    text = model.metadata.get("states", "")
    if not text:
        return {}
    try:
        entries = json.loads(text)
        return {entry["input"]: entry for entry in entries if entry["output"]}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelFormatError(
            f"{model.name}: metadata 'states' is no list of objects with input and "
            f"output: {error}"
        ) from None


def _stored(name: str, entry: Mapping[str, Any]) -> Array:
    """First value of a state: one number for all, or the elements' bytes."""
    try:
        dtype = np.dtype(entry["dtype"])
        if dtype.kind not in "biuf":
            raise ValueError(f"dtype {dtype}")
        shape = tuple(int(dim) for dim in entry["shape"])
        if not 0 <= math.prod(shape) * dtype.itemsize <= _MAX_STATE_BYTES:
            raise ValueError(f"shape {shape}")
        if "fill" in entry:
            return np.full(shape, entry["fill"], dtype)
        data = base64.b64decode(entry["base64"], validate=True)
        array = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)
        return array.reshape(shape)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ModelFormatError(
            f"metadata 'states': the first value of {name!r} cannot be read: {error}"
        ) from None
