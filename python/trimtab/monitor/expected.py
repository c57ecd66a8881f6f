"""A metric that is to be expected where the classes are known by probabilities only.

Enters: predicted classes, and the probability of each class. Leaves: the metric of the
expected counts, and what it is when the classes are drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.metrics.confusion import ConfusionAccumulator
from trimtab.metrics.curves import roc_area
from trimtab.metrics.tally import STATISTICS, Tally
from trimtab.stats.special import Floats

__all__ = ["CountedMetric", "RankedMetric", "expected_metric"]

Places = npt.NDArray[np.intp]


class CountedMetric:
    """A metric of counts of (true, predicted) classes.

    Parameters
    ----------
    statistic : str
        Of `STATISTICS`.
    options : dict
        Of the statistic.

    Examples
    --------
    >>> accuracy = CountedMetric("accuracy", {})
    >>> p = np.array([[0.1, 0.9], [0.8, 0.2]])
    >>> round(accuracy.expected(p, np.array([1, 0]), p[:, 1]), 4)
    0.85
    """

    def __init__(self, statistic: str, options: dict[str, Any]) -> None:
        self._statistic, self._options = statistic, options

    def expected(self, p: Floats, predicted: Places, scores: Floats) -> float:
        """Give the metric of the expected counts.

        Parameters
        ----------
        p : ndarray of shape (n, k)
            Of each class.
        predicted : ndarray of int of shape (n,)
        scores : ndarray of shape (n,)
            Not needed.

        Returns
        -------
        value : float
        """
        k = p.shape[1]
        columns = [np.bincount(predicted, p[:, c], minlength=k) for c in range(k)]
        return self._of(np.stack(columns))

    def drawn(self, y: Places, predicted: Places, scores: Floats, k: int) -> float:
        """Give the metric of classes.

        Parameters
        ----------
        y, predicted : ndarray of int of shape (n,)
        scores : ndarray of shape (n,)
            Not needed.
        k : int
            Classes.

        Returns
        -------
        value : float
        """
        counts = np.bincount(y * k + predicted, minlength=k * k).reshape(k, k)
        return self._of(counts.astype(np.float64))

    def _of(self, matrix: Floats) -> float:
        rows, columns = np.nonzero(matrix)
        labels = tuple(range(len(matrix)))
        if len(labels) > 2:  # classes that nobody has do not count
            there = np.unique(np.concatenate([rows, columns]))
            labels = tuple(there.tolist())
            rows, columns = (
                np.searchsorted(there, rows),
                np.searchsorted(there, columns),
            )
            matrix = matrix[np.ix_(there, there)]
        tally = Tally(labels, rows, columns, matrix[rows, columns][None, :])
        return float(STATISTICS[self._statistic](tally, **self._options)[0])


class RankedMetric:
    """The area under the ROC curve, of two classes.

    Examples
    --------
    >>> p = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> RankedMetric().expected(p, np.array([1, 0, 0]), np.array([0.9, 0.5, 0.4]))
    0.5
    """

    def expected(self, p: Floats, predicted: Places, scores: Floats) -> float:
        """Give the expected share of pairs in the right order.

        Parameters
        ----------
        p : ndarray of shape (n, 2)
            Of each class.
        predicted : ndarray of int of shape (n,)
            Not needed.
        scores : ndarray of shape (n,)

        Returns
        -------
        value : float
        """
        one = p[:, 1]
        area, pairs = _area(one, 1 - one, scores)
        alone = float(one @ (1 - one))  # no row makes a pair with itself
        return (area * pairs - alone / 2) / (pairs - alone) if pairs > alone else np.nan

    def drawn(self, y: Places, predicted: Places, scores: Floats, k: int) -> float:
        """Give the area of classes.

        Parameters
        ----------
        y, predicted : ndarray of int of shape (n,)
        scores : ndarray of shape (n,)
        k : int
            Not needed.

        Returns
        -------
        value : float
        """
        ones: Floats = y.astype(np.float64)
        return _area(ones, 1 - ones, scores)[0]


def _area(ones: Floats, zeros: Floats, scores: Floats) -> tuple[float, float]:
    _, place = np.unique(-scores, return_inverse=True)
    above: Floats = np.bincount(place, ones).astype(np.float64)
    below: Floats = np.bincount(place, zeros).astype(np.float64)
    return float(roc_area(above, below)), float(ones.sum() * zeros.sum())


def expected_metric(name: str, n_classes: int) -> CountedMetric | RankedMetric:
    """Find a metric that can be estimated.

    Parameters
    ----------
    name : str
        "roc_auc" of two classes, or one that is made of counts of classes.
    n_classes : int

    Returns
    -------
    metric : CountedMetric or RankedMetric

    Raises
    ------
    InputError
        It is none of these.

    Examples
    --------
    >>> type(expected_metric("f1", 2)).__name__
    'CountedMetric'
    """
    from trimtab.metrics.table import find_metric

    if name in ("roc_auc", "roc_auc_score"):
        if n_classes != 2:
            raise InputError(
                f"metric: roc_auc is estimated of two classes, got {n_classes}"
            )
        return RankedMetric()
    found = find_metric(name)
    counted = found.accumulator() if found.needs == "labels" else None
    if not isinstance(counted, ConfusionAccumulator):
        raise InputError(
            "metric: expected roc_auc or one of counts of classes (accuracy, "
            f"precision, recall, f1...), got {found.name!r}"
        )
    statistic, options = counted.options
    chosen = dict(options)
    if n_classes > 2 and chosen.get("average") == "binary":
        raise InputError(
            f"metric: {found.name} is of two classes, got {n_classes}; take "
            f"{found.name}_macro, _micro or _weighted"
        )
    return CountedMetric(statistic, chosen)
