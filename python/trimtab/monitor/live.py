"""Traffic on its way through panes to windows that are judged."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from trimtab.monitor.judge import Judge
from trimtab.monitor.reference import Reference
from trimtab.monitor.status import WindowResult
from trimtab.monitor.tally import Tally, count_rows
from trimtab.monitor.windows import Clock, Pane, Panes, Window
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab import _core

__all__ = ["Live"]

# Windows that wait to be judged; each is some ten KB.
_MAX_PENDING = 1024


class Live:
    """Counts traffic for one reference; any thread may call it.

    Parameters
    ----------
    reference : Reference
    window : Window
    judge : Judge
    clock : Clock
    history : int
        Results that are kept.
    """

    def __init__(
        self,
        reference: Reference,
        window: Window,
        *,
        judge: Judge,
        clock: Clock,
        history: int,
    ) -> None:
        self.reference = reference
        self.window = window
        self.judge = judge
        self._clock = clock
        self._history = history
        self.renew()

    def renew(self) -> None:
        """Begin with nothing: at first, and in a forked child."""
        self._lock = threading.RLock()
        self._judging = threading.Lock()
        self.results: deque[WindowResult] = deque(maxlen=self._history)
        self.n_windows = 0
        self.n_late = 0
        self.n_rows = 0
        self.n_overflowed = 0
        self._panes = Panes(
            self.window,
            new=self._new_tally,
            merge=Tally.merge,
            clock=self._clock,
            closing=self._closing,
        )
        self._pending: deque[Pane[Tally]] = deque()
        # What nobody has taken yet, but for the open pane; and what was taken of that.
        self._since = self._new_tally()
        self._taken: Tally | None = None
        self.epoch = 0

    def _closing(self, pane: Pane[Tally]) -> None:
        self._since.merge(pane.content)
        if self._taken is not None:
            pane.content.merge(self._taken)
            self._taken = None

    def _new_tally(self) -> Tally:
        return Tally(self.reference, with_scores=self.judge.estimator is not None)

    # ---- counting -------------------------------------------------------------------

    def count(
        self,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array] | None,
        *,
        age_s: float = 0.0,
        but: frozenset[str] = frozenset(),
    ) -> None:
        """Count a batch, cut where windows end.

        Parameters
        ----------
        inputs : mapping of str to ndarray
        outputs : mapping of str to ndarray, optional
        age_s : float, default=0.0
            How long ago it happened.
        but : frozenset of str, optional
            Tables that are counted elsewhere.
        """
        n_rows = count_rows(inputs, outputs)
        start = 0
        while start < n_rows:
            with self._lock:
                self._keep(self._panes.advance())
                pane = self._panes.at(age_s)
                if pane is None:
                    self.n_late += n_rows - start
                    return
                room = self._panes.room
                stop = n_rows if room is None else min(n_rows, start + max(room, 1))
                part = slice(start, stop)
                ins = _cut(inputs, part, n_rows)
                outs = None if outputs is None else _cut(outputs, part, n_rows)
                pane.content.count(ins, outs, but=but)
                if pane is not self._panes.open:  # late: that was added to `since`
                    self._since.count(ins, outs, but=but)
                self.n_rows += stop - start
                self._keep(self._panes.add(stop - start, pane))
            start = stop

    def count_beside(
        self,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array] | None,
        *,
        but: frozenset[str],
    ) -> None:
        """Count tables of rows that other tables have brought already.

        Parameters
        ----------
        inputs : mapping of str to ndarray
        outputs : mapping of str to ndarray, optional
        but : frozenset of str
            The other tables.
        """
        with self._lock:
            self._keep(self._panes.advance())
            content = self._panes.open.content
            content.count(inputs, outputs, but=but, adds_rows=False)

    def count_inside(self, tensors: Mapping[str, Array]) -> None:
        """Count rows of tensors in the middle of the model.

        Parameters
        ----------
        tensors : mapping of str to ndarray
        """
        with self._lock:
            self._panes.open.content.count_inside(tensors)

    def add(self, tally: Tally) -> None:
        """Add what was counted elsewhere, to the open pane.

        Parameters
        ----------
        tally : Tally
        """
        with self._lock:
            self._keep(self._panes.advance())
            self._panes.open.content.merge(tally)
            self.n_rows += tally.n_rows
            self._keep(self._panes.add(tally.n_rows))

    def add_sketches(self, sketches: Mapping[str, _core.TableSketch]) -> int:
        """Add sketches by table, to the open pane.

        Parameters
        ----------
        sketches : mapping of str to TableSketch

        Returns
        -------
        n_rows : int
            Most rows that one of them has.
        """
        with self._lock:
            self._keep(self._panes.advance())
            content = self._panes.open.content
            for name, sketch in sketches.items():
                content.sketches[name].merge(sketch)
            n_rows = max((int(x.n_rows) for x in sketches.values()), default=0)
            content.n_rows += n_rows
            self.n_rows += n_rows
            self._keep(self._panes.add(n_rows))
        return n_rows

    def _keep(self, windows: list[Pane[Tally]]) -> None:
        for window in windows:
            if len(self._pending) >= _MAX_PENDING:
                self._pending.popleft()
                self.n_overflowed += 1
            self._pending.append(window)

    @property
    def is_waiting(self) -> bool:
        """Are there windows to judge?"""
        return bool(self._pending)

    # ---- judging --------------------------------------------------------------------

    def judge_pending(self) -> list[WindowResult]:
        """Judge the windows that are complete.

        Returns
        -------
        results : list of WindowResult
            Oldest first; windows without rows give none.
        """
        found = []
        with self._judging:
            with self._lock:
                self._keep(self._panes.advance())
            while self._pending:
                pane = self._pending.popleft()
                if not pane.n_rows:
                    continue
                result = self.judge.judge(pane)
                self.results.append(result)
                self.n_windows += 1
                found.append(result)
        return found

    def look(self) -> WindowResult | None:
        """Judge what is there of the window that is not over.

        Returns
        -------
        result : WindowResult or None
            None where there are no rows.
        """
        with self._lock:
            pane = self._panes.finish()
            if pane is not None and self._taken is not None:
                pane.content.merge(self._taken)
        return None if pane is None else self.judge.judge(pane, is_complete=False)

    def take(self, *, reset: bool) -> Tally:
        """Merge all that was counted since somebody took it.

        Parameters
        ----------
        reset : bool
            It is taken: what comes later does not hold it. Windows do not notice.

        Returns
        -------
        tally : Tally
            Of the caller.
        """
        with self._lock:
            found = self._new_tally()
            here = self._panes.open.content
            found.merge(self._since)
            found.merge(here)
            if reset:
                self.epoch += 1
                self._since = self._new_tally()
                self._taken = self._taken or self._new_tally()
                self._taken.merge(here)
                self._panes.open.content = self._new_tally()
        return found

    def put_back(self, tally: Tally) -> None:
        """Let somebody else take what could not be brought away.

        Parameters
        ----------
        tally : Tally
            Of `take`.
        """
        with self._lock:
            self._since.merge(tally)

    def seconds_left(self) -> float | None:
        """Tell when the open pane ends by time.

        Returns
        -------
        seconds : float or None
            None where rows cut.
        """
        length = self.window.pane_s
        if length is None:
            return None
        passed = self._clock.monotonic() - self._panes.open.started_s
        return max(length - passed, 0.0)

    @property
    def nbytes(self) -> int:
        """Bytes of the open pane's sketches."""
        with self._lock:
            return sum(x.nbytes for x in self._panes.open.content.sketches.values())


def _cut(arrays: Mapping[str, Array], part: slice, n_rows: int) -> dict[str, Array]:
    """The same rows of each; what has no rows stays whole."""
    return {
        name: x[part] if np.ndim(x) > 0 and len(x) == n_rows else x
        for name, x in arrays.items()
    }
