"""What the pictures of a report show, counted as samples pass by.

Enters: rows. Leaves: plain values: the confusion matrix, the reliability diagram, the
ROC and the precision-recall curve, or predictions against the truth.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.evaluate.tally import Rows
from trimtab.evaluate.task import Task
from trimtab.types import Array

__all__ = ["Curves"]

# Bins of the reliability diagram.
_N_BINS = 15
# Classes that a confusion matrix is kept for.
_MAX_CLASSES = 100
# Points of a curve, of a scatter plot.
_N_POINTS, _N_DOTS = 200, 400


class Curves:
    """Counts for the pictures of one model.

    Parameters
    ----------
    task : Task
    seed : int
        Of the samples that the scatter plot shows.
    """

    def __init__(self, task: Task, seed: int) -> None:
        self.task = task
        self._rng = np.random.default_rng(seed)
        self._pairs: dict[tuple[int, int], int] = {}
        self._bins = np.zeros((3, _N_BINS))  # rows, sum of confidences, right ones
        self._scores: list[Array] = []
        self._truth: list[Array] = []
        self._dots: list[tuple[float, float]] = []
        self._n_seen = 0

    def update(self, rows: Rows) -> None:
        """Add samples.

        Parameters
        ----------
        rows : Rows
        """
        if self.task.kind in ("binary", "multiclass"):
            self._count_pairs(*rows.pair("labels"))
            if self.task.has_scores:
                self._count_scores(*rows.pair("scores"))
        elif self.task.kind == "regression":
            self._keep_dots(*rows.pair("values"))

    def _count_pairs(self, truth: Array, given: Array) -> None:
        if len(self._pairs) > _MAX_CLASSES**2:
            return
        codes, counts = np.unique(np.stack([truth, given]), axis=1, return_counts=True)
        for t, p, n in zip(*codes.tolist(), counts.tolist(), strict=True):
            self._pairs[t, p] = self._pairs.get((t, p), 0) + n

    def _count_scores(self, truth: Array, scores: Array) -> None:
        if scores.ndim == 1:
            self._scores.append(scores.astype(np.float32))
            self._truth.append(truth.astype(bool))
            confidence, is_right = scores, truth.astype(np.float64)
        else:
            confidence = scores.max(axis=1)
            is_right = (scores.argmax(axis=1) == truth).astype(np.float64)
        at = np.clip((confidence * _N_BINS).astype(int), 0, _N_BINS - 1)
        for i, weights in enumerate((None, confidence, is_right)):
            self._bins[i] += np.bincount(at, weights=weights, minlength=_N_BINS)

    def _keep_dots(self, truth: Array, given: Array) -> None:
        """A sample of all so far: each is as likely to stay as any other."""
        for pair in zip(truth.reshape(-1), given.reshape(-1), strict=True):
            self._n_seen += 1
            dot = (float(pair[0]), float(pair[1]))
            if len(self._dots) < _N_DOTS:
                self._dots.append(dot)
                continue
            at = int(self._rng.integers(self._n_seen))
            if at < _N_DOTS:
                self._dots[at] = dot

    # ---- results ------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What was counted, as plain values; only what there is."""
        found = {
            "confusion": self._confusion(),
            "reliability": self._reliability(),
            "scatter": [list(dot) for dot in self._dots] or None,
            **self._roc_and_pr(),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _confusion(self) -> dict[str, Any] | None:
        """Rows are true classes, columns those that were answered."""
        seen = sorted({code for pair in self._pairs for code in pair})
        names = self.task.class_names()
        n = len(names)
        codes = list(range(n)) if 0 < n <= _MAX_CLASSES else seen
        if not codes or len(codes) > _MAX_CLASSES:
            return None
        place = {code: i for i, code in enumerate(codes)}
        counts = np.zeros((len(codes), len(codes)), np.int64)
        for (truth, given), n_pairs in self._pairs.items():
            counts[place[truth], place[given]] += n_pairs
        labels = [names[code] if names else str(code) for code in codes]
        return {"labels": labels, "counts": counts.tolist()}

    def _reliability(self) -> dict[str, Any] | None:
        """Confidence against the share that is right, by bin."""
        n, confidence, right = self._bins
        full = n > 0
        if not full.any():
            return None
        return {
            "confidence": (confidence[full] / n[full]).tolist(),
            "share": (right[full] / n[full]).tolist(),
            "n": n[full].astype(int).tolist(),
            "of": "the second class" if self.task.kind == "binary" else "the answer",
        }

    def _roc_and_pr(self) -> dict[str, Any]:
        if not self._scores:
            return {}
        scores, truth = np.concatenate(self._scores), np.concatenate(self._truth)
        n_true, n_false = int(truth.sum()), int((~truth).sum())
        if not (n_true and n_false):
            return {}
        order = np.argsort(-scores, kind="stable")
        last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
        right = np.cumsum(truth[order])[last]
        wrong = last + 1 - right
        roc = np.stack([np.append(0, wrong / n_false), np.append(0, right / n_true)])
        pr = np.stack([right / n_true, right / (last + 1)])
        return {
            "roc": _thinned(roc),
            "pr": {**_thinned(pr), "base": n_true / len(truth)},
        }


def _thinned(curve: Array) -> dict[str, list[float]]:
    """A curve of few points, spread evenly along it."""
    if curve.shape[1] > _N_POINTS:
        way = np.abs(np.diff(curve, axis=1)).sum(axis=0).cumsum()
        at = np.searchsorted(way, np.linspace(0, way[-1], _N_POINTS))
        kept = np.unique(np.concatenate([[0], at + 1, [curve.shape[1] - 1]]))
        curve = curve[:, kept.clip(max=curve.shape[1] - 1)]
    x, y = curve.round(6).tolist()
    return {"x": x, "y": y}
