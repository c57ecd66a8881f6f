"""Counts of (true, predicted) classes, and every metric that is made of them.

Enters: cells of confusion matrices, of one or of many resamples at once. Leaves:
accuracy, precision, recall, F, kappa, Matthews' coefficient, defined as scikit-learn
defines them, at their edges too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.stats.special import Floats

__all__ = ["AVERAGES", "STATISTICS", "Parts", "Tally", "parts_of"]

Indices = npt.NDArray[np.intp]
AVERAGES = ("binary", "micro", "macro", "weighted", None)


@dataclass(frozen=True)
class Tally:
    """Cells of m confusion matrices that are not empty in all of them.

    Parameters
    ----------
    labels : tuple
        All K classes, ascending.
    rows, columns : ndarray of shape (c,)
        Places of the true and the predicted class in `labels`.
    counts : ndarray of shape (m, c)
        Weight in each cell.
    """

    labels: tuple[Any, ...]
    rows: Indices
    columns: Indices
    counts: Floats

    def _by(self, places: Indices, counts: Floats) -> Floats:
        """Counts added up by class: (m, K)."""
        sums: Floats = np.zeros((len(counts), len(self.labels)))
        if len(places):
            order = np.argsort(places, kind="stable")
            found, starts = np.unique(places[order], return_index=True)
            sums[:, found] = np.add.reduceat(counts[:, order], starts, axis=1)
        return sums

    @property
    def true(self) -> Floats:
        """Samples of each class, (m, K)."""
        return self._by(self.rows, self.counts)

    @property
    def predicted(self) -> Floats:
        """Samples predicted as each class, (m, K)."""
        return self._by(self.columns, self.counts)

    @property
    def hits(self) -> Floats:
        """Samples of each class that were predicted as it, (m, K)."""
        is_hit = self.rows == self.columns
        return self._by(self.rows[is_hit], self.counts[:, is_hit])

    @property
    def total(self) -> Floats:
        """All samples, (m,)."""
        total: Floats = self.counts.sum(axis=1)
        return total

    def places(self, labels: tuple[Any, ...]) -> Indices:
        """Find classes; -1 for those that were never seen.

        Parameters
        ----------
        labels : tuple

        Returns
        -------
        places : ndarray
        """
        place = {label: i for i, label in enumerate(self.labels)}
        return np.array([place.get(label, -1) for label in labels], np.intp)

    def matrix(self, labels: tuple[Any, ...] | None = None) -> Floats:
        """Give the first confusion matrix, true classes in rows.

        Parameters
        ----------
        labels : tuple, optional
            Rows and columns, in this order.

        Returns
        -------
        matrix : ndarray of shape (k, k)
        """
        k = len(self.labels)
        full: Floats = np.zeros((k + 1, k + 1))  # the last: never seen
        full[self.rows, self.columns] = self.counts[0]
        places = np.arange(k) if labels is None else self.places(labels)
        chosen: Floats = full[np.ix_(places, places)]
        return chosen


@dataclass(frozen=True)
class Parts:
    """Numerators and denominators of precision, recall and F, by class or for one."""

    hits: Floats
    true: Floats
    predicted: Floats


def parts_of(
    tally: Tally, labels: tuple[Any, ...] | None, average: str | None, pos_label: Any
) -> Parts:
    """Give what an averaging mode looks at.

    Parameters
    ----------
    tally : Tally
    labels : tuple, optional
        Classes that count; all by default.
    average : {"binary", "micro", "macro", "weighted", None}
    pos_label : Any
        The class of "binary".

    Returns
    -------
    parts : Parts
        (m, 1) for "binary" and "micro", else (m, K).

    Raises
    ------
    InputError
        "binary" of more than two classes, or without the positive one.

    Examples
    --------
    >>> zero = np.array([0])
    >>> one = Tally((0, 1), zero, zero + 1, np.array([[3.0]]))
    >>> parts_of(one, None, "micro", 1).true.tolist()
    [[3.0]]
    """
    if average not in AVERAGES:
        raise InputError(f"average: expected one of {AVERAGES}, got {average!r}")
    if average == "binary":
        if len(tally.labels) > 2:
            raise InputError(
                f'average="binary" is of two classes, got {len(tally.labels)}: choose '
                'average="macro", "micro", "weighted" or None'
            )
        if len(tally.labels) == 2 and pos_label not in tally.labels:
            raise InputError(
                f"pos_label: expected one of {list(tally.labels)}, got {pos_label!r}"
            )
        labels = (pos_label,)
    whole = np.stack([tally.hits, tally.true, tally.predicted])
    if labels is not None:
        padded = np.concatenate([whole, np.zeros((*whole.shape[:2], 1))], axis=2)
        whole = padded[:, :, tally.places(labels)]
    if average == "micro":
        whole = whole.sum(axis=2, keepdims=True)
    return Parts(*whole)


def _divide(above: Floats, below: Floats, zero_division: Any) -> Floats:
    instead = 0.0 if zero_division == "warn" else float(zero_division)
    with np.errstate(divide="ignore", invalid="ignore"):
        values: Floats = np.where(below == 0, instead, above / below)
    return values


def _nan_mean(values: Floats, weights: Floats | None) -> Floats:
    """Mean over classes, (m,): of those that are defined; NaN where none is."""
    is_defined = ~np.isnan(values)
    mass = is_defined * (1.0 if weights is None else weights)
    mass = np.where(mass.sum(axis=1, keepdims=True) > 0, mass, is_defined * 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Floats = np.where(is_defined, values, 0.0)
        means = (means * mass).sum(axis=1) / mass.sum(axis=1)
    return means


def _averaged(values: Floats, parts: Parts, average: str | None) -> Floats:
    if average is None:
        return values
    return _nan_mean(values, parts.true if average == "weighted" else None)


def precision(tally: Tally, **options: Any) -> Floats:
    """Hits by what was predicted."""
    parts, zero = _parts(tally, options), options["zero_division"]
    values = _divide(parts.hits, parts.predicted, zero)
    return _averaged(values, parts, options["average"])


def recall(tally: Tally, **options: Any) -> Floats:
    """Hits by what is true."""
    parts, zero = _parts(tally, options), options["zero_division"]
    values = _divide(parts.hits, parts.true, zero)
    return _averaged(values, parts, options["average"])


def f_score(tally: Tally, **options: Any) -> Floats:
    """The weighted harmonic mean of both."""
    parts, square = _parts(tally, options), options["beta"] ** 2
    below = square * parts.true + parts.predicted
    values = _divide((1 + square) * parts.hits, below, options["zero_division"])
    return _averaged(values, parts, options["average"])


def jaccard(tally: Tally, **options: Any) -> Floats:
    """Hits by what is true or predicted: the intersection over the union."""
    parts = _parts(tally, options)
    union = parts.true + parts.predicted - parts.hits
    values = _divide(parts.hits, union, options["zero_division"])
    return _averaged(values, parts, options["average"])


def _parts(tally: Tally, options: dict[str, Any]) -> Parts:
    return parts_of(tally, options["labels"], options["average"], options["pos_label"])


def accuracy(tally: Tally) -> Floats:
    """Hits by samples."""
    return _divide(tally.hits.sum(axis=1), tally.total, math.nan)


def balanced_accuracy(tally: Tally, *, adjusted: bool) -> Floats:
    """The mean recall of classes that occur."""
    values = _divide(tally.hits, tally.true, math.nan)
    means = _nan_mean(values, None)
    if adjusted:
        chance = 1 / np.maximum((tally.true > 0).sum(axis=1), 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = (means - chance) / (1 - chance)
    return means


def matthews(tally: Tally) -> Floats:
    """Correlation of true and predicted classes; 0 where one of them is constant."""
    true, predicted, n = tally.true, tally.predicted, tally.total
    together = tally.hits.sum(axis=1) * n - (true * predicted).sum(axis=1)
    apart = n * n - (predicted * predicted).sum(axis=1)
    product = apart * (n * n - (true * true).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        values: Floats = np.where(product == 0, 0.0, together / np.sqrt(product))
    return values


def kappa(tally: Tally, *, labels: tuple[Any, ...] | None, weights: Any) -> Floats:
    """Agreement beyond chance."""
    places = np.arange(len(tally.labels)) if labels is None else tally.places(labels)
    order = np.full(len(tally.labels), -1, np.intp)
    order[places[places >= 0]] = np.flatnonzero(places >= 0)
    is_in = (order[tally.rows] >= 0) & (order[tally.columns] >= 0)
    rows, columns = order[tally.rows[is_in]], order[tally.columns[is_in]]
    counts, k = tally.counts[:, is_in], len(places)
    cut = Tally(tuple(range(k)), rows, columns, counts)
    gap = np.abs(np.subtract.outer(np.arange(k), np.arange(k))).astype(np.float64)
    if weights not in _COSTS:
        raise InputError(f"weights: expected one of {list(_COSTS)}, got {weights!r}")
    cost = _COSTS[weights](gap)
    found = counts @ cost[rows, columns]
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = ((cut.true @ cost) * cut.predicted).sum(axis=1) / cut.total
        values: Floats = np.where(expected == 0, np.nan, 1 - found / expected)
    return values


_COSTS: dict[str | None, Callable[[Floats], Floats]] = {
    None: lambda gap: (gap > 0).astype(np.float64),
    "linear": lambda gap: gap,
    "quadratic": lambda gap: gap * gap,
}

#: Name -> (m,) or (m, K) values of a tally, with the options that it needs.
STATISTICS: dict[str, Callable[..., Floats]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "precision": precision,
    "recall": recall,
    "f_score": f_score,
    "jaccard": jaccard,
    "matthews": matthews,
    "kappa": kappa,
}
