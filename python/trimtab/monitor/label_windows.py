"""Metrics of labels by window of predictions: those that leave, and those still held.

Predictions leave in the order they came, so one window at a time is leaving; it has
accumulators, and the windows before it are numbers only.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trimtab.metrics.metric import Metric
from trimtab.monitor.fold import Fold, LabelMetric, Pair
from trimtab.monitor.windows import Window

__all__ = ["LabelWindow", "LabelWindows"]


@dataclass(frozen=True)
class LabelWindow:
    """The metrics of the predictions of one window.

    Parameters
    ----------
    index : int
        Of windows, by rows or by time.
    n_predictions, n_labels : int
    metrics : dict of str to LabelMetric
    is_final : bool
        No label for it can come any more.
    """

    index: int
    n_predictions: int
    n_labels: int
    metrics: dict[str, LabelMetric]
    is_final: bool


class LabelWindows:
    """Folds the pairs that leave, window by window.

    Not thread-safe: whoever owns it holds a lock.

    Parameters
    ----------
    metrics : sequence of Metric
    window : Window
        Tumbling, whatever it says.
    history : int
        Windows that are kept.
    alpha : float
        1 - alpha is the confidence.

    Examples
    --------
    >>> windows = LabelWindows([], Window(rows=10), history=5, alpha=0.05)
    >>> windows.index(time_s=7.0, position=25)
    2
    """

    def __init__(
        self, metrics: Sequence[Metric], window: Window, *, history: int, alpha: float
    ) -> None:
        self._metrics = tuple(metrics)
        self._window = window
        self._alpha = alpha
        self._finals: deque[LabelWindow] = deque(maxlen=history)
        self._leaving: tuple[int, Fold] | None = None
        self._n_left = 0  # predictions of the window that is leaving

    def index(self, *, time_s: float, position: int) -> int:
        """Find the window of a prediction.

        Parameters
        ----------
        time_s : float
            By the monotonic clock.
        position : int
            Of predictions, from 0.

        Returns
        -------
        index : int
        """
        if self._window.rows is not None:
            return position // self._window.rows
        assert self._window.seconds is not None
        return int(time_s // self._window.seconds)

    def leave(self, index: int, pair: Pair | None) -> None:
        """Take a prediction that is let go.

        Parameters
        ----------
        index : int
            Of its window; they do not go down.
        pair : (label, Prediction) or None
            None: its label never came.
        """
        if self._leaving is not None and self._leaving[0] != index:
            self._finals.append(self._read(self._leaving, (), 0, is_final=True))
            self._leaving, self._n_left = None, 0
        if self._leaving is None:
            self._leaving = (index, Fold(self._metrics))
        self._n_left += 1
        if pair is not None:
            self._leaving[1].add(pair)

    def read(self, held: Iterable[tuple[int, Pair | None]]) -> list[LabelWindow]:
        """Give all windows, oldest first.

        Parameters
        ----------
        held : iterable of (index, pair or None)
            The predictions that did not leave yet, in their order.

        Returns
        -------
        windows : list of LabelWindow
        """
        counted: dict[int, int] = {}
        pairs: dict[int, list[Pair]] = {}
        if self._leaving is not None:
            counted[self._leaving[0]] = 0
        for index, pair in held:
            counted[index] = counted.get(index, 0) + 1
            if pair is not None:
                pairs.setdefault(index, []).append(pair)
        found = list(self._finals)
        most = self._finals.maxlen or 1
        for index, n in list(counted.items())[-most:]:
            begun = self._leaving
            if begun is None or begun[0] != index:
                begun = (index, Fold(self._metrics))
            found.append(self._read(begun, pairs.get(index, ()), n, is_final=False))
        return found[-most:]

    def _read(
        self, begun: tuple[int, Fold], pairs: Sequence[Pair], n: int, *, is_final: bool
    ) -> LabelWindow:
        index, fold = begun
        is_leaving = self._leaving is not None and self._leaving[0] == index
        metrics, _ = fold.metrics(pairs, alpha=self._alpha)
        n_predictions = n + (self._n_left if is_leaving else 0)
        return LabelWindow(index, n_predictions, fold.n + len(pairs), metrics, is_final)

    def copy(self) -> LabelWindows:
        """Give one that goes its own way.

        Returns
        -------
        other : LabelWindows
        """
        other = copy.copy(self)
        other._finals = self._finals.copy()
        if self._leaving is not None:
            other._leaving = (self._leaving[0], self._leaving[1].copy())
        return other
