"""Areas under curves, streamed: scores are kept, or counted in a bounded table.

Enters: classes and scores, batch by batch. Leaves: the area under the ROC curve or the
average precision, of two classes or of more, as scikit-learn gives them.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.metrics.accumulate import Accumulator
from trimtab.metrics.curves import ScoreTable
from trimtab.metrics.inputs import (
    as_labels,
    as_scores,
    as_weights,
    check_length,
    freeze,
)
from trimtab.metrics.interval import Interval
from trimtab.metrics.scores_interval import (
    multiclass_interval,
    table_interval,
)
from trimtab.stats.special import Floats

__all__ = ["ScoresAccumulator", "average_classes"]

Flags = npt.NDArray[np.bool_]
_MIN_CAPACITY = 16


def average_classes(
    curve: str,
    targets: Flags,
    scores: Floats,
    weights: Floats | None,
    average: str | None,
) -> Any:
    """Average the areas of each class against the others.

    Parameters
    ----------
    curve : str
        Of `CURVES`.
    targets : ndarray of bool of shape (n, k)
        Is the sample of the class?
    scores : ndarray of shape (n, k)
    weights : ndarray of shape (n,) or None
    average : {"micro", "macro", "weighted", None}

    Returns
    -------
    area : float or ndarray of shape (k,)

    Examples
    --------
    >>> targets = np.eye(3, dtype=bool)
    >>> average_classes("roc_auc", targets, np.eye(3), None, "macro")
    1.0
    """
    if average == "micro":
        repeated = None if weights is None else np.repeat(weights, targets.shape[1])
        table = ScoreTable.of(scores.ravel(), targets.ravel(), repeated)
        return table.area(curve)
    areas = np.array(
        [
            ScoreTable.of(scores[:, c], targets[:, c], weights).area(curve)
            for c in range(targets.shape[1])
        ]
    )
    if average is None:
        return areas
    if average == "macro":
        return float(areas.mean())
    w = np.ones(len(targets)) if weights is None else weights
    shares = w @ targets
    areas[shares == 0] = 0.0  # they do not count, not even as NaN
    return float(np.average(areas, weights=shares)) if shares.any() else 0.0


def average_pairs(places: Any, scores: Floats, average: str) -> float:
    """Average the areas of each class against each other one (Hand and Till 2001)."""
    areas, shares = [], []
    for a, b in itertools.combinations(range(scores.shape[1]), 2):
        is_in = (places == a) | (places == b)
        pair = [
            ScoreTable.of(scores[is_in, c], places[is_in] == c, None).area("roc_auc")
            for c in (a, b)
        ]
        areas.append(sum(pair) / 2)
        shares.append(float(is_in.mean()))
    return float(np.average(areas, weights=shares if average == "weighted" else None))


class ScoresAccumulator(Accumulator):
    """The area under the ROC curve, or the average precision.

    Parameters
    ----------
    curve : {"roc_auc", "average_precision"}
    average : {"macro", "micro", "weighted", None}, default="macro"
        Over classes, where there are more than two.
    multi_class : {"raise", "ovr", "ovo"}, default="raise"
        Each class against the others, or against each other one.
    labels : sequence, optional
        Classes in the order of the columns; those seen, ascending, by default.
    pos_label : int or str, optional
        The positive one of two classes; by default 1 for the average precision, else
        the greater one.
    capacity : int, optional
        Scores that are kept at most, of two classes: 5 numbers for each. The area is
        then off by some 1 / capacity. All scores are kept by default.

    Raises
    ------
    InputError
        Options do not fit.
    """

    def __init__(
        self,
        curve: str,
        *,
        average: str | None = "macro",
        multi_class: str = "raise",
        labels: Any = None,
        pos_label: Any = None,
        capacity: int | None = None,
    ) -> None:
        self._curve, self._average, self._multi = curve, average, multi_class
        self._labels, self._capacity = freeze(labels), capacity
        self._pos_label = freeze(pos_label)
        if average not in ("macro", "micro", "weighted", None):
            raise InputError(
                'average: expected "macro", "micro", "weighted" or None, '
                f"got {average!r}"
            )
        if multi_class not in ("raise", "ovr", "ovo"):
            raise InputError(
                f'multi_class: expected "raise", "ovr" or "ovo", got {multi_class!r}'
            )
        if multi_class == "ovo" and average not in ("macro", "weighted"):
            raise InputError(
                'multi_class="ovo": expected average "macro" or "weighted", '
                f"got {average!r}"
            )
        if capacity is not None and capacity < _MIN_CAPACITY:
            raise InputError(
                f"capacity: expected at least {_MIN_CAPACITY} scores, got {capacity}"
            )
        self.n = 0
        self._table = ScoreTable.empty()
        self._batches: list[tuple[Any, Floats, Floats | None]] = []

    @property
    def options(self) -> tuple[Any, ...]:
        """The curve and its options."""
        return (
            self._curve,
            self._average,
            self._multi,
            self._labels,
            self._pos_label,
            self._capacity,
        )

    def update(self, y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> None:
        """Add samples.

        Parameters
        ----------
        y_true : array-like of shape (n,) or (n, k)
            Classes; or 0 and 1 for each of k classes, of which several may be right.
        y_pred : array-like of shape (n,) or (n, k)
            Scores of the positive class, or of all.
        sample_weight : array-like of shape (n,), optional

        Raises
        ------
        InputError
            The data do not fit.
        """
        given = np.asarray(y_true)
        is_indicator = given.ndim == 2 and given.shape[1] > 1
        if is_indicator:
            truth, scores = _indicators(given, y_pred)
        else:
            truth, scores = as_labels(given, name="y_true"), as_scores(y_pred)
        weights = as_weights(sample_weight, check_length(truth, scores))
        if not len(truth):
            return
        if self._batches and self._batches[0][1].shape[1:] != scores.shape[1:]:
            raise InputError(
                f"y_pred: expected scores of shape (n, ...) as before, "
                f"{self._batches[0][1].shape[1:]}, got {scores.shape[1:]}"
            )
        if weights is not None and self._multi == "ovo" and scores.ndim == 2:
            raise InputError('sample_weight: "ovo" takes none; use multi_class="ovr"')
        if self._capacity is None:
            self._batches.append((truth, scores, weights))
        else:
            self._count(truth, scores, weights)
        self.n += len(truth)

    def _count(self, truth: Any, scores: Floats, weights: Floats | None) -> None:
        if scores.ndim != 1 or truth.ndim != 1:
            raise InputError("capacity: is for two classes; leave it out for more")
        positive = self._pos_label
        if positive is None:
            unknown = set(np.unique(truth).tolist()) - {-1, 0, 1}
            if unknown:
                raise InputError(
                    "pos_label: with a capacity, say which class is the positive one; "
                    f"got classes {sorted(unknown)[:4]}"
                )
            positive = 1
        table = ScoreTable.of(scores, truth == positive, weights)
        self._table = self._shrunk(self._table.merge(table))

    def _shrunk(self, table: ScoreTable) -> ScoreTable:
        # Twice as many until they are cut: not every batch moves the scores.
        capacity = self._capacity or _MIN_CAPACITY
        half = max(capacity // 2, _MIN_CAPACITY // 2)
        return table if len(table.scores) <= capacity else table.cut(half)

    def _merge(self, other: ScoresAccumulator) -> None:
        if self._capacity is not None:
            self._table = self._shrunk(self._table.merge(other._table))
        self._batches += other._batches
        self.n += other.n

    def _joined(self) -> tuple[Any, Floats, Floats | None]:
        if not self.n:
            raise InputError("expected at least one sample, got none")
        truths, scores, weights = zip(*self._batches, strict=True)
        if len({truth.dtype.kind == "U" for truth in truths}) > 1:
            raise InputError("y_true: expected integers or texts, got both")
        together = None
        if any(w is not None for w in weights):
            ones = [np.ones(len(t)) for t in truths]
            pairs = zip(weights, ones, strict=True)
            together = np.concatenate([one if w is None else w for w, one in pairs])
        return np.concatenate(truths), np.concatenate(scores), together

    def _binary(self) -> ScoreTable | None:
        """The table of two classes; None where there are more."""
        if self._capacity is not None:
            if not self.n:
                raise InputError("expected at least one sample, got none")
            return self._table
        truth, scores, weights = self._joined()
        if scores.ndim == 2:
            return None
        return ScoreTable.of(scores, truth == self._positive(truth), weights)

    def _positive(self, truth: Any) -> Any:
        found = np.unique(truth).tolist()
        known = list(self._labels or found)
        if len(set(known) | set(found)) > 2:
            raise InputError(
                f"scores of shape (n,) are of two classes, got {len(found)} classes: "
                "give scores of shape (n, n_classes)"
            )
        positive = self._pos_label
        if positive is None:
            positive = 1 if self._curve == "average_precision" else max(known)
        if len(found) == 2 and positive not in found:
            raise InputError(f"pos_label: expected one of {found}, got {positive!r}")
        return positive

    def _many(self) -> tuple[Flags, Floats, Floats | None, Any]:
        """Targets, scores, weights and places of classes (None: several are right)."""
        truth, scores, weights = self._joined()
        if truth.ndim == 2:
            return truth.astype(bool), scores, weights, None
        if self._curve == "roc_auc" and self._multi == "raise":
            raise InputError('more than two classes: choose multi_class="ovr" or "ovo"')
        known = list(self._labels or sorted(set(truth.tolist())))
        if len(known) != scores.shape[1] or not set(truth.tolist()) <= set(known):
            raise InputError(
                f"y_true: expected classes of {scores.shape[1]} columns, got "
                f"{len(known)}: {known[:8]}; name them by labels="
            )
        unique, inverse = np.unique(truth, return_inverse=True)
        places = np.array([known.index(c) for c in unique.tolist()])[inverse]
        return places[:, None] == np.arange(len(known)), scores, weights, places

    def compute(self) -> Any:
        """Give the area of all samples.

        Returns
        -------
        area : float or ndarray
            NaN where it is not defined: the area under the ROC curve of one class.
        """
        table = self._binary()
        if table is not None:
            return table.area(self._curve)
        targets, scores, weights, places = self._many()
        if self._multi == "ovo" and places is not None:
            return average_pairs(places, scores, str(self._average))
        return average_classes(self._curve, targets, scores, weights, self._average)

    def interval(
        self, *, alpha: float = 0.05, n_resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Give the area with DeLong's interval, or the bootstrap's.

        Parameters
        ----------
        alpha : float, default=0.05
        n_resamples : int, default=1000
            For the average precision.
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
        table = self._binary()
        settings: dict[str, Any] = {
            "alpha": alpha,
            "n_resamples": n_resamples,
            "seed": seed,
        }
        if table is not None:
            low, high, method = table_interval(self._curve, table, value, **settings)
            return Interval(value, low, high, method, self.n)
        targets, scores, weights, places = self._many()
        low, high, method = multiclass_interval(
            self._curve,
            targets,
            scores,
            weights,
            pairs=self._multi == "ovo" and places is not None,
            average=str(self._average),
            value=value,
            **settings,
        )
        return Interval(value, low, high, method, self.n)


def _indicators(given: Any, y_pred: Any) -> tuple[Any, Floats]:
    scores = np.asarray(y_pred, np.float64)
    if scores.shape != given.shape or not np.isin(given, (0, 1)).all():
        raise InputError(
            "expected 0 and 1 for each class and as many scores, got y_true of shape "
            f"{given.shape} and y_pred of shape {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise InputError("y_pred: expected finite scores, got NaN or infinity")
    return given.astype(np.int8), scores
