"""Windows over traffic: by rows or by time, tumbling and sliding.

Enters: that rows came, and the clock. Leaves: windows that are complete. Traffic is
cut into panes; a window is the merge of the last `n_panes` of them, so sliding costs
no more than tumbling. Durations are read from the monotonic clock alone: a wall clock
that jumps moves the label of a window, and nothing else.
"""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from trimtab.errors import InputError

__all__ = ["Clock", "Pane", "Panes", "SystemClock", "Window"]

MAX_PANES = 1024
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)\s*")


class Clock(Protocol):
    """Where the time comes from; tests bring their own."""

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""

    def time(self) -> float:
        """Seconds since 1970, for people."""


class SystemClock:
    """The machine's clocks.

    Examples
    --------
    >>> SystemClock().time() > 1.7e9
    True
    """

    def monotonic(self) -> float:
        """Read the clock that never goes back.

        Returns
        -------
        seconds : float
        """
        return time.monotonic()

    def time(self) -> float:
        """Read the wall clock.

        Returns
        -------
        seconds : float
        """
        return time.time()


@dataclass(frozen=True)
class Window:
    """How traffic is cut.

    Parameters
    ----------
    rows : int, optional
        Rows of a window; either these or `seconds`.
    seconds : float, optional
        Length of a window.
    n_panes : int, default=1
        1: windows follow each other (tumbling). More: a window is complete each time
        an n-th of its length has passed (sliding).

    Examples
    --------
    >>> Window(rows=1000)
    Window(rows=1000, seconds=None, n_panes=1)
    >>> Window.of("5m").seconds
    300.0
    """

    rows: int | None = None
    seconds: float | None = None
    n_panes: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be cut."""
        is_rows = isinstance(self.rows, int) and not isinstance(self.rows, bool)
        good = [
            (self.rows is None) != (self.seconds is None),
            isinstance(self.n_panes, int) and 1 <= self.n_panes <= MAX_PANES,
            self.rows is None or (is_rows and self.rows > 0),
            self.seconds is None or 1e-3 <= self.seconds < math.inf,
        ]
        if not all(good):
            raise InputError(
                "a window: expected rows (1 or more) or seconds (0.001 or more), and "
                f"1 to {MAX_PANES} panes, got {self!r}"
            )
        if self.rows is not None and self.rows % self.n_panes:
            raise InputError(
                f"a window of {self.rows} rows cannot be cut into {self.n_panes} equal "
                "panes; take a multiple"
            )

    @classmethod
    def of(cls, given: Window | int | float | str | timedelta) -> Window:
        """Take what users write.

        Parameters
        ----------
        given : Window, int, str or timedelta
            Rows, or a time such as "30s", "5m", "1h".

        Returns
        -------
        window : Window

        Raises
        ------
        InputError
            It is none of these.
        """
        if isinstance(given, Window):
            return given
        if isinstance(given, timedelta):
            return cls(seconds=given.total_seconds())
        if isinstance(given, int) and not isinstance(given, bool):
            return cls(rows=given)
        found = _TEXT.fullmatch(given) if isinstance(given, str) else None
        if found is None:
            raise InputError(
                "window: expected a number of rows, a time such as '5m', or a "
                f"Window(rows=..., n_panes=...), got {given!r}"
            )
        return cls(seconds=float(found[1]) * _UNITS[found[2]])

    @property
    def pane_rows(self) -> int | None:
        """Rows of a pane, where windows are cut by rows."""
        return None if self.rows is None else self.rows // self.n_panes

    @property
    def pane_s(self) -> float | None:
        """Seconds of a pane, where windows are cut by time."""
        return None if self.seconds is None else self.seconds / self.n_panes

    def __str__(self) -> str:
        """Text for people."""
        size = f"{self.rows} rows" if self.rows is not None else f"{self.seconds:g} s"
        every = f", sliding in {self.n_panes} steps" if self.n_panes > 1 else ""
        return size + every


T = TypeVar("T")


@dataclass
class Pane(Generic[T]):
    """A part of the traffic, or a window: some parts merged.

    Parameters
    ----------
    index : int
        Of the (last) pane, from 0. Some are left out where nobody came for long.
    content : object
        What counts.
    n_rows : int
    started_s, ended_s : float
        By the monotonic clock; `ended_s` is NaN while it is open.
    time : float
        When it began, by the wall clock.
    """

    index: int
    content: T
    n_rows: int
    started_s: float
    ended_s: float
    time: float


class Panes(Generic[T]):
    """Cuts traffic into panes and merges them into windows.

    Not thread-safe: whoever owns it holds a lock.

    Parameters
    ----------
    window : Window
    new : callable
        Gives empty content.
    merge : callable
        ``merge(a, b)`` adds the content of b to a.
    clock : Clock, optional
    closing : callable, optional
        Called with each pane when it is closed.

    Examples
    --------
    >>> panes = Panes(Window(rows=3), new=list, merge=list.extend)
    >>> for x in range(7):
    ...     panes.open.content.append(x)
    ...     for window in panes.add(1):
    ...         print(window.index, window.content)
    0 [0, 1, 2]
    1 [3, 4, 5]
    """

    def __init__(
        self,
        window: Window,
        *,
        new: Callable[[], T],
        merge: Callable[[T, T], object],
        clock: Clock | None = None,
        closing: Callable[[Pane[T]], object] | None = None,
    ) -> None:
        self.window = window
        self._closing = closing
        self._new = new
        self._merge = merge
        self._clock = clock or SystemClock()
        self._kept: deque[Pane[T]] = deque(maxlen=window.n_panes)
        self._last_s = self._clock.monotonic()
        self.open = self._opened(0, self._last_s)
        #: Panes of time without traffic that no window was made of.
        self.n_skipped = 0

    def _opened(self, index: int, started_s: float) -> Pane[T]:
        return Pane(
            index, self._new(), 0, started_s, math.nan, float(self._clock.time())
        )

    def _now(self) -> float:
        """The monotonic clock, held to its word."""
        self._last_s = max(self._last_s, self._clock.monotonic())
        return self._last_s

    @property
    def room(self) -> int | None:
        """Rows that the open pane still takes; None where time cuts."""
        rows = self.window.pane_rows
        return None if rows is None else max(rows - self.open.n_rows, 0)

    @property
    def live(self) -> list[Pane[T]]:
        """The open pane, after those that are to be a part of a coming window."""
        count = self.window.n_panes - 1
        return [*(list(self._kept)[-count:] if count else []), self.open]

    def at(self, age_s: float = 0.0) -> Pane[T] | None:
        """Find the pane for rows that are some seconds old.

        Parameters
        ----------
        age_s : float, default=0.0

        Returns
        -------
        pane : Pane or None
            None where a complete window holds the last place for them.
        """
        if age_s <= 0 or self.window.rows is not None:
            return self.open
        moment = self._now() - age_s
        for pane in reversed(self.live):
            if moment >= pane.started_s:
                return pane
        return None

    def add(self, n_rows: int, pane: Pane[T] | None = None) -> list[Pane[T]]:
        """Take note of rows that were counted.

        Parameters
        ----------
        n_rows : int
        pane : Pane, optional
            Where; in the open one by default.

        Returns
        -------
        windows : list of Pane
            That are complete now.
        """
        (pane or self.open).n_rows += n_rows
        return self.advance()

    def advance(self) -> list[Pane[T]]:
        """Close the panes whose time is over, or that are full.

        Returns
        -------
        windows : list of Pane
            That are complete now, oldest first.
        """
        if self.window.pane_rows is not None:
            return self._close(self._now()) if self.room == 0 else []
        length = self.window.pane_s
        assert length is not None
        n_over = int((self._now() - self.open.started_s) // length)
        if n_over <= 0:
            return []
        # Behind the last pane with rows there are windows up to its n-th follower;
        # the silence after that makes none.
        n_closed = min(n_over, self.window.n_panes)
        windows: list[Pane[T]] = []
        start, index = self.open.started_s, self.open.index
        for i in range(n_closed):
            windows += self._close(start + (i + 1) * length)
        if n_over > n_closed:
            self.n_skipped += n_over - n_closed
            for i in range(n_over - self.window.n_panes + 1, n_over):
                self._kept.append(self._silent(index + i, start + i * length, length))
            self.open = self._opened(index + n_over, start + n_over * length)
        return windows

    def _silent(self, index: int, start: float, length: float) -> Pane[T]:
        pane = self._opened(index, start)
        pane.ended_s = start + length
        return pane

    def _close(self, now: float) -> list[Pane[T]]:
        pane = self.open
        pane.ended_s = now
        if self._closing is not None:
            self._closing(pane)
        self._kept.append(pane)
        self.open = self._opened(pane.index + 1, now)
        if len(self._kept) < self.window.n_panes:
            return []
        return [self._merged(list(self._kept))]

    def finish(self) -> Pane[T] | None:
        """Merge what is there, complete or not; nothing is closed.

        Returns
        -------
        window : Pane or None
            None where there are no rows.
        """
        panes = self.live
        found = self._merged(panes)
        found.ended_s = self._now()
        return found if found.n_rows else None

    def _merged(self, panes: list[Pane[T]]) -> Pane[T]:
        if len(panes) == 1 and self.window.n_panes == 1 and panes[0] is not self.open:
            return panes[0]  # nobody writes to it any more
        content = self._new()
        for pane in panes:
            self._merge(content, pane.content)
        return Pane(
            panes[-1].index,
            content,
            sum(pane.n_rows for pane in panes),
            panes[0].started_s,
            panes[-1].ended_s,
            panes[0].time,
        )
