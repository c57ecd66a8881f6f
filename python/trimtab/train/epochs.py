"""Epochs: which rows come when, when it is enough, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.train.engine import Engine
from trimtab.train.interrupt import Interrupt
from trimtab.types import Array

__all__ = ["History"]


@dataclass
class History:
    """What a training went through.

    Parameters
    ----------
    losses : list of float
        Of each update, before it.
    validation : list of float
        Loss of the validation set after each epoch.
    best_epoch : int
        Epoch, from 0, with the least validation loss; -1 without validation.
    epoch : int
        Epochs that are complete.
    stopped : str
        "epochs", "patience", "interrupted" or "steps".
    seconds : float
        Of this call.
    """

    losses: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best_epoch: int = -1
    epoch: int = 0
    stopped: str = "epochs"
    seconds: float = 0.0

    @property
    def step(self) -> int:
        """Updates so far."""
        return len(self.losses)


class Order:
    """Which rows make which batch of which epoch."""

    def __init__(self, n_rows: int, batch_size: int, seed: int | None) -> None:
        self.n_rows, self.batch_size, self.seed = n_rows, batch_size, seed
        self.n_batches = -(-n_rows // batch_size)

    def batches(self, epoch: int, done: int) -> Iterator[Any]:
        rows = np.arange(self.n_rows)
        if self.seed is not None:
            rows = np.random.default_rng([self.seed, epoch]).permutation(self.n_rows)
        for begin in range(done * self.batch_size, self.n_rows, self.batch_size):
            yield rows[begin : begin + self.batch_size]


class Stop:
    """Why a training may end before its epochs do."""

    def __init__(
        self, patience: int | None, max_steps: int | None, interrupt: Interrupt
    ) -> None:
        self._patience, self._max_steps = patience, max_steps
        self._interrupt = interrupt

    def reason(self, history: History) -> str | None:
        if self._interrupt.came:
            return "interrupted"
        if self._max_steps is not None and history.step >= self._max_steps:
            return "steps"
        return None

    def after_epoch(self, history: History) -> str | None:
        waited = len(history.validation) - 1 - history.best_epoch
        if self._patience is not None and waited >= self._patience:
            return "patience"
        return None


def check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise InputError(f"{name} must be 1 or more, got {value}")


def mean_loss(engine: Engine, rows: list[Array], batch_size: int) -> float:
    """Mean over rows of the mean losses of batches."""
    n, total = len(rows[0]), 0.0
    for begin in range(0, n, batch_size):
        part = [array[begin : begin + batch_size] for array in rows]
        total += engine.loss(part) * len(part[0])
    return total / n


def through(
    frozen: Any, inputs: list[Array], batch_size: int, limit: int
) -> list[Array] | None:
    """Run all rows; None where results are not of one row each, or too large."""
    n = len(inputs[0])
    found: list[Array] = []
    for begin in range(0, n, batch_size):
        part = [array[begin : begin + batch_size] for array in inputs]
        results = list(frozen.run(tuple(part)).values())
        if any(r.ndim == 0 or len(r) != len(part[0]) for r in results):
            return None
        if not found:
            if sum(r[0].nbytes for r in results) * n > limit:
                return None
            found = [np.empty((n, *r.shape[1:]), r.dtype) for r in results]
        for whole, r in zip(found, results, strict=True):
            whole[begin : begin + len(r)] = r
    return found
