"""A model as the net that `trimtab.processing.decode_sequence` asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.processing.checks import check_int
from trimtab.types import numpy_dtype

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["DecoderModel", "DecoderState"]

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[Any]
_MAX_STATE_BYTES = 4 << 30


@dataclass(frozen=True)
class DecoderState:
    """What a decoder remembers between tokens: keys and values, or a recurrent state.

    Parameters
    ----------
    input, output : str
        Names: the output of one call is the input of the next.
    batch_axis : int, default=0
        Of the rows.
    slot_axis : int, default=-1
        Where it is not negative, the input has a fixed number of slots along this axis,
        and the output holds the entries of the new tokens only; they are written
        into the slots that follow. No shape changes then from token to token.

    Raises
    ------
    InputError
        A parameter makes no sense.

    Examples
    --------
    >>> DecoderState("past", "present", batch_axis=2).slot_axis
    -1
    """

    input: str
    output: str
    batch_axis: int = 0
    slot_axis: int = -1

    def __post_init__(self) -> None:
        """Check the parameters."""
        for name in (self.input, self.output):
            if not isinstance(name, str):
                raise InputError(f"expected the name of a tensor, got {name!r:.80}")
        check_int("batch_axis", self.batch_axis, 0, 63)
        check_int("slot_axis", self.slot_axis, -1, 63)


class DecoderModel:
    """Feeds a model token by token; made anew for each sequence.

    Parameters
    ----------
    model : Model
    tokens, logits : str
        Input of shape (rows, n_new) and output of shape (rows, n_classes) or (rows,
        n_new, n_classes).
    states : sequence of DecoderState, default=()
        None: all tokens so far are fed each time.
    position : str, default=""
        Input of shape () or (1,) that takes the number of tokens before; "": none.
    constants : mapping of str to (array, int), optional
        Inputs that stay the same, made for one row, and their batch axes: what an
        encoder returned.

    Raises
    ------
    InputError
        The model has no such inputs and outputs.

    Examples
    --------
    >>> net = DecoderModel(model, tokens="tokens")         # doctest: +SKIP
    >>> decode_sequence(net, [1], Decoding(end=2))         # doctest: +SKIP
    """

    def __init__(
        self,
        model: Model,
        *,
        tokens: str = "tokens",
        logits: str = "logits",
        states: Sequence[DecoderState] = (),
        position: str = "",
        constants: Mapping[str, tuple[Array, int]] | None = None,
    ) -> None:
        self._model = model
        self._tokens, self._logits, self._position = tokens, logits, position
        self._states = tuple(states)
        self._constants = dict(constants or {})
        self._inputs = {spec.name: spec for spec in model.inputs}
        self._outputs = [logits, *(state.output for state in self._states)]
        self._check_names()
        self._n_before = 0
        self._fed: Ints = np.empty((1, 0), np.int64)
        self._repeated: dict[str, Array] = {}
        self._n_repeated = 0
        self._memory = {state.input: self._initial(state) for state in self._states}

    def _check_names(self) -> None:
        wanted = {self._tokens, *self._constants}
        wanted |= {state.input for state in self._states}
        wanted |= {self._position} if self._position else set()
        if wanted != self._inputs.keys():
            raise InputError(
                f"the model's inputs are {sorted(self._inputs)}: expected tokens, "
                f"states, position and constants to be these, got {sorted(wanted)}"
            )
        there = {spec.name for spec in self._model.outputs}
        for name in self._outputs:
            if name not in there:
                raise InputError(f"the model has no output {name!r}: {sorted(there)}")

    def _initial(self, state: DecoderState) -> Array:
        """Nothing remembered, for one row: named dims are empty."""
        spec = self._inputs[state.input]
        shape = [dim if isinstance(dim, int) else 0 for dim in spec.shape or ()]
        axes = max(state.batch_axis, state.slot_axis)
        if axes >= len(shape):
            raise InputError(f"{state.input!r} has {len(shape)} dims, no axis {axes}")
        shape[state.batch_axis] = 1
        if state.slot_axis >= 0 and not shape[state.slot_axis]:
            raise InputError(f"{state.input!r}: its slots need a fixed number")
        dtype = numpy_dtype(spec.dtype or "float32")
        if int(np.prod(shape, dtype=object)) * dtype.itemsize > _MAX_STATE_BYTES:
            raise InputError(f"{state.input!r}: {shape} is more than fits")
        return np.zeros(shape, dtype)

    def __call__(self, tokens: Ints, parents: Ints) -> npt.NDArray[np.floating]:
        """Score the next token of each row.

        Parameters
        ----------
        tokens : ndarray of int64, shape (n_rows, n_new)
        parents : ndarray of int64, shape (n_rows,)

        Returns
        -------
        logits : ndarray of float32, shape (n_rows, n_classes)

        Raises
        ------
        InputError
            The sequence is longer than the model has slots for.
        """
        n_rows, n_new = tokens.shape
        self._choose(parents)
        if not self._states:
            tokens = np.concatenate([self._fed[parents], tokens], axis=1)
            self._fed = tokens
        feeds: dict[str, Any] = {**self._memory, **self._constants_for(n_rows)}
        feeds[self._tokens] = tokens.astype(self._dtype(self._tokens), copy=False)
        if self._position:
            shape = () if self._inputs[self._position].shape == () else (1,)
            dtype = self._dtype(self._position)
            feeds[self._position] = np.full(shape, self._n_before, dtype)
        for state in self._states:
            if state.slot_axis >= 0:
                n_slots = self._memory[state.input].shape[state.slot_axis]
                if self._n_before + n_new > n_slots:
                    raise InputError(f"the model has slots for {n_slots} tokens only")
        results = self._model.run(feeds, outputs=self._outputs)
        for state in self._states:
            self._remember(state, results[state.output], n_new)
        self._n_before += n_new
        logits = results[self._logits]
        return logits if logits.ndim == 2 else logits[:, -1]

    def _dtype(self, name: str) -> np.dtype[Any]:
        return numpy_dtype(self._inputs[name].dtype or "int64")

    def _choose(self, parents: Ints) -> None:
        """Let each row continue its parent."""
        for state in self._states:
            memory = self._memory[state.input]
            if not np.array_equal(parents, np.arange(memory.shape[state.batch_axis])):
                chosen = np.take(memory, parents, axis=state.batch_axis)
                self._memory[state.input] = chosen

    def _remember(self, state: DecoderState, output: Array, n_new: int) -> None:
        """Keep the output, or write it into the slots that follow."""
        if state.slot_axis < 0:
            self._memory[state.input] = output
            return
        memory = self._memory[state.input]
        slots = [slice(None)] * memory.ndim
        slots[state.slot_axis] = slice(self._n_before, self._n_before + n_new)
        filled = memory[tuple(slots)]
        if output.shape != filled.shape:
            raise InputError(
                f"{state.output!r}: expected {filled.shape} for {n_new} new tokens, "
                f"got {output.shape}"
            )
        filled[...] = output

    def _constants_for(self, n_rows: int) -> dict[str, Array]:
        if n_rows != self._n_repeated:
            self._n_repeated = n_rows
            self._repeated = {
                name: array if n_rows == 1 else np.repeat(array, n_rows, axis=axis)
                for name, (array, axis) in self._constants.items()
            }
        return self._repeated
