"""How far a search is, and how much time it has left."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable
from typing import Any

from trimtab.errors import InputError

__all__ = ["Deadline", "Progress"]


class Progress:
    """Tells a bar or a callback; never prints by itself.

    Parameters
    ----------
    target : callable, bool or None
        Called with (done, total, what). None: a bar of tqdm on a terminal, where tqdm
        is installed. False: nothing.

    Examples
    --------
    >>> told = []
    >>> progress = Progress(lambda *state: told.append(state))
    >>> progress.begin("sensitivity", 2); progress.step()
    >>> told
    [(0, 2, 'sensitivity'), (1, 2, 'sensitivity')]
    """

    def __init__(self, target: Callable[[int, int, str], Any] | bool | None) -> None:
        if target not in (None, True, False) and not callable(target):
            raise InputError(
                f"progress: expected a function of (done, total, what), got {target!r}"
            )
        self._call = target if callable(target) else None
        self._bar: Any = None
        self._done, self._total, self._what = 0, 0, ""
        if self._call is None and target is not False:
            try:
                bar = importlib.import_module("tqdm.auto").tqdm
            except ImportError:
                return
            self._bar = bar(disable=None, leave=False)  # on a terminal only

    def begin(self, what: str, total: int) -> None:
        """Begin a stage.

        Parameters
        ----------
        what : str
        total : int
            Steps that it will take at most; 0: nobody knows.
        """
        self._done, self._total, self._what = 0, total, what
        if self._bar is not None:
            self._bar.reset(total=total or None)
            self._bar.set_description(what)
        self._tell()

    def step(self, n: int = 1) -> None:
        """Say that steps are done.

        Parameters
        ----------
        n : int, default=1
        """
        self._done = min(self._done + n, self._total or self._done + n)
        if self._bar is not None:
            self._bar.update(n)
        self._tell()

    def _tell(self) -> None:
        if self._call is not None:
            self._call(self._done, self._total, self._what)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


class Deadline:
    """Time that may be spent.

    Parameters
    ----------
    budget_s : float or None
        None: without end.
    clock : callable
        Seconds; `time.monotonic` by default.

    Examples
    --------
    >>> Deadline(None).is_over
    False
    """

    def __init__(
        self, budget_s: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if budget_s is not None and not budget_s > 0:
            raise InputError(f"time_budget_s: expected seconds above 0, got {budget_s}")
        self._clock = clock
        self._begin = clock()
        self._budget_s = math.inf if budget_s is None else float(budget_s)

    @property
    def spent_s(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._begin

    @property
    def is_over(self) -> bool:
        """Is all of it spent?"""
        return self.spent_s >= self._budget_s

    def is_over_share(self, share: float) -> bool:
        """Is this share of it spent?

        Parameters
        ----------
        share : float

        Returns
        -------
        is_over : bool
        """
        return self.spent_s >= share * self._budget_s
