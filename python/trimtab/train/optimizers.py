"""How gradients change weights: SGD, Adam and AdamW as PyTorch defines them.

All weights lie in one vector. In float32 an update is one pass over it, in C on all
threads; else a few of NumPy, block by block in cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from trimtab import _core
from trimtab.types import Array

__all__ = ["OPTIMIZERS", "SGD", "Adam", "AdamW", "Optimizer", "optimizer_from"]

# Items of a block: with its state it fits L2.
_BLOCK = 1 << 15


class Optimizer(Protocol):
    """What an optimizer offers; its parameters never change."""

    @property
    def learning_rate(self) -> float:
        """The learning rate that a schedule multiplies."""

    def begin(self, weights: Array) -> dict[str, Array]:
        """Give the state before the first update: vectors like the weights.

        Parameters
        ----------
        weights : ndarray of shape (n,)

        Returns
        -------
        state : dict of str to ndarray
        """

    def update(
        self,
        weights: Array,
        gradient: Array,
        state: Mapping[str, Array],
        *,
        step: int,
        rate: float,
        threads: int | None = None,
    ) -> None:
        """Change weights and state in place; the gradient is used up.

        Parameters
        ----------
        weights, gradient : ndarray of shape (n,)
        state : mapping of str to ndarray
        step : int
            Counts from 1.
        rate : float
            The learning rate of this step.
        threads : int, optional
            As many as the machine has by default.
        """


def _check(name: str, value: float, low: float, high: float = math.inf) -> None:
    if not (math.isfinite(value) and low <= value < high):
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}), got {value}")


def _in_c(*vectors: Array) -> bool:
    return all(v.dtype == np.float32 and v.flags.c_contiguous for v in vectors)


def _blocks(*vectors: Array) -> Iterator[tuple[Array, ...]]:
    for begin in range(0, vectors[0].size, _BLOCK):
        yield tuple(v[begin : begin + _BLOCK] for v in vectors)


@dataclass(frozen=True)
class SGD:
    """Gradient descent, with momentum.

    Parameters
    ----------
    learning_rate : float
    momentum : float
    dampening : float
        How much of a gradient momentum leaves out, but for the first.
    nesterov : bool
        Look ahead along the momentum.
    weight_decay : float
        Is added to the gradient, times the weights.

    Examples
    --------
    >>> weights = np.ones(2, np.float32)
    >>> sgd = SGD(0.1)
    >>> sgd.update(weights, weights.copy(), sgd.begin(weights), step=1, rate=0.1)
    >>> weights
    array([0.9, 0.9], dtype=float32)
    """

    learning_rate: float = 1e-2
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        _check("learning_rate", self.learning_rate, 0.0)
        _check("momentum", self.momentum, 0.0)
        _check("weight_decay", self.weight_decay, 0.0)
        if self.nesterov and (self.momentum == 0.0 or self.dampening != 0.0):
            raise ValueError("nesterov needs momentum, and no dampening")

    def begin(self, weights: Array) -> dict[str, Array]:
        """Give the state before the first update.

        Parameters
        ----------
        weights : ndarray of shape (n,)

        Returns
        -------
        state : dict of str to ndarray
            The momentum, where there is one.
        """
        return {"momentum": np.zeros_like(weights)} if self.momentum else {}

    def update(
        self,
        weights: Array,
        gradient: Array,
        state: Mapping[str, Array],
        *,
        step: int,
        rate: float,
        threads: int | None = None,
    ) -> None:
        """Change weights and state in place; the gradient is used up.

        Parameters
        ----------
        weights, gradient : ndarray of shape (n,)
        state : mapping of str to ndarray
        step : int
            Counts from 1.
        rate : float
            The learning rate of this step.
        threads : int, optional
            As many as the machine has by default.
        """
        if _in_c(weights, gradient, *state.values()):
            _core.update_weights(
                "sgd",
                weights,
                gradient,
                state.get("momentum"),
                None,
                rate,
                self.weight_decay,
                0.0,
                (self.momentum, 0.0),
                (1.0 if step == 1 else 1.0 - self.dampening, 0.0),
                0.0,
                0.0,
                self.nesterov,
                threads or 0,
            )
            return
        for w, g, *rest in _blocks(weights, gradient, *state.values()):
            if self.weight_decay:
                g += self.weight_decay * w
            if rest:
                (buffer,) = rest
                buffer *= self.momentum
                buffer += g * (1.0 if step == 1 else 1.0 - self.dampening)
                g = g + self.momentum * buffer if self.nesterov else buffer
            w -= rate * g


def _adam(
    vectors: tuple[Array, ...],
    betas: tuple[float, float],
    epsilon: float,
    step: int,
    rate: float,
) -> None:
    """One block: w, g, m, v."""
    w, g, m, v = vectors
    m *= betas[0]
    m += (1.0 - betas[0]) * g
    v *= betas[1]
    v += (1.0 - betas[1]) * g * g
    spread = np.sqrt(v)
    spread /= math.sqrt(1.0 - betas[1] ** step)
    spread += epsilon
    np.divide(m, spread, out=spread)
    spread *= rate / (1.0 - betas[0] ** step)
    w -= spread


@dataclass(frozen=True)
class Adam:
    """Steps of the size of the learning rate, along smoothed gradients.

    Parameters
    ----------
    learning_rate : float
    betas : tuple of float
        How slowly the means of gradients and of their squares forget.
    epsilon : float
    weight_decay : float
        Is added to the gradient, times the weights.

    Examples
    --------
    >>> Adam(1e-4).betas
    (0.9, 0.999)
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        _check("learning_rate", self.learning_rate, 0.0)
        _check("betas[0]", self.betas[0], 0.0, 1.0)
        _check("betas[1]", self.betas[1], 0.0, 1.0)
        _check("epsilon", self.epsilon, 0.0)
        _check("weight_decay", self.weight_decay, 0.0)

    def begin(self, weights: Array) -> dict[str, Array]:
        """Give the state before the first update: two means.

        Parameters
        ----------
        weights : ndarray of shape (n,)

        Returns
        -------
        state : dict of str to ndarray
        """
        return {"mean": np.zeros_like(weights), "square": np.zeros_like(weights)}

    def update(
        self,
        weights: Array,
        gradient: Array,
        state: Mapping[str, Array],
        *,
        step: int,
        rate: float,
        threads: int | None = None,
    ) -> None:
        """Change weights and state in place; the gradient is used up.

        Parameters
        ----------
        weights, gradient : ndarray of shape (n,)
        state : mapping of str to ndarray
        step : int
            Counts from 1.
        rate : float
            The learning rate of this step.
        threads : int, optional
            As many as the machine has by default.
        """
        vectors = weights, gradient, state["mean"], state["square"]
        decay, shrink = self._decays(rate)
        if not _in_c(*vectors):
            for w, g, m, v in _blocks(*vectors):
                g += decay * w
                w *= 1.0 - shrink
                _adam((w, g, m, v), self.betas, self.epsilon, step, rate)
            return
        _core.update_weights(
            "adam",
            *vectors,
            rate / (1.0 - self.betas[0] ** step),
            decay,
            shrink,
            self.betas,
            (1.0 - self.betas[0], 1.0 - self.betas[1]),
            1.0 / math.sqrt(1.0 - self.betas[1] ** step),
            self.epsilon,
            False,
            threads or 0,
        )

    def _decays(self, rate: float) -> tuple[float, float]:
        """What is added to the gradient and taken from the weights, times these."""
        return self.weight_decay, 0.0


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose weights shrink by themselves, apart from the gradient.

    Parameters
    ----------
    learning_rate : float
    betas : tuple of float
    epsilon : float
    weight_decay : float
        Share of the weights, times the learning rate, that each step takes away.

    Examples
    --------
    >>> AdamW().weight_decay
    0.01
    """

    weight_decay: float = 1e-2

    def _decays(self, rate: float) -> tuple[float, float]:
        return 0.0, rate * self.weight_decay


#: Optimizers by name, with their defaults.
OPTIMIZERS: dict[str, Optimizer] = {"sgd": SGD(), "adam": Adam(), "adamw": AdamW()}


def optimizer_from(optimizer: str | Optimizer) -> Optimizer:
    """Give the optimizer of a name.

    Parameters
    ----------
    optimizer : str or Optimizer
        Key of `OPTIMIZERS`, or one with its own parameters.

    Returns
    -------
    optimizer : Optimizer

    Raises
    ------
    ValueError
        There is no optimizer of this name.

    Examples
    --------
    >>> optimizer_from("sgd").learning_rate
    0.01
    """
    if not isinstance(optimizer, str):
        return optimizer
    if optimizer not in OPTIMIZERS:
        known: Any = ", ".join(OPTIMIZERS)
        raise ValueError(f"optimizer must be one of {known}, got {optimizer!r}")
    return OPTIMIZERS[optimizer]
