"""The weights that are learned, in one vector; the statistics that follow along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trimtab.graph import Constant, Model
from trimtab.train.batch_norm import learning_batch_norms
from trimtab.types import Array

__all__ = ["Parameters"]

# Items to which each tensor of a vector is aligned: 64 bytes of float32.
_ALIGN = 16


class Parameters:
    """Weights and running statistics of a model, as arrays that training changes.

    Parameters
    ----------
    model : trimtab.graph.Model
    names : sequence of str
        Constants that are learned, of one float dtype.

    Examples
    --------
    >>> from trimtab.graph import Graph
    >>> graph = Graph("g", constants={"w": Constant.of(np.ones((2, 3), np.float32))})
    >>> parameters = Parameters(Model(graph, {"": 18}), ["w"])
    >>> parameters.vector[:] *= 2
    >>> parameters.weights["w"].tolist()
    [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    """

    def __init__(self, model: Model, names: Sequence[str]) -> None:
        constants = model.graph.constants
        self.shapes = {name: constants[name].shape for name in names}
        dtype = constants[names[0]].numpy().dtype
        self.vector: Array = np.zeros(self._length(), dtype)
        self.weights = self.views(self.vector)
        for name, view in self.weights.items():
            view[...] = constants[name].numpy()
        self.statistics: dict[str, Array] = {}
        self.momentum: dict[str, float] = {}
        for node in learning_batch_norms(model, names):
            for name in node.inputs[3:5]:
                self.statistics[name] = constants[name].numpy().copy()
                self.momentum[name] = float(node.attributes.get("momentum", 0.9))

    def _length(self) -> int:
        return sum(-(-int(np.prod(s)) // _ALIGN) * _ALIGN for s in self.shapes.values())

    def views(self, vector: Array) -> dict[str, Array]:
        """See a vector as the tensors that it holds one behind the other.

        Parameters
        ----------
        vector : ndarray of shape (n,)
            As long as `vector` of this object.

        Returns
        -------
        tensors : dict of str to ndarray
        """
        found, at = {}, 0
        for name, shape in self.shapes.items():
            size = int(np.prod(shape))
            found[name] = vector[at : at + size].reshape(shape)
            at += -(-size // _ALIGN) * _ALIGN
        return found

    def follow(self, batch: Mapping[str, Array]) -> None:
        """Move the running statistics towards those of a batch.

        Parameters
        ----------
        batch : mapping of str to ndarray
        """
        for name, value in batch.items():
            momentum = self.momentum[name]
            self.statistics[name] *= momentum
            self.statistics[name] += (1.0 - momentum) * value

    def copy(self) -> dict[str, Array]:
        """Copy all that training changes.

        Returns
        -------
        arrays : dict of str to ndarray
            The vector under "", running statistics under their names.
        """
        return {
            "": self.vector.copy(),
            **{n: s.copy() for n, s in self.statistics.items()},
        }

    def put(self, arrays: Mapping[str, Array]) -> None:
        """Go back to what `copy` gave.

        Parameters
        ----------
        arrays : mapping of str to ndarray
        """
        self.vector[:] = arrays[""]
        for name, value in self.statistics.items():
            value[...] = arrays[name]

    def into(self, model: Model) -> Model:
        """Give the model with these weights.

        Parameters
        ----------
        model : trimtab.graph.Model
            Is not changed.

        Returns
        -------
        learned : trimtab.graph.Model
        """
        learned = model.copy()
        for name, value in (*self.weights.items(), *self.statistics.items()):
            learned.graph.constants[name] = Constant.of(value.copy())
        return learned
