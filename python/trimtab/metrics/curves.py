"""The areas under ROC and precision-recall curves, from counts by score.

Enters: weights of positives and of negatives at each distinct score, descending; of one
sample or of many resamples at once. Leaves: areas, as scikit-learn defines them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.stats.special import Floats

__all__ = ["CURVES", "ScoreTable", "average_precision", "roc_area"]

Flags = npt.NDArray[np.bool_]


def roc_area(positives: Floats, negatives: Floats) -> Floats:
    """Share of pairs in which the positive one scores higher; ties count half.

    Parameters
    ----------
    positives, negatives : ndarray of shape (..., u)
        Weights at each score, descending.

    Returns
    -------
    area : ndarray of shape (...)
        NaN where a class has no sample.

    Examples
    --------
    >>> float(roc_area(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0])))
    0.625
    """
    above = np.cumsum(positives, axis=-1) - positives / 2
    pairs = positives.sum(axis=-1) * negatives.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        area: Floats = np.where(
            pairs > 0, (negatives * above).sum(axis=-1) / pairs, np.nan
        )
    return area


def average_precision(positives: Floats, negatives: Floats) -> Floats:
    """Mean precision at the positives: the steps of the precision-recall curve.

    Parameters
    ----------
    positives, negatives : ndarray of shape (..., u)
        Weights at each score, descending.

    Returns
    -------
    area : ndarray of shape (...)
        0 where there is no positive.

    Examples
    --------
    >>> round(float(average_precision(np.array([1.0, 0, 1]), np.array([0.0, 1, 0]))), 4)
    0.8333
    """
    hits = np.cumsum(positives, axis=-1)
    total = hits[..., -1] if hits.shape[-1] else np.zeros(hits.shape[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(positives > 0, hits / (hits + np.cumsum(negatives, -1)), 0)
        sums = (positives * precision).sum(axis=-1)
        area: Floats = np.where(total > 0, sums / total, 0.0)
    return area


#: Name -> area of (positives, negatives).
CURVES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "roc_auc": roc_area,
    "average_precision": average_precision,
}


@dataclass(frozen=True)
class ScoreTable:
    """What curves need to know of scores of two classes.

    Parameters
    ----------
    scores : ndarray of shape (u,)
        Distinct, descending.
    sums : ndarray of shape (4, u)
        At each score the sums of w of positives and of negatives, and of w^2 of both.
    """

    scores: Floats
    sums: Floats

    @classmethod
    def empty(cls) -> ScoreTable:
        """Give the table of no sample."""
        return cls(np.zeros(0), np.zeros((4, 0)))

    @classmethod
    def of(
        cls, scores: Floats, is_positive: Flags, weights: Floats | None
    ) -> ScoreTable:
        """Count samples.

        Parameters
        ----------
        scores : ndarray of shape (n,)
        is_positive : ndarray of bool of shape (n,)
        weights : ndarray of shape (n,) or None

        Returns
        -------
        table : ScoreTable
        """
        w = np.ones(len(scores)) if weights is None else weights
        up, down = np.where(is_positive, w, 0.0), np.where(is_positive, 0.0, w)
        return cls._grouped(scores, np.stack([up, down, up * w, down * w]))

    @classmethod
    def _grouped(cls, scores: Floats, sums: Floats) -> ScoreTable:
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        is_new = np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)]
        starts = np.flatnonzero(is_new)
        if not len(starts):
            return cls.empty()
        return cls(ordered[starts], np.add.reduceat(sums[:, order], starts, axis=1))

    def merge(self, other: ScoreTable) -> ScoreTable:
        """Give the table of the samples of both.

        Parameters
        ----------
        other : ScoreTable

        Returns
        -------
        both : ScoreTable
        """
        return self._grouped(
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.sums, other.sums], axis=1),
        )

    def cut(self, capacity: int) -> ScoreTable:
        """Put neighbours together until `capacity` scores are left, of equal weight.

        Parameters
        ----------
        capacity : int

        Returns
        -------
        table : ScoreTable
            Each score is the mean of those that it stands for.
        """
        if len(self.scores) <= capacity:
            return self
        # Both classes count the same: a rare one keeps its resolution.
        sides = self.sums[:2] / np.maximum(
            self.sums[:2].sum(axis=1, keepdims=True), 1e-300
        )
        mass = np.cumsum(sides.sum(axis=0))
        groups = np.minimum((mass / mass[-1] * capacity).astype(np.intp), capacity - 1)
        starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
        sums = np.add.reduceat(self.sums, starts, axis=1)
        weights = self.sums[:2].sum(axis=0) + 1e-300
        means = np.add.reduceat(weights * self.scores, starts)
        means = means / np.add.reduceat(weights, starts)
        return ScoreTable(means, sums)

    def area(self, curve: str) -> float:
        """Give the area under a curve.

        Parameters
        ----------
        curve : str
            Of `CURVES`.

        Returns
        -------
        area : float
        """
        return float(CURVES[curve](self.sums[0], self.sums[1]))

    def roc_error(self) -> float:
        """Give DeLong's standard error of the area under the ROC curve.

        Returns
        -------
        error : float
            NaN where a class has no more than one sample.
        """
        positives, negatives, squares = self.sums[0], self.sums[1], self.sums[2:]
        p, n = float(positives.sum()), float(negatives.sum())
        if not p or not n:
            return math.nan
        above = np.cumsum(positives) - positives / 2  # positives at higher scores
        below = n - np.cumsum(negatives) + negatives / 2
        area = float((negatives * above).sum()) / (p * n)
        variance = 0.0
        for square, share, total in (
            (squares[0], below / n, p),
            (squares[1], above / p, n),
        ):
            effective = total * total / float(square.sum())
            if effective <= 1:
                return math.nan
            spread = float((square * (share - area) ** 2).sum()) / total**2
            variance += spread * effective / (effective - 1)
        return math.sqrt(variance)

    @property
    def effective(self) -> tuple[float, float]:
        """Effective numbers of positives and of negatives."""
        totals, squares = self.sums[:2].sum(axis=1), self.sums[2:].sum(axis=1)
        found = [t * t / s if s else 0.0 for t, s in zip(totals, squares, strict=True)]
        return float(found[0]), float(found[1])
