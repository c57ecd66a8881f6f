"""How the learning rate changes: a factor for each update, counted from 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Constant", "Cosine", "Schedule", "Staircase", "WarmUp"]


class Schedule(Protocol):
    """Gives the factor of update number `step`."""

    def __call__(self, step: int) -> float:
        """Give the factor by which the learning rate is multiplied."""


@dataclass(frozen=True)
class Constant:
    """The learning rate as it is.

    Examples
    --------
    >>> Constant()(1000)
    1.0
    """

    def __call__(self, step: int) -> float:
        """Give the factor of update `step`."""
        return 1.0


def _positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, got {value}")


@dataclass(frozen=True)
class Cosine:
    """Down along half a cosine, then level.

    Parameters
    ----------
    n_steps : int
        Updates until it is level.
    floor : float
        The factor that it ends at.

    Examples
    --------
    >>> [round(Cosine(4)(step), 3) for step in (0, 2, 4, 9)]
    [1.0, 0.5, 0.0, 0.0]
    """

    n_steps: int
    floor: float = 0.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        _positive("n_steps", self.n_steps)

    def __call__(self, step: int) -> float:
        """Give the factor of update `step`."""
        part = min(step, self.n_steps) / self.n_steps
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * part))


@dataclass(frozen=True)
class Staircase:
    """Down by a factor every so many updates.

    Parameters
    ----------
    every : int
    factor : float

    Examples
    --------
    >>> [Staircase(2, 0.5)(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        """Check the parameters."""
        _positive("every", self.every)

    def __call__(self, step: int) -> float:
        """Give the factor of update `step`."""
        return float(self.factor ** (step // self.every))


@dataclass(frozen=True)
class WarmUp:
    """Up in a straight line, then another schedule.

    Parameters
    ----------
    n_steps : int
        Updates until the full learning rate is reached; the first has 1 / n_steps.
    then : Schedule
        Counts from 0 at the end of the warm-up.

    Examples
    --------
    >>> [WarmUp(4)(step) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """

    n_steps: int
    then: Schedule = Constant()

    def __post_init__(self) -> None:
        """Check the parameters."""
        _positive("n_steps", self.n_steps)

    def __call__(self, step: int) -> float:
        """Give the factor of update `step`."""
        if step < self.n_steps:
            return (step + 1) / self.n_steps
        return self.then(step - self.n_steps)
