"""Pairs of labels and predictions, folded into the accumulators of metrics.

Pairs come in the order of the predictions and are cut into chunks of a fixed size: what
comes out depends on the pairs alone, to the last bit, and not on when their labels came
or how often anybody looked.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from trimtab.errors import InputError, TrimtabError
from trimtab.metrics.accumulate import Accumulator
from trimtab.metrics.metric import Metric
from trimtab.monitor.pairs import Prediction

__all__ = ["Fold", "LabelMetric", "Pair"]

CHUNK = 1024
Pair = tuple[Any, Prediction]


class LabelMetric(NamedTuple):
    """A metric of labels that came.

    Parameters
    ----------
    value, low, high : float
        The metric and its confidence interval; NaN where there is none.
    n : int
        Labels that it rests on.
    """

    value: float
    low: float
    high: float
    n: int


class Fold:
    """Accumulators of some metrics, fed pair by pair.

    Parameters
    ----------
    metrics : sequence of Metric

    Examples
    --------
    >>> from trimtab.metrics.table import find_metric
    >>> fold = Fold([find_metric("accuracy")])
    >>> fold.add((1, Prediction(1)))
    >>> fold.metrics()[0]["accuracy"].value
    1.0
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = tuple(metrics)
        self._accumulators: dict[str, Accumulator] = {
            metric.name: metric.accumulator() for metric in metrics
        }
        self._rest: list[Pair] = []
        #: Why a metric is not defined: name -> message.
        self.notes: dict[str, str] = {}
        self.n = 0

    def add(self, pair: Pair) -> None:
        """Add one pair.

        Parameters
        ----------
        pair : (label, Prediction)
        """
        self._rest.append(pair)
        self.n += 1
        if len(self._rest) == CHUNK:
            self._feed()

    def extend(self, pairs: Iterable[Pair]) -> None:
        """Add pairs.

        Parameters
        ----------
        pairs : iterable of (label, Prediction)
        """
        for pair in pairs:
            self.add(pair)

    def _feed(self) -> None:
        """Bring a chunk to the accumulators; one that fails once says nothing more."""
        rest, self._rest = self._rest, []
        arrays: dict[str, tuple[Any, Any]] = {}
        for metric in self._metrics:
            if metric.name in self.notes or not rest:
                continue
            try:
                if metric.needs not in arrays:
                    arrays[metric.needs] = _arrays(metric.needs, rest)
                self._accumulators[metric.name].update(*arrays[metric.needs])
            except TrimtabError as error:
                self.notes[metric.name] = str(error)[:300]

    def copy(self) -> Fold:
        """Give one that goes its own way.

        Returns
        -------
        other : Fold
        """
        other = copy.copy(self)
        other._accumulators = {
            name: one.copy() for name, one in self._accumulators.items()
        }
        other._rest, other.notes = list(self._rest), dict(self.notes)
        return other

    def merge(self, other: Fold) -> None:
        """Add the pairs of another one; it stays as it is.

        Parameters
        ----------
        other : Fold
            Of the same metrics.

        Raises
        ------
        InputError
            The metrics differ.
        """
        if self._accumulators.keys() != other._accumulators.keys():
            raise InputError(
                f"merge: expected labels for {sorted(self._accumulators)}, got "
                f"{sorted(other._accumulators)}"
            )
        for name, one in other._accumulators.items():
            self._accumulators[name].merge(one)
        self.notes = {**other.notes, **self.notes}
        self.n += other.n - len(other._rest)
        self.extend(other._rest)

    def metrics(
        self, more: Iterable[Pair] = (), *, alpha: float = 0.05
    ) -> tuple[dict[str, LabelMetric], dict[str, str]]:
        """Give the metrics of all pairs, and of some that were not added.

        Parameters
        ----------
        more : iterable of (label, Prediction), optional
            Behind those that were added.
        alpha : float, default=0.05
            1 - alpha is the confidence.

        Returns
        -------
        metrics : dict of str to LabelMetric
            NaN where the pairs do not define one.
        notes : dict of str to str
            Why they do not.
        """
        whole = self.copy()
        whole.extend(more)
        whole._feed()
        nan = math.nan
        found, notes = {}, dict(whole.notes)
        for name, accumulator in whole._accumulators.items():
            found[name] = LabelMetric(nan, nan, nan, whole.n)
            if name in notes or not whole.n:
                continue
            try:
                one = accumulator.interval(alpha=alpha)
            except (TrimtabError, ArithmeticError) as error:
                notes[name] = str(error)[:300]
                continue
            ends = (float(one.value), float(one.low), float(one.high))
            found[name] = LabelMetric(*ends, whole.n)
        return found, notes


def _arrays(needs: str, pairs: Sequence[Pair]) -> tuple[Any, Any]:
    """y_true and y_pred as the accumulators take them."""
    truths = [label for label, _ in pairs]
    if needs == "values":
        return np.array(truths), np.array([p.values for _, p in pairs])
    if needs == "labels":
        return np.array(truths), np.array([p.label for _, p in pairs])
    scores = [p.scores for _, p in pairs]
    if any(score is None for score in scores):
        raise InputError("the model gives classes, and no scores of them")
    return np.array(truths), np.array(scores, np.float64)
