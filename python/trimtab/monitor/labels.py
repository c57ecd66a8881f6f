"""Labels that come late: joined with predictions by request id, within bounds.

Enters: predictions, and labels in any order, twice, for nobody, or never. Leaves: live
metrics with intervals, and counts of what became of each label. Predictions are kept
for `horizon_s` and in bounded memory; then a pair is folded into the accumulators in
the order of the predictions, so that the metrics depend on the pairs alone.
"""

from __future__ import annotations

import copy
import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trimtab.errors import InputError, TrimtabError
from trimtab.metrics.metric import Metric
from trimtab.metrics.table import find_metric
from trimtab.monitor.fold import Fold, LabelMetric, Pair
from trimtab.monitor.label_entry import STATUSES, Entry, status_of_another
from trimtab.monitor.label_windows import LabelWindow, LabelWindows
from trimtab.monitor.pairs import PairReader, short_key
from trimtab.monitor.windows import Clock, SystemClock, Window

__all__ = ["STATUSES", "LabelStore"]

# Metrics whose accumulators keep every sample: they are of the labels within reach.
_GROWING = ("roc_auc", "average_precision", "median_absolute_error")


@dataclass
class _Kept:
    """Metrics as they were when nothing had changed since."""

    version: int = -1
    metrics: dict[str, LabelMetric] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


