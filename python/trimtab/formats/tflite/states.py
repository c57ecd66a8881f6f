"""States: what a TFLite interpreter keeps between calls, as inputs and outputs.

Enters: resource variables and variable tensors as operators name them. Leaves: inputs
with the old values, outputs with the new ones, and a description that
`trimtab.stream` reads from `Model.metadata`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from trimtab.formats.builder import GraphBuilder
from trimtab.types import Array

__all__ = ["State", "States"]


@dataclass
class State:
    """One value that outlives a call.

    Parameters
    ----------
    input : str
        Tensor with the value at the beginning of a call.
    value : str
        Tensor with the value now.
    initial : ndarray
        The value before the first call.
    """

    input: str
    value: str
    initial: Array

    def describe(self, output: str) -> dict[str, Any]:
        """Give what a stream needs to know, as JSON can hold it.

        Parameters
        ----------
        output : str
            Name of the output with the new value.

        Returns
        -------
        entry : dict

        Examples
        --------
        >>> import numpy as np
        >>> State("h", "h_1", np.zeros((1, 2), np.int8)).describe("h_next")
        {'input': 'h', 'output': 'h_next', 'dtype': 'int8', 'shape': [1, 2], 'fill': 0}
        """
        entry: dict[str, Any] = {
            "input": self.input,
            "output": output,
            "dtype": self.initial.dtype.name,
            "shape": list(self.initial.shape),
        }
        flat = self.initial.reshape(-1)
        if flat.size == 0 or (flat == flat[0]).all():
            entry["fill"] = flat[0].item() if flat.size else 0
        else:
            little = flat.astype(flat.dtype.newbyteorder("<"))
            entry["base64"] = base64.b64encode(little.tobytes()).decode("ascii")
        return entry


class States:
    """The states of one graph.

    Parameters
    ----------
    builder : GraphBuilder
        Of the main graph.
    """

    def __init__(self, builder: GraphBuilder) -> None:
        self._builder = builder
        self._states: dict[object, State] = {}

    def get(self, key: object) -> State | None:
        """Give the state of a key, if there is one.

        Parameters
        ----------
        key : object
            Names of a resource, or a tensor.

        Returns
        -------
        state : State or None

        Examples
        --------
        >>> States(GraphBuilder("g")).get("h") is None
        True
        """
        return self._states.get(key)

    def add(self, key: object, name: str, initial: Array) -> State:
        """Make a state, with the input that brings its value.

        Parameters
        ----------
        key : object
        name : str
            Wanted for the input.
        initial : ndarray

        Returns
        -------
        state : State

        Examples
        --------
        >>> import numpy as np
        >>> States(GraphBuilder("g")).add("h", "h", np.zeros(2, np.int8)).value
        'h'
        """
        found = self._builder.input(name, initial.dtype.name, initial.shape)
        state = State(found, found, initial)
        self._states[key] = state
        return state

    def finish(self) -> str:
        """Add the outputs.

        Returns
        -------
        text : str
            The description, as JSON; empty without states.

        Examples
        --------
        >>> States(GraphBuilder("g")).finish()
        ''
        """
        entries = []
        for state in self._states.values():
            initial = state.initial
            output = self._builder.output(
                state.value, f"{state.input}_next", initial.dtype.name, initial.shape
            )
            entries.append(state.describe(output))
        return json.dumps(entries) if entries else ""
