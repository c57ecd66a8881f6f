"""A reference made of the first traffic, where there is none."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from trimtab.monitor.columns import take_columns
from trimtab.monitor.reference import Reference
from trimtab.monitor.tally import count_rows
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["Learner"]

_MAX_BYTES = 256 << 20

Call = tuple[Mapping[str, Array], Mapping[str, Array]]


class Learner:
    """Keeps the first rows until they make a reference.

    Parameters
    ----------
    n_rows : int
        Wanted; fewer where they would take more than 256 MB.
    model : Model, optional
    """

    def __init__(self, n_rows: int, model: Model | None = None) -> None:
        self.n_rows = n_rows
        #: That makes the reference; the one that serves.
        self.model = model
        self.renew()

    def renew(self) -> None:
        """Begin with nothing."""
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._n_seen = 0
        self._n_bytes = 0

    def add(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None
    ) -> Reference | None:
        """Keep a call.

        Parameters
        ----------
        inputs : mapping of str to ndarray
            By the model's names; or, without outputs, columns by name.
        outputs : mapping of str to ndarray, optional

        Returns
        -------
        reference : Reference or None
            Once there are enough rows.

        Raises
        ------
        InputError
            Nothing of it can be watched.
        """
        ins, outs = (
            {name: np.array(array) for name, array in side.items()}
            for side in (inputs, outputs or {})
        )
        with self._lock:
            self._calls.append((ins, outs))
            self._n_seen += count_rows(ins, outs)
            self._n_bytes += sum(x.nbytes for y in (ins, outs) for x in y.values())
            if self._n_seen < self.n_rows and self._n_bytes < _MAX_BYTES:
                return None
            calls, self._calls = self._calls, []
            self._n_seen = self._n_bytes = 0
        return self._reference(calls)

    def _reference(self, calls: list[Call]) -> Reference:
        if self.model is None and not any(outputs for _, outputs in calls):
            names = list(calls[0][0])
            columns = {
                name: np.concatenate([inputs[name] for inputs, _ in calls])
                for name in names
            }
            if all(column.ndim == 1 for column in columns.values()):
                return Reference.from_data(take_columns(columns))
        return Reference.from_runs(calls, model=self.model)
