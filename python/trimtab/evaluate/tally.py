"""Metrics over samples that pass by: of all, of slices, of folds, of blocks.

Enters: labels and outputs of some samples. Leaves: figures with intervals. What is kept
is what the metrics' accumulators keep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.task import Task
from trimtab.metrics import Interval, Metric
from trimtab.metrics.accumulate import Accumulator
from trimtab.types import Array

__all__ = ["Partition", "Rows", "Tally", "jackknife_interval"]

#: What a metric takes: (y_true, y_pred).
Pair = tuple[Any, Any]


class Rows:
    """Samples as metrics take them.

    Where labels have more dims than samples (tokens, pixels) each position is a row.

    Parameters
    ----------
    task : Task
    labels, outputs : ndarray
    ignore_label : object, optional
        Positions that do not count.
    """

    def __init__(
        self, task: Task, labels: Array, outputs: Array, ignore_label: Any = None
    ) -> None:
        self.task = task
        self.n_samples = len(labels)
        self._labels, self._outputs = labels, outputs
        self._kept: Array | None = None
        if ignore_label is not None:
            self._kept = np.asarray(labels != ignore_label).reshape(-1)

    @cached_property
    def sample(self) -> Array | None:
        """Sample of each row; None where each is one."""
        n = self.n_samples
        n_rows = n if self.task.kind not in ("binary", "multiclass") else self._n_codes
        if self._kept is None and n_rows == n:
            return None
        sample = np.repeat(np.arange(n), n_rows // max(n, 1))
        return sample if self._kept is None else sample[self._kept]

    @property
    def _n_codes(self) -> int:
        labels = self._labels
        if self.task.is_one_hot(labels):
            return int(labels.size // labels.shape[-1])
        return int(labels.size)

    @cached_property
    def _truth(self) -> Array:
        """Classes by their numbers, one for each row."""
        labels = self._labels
        if self._kept is not None:
            labels = labels.reshape(-1)[self._kept]
        codes = self.task.encode(labels)
        is_flat = self.task.kind in ("binary", "multiclass")
        return codes.reshape(-1) if is_flat else codes

    def _flat(self, values: Array) -> Array:
        """One row for each position that counts."""
        if self.task.kind not in ("binary", "multiclass"):
            return values
        is_matrix = values.size != self._n_codes
        flat = values.reshape(-1, values.shape[-1]) if is_matrix else values.reshape(-1)
        return flat if self._kept is None else flat[self._kept]

    @cached_property
    def pairs(self) -> dict[str, Pair]:
        """(y_true, y_pred) by need, as far as they were asked for."""
        return {}

    def pair(self, need: str) -> Pair:
        """Give what metrics of a need take.

        Parameters
        ----------
        need : str
            As `Metric.needs` has it; "raw": labels and outputs as they came.

        Returns
        -------
        y_true, y_pred : ndarray
        """
        if need not in self.pairs:
            self.pairs[need] = _NEEDS[need](self)
        return self.pairs[need]

    def take(self, need: str, chosen: Array | None) -> Pair:
        """Give the rows of some samples.

        Parameters
        ----------
        need : str
        chosen : ndarray of bool or None
            For each sample; None: all.

        Returns
        -------
        y_true, y_pred : ndarray
        """
        y_true, y_pred = self.pair(need)
        if chosen is None:
            return y_true, y_pred
        if self.sample is not None and need != "raw":
            chosen = chosen[self.sample]
        return y_true[chosen], y_pred[chosen]


def _labels(rows: Rows) -> Pair:
    return rows._truth, rows._flat(rows.task.labels_of(rows._outputs))


def _scores(rows: Rows) -> Pair:
    return rows._truth, rows._flat(rows.task.scores_of(rows._outputs))


def _values(rows: Rows) -> Pair:
    return np.asarray(rows._labels, np.float64), rows.task.values_of(
        rows._outputs, rows._labels
    )


def _relevance(rows: Rows) -> Pair:
    return rows._labels, np.asarray(rows._outputs, np.float64)


def _as_they_are(rows: Rows) -> Pair:
    return rows._labels, rows._outputs


_NEEDS: dict[str, Callable[[Rows], Pair]] = {
    "labels": _labels,
    "scores": _scores,
    "values": _values,
    "relevance": _relevance,
    "texts": _as_they_are,
    "boxes": _as_they_are,
    "raw": _as_they_are,
}


class Tally:
    """All metrics of one set of samples.

    Parameters
    ----------
    metrics : mapping of str to Metric
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.metrics = metrics
        self.kept: dict[str, Accumulator] = {
            name: metric.accumulator() for name, metric in metrics.items()
        }
        self.n_samples = 0
        self.failed: dict[str, str] = {}
        self.classes: set[Any] = set()  # that samples are of

    def update(self, rows: Rows, chosen: Array | None = None) -> None:
        """Add samples.

        A metric that raises is left out from then on; `failed` says why.

        Parameters
        ----------
        rows : Rows
        chosen : ndarray of bool, optional
            For each sample; all by default.
        """
        self.n_samples += rows.n_samples if chosen is None else int(chosen.sum())
        if rows.task.kind in ("binary", "multiclass"):
            truth, _ = rows.take("labels", chosen)
            self.classes.update(np.unique(truth).tolist())
        for name, metric in self.metrics.items():
            if name in self.failed:
                continue
            y_true, y_pred = rows.take(metric.needs, chosen)
            if not len(y_true):
                continue
            try:
                self.kept[name].update(y_true, y_pred)
            except Exception as error:
                self.failed[name] = f"{type(error).__name__}: {error}"

    def merge(self, other: Tally) -> None:
        """Add the samples of another tally.

        Parameters
        ----------
        other : Tally
        """
        self.n_samples += other.n_samples
        self.classes |= other.classes
        self.failed.update(other.failed)
        for name, kept in self.kept.items():
            if name not in self.failed:
                kept.merge(other.kept[name])

    def plus(self, other: Tally) -> Tally:
        """Give the samples of both; neither changes.

        Parameters
        ----------
        other : Tally

        Returns
        -------
        tally : Tally
        """
        total = Tally(self.metrics)
        total.merge(self)
        total.merge(other)
        return total

    def values(self) -> dict[str, float]:
        """Figures alone; NaN where there is none."""
        found = {}
        for name in self.metrics:
            try:
                found[name] = math.nan if name in self.failed else self._value(name)
            except Exception:
                found[name] = math.nan
        return found

    def _value(self, name: str) -> float:
        return float(self.kept[name].compute()) if self.n_samples else math.nan

    def figures(
        self, *, alpha: float, n_resamples: int, seed: int
    ) -> dict[str, Interval]:
        """Figures with their intervals.

        Parameters
        ----------
        alpha : float
        n_resamples, seed : int

        Returns
        -------
        figures : dict of str to Interval
            NaN where the metric raised; `failed` says why.
        """
        return {
            name: self._figure(name, alpha, n_resamples, seed) for name in self.metrics
        }

    def _figure(self, name: str, alpha: float, n_resamples: int, seed: int) -> Interval:
        nothing = Interval(math.nan, math.nan, math.nan, "none", self.n_samples)
        if name in self.failed or not self.n_samples:
            return nothing
        try:
            found = self.kept[name].interval(
                alpha=alpha, n_resamples=n_resamples, seed=seed
            )
            return _with_value(found)
        except Exception as error:
            self.failed[name] = f"{type(error).__name__}: {error}"
            return nothing


