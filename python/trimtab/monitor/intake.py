"""What serving hands over: some rows of some calls, copied into a bounded queue.

The serving thread pays for `due`, and in the calls that are looked at for copying a few
rows; features are computed by the monitor's thread. Both count against the budget.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.monitor.sampling import Budget, spread_rows
from trimtab.types import Array

__all__ = ["Intake", "Look"]

MAX_LOOKS = 4096
MAX_BYTES = 64 << 20
# Rows of a call that are looked at, and bytes of an input's.
_MAX_ROWS = 32
_MAX_ROW_BYTES = 8 << 20


@dataclass(frozen=True)
class Look:
    """Rows of one call.

    Parameters
    ----------
    inputs, outputs : dict of str to ndarray
        Copies.
    n_bytes : int
    """

    inputs: dict[str, Array]
    outputs: dict[str, Array]
    n_bytes: int

    @property
    def shapes(self) -> tuple[Any, ...]:
        """What must be equal for two looks to be joined."""
        return tuple(
            (name, x.dtype.str, x.shape[1:])
            for side in (self.inputs, self.outputs)
            for name, x in side.items()
        )


class Intake:
    """A queue that never grows beyond its bounds and never makes anyone wait.

    Parameters
    ----------
    inputs, outputs : frozenset of str, or None
        Tensors to copy; None: all.
    share : float or None
        Of the calls' time that looking may take; None: every call is looked at.
    wake : callable
        Called when the queue is half full.
    """

    def __init__(
        self,
        inputs: frozenset[str] | None,
        outputs: frozenset[str] | None,
        *,
        share: float | None,
        wake: Callable[[], None],
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.budget = Budget(share)
        self.due = self.budget.due
        #: Looks that found the queue full.
        self.n_dropped = 0
        self._wake = wake
        self._queue: deque[Look] = deque()
        self._n_bytes = 0

    def take(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """Copy rows of a call.

        Parameters
        ----------
        inputs, outputs : mapping of str to ndarray
            By name, with a row for each sample.
        """
        n_rows = _n_rows(inputs)
        sides = ((inputs, self.inputs), (outputs, self.outputs))
        wanted = [
            {
                name: array
                for name, array in side.items()
                if (names is None or name in names) and array.ndim > 0
            }
            for side, names in sides
        ]
        row_bytes = sum(
            array.nbytes // max(len(array), 1) for y in wanted for array in y.values()
        )
        if not row_bytes:
            return
        n_most = max(min(_MAX_ROWS, _MAX_ROW_BYTES // row_bytes), 1)
        chosen = spread_rows(n_rows, n_most)
        kept = [
            {
                name: array[chosen].copy() if len(array) == n_rows else array.copy()
                for name, array in side.items()
            }
            for side in wanted
        ]
        n_bytes = sum(array.nbytes for side in kept for array in side.values())
        if len(self._queue) >= MAX_LOOKS or self._n_bytes + n_bytes > MAX_BYTES:
            self.n_dropped += 1
            return
        self._queue.append(Look(kept[0], kept[1], n_bytes))
        self._n_bytes += n_bytes
        if len(self._queue) == MAX_LOOKS // 2 or self._n_bytes > MAX_BYTES // 2:
            self._wake()

    def drain(self) -> list[tuple[Look, int]]:
        """Take what is there; looks of equal shapes come joined.

        Returns
        -------
        looks : list of (Look, int)
            With the number of calls that they come from.
        """
        groups: dict[Any, list[Look]] = {}
        for _ in range(len(self._queue)):
            look = self._queue.popleft()
            self._n_bytes -= look.n_bytes
            groups.setdefault(look.shapes, []).append(look)
        return [(_join(looks), len(looks)) for looks in groups.values()]

    def renew(self) -> None:
        """Forget what a parent process left."""
        self._queue = deque()
        self._n_bytes = 0


def _n_rows(arrays: Mapping[str, Array]) -> int:
    return next((len(array) for array in arrays.values() if array.ndim > 0), 1)


def _join(looks: list[Look]) -> Look:
    if len(looks) == 1:
        return looks[0]
    sides = [
        {
            name: np.concatenate([getattr(look, side)[name] for look in looks])
            for name in getattr(looks[0], side)
        }
        for side in ("inputs", "outputs")
    ]
    return Look(sides[0], sides[1], sum(look.n_bytes for look in looks))