class LabelStore:
    """Joins labels with predictions; any thread may call it.

    Parameters
    ----------
    metrics : sequence of str or Metric, default=("accuracy",)
        Of `trimtab.metrics`; all of classes, or all of numbers.
    horizon_s : float, default=86400
        How long a prediction waits for its label.
    max_pending : int, default=100000
        Predictions that are kept at most; the oldest give way.
    max_bytes : int, default=67108864
        The same in bytes, for outputs of many classes.
    early_s : float, default=60
        How long a label waits for its prediction, before it is of nobody.
    window : Window, int or str, default=1000
        Predictions, or time, of the windows of `windows`; tumbling.
    history : int, default=100
        Windows that are kept.
    classes : sequence of str, optional
        Names of the classes; labels may be given by name then.
    threshold : float, default=0.5
        From which score on a single output means class 1.
    alpha : float, default=0.05
        1 - alpha is the confidence of the intervals.
    clock : Clock, optional
        For tests.

    Raises
    ------
    InputError
        An argument is none of these.

    Examples
    --------
    >>> store = LabelStore(["accuracy"])
    >>> store.predicted("r-1", np.array([0.1, 0.9]))
    >>> store.predicted("r-2", np.array([0.2, 0.8]))
    >>> store.label("r-2", 1), store.label("r-1", 0), store.label("r-2", 1)
    ('matched', 'matched', 'duplicate')
    >>> store.metrics()["accuracy"].value
    0.5
    """

    def __init__(
        self,
        metrics: Sequence[str | Metric] | str = ("accuracy",),
        *,
        horizon_s: float = 86400.0,
        max_pending: int = 100_000,
        max_bytes: int = 64 << 20,
        early_s: float = 60.0,
        window: Window | int | str = 1000,
        history: int = 100,
        classes: Sequence[str] | None = None,
        threshold: float = 0.5,
        alpha: float = 0.05,
        clock: Clock | None = None,
    ) -> None:
        names = [metrics] if isinstance(metrics, str | Metric) else list(metrics)
        if not names:
            raise InputError("labels: expected at least one metric")
        bounds = (horizon_s > 0, max_pending >= 1, max_bytes >= 1, early_s >= 0)
        if not all(bounds) or history < 1 or not 0 < alpha < 1:
            raise InputError(
                "labels: expected horizon_s > 0, max_pending, max_bytes and history of "
                f"1 or more, early_s >= 0 and alpha in (0, 1), got {horizon_s}, "
                f"{max_pending}, {max_bytes}, {history}, {early_s}, {alpha}"
            )
        self._metrics = tuple(find_metric(name) for name in names)
        self._window = Window.of(window)
        self.horizon_s, self.early_s = float(horizon_s), float(early_s)
        self.max_pending, self.max_bytes = max_pending, max_bytes
        self.alpha, self.history = alpha, history
        self._clock = clock or SystemClock()
        needs: set[str] = {metric.needs for metric in self._metrics}
        self._reader_options = (needs, tuple(classes or ()), threshold)
        self.renew()

    def renew(self) -> None:
        """Begin with nothing: at first, and in a forked child."""
        needs, classes, threshold = self._reader_options
        self._lock = threading.RLock()
        self._reader = PairReader(needs, classes=classes, threshold=threshold)
        self._held: OrderedDict[Hashable, Entry] = OrderedDict()
        self._early: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        # Ids that were let go -> had their label come?
        self._gone: OrderedDict[Hashable, bool] = OrderedDict()
        self._counts: Counter[str] = Counter(dict.fromkeys(STATUSES, 0))
        folded = [m for m in self._metrics if not _is_growing(m)]
        self._fold = Fold(folded)
        self._windows = LabelWindows(
            folded, self._window, history=self.history, alpha=self.alpha
        )
        self._kept = _Kept()
        self._n_bytes = 0
        self._next = 0
        self._now_s = float("-inf")
        self._version = 0

    # ---- what comes -----------------------------------------------------------------

    def predicted(
        self, request_id: Any, output: Any, time: float | None = None
    ) -> None:
        """Keep a prediction until its label comes.

        Parameters
        ----------
        request_id : hashable
        output : array-like
            One row of the model's output: scores of classes, a class, or numbers.
        time : float, optional
            By the monotonic clock; now by default.

        Raises
        ------
        InputError
            The id cannot be looked up, or the output has a shape that the metrics
            cannot take.
        """
        self.predicted_rows([request_id], np.asarray(output)[None], time)

    def predicted_rows(
        self, request_ids: Sequence[Any], outputs: Any, time: float | None = None
    ) -> None:
        """Keep the predictions of a batch.

        Parameters
        ----------
        request_ids : sequence of hashable
            One for each row.
        outputs : array-like of shape (n, ...)
        time : float, optional
            By the monotonic clock; now by default.

        Raises
        ------
        InputError
            There are not as many ids as rows, or see `predicted`.
        """
        keys = [short_key(one) for one in request_ids]
        with self._lock:
            now = self._advance(time)
            found = self._reader.predictions(outputs)
            if len(keys) != len(found):
                raise InputError(
                    f"expected {len(found)} request ids, one for each row, got "
                    f"{len(keys)}"
                )
            for key, prediction in zip(keys, found, strict=True):
                if prediction is None:
                    self._counts["invalid"] += 1
                elif key in self._held:
                    self._counts["repeated"] += 1
                else:
                    self._counts["predicted"] += 1
                    self._hold(key, Entry(now, self._next, prediction))
            self._bound()

    def _hold(self, key: Hashable, entry: Entry) -> None:
        self._gone.pop(key, None)
        self._held[key] = entry
        self._n_bytes += entry.prediction.nbytes
        self._next += 1
        self._version += 1
        early = self._early.pop(key, None)
        if early is not None:
            self._counts[self._attach(entry, early[1])] += 1

    def label(self, request_id: Any, y: Any, time: float | None = None) -> str:
        """Bring a label.

        Parameters
        ----------
        request_id : hashable
            Of `predicted`.
        y : object
            The class by number or name, or one or more numbers.
        time : float, optional
            By the monotonic clock; now by default.

        Returns
        -------
        status : str
            "early": its prediction may come yet; else of `STATUSES`. Nothing that a
            label may be raises.
        """
        with self._lock:
            now = self._advance(time)
            try:
                key, label = short_key(request_id), self._reader.label(y)
            except TrimtabError:
                status = "invalid"
            else:
                status = self._place(key, label, now)
            if status != "early":
                self._counts[status] += 1
        return status

    def _place(self, key: Hashable, label: Any, now: float) -> str:
        entry = self._held.get(key)
        if entry is not None:
            return self._attach(entry, label)
        if key in self._gone:
            return "duplicate" if self._gone[key] else "late"
        if key in self._early:
            return status_of_another(self._early[key][1], label)
        if not self.early_s or len(self._early) >= self.max_pending:
            return "unmatched"
        self._early[key] = (now, label)
        return "early"

    def _attach(self, entry: Entry, label: Any) -> str:
        if entry.label is not None:
            return status_of_another(entry.label, label)
        try:
            self._reader.check(entry.prediction, label)
        except TrimtabError:
            return "invalid"
        entry.label = label
        self._version += 1
        return "matched"

    # ---- what goes ------------------------------------------------------------------

    def _advance(self, time: float | None = None) -> float:
        """Let go what is too old; the clock is held to its word."""
        given = self._clock.monotonic() if time is None else float(time)
        now = self._now_s = max(self._now_s, given)
        while self._held:
            key, entry = next(iter(self._held.items()))
            if now - entry.time_s <= self.horizon_s:
                break
            self._let_go(key, "expired")
        while self._early:
            came_s, _ = next(iter(self._early.values()))
            if now - came_s <= self.early_s:
                break
            self._early.popitem(last=False)
            self._counts["unmatched"] += 1
        return now

    def _bound(self) -> None:
        while len(self._held) > self.max_pending or self._n_bytes > self.max_bytes:
            self._let_go(next(iter(self._held)), "evicted")

    def _let_go(self, key: Hashable, status: str) -> None:
        entry = self._held.pop(key)
        self._n_bytes -= entry.prediction.nbytes
        self._version += 1
        pair = entry.pair
        self._gone[key] = pair is not None
        if len(self._gone) > self.max_pending:
            self._gone.popitem(last=False)
        self._windows.leave(self._index(entry), pair)
        if pair is None:
            self._counts[status] += 1
        else:
            self._fold.add(pair)

    def _index(self, entry: Entry) -> int:
        return self._windows.index(time_s=entry.time_s, position=entry.position)

    # ---- what is read ---------------------------------------------------------------

    @property
    def counts(self) -> dict[str, int]:
        """What became of labels and predictions; they only grow (`STATUSES`)."""
        with self._lock:
            self._advance()
            return dict(self._counts)

    @property
    def n_pending(self) -> int:
        """Predictions that wait for their label."""
        with self._lock:
            self._advance()
            counts = self._counts
            gone = counts["matched"] + counts["expired"] + counts["evicted"]
            return counts["predicted"] - gone

    @property
    def n_early(self) -> int:
        """Labels that wait for their prediction."""
        with self._lock:
            self._advance()
            return len(self._early)

    @property
    def version(self) -> int:
        """Grows when something changes."""
        return self._version

    @property
    def notes(self) -> dict[str, str]:
        """Why a metric of the last `metrics` is not defined: name -> message."""
        return dict(self._kept.notes)

    def pairs(self) -> list[Pair]:
        """Give the pairs that are still held.

        Returns
        -------
        pairs : list of (label, Prediction)
            In the order of the predictions.
        """
        with self._lock:
            found = (entry.pair for entry in self._held.values())
            return [pair for pair in found if pair is not None]

    def metrics(self) -> dict[str, LabelMetric]:
        """Give the metrics of all labels that came in time.

        Of metrics that need every sample (areas under curves, the median of errors):
        those of predictions within the horizon.

        Returns
        -------
        metrics : dict of str to LabelMetric
            (value, low, high, n).
        """
        with self._lock:
            self._advance()
            kept, version = self._kept, self._version
            if kept.version == version:
                return dict(kept.metrics)
            pairs, fold = self.pairs(), self._fold.copy()
        found, notes = self._computed(fold, pairs)
        with self._lock:
            self._kept = _Kept(version, found, notes)
        return dict(found)

    def _computed(
        self, fold: Fold, pairs: Sequence[Pair]
    ) -> tuple[dict[str, LabelMetric], dict[str, str]]:
        found, notes = fold.metrics(pairs, alpha=self.alpha)
        growing = [m for m in self._metrics if _is_growing(m)]
        if growing:
            more, why = Fold(growing).metrics(pairs, alpha=self.alpha)
            found, notes = {**found, **more}, {**notes, **why}
        return {m.name: found[m.name] for m in self._metrics}, notes

    def windows(self) -> list[LabelWindow]:
        """Give the metrics by window of predictions, oldest first.

        Returns
        -------
        windows : list of LabelWindow
            At most `history`; labels that come change those that are not final.
            Without metrics that need every sample.
        """
        with self._lock:
            self._advance()
            windows = self._windows.copy()
            held = [(self._index(entry), entry.pair) for entry in self._held.values()]
        return windows.read(held)

    # ---- many processes -------------------------------------------------------------

    def merge(self, other: LabelStore) -> None:
        """Add what another store has seen, of other requests; it stays as it is.

        Labels that wait in one find their predictions in the other. Of windows only
        those whose predictions are still held come along.

        Parameters
        ----------
        other : LabelStore
            Of the same metrics; of a process of the same machine, or its times mean
            nothing here. Stores can be pickled.

        Raises
        ------
        InputError
            The metrics differ, or both know a request.
        """
        if other is self:
            raise InputError(
                "merge: these are the same labels, nothing is counted twice"
            )
        other = other._frozen()
        with self._lock:
            mine = (self._reader_options, self._window, [m.name for m in self._metrics])
            theirs = (
                other._reader_options,
                other._window,
                [m.name for m in other._metrics],
            )
            if mine != theirs:
                raise InputError(
                    f"merge: expected labels for {mine[2]} in windows of {mine[1]}, "
                    f"got {theirs[2]} in windows of {theirs[1]}"
                )
            both = self._held.keys() & (other._held.keys() | other._gone.keys())
            both |= self._gone.keys() & other._held.keys()
            if both:
                raise InputError(
                    f"merge: {len(both)} requests are known here already, as "
                    f"{next(iter(both))!r}; ids must be of one process each"
                )
            self._reader.merge(other._reader)
            self._fold.merge(other._fold)
            self._counts.update(other._counts)
            self._gone.update(other._gone)
            self._now_s = max(self._now_s, other._now_s)
            self._join(other)
            self._bound()

    def _join(self, other: LabelStore) -> None:
        """Hold what the other one holds, in the order of time."""
        first = next(iter(self._held.values())).position if self._held else self._next
        both = [*self._held.items(), *other._held.items()]
        both.sort(key=lambda item: item[1].time_s)
        self._held.clear()
        self._n_bytes, self._next = 0, first
        for key, entry in both:
            entry.position = self._next
            self._hold(key, entry)
        while len(self._gone) > self.max_pending:
            self._gone.popitem(last=False)
        for key, (came_s, label) in other._early.items():
            status = self._place(key, label, came_s)
            if status != "early":
                self._counts[status] += 1
        waiting = sorted(self._early.items(), key=lambda item: item[1][0])
        self._early = OrderedDict(waiting)

    def _frozen(self) -> LabelStore:
        """A copy as of now."""
        other = LabelStore.__new__(LabelStore)
        other.__setstate__(self.__getstate__())
        return other

    def __getstate__(self) -> dict[str, Any]:
        """All but the lock and the clock."""
        with self._lock:
            state = self.__dict__.copy()
            del state["_lock"], state["_clock"]
            for name in ("_early", "_gone", "_counts", "_fold", "_windows", "_reader"):
                state[name] = state[name].copy()
            held = ((key, copy.copy(entry)) for key, entry in self._held.items())
            state["_held"] = OrderedDict(held)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take them, with a lock and a clock of its own."""
        self.__dict__.update(state)
        self._lock = threading.RLock()
        self._clock = SystemClock()

    def __repr__(self) -> str:
        """Metrics and counts."""
        names = ", ".join(metric.name for metric in self._metrics)
        n, matched = self._counts["predicted"], self._counts["matched"]
        return f"LabelStore({names}: {matched} labels of {n} predictions)"


def _is_growing(metric: Metric) -> bool:
    return metric.name.startswith(_GROWING)
