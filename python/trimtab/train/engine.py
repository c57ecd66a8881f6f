"""The two graphs of a training, loaded: one for updates, one for losses alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.graph import Model, Value
from trimtab.optimize.runnable import runnable
from trimtab.train.differentiate import attach_loss, differentiate
from trimtab.train.losses import Loss
from trimtab.train.parameters import Parameters
from trimtab.types import Array

__all__ = ["Engine"]


class Engine:
    """Gives losses and gradients of batches.

    Parameters
    ----------
    model : trimtab.graph.Model
    loss : str or Loss
    parameters : Parameters
        Whose arrays are read in each call.
    output : str or None
    threads : int or None
    """

    def __init__(
        self,
        model: Model,
        loss: str | Loss,
        parameters: Parameters,
        *,
        output: str | None,
        threads: int | None,
    ) -> None:
        names = list(parameters.weights)
        graph = differentiate(model, loss, names, output=output)
        n_own = len(graph.graph.inputs) - len(names)
        #: What a batch holds: the model's inputs, then the labels.
        self.values: list[Value] = graph.graph.inputs[:n_own]
        self.gradient: Array = np.zeros_like(parameters.vector)
        self._step = runnable(graph, threads=threads)
        followed = list(parameters.statistics)
        frozen = attach_loss(model, loss, [*names, *followed], output=output)
        self._loss = runnable(frozen, threads=threads)
        self._parameters = parameters
        self._value = np.zeros((), parameters.vector.dtype)
        views = list(parameters.views(self.gradient).values())
        program_outputs = [spec.name for spec in self._step.outputs]
        own = [self._value, *views]
        self._out = dict(zip(program_outputs, own, strict=False))
        self._batch_names = {
            f"batch/{name}": name
            for name in followed
            if f"batch/{name}" in program_outputs
        }

    def step(self, batch: Sequence[Array]) -> tuple[float, dict[str, Array]]:
        """Compute the loss and, into `gradient`, the gradients of a batch.

        Parameters
        ----------
        batch : sequence of ndarray
            In the order of `values`.

        Returns
        -------
        loss : float
        statistics : dict of str to ndarray
            What the batch says of running statistics.
        """
        inputs = (*batch, *self._parameters.weights.values())
        found = self._step.run(inputs, out=self._out)
        statistics = {name: found[key] for key, name in self._batch_names.items()}
        return float(self._value), statistics

    def loss(self, batch: Sequence[Array]) -> float:
        """Compute the loss of a batch with the running statistics.

        Parameters
        ----------
        batch : sequence of ndarray

        Returns
        -------
        loss : float
        """
        p = self._parameters
        return float(self._loss(*batch, *p.weights.values(), *p.statistics.values()))

    def close(self) -> None:
        """Give memory back."""
        self._step.close()
        self._loss.close()
