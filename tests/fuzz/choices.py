"""Where a random graph's choices come from: a seed, or hypothesis.

A seed repeats a graph from one number and costs nothing, so campaigns use it;
hypothesis shrinks what fails.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Choices(Protocol):
    """What a generator of graphs asks."""

    def integer(self, low: int, high: int) -> int:
        """One of low ... high."""

    def pick(self, items: Sequence[T]) -> T:
        """One of them."""


class Seeded:
    """Choices that follow from a number."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def pick(self, items: Sequence[T]) -> T:
        return items[self._random.randrange(len(items))]


class Drawn:
    """Choices that hypothesis makes."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def pick(self, items: Sequence[T]) -> T:
        return items[self._draw(st.integers(0, len(items) - 1))]