def _with_value(found: Interval) -> Interval:
    """An interval that holds its figure: that of a biased one (ECE) may not."""
    low, high = min(found.low, found.value), max(found.high, found.value)
    if (low, high) == (found.low, found.high) or math.isnan(found.low):
        return found
    return replace(found, low=low, high=high)


class Partition:
    """Samples told apart by a value: a tally for each.

    Parameters
    ----------
    metrics : mapping of str to Metric
    name : str
        What messages call it.
    max_parts : int
        Values that there may be.
    """

    def __init__(
        self, metrics: Mapping[str, Metric], name: str, max_parts: int
    ) -> None:
        self.metrics = metrics
        self.name = name
        self.max_parts = max_parts
        self.parts: dict[Any, Tally] = {}

    def update(self, rows: Rows, values: Array) -> None:
        """Add samples.

        Parameters
        ----------
        rows : Rows
        values : ndarray
            One for each sample.

        Raises
        ------
        InputError
            There are more values than parts.
        """
        for value in np.unique(values):
            key = value.item() if isinstance(value, np.generic) else value
            if key not in self.parts:
                if len(self.parts) == self.max_parts:
                    raise InputError(
                        f"{self.name}: more than {self.max_parts} values: put them "
                        "into fewer groups"
                    )
                self.parts[key] = Tally(self.metrics)
            self.parts[key].update(rows, values == value)

    def without_each(self) -> dict[Any, Tally]:
        """All samples but those of one value, by value."""
        keys = list(self.parts)
        before = [Tally(self.metrics)]  # sums of the first i parts
        for key in keys[:-1]:
            before.append(before[-1].plus(self.parts[key]))
        found = {}
        after = Tally(self.metrics)
        for key, first in zip(reversed(keys), reversed(before), strict=True):
            found[key] = first.plus(after)
            after = after.plus(self.parts[key])
        return found


def jackknife_interval(
    plain: Interval, values: Array, *, alpha: float, n_clusters: int
) -> Interval:
    """Widen an interval by how much figures change when a block is left out.

    Parameters
    ----------
    plain : Interval
        As if all rows were independent.
    values : ndarray of shape (n_blocks,)
        The figure without each of the blocks.
    alpha : float
    n_clusters : int
        Clusters in all of the blocks.

    Returns
    -------
    interval : Interval
        Not narrower than the plain one.

    Raises
    ------
    InputError
        There are fewer than two blocks.

    References
    ----------
    Efron, Tibshirani (1993). An Introduction to the Bootstrap, chapter 11.

    Examples
    --------
    >>> plain = Interval(0.5, 0.49, 0.51, "wilson", 900)
    >>> wide = jackknife_interval(
    ...     plain, np.array([0.4, 0.6, 0.5]), alpha=0.05, n_clusters=3)
    >>> round(wide.low, 3), round(wide.high, 3), wide.method
    (0.003, 0.997, 'jackknife of 3 blocks')
    """
    from trimtab.stats.special import t_quantile

    found = values[np.isfinite(values)]
    n = len(found)
    if n < 2:
        raise InputError(f"groups: expected two or more, got {n_clusters}")
    error = math.sqrt((n - 1) / n * float(((found - found.mean()) ** 2).sum()))
    half = t_quantile(1 - alpha / 2, n - 1) * error
    low, high = plain.value - half, plain.value + half
    if not math.isnan(plain.low):
        low, high = min(low, plain.low), max(high, plain.high)
    return Interval(plain.value, low, high, f"jackknife of {n} blocks", plain.n)
