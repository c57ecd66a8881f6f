"""Two calls of one process, timed in turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

from benchmarks.common import Ratio, ratio_of_rounds

__all__ = ["Call", "in_turns"]

Call: TypeAlias = Callable[[], Any]


def _turn(call: Call, seconds: float) -> float:
    """Seconds of one call: the fastest of a few."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
    return best


def in_turns(
    ours: Call, theirs: Call, n_rounds: int, turn_s: float
) -> tuple[float, float, Ratio]:
    """Time two calls, one after the other in each round.

    Parameters
    ----------
    ours, theirs : callable
    n_rounds : int
    turn_s : float
        Seconds of one call's turn in a round.

    Returns
    -------
    ours_s, theirs_s : float
        Seconds of the fastest call of each.
    ratio : Ratio
        Ours over theirs, of the rounds.
    """
    times = [(_turn(ours, turn_s), _turn(theirs, turn_s)) for _ in range(n_rounds)]
    mine, other = ([pair[i] for pair in times] for i in range(2))
    return min(mine), min(other), ratio_of_rounds(mine, other)
