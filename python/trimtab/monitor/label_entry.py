"""A prediction that waits for its label, and what may become of the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trimtab.monitor.fold import Pair
from trimtab.monitor.pairs import Prediction

__all__ = ["STATUSES", "Entry", "status_of_another"]

#: What became of a label, or of a prediction -> what it means.
STATUSES: dict[str, str] = {
    "predicted": "predictions that were kept",
    "matched": "labels that were joined with their prediction",
    "late": "labels whose prediction was no longer kept",
    "duplicate": "labels that had come before; the first one stays",
    "conflicting": "labels that had come before and said otherwise",
    "unmatched": "labels of which nobody knows the request",
    "invalid": "labels and predictions that are none, as NaN or an unknown class",
    "expired": "predictions whose label did not come in time",
    "evicted": "predictions that gave way to newer ones before their label came",
    "repeated": "predictions with an id that was in use; the first one stays",
}


@dataclass(slots=True)
class Entry:
    """A prediction, and its label if it came.

    Parameters
    ----------
    time_s : float
        By the monotonic clock.
    position : int
        Of predictions, from 0.
    prediction : Prediction
    label : int, str, tuple of float or None
        None: it has not come.
    """

    time_s: float
    position: int
    prediction: Prediction
    label: Any = None

    @property
    def pair(self) -> Pair | None:
        """With its label, if it came."""
        return None if self.label is None else (self.label, self.prediction)


def status_of_another(before: Any, label: Any) -> str:
    """Tell what a label is where one has come before.

    Parameters
    ----------
    before, label : object

    Returns
    -------
    status : {"duplicate", "conflicting"}

    Examples
    --------
    >>> status_of_another(1, 1), status_of_another(1, 0)
    ('duplicate', 'conflicting')
    """
    return "duplicate" if before == label else "conflicting"
