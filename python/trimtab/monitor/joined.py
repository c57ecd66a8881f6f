"""A monitor's hold on its labels: nothing of it raises."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.monitor.status import plain
from trimtab.monitor.troubles import Troubles
from trimtab.monitor.windows import Clock
from trimtab.types import Array

__all__ = ["Joined"]

_KEYS = ("value", "low", "high", "n")
# Between two records of labels that came.
_RECORD_S = 10.0


class Joined:
    """Hands predictions and labels to a `LabelStore`, if there is one.

    Parameters
    ----------
    store : LabelStore or None
    clock : Clock
    troubles : Troubles
    """

    def __init__(self, store: Any, clock: Clock, troubles: Troubles) -> None:
        self.store = store
        self._clock = clock
        self._troubles = troubles
        self._recorded: tuple[float, Any] = (-math.inf, None)

    def predicted(
        self,
        request_ids: Sequence[Any] | None,
        outputs: Mapping[str, Array],
        y_true: Any = None,
    ) -> None:
        """Keep predictions, and their labels where they are known.

        Parameters
        ----------
        request_ids : sequence of hashable, optional
            One for each row; made up where the labels are there.
        outputs : mapping of str to ndarray
            The first one is kept.
        y_true : array-like, optional
        """
        if self.store is None or not outputs:
            return
        with self._troubles.guard("keeping predictions for labels"):
            rows = np.asarray(next(iter(outputs.values())))
            if request_ids is None:
                request_ids = [uuid.uuid4().hex for _ in rows]
            labels = [None] * len(rows) if y_true is None else y_true
            counts = len(request_ids), len(labels)
            if counts != (len(rows), len(rows)):
                self._troubles.note(
                    "keeping predictions for labels",
                    f"expected {len(rows)} request ids and labels, one for each row, "
                    f"got {counts[0]} and {counts[1]}",
                )
                return
            now = self._clock.monotonic()
            if hasattr(self.store, "predicted_rows"):
                self.store.predicted_rows(request_ids, rows, now)
            else:
                for request_id, row in zip(request_ids, rows, strict=True):
                    self.store.predicted(request_id, np.array(row), now)
            for request_id, label in zip(request_ids, labels, strict=True):
                if label is not None:
                    self.store.label(request_id, label, now)

    def label(self, request_id: Any, y: Any) -> str:
        """Bring a label.

        Parameters
        ----------
        request_id : hashable
        y : object

        Returns
        -------
        status : str
        """
        status = "not kept"
        with self._troubles.guard("taking a label"):
            if self.store is not None:
                status = str(self.store.label(request_id, y, self._clock.monotonic()))
        return status

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Give the metrics of what came.

        Returns
        -------
        metrics : dict of str to dict
            With "value", "low", "high" and "n"; those without labels are left out.
        """
        found: dict[str, dict[str, Any]] = {}
        with self._troubles.guard("computing metrics of labels"):
            if self.store is not None:
                for name, values in self.store.metrics().items():
                    found[name] = dict(zip(_KEYS, values, strict=True))
        return {name: one for name, one in found.items() if one["n"]}

    def counts(self) -> dict[str, int]:
        """Tell what became of labels.

        Returns
        -------
        counts : dict of str to int
        """
        found: dict[str, int] = {}
        with self._troubles.guard("counting labels"):
            if self.store is not None:
                found = dict(self.store.counts)
                waiting = getattr(self.store, "n_pending", None)
                found |= {} if waiting is None else {"pending": waiting}
        return found

    def totals(self) -> dict[str, int]:
        """Tell what became of labels, in numbers that only grow.

        Returns
        -------
        counts : dict of str to int
            Empty where nothing has come.
        """
        found = self.counts()
        found.pop("pending", None)
        return found if any(found.values()) else {}

    def windows(self) -> tuple[dict[str, Any], ...]:
        """Give the metrics by window of predictions.

        Returns
        -------
        windows : tuple of dict
            With "index", "n_predictions", "n_labels", "is_final" and "metrics"; oldest
            first.
        """
        found: list[dict[str, Any]] = []
        with self._troubles.guard("computing metrics of labels"):
            if hasattr(self.store, "windows"):
                for window in self.store.windows():
                    one = dict(vars(window))
                    one["metrics"] = {
                        name: dict(zip(_KEYS, values, strict=True))
                        for name, values in window.metrics.items()
                    }
                    found.append(one)
        return tuple(found)

    def record(self, *, is_due: bool = False) -> dict[str, Any] | None:
        """Give the record for sinks, where labels have come since the last one.

        Parameters
        ----------
        is_due : bool, default=False
            True: however short a time ago that was.

        Returns
        -------
        record : dict or None
        """
        version = getattr(self.store, "version", None)
        before_s, before = self._recorded
        now = self._clock.monotonic()
        if version is None or version == before:
            return None
        if not is_due and now - before_s < _RECORD_S:
            return None
        metrics = self.metrics()
        self._recorded = (now, version)
        if not metrics:
            return None
        found: dict[str, Any] = plain(
            {"kind": "label", "metrics": metrics, "labels": self.counts()}
        )
        return found

    def renew(self) -> None:
        """Begin again in a forked child."""
        self._recorded = (-math.inf, None)
        if hasattr(self.store, "renew"):
            self.store.renew()
