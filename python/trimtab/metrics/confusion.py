"""Metrics of classes, streamed in O(classes^2) memory.

Enters: true and predicted classes, batch by batch. Leaves: what scikit-learn's function
of all of them gives, with an interval.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.metrics.accumulate import Accumulator
from trimtab.metrics.confusion_interval import interval_of
from trimtab.metrics.inputs import as_labels, as_weights, check_length, freeze
from trimtab.metrics.interval import Interval
from trimtab.metrics.tally import STATISTICS, Tally
from trimtab.stats.special import Floats

__all__ = ["ConfusionAccumulator", "ConfusionMatrixAccumulator"]

# More are no classes but numbers: 2048^2 counts are 32 MB.
_MAX_CLASSES = 2048


class _Counts(Accumulator):
    """How often each class was predicted as each."""

    def __init__(self) -> None:
        self.n = 0
        self._places: dict[Any, int] = {}
        self._is_text: bool | None = None
        self._counts: Floats = np.zeros((4, 4))
        self._squares = 0.0  # sum w^2
        self._is_weighted = False

    def update(self, y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> None:
        """Add samples.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n,)
        sample_weight : array-like of shape (n,), optional
        """
        truth = as_labels(y_true, name="y_true")
        found = as_labels(y_pred, name="y_pred")
        n = check_length(truth, found)
        weights = as_weights(sample_weight, n)
        self._is_weighted |= sample_weight is not None
        if not n:
            return
        rows, columns = self._find(truth), self._find(found)
        size = len(self._counts)
        codes = rows * size + columns
        added = np.bincount(codes, weights, minlength=size * size)
        self._counts += added.reshape(size, size)
        self._squares += n if weights is None else float(weights @ weights)
        self.n += n

    def _find(self, labels: Any) -> Any:
        """Places of classes; new ones get one."""
        is_text = labels.dtype.kind == "U"
        if self._is_text is None:
            self._is_text = is_text
        if self._is_text != is_text:
            raise InputError(
                "expected classes of one kind, integers or texts, got both: of "
                f"{labels[:1]} and {next(iter(self._places), None)!r}"
            )
        unique, inverse = np.unique(labels, return_inverse=True)
        return np.array([self._place(label) for label in unique.tolist()])[inverse]

    def _place(self, label: Any) -> int:
        place = self._places.setdefault(label, len(self._places))
        if place >= _MAX_CLASSES:
            del self._places[label]
            raise InputError(
                f"expected at most {_MAX_CLASSES} classes, got more: are these numbers "
                "and the metric one of values?"
            )
        if place >= len(self._counts):
            self._counts = np.pad(self._counts, (0, len(self._counts)))
        return place

    def _merge(self, other: _Counts) -> None:
        if not other._places:
            return
        if self._is_text is None:
            self._is_text = other._is_text
        if self._is_text != other._is_text:
            raise InputError("merge: one counts integers, the other one texts")
        places = [self._place(label) for label in other._places]
        k = len(places)
        self._counts[np.ix_(places, places)] += other._counts[:k, :k]
        self._squares += other._squares
        self._is_weighted |= other._is_weighted
        self.n += other.n

    def tally(self) -> Tally:
        """Give the counts, classes ascending.

        Returns
        -------
        tally : Tally

        Raises
        ------
        InputError
            There is no sample.
        """
        if not self.n:
            raise InputError("expected at least one sample, got none")
        labels = tuple(sorted(self._places))
        order = [self._places[label] for label in labels]
        matrix = self._counts[np.ix_(order, order)]
        rows, columns = np.nonzero(matrix)
        return Tally(labels, rows, columns, matrix[rows, columns][None, :])

    @property
    def effective(self) -> float:
        """Effective number of samples, (sum w)^2 / sum w^2."""
        total = float(self._counts.sum())
        return total * total / self._squares if self._squares else 0.0


class ConfusionAccumulator(_Counts):
    """A metric that is made of counts of classes.

    Parameters
    ----------
    statistic : str
        Of `STATISTICS`.
    **options : Any
        Of the statistic.
    """

    def __init__(self, statistic: str, **options: Any) -> None:
        super().__init__()
        self._statistic = statistic
        self._options = {name: freeze(value) for name, value in options.items()}

    @property
    def options(self) -> tuple[Any, ...]:
        """The statistic and its options."""
        return self._statistic, tuple(sorted(self._options.items()))

    def compute(self) -> Any:
        """Give the metric of all samples.

        Returns
        -------
        value : float or ndarray
            An array by class for ``average=None``.
        """
        value = STATISTICS[self._statistic](self.tally(), **self._options)[0]
        return float(value) if value.ndim == 0 else value

    def interval(
        self, *, alpha: float = 0.05, n_resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Give the metric with its interval.

        Wilson's where it is a proportion, else the BCa bootstrap of the counts. Means
        of proportions of classes of which one is all right or all wrong have theirs
        put together (MOVER).

        Parameters
        ----------
        alpha : float, default=0.05
        n_resamples : int, default=1000
        seed : int, default=0

        Returns
        -------
        interval : Interval

        Raises
        ------
        InputError
            The metric is several numbers.
        """
        value = self.compute()
        if np.ndim(value):
            raise InputError("intervals are of one number: not of average=None")
        low, high, method = interval_of(
            self._statistic,
            self.tally(),
            self.effective,
            self._options,
            alpha=alpha,
            n_resamples=n_resamples,
            seed=seed,
        )
        return Interval(value, low, high, method, self.n)


class ConfusionMatrixAccumulator(_Counts):
    """The confusion matrix itself.

    Parameters
    ----------
    labels : sequence, optional
        Rows and columns, in this order; all classes by default, ascending.
    normalize : {"true", "pred", "all", None}, default=None
    """

    def __init__(self, *, labels: Any = None, normalize: str | None = None) -> None:
        super().__init__()
        if normalize not in ("true", "pred", "all", None):
            raise InputError(
                f'normalize: expected "true", "pred", "all" or None, got {normalize!r}'
            )
        self._labels, self._normalize = freeze(labels), normalize

    @property
    def options(self) -> tuple[Any, ...]:
        """Classes and normalisation."""
        return self._labels, self._normalize

    def compute(self) -> Any:
        """Give the matrix, true classes in rows.

        Returns
        -------
        matrix : ndarray of shape (k, k)
            Of int64 where no weights were given.
        """
        matrix = self.tally().matrix(self._labels)
        if self._normalize is None:
            return matrix if self._is_weighted else matrix.astype(np.int64)
        axis = {"true": 1, "pred": 0, "all": None}[self._normalize]
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = matrix / matrix.sum(axis=axis, keepdims=True)
        return np.nan_to_num(shares)

    def interval(
        self, *, alpha: float = 0.05, n_resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Refuse: a matrix is no number.

        Parameters
        ----------
        alpha, n_resamples, seed : float
            Not needed.

        Returns
        -------
        interval : Interval

        Raises
        ------
        InputError
            Always.
        """
        raise InputError("intervals are of one number: not of a confusion matrix")
