"""The gradient of one number of a model's answer by one of its inputs.

Enters: a loaded model that can be differentiated. Leaves: a function of inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.graph import Constant, Node
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["InputGradient"]

_FLOATS = ("float32", "float64")


class InputGradient:
    """Gives gradients; made by `of`.

    Parameters
    ----------
    model : Model
        Whose output is the gradient of the sum over all samples, so that each sample's
        gradient is its own.
    name : str
        Of the input.
    rows : dict of str to ndarray
        All inputs of one sample, without a dim of samples.
    batch_size : int
        Samples that the model takes at once.
    """

    def __init__(
        self, model: Model, name: str, rows: Mapping[str, Array], batch_size: int
    ) -> None:
        self._model, self._name, self._rows = model, name, rows
        self._batch_size = batch_size

    @classmethod
    def of(
        cls,
        model: Model,
        rows: Mapping[str, Array],
        name: str,
        output: str,
        target: tuple[int, ...],
        shape: tuple[int, ...],
        batch_size: int,
    ) -> InputGradient | str:
        """Differentiate a model.

        Parameters
        ----------
        model : Model
        rows : dict of str to ndarray
        name : str
            Of the input.
        output : str
        target : tuple of int
            Which number of it.
        shape : tuple of int
            Of one sample of it.
        batch_size : int

        Returns
        -------
        gradient : InputGradient or str
            Why there is none.
        """
        from trimtab.optimize.runnable import runnable
        from trimtab.train.differentiate import differentiate

        if rows[name].dtype.name not in _FLOATS or model.precision != "f32":
            return f"no gradients of {rows[name].dtype} in {model.precision}"
        graph = model._graph_again().copy()
        chosen = np.zeros(shape, rows[name].dtype)
        chosen[target if shape else ()] = 1
        graph.graph.constants["explain/target"] = Constant.of(chosen)
        graph.graph.nodes += [
            Node("Mul", [output, "explain/target"], ["explain/chosen"]),
            Node(
                "ReduceSum",
                ["explain/chosen"],
                ["explain/answer"],
                attributes={"keepdims": 0},
            ),
        ]
        try:
            made = differentiate(graph, "explain/answer", [name], training=False)
            return cls(runnable(made, threads=model.threads), name, rows, batch_size)
        except (UnsupportedOpError, ModelFormatError) as error:
            return str(error)

    def __call__(self, pieces: Array) -> Array:
        """Give gradients.

        Parameters
        ----------
        pieces : ndarray of shape (n, *x.shape)

        Returns
        -------
        gradients : ndarray of the same shape
        """
        found = []
        for i in range(0, len(pieces), self._batch_size):
            piece = pieces[i : i + self._batch_size]
            inputs = {
                name: piece
                if name == self._name
                else np.repeat(row[None], len(piece), axis=0)
                for name, row in self._rows.items()
            }
            _, gradient = self._model.run(inputs).values()
            found.append(np.array(gradient))
        return np.concatenate(found)
