"""What training makes small: losses as formulas over a prediction and its labels.

Each has PyTorch's definition and is the mean over all items, or over all rows for the
classes of `CrossEntropy`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from trimtab.graph import Value
from trimtab.train.emitter import Emitter, Tensor

__all__ = [
    "LOSSES",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Huber",
    "Loss",
    "MeanSquaredError",
    "loss_from",
]


class Loss(Protocol):
    """What a loss offers: labels as an input, and a formula."""

    def label_value(self, name: str, prediction: Value, dtype: str) -> Value:
        """Declare the labels that go with a prediction.

        Parameters
        ----------
        name : str
        prediction : Value
        dtype : str

        Returns
        -------
        labels : Value
        """

    def emit(self, e: Emitter, prediction: Tensor, labels: Tensor) -> Tensor:
        """Add the nodes that compute the loss, a scalar.

        Parameters
        ----------
        e : Emitter
        prediction, labels : Tensor

        Returns
        -------
        loss : Tensor
        """


def _same_shape(name: str, prediction: Value, dtype: str) -> Value:
    return Value(name, dtype, prediction.shape)


def _mean(e: Emitter, x: Tensor) -> Tensor:
    return e.emit("ReduceMean", x, keepdims=0)


@dataclass(frozen=True)
class MeanSquaredError:
    """Mean of (prediction - label) squared.

    Examples
    --------
    >>> MeanSquaredError()
    MeanSquaredError()
    """

    def label_value(self, name: str, prediction: Value, dtype: str) -> Value:
        """Declare labels of the shape of the prediction.

        Parameters
        ----------
        name : str
        prediction : Value
        dtype : str

        Returns
        -------
        labels : Value
        """
        return _same_shape(name, prediction, dtype)

    def emit(self, e: Emitter, prediction: Tensor, labels: Tensor) -> Tensor:
        """Add the nodes that compute the loss.

        Parameters
        ----------
        e : Emitter
        prediction, labels : Tensor

        Returns
        -------
        loss : Tensor
        """
        error = prediction - labels
        return _mean(e, error * error)


@dataclass(frozen=True)
class Huber:
    """Squared for small errors, linear for large ones.

    Parameters
    ----------
    delta : float
        Where it becomes linear.

    Examples
    --------
    >>> Huber(delta=0.5)
    Huber(delta=0.5)
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        """Check the parameter."""
        if not (math.isfinite(self.delta) and self.delta > 0):
            raise ValueError(f"delta must be a positive number, got {self.delta}")

    def label_value(self, name: str, prediction: Value, dtype: str) -> Value:
        """Declare labels of the shape of the prediction.

        Parameters
        ----------
        name : str
        prediction : Value
        dtype : str

        Returns
        -------
        labels : Value
        """
        return _same_shape(name, prediction, dtype)

    def emit(self, e: Emitter, prediction: Tensor, labels: Tensor) -> Tensor:
        """Add the nodes that compute the loss.

        Parameters
        ----------
        e : Emitter
        prediction, labels : Tensor

        Returns
        -------
        loss : Tensor
        """
        error = prediction - labels
        size = e.emit("Abs", error)
        linear = (size - 0.5 * self.delta) * self.delta
        return _mean(e, e.where(size > self.delta, linear, error * error * 0.5))


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Cross-entropy of yes and no: max(x, 0) - x label + log(1 + exp(-|x|)) of logits.

    Parameters
    ----------
    from_logits : bool
        Are predictions logits? Probabilities if not, their logarithms bounded by -100
        as in PyTorch.

    Examples
    --------
    >>> BinaryCrossEntropy(from_logits=False)
    BinaryCrossEntropy(from_logits=False)
    """

    from_logits: bool = True

    def label_value(self, name: str, prediction: Value, dtype: str) -> Value:
        """Declare labels of the shape of the prediction, between 0 and 1.

        Parameters
        ----------
        name : str
        prediction : Value
        dtype : str

        Returns
        -------
        labels : Value
        """
        return _same_shape(name, prediction, dtype)

    def emit(self, e: Emitter, prediction: Tensor, labels: Tensor) -> Tensor:
        """Add the nodes that compute the loss.

        Parameters
        ----------
        e : Emitter
        prediction, labels : Tensor

        Returns
        -------
        loss : Tensor
        """
        x = prediction
        if self.from_logits:
            tail = e.emit("Log", 1.0 + e.emit("Exp", -e.emit("Abs", x)))
            return _mean(e, e.emit("Relu", x) - x * labels + tail)
        yes = e.emit("Max", e.emit("Log", x), e.number(-100.0))
        no = e.emit("Max", e.emit("Log", 1.0 - x), e.number(-100.0))
        return _mean(e, -(labels * yes + (1.0 - labels) * no))


@dataclass(frozen=True)
class CrossEntropy:
    """Minus the logarithm of the probability of the right class.

    Parameters
    ----------
    from_logits : bool
        Are predictions logits? Probabilities if not: then their logarithm is taken of
        at least 1e-12.
    axis : int
        The classes' axis of the prediction; labels are int64 and lack it.
    label_smoothing : float
        The share of each label that is spread evenly over all classes.

    Examples
    --------
    >>> CrossEntropy(label_smoothing=0.1)
    CrossEntropy(from_logits=True, axis=1, label_smoothing=0.1)
    """

    from_logits: bool = True
    axis: int = 1
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        if not 0.0 <= self.label_smoothing < 1.0:
            raise ValueError(
                f"label_smoothing must lie in [0, 1), got {self.label_smoothing}"
            )

    def label_value(self, name: str, prediction: Value, dtype: str) -> Value:
        """Declare labels: int64, the shape of the prediction without the classes.

        Parameters
        ----------
        name : str
        prediction : Value
        dtype : str

        Returns
        -------
        labels : Value
        """
        shape = prediction.shape
        if shape is not None:
            axis = self.axis % max(len(shape), 1)
            shape = (*shape[:axis], *shape[axis + 1 :])
        return Value(name, "int64", shape)

    def emit(self, e: Emitter, prediction: Tensor, labels: Tensor) -> Tensor:
        """Add the nodes that compute the loss.

        Parameters
        ----------
        e : Emitter
        prediction, labels : Tensor

        Returns
        -------
        loss : Tensor
        """
        if self.from_logits:
            logs = e.emit("LogSoftmax", prediction, axis=self.axis)
        else:
            logs = e.emit("Log", e.emit("Max", prediction, e.number(1e-12)))
        where = e.emit("Unsqueeze", labels, e.ints([self.axis]))
        picked = e.emit("GatherElements", logs, where, axis=self.axis)
        loss = -_mean(e, picked)
        if self.label_smoothing == 0.0:
            return loss
        spread = -_mean(e, logs)
        return loss * (1.0 - self.label_smoothing) + spread * self.label_smoothing


#: Losses by name.
LOSSES: dict[str, Loss] = {
    "mse": MeanSquaredError(),
    "cross_entropy": CrossEntropy(),
    "bce": BinaryCrossEntropy(),
    "huber": Huber(),
}


def loss_from(loss: str | Loss) -> Loss:
    """Give the loss of a name.

    Parameters
    ----------
    loss : str or Loss
        Key of `LOSSES`, or a loss with its own parameters.

    Returns
    -------
    loss : Loss

    Raises
    ------
    ValueError
        There is no loss of this name.

    Examples
    --------
    >>> loss_from("huber")
    Huber(delta=1.0)
    """
    if not isinstance(loss, str):
        return loss
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}")
    return LOSSES[loss]
