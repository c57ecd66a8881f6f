"""How good each answer is, and which of two models is better by more than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.evaluate.task import Task
from trimtab.optimize.metrics import Metric, find_metric
from trimtab.update.calibrate import log_softmax

if TYPE_CHECKING:
    from trimtab.types import Array

__all__ = ["compare", "decisive_metric", "likelihoods"]

# Probabilities below count as this where their logarithm is taken.
_LEAST = 1e-12


def decisive_metric(metric: Any, task: Task) -> Metric:
    """Give the metric that decides, as scores by row: larger is better.

    Parameters
    ----------
    metric : str, callable or Metric
        "auto": the share of right answers; of numbers the squared error.
    task : Task

    Returns
    -------
    metric : Metric

    Raises
    ------
    InputError
        There is none of that name.

    Examples
    --------
    >>> decisive_metric("auto", Task("regression", "values", "")).name
    'mse'
    """
    is_number = task.kind == "regression"
    if metric not in ("auto", "accuracy") or (is_number and metric != "auto"):
        return find_metric(metric)
    if is_number:
        return find_metric("mse")

    def score(labels: Array, outputs: Array) -> Array:
        n = len(labels)
        found = task.labels_of(outputs).reshape(n, -1) == labels.reshape(n, -1)
        return np.asarray(found.mean(axis=1))

    is_one = task.kind in ("binary", "multiclass")
    return Metric("accuracy", score, "labels", is_one, "share of right answers lost")


def likelihoods(task: Task, labels: Array, outputs: Array) -> Array | None:
    """Give the log-likelihood of each row; None of numbers and of bare classes.

    Parameters
    ----------
    task : Task
    labels, outputs : ndarray

    Returns
    -------
    scores : ndarray of shape (n,) or None

    Examples
    --------
    >>> task = Task("multiclass", "probabilities", "", (0, 1, 2))
    >>> likelihoods(task, np.array([1]), np.array([[0.25, 0.5, 0.25]])).round(3)
    array([-0.693])
    """
    if task.kind not in ("binary", "multiclass", "multilabel") or not task.has_scores:
        return None
    n = len(labels)
    if task.kind == "multilabel" or task.is_single:
        p = task.scores_of(outputs).reshape(n, -1)
        p = np.where(labels.reshape(n, -1) > 0, p, 1 - p)
        return np.asarray(np.log(np.maximum(p, _LEAST)).mean(axis=1))
    z = np.moveaxis(np.asarray(outputs, np.float64), task.class_axis, -1)
    if task.output == "probabilities":
        z = np.log(np.maximum(z, _LEAST))
    codes = np.asarray(labels, np.int64).reshape(*z.shape[:-1], 1)
    room = codes < z.shape[-1]  # a model has no score for classes that came later
    logs = np.take_along_axis(log_softmax(z), np.where(room, codes, 0), axis=-1)
    found = np.where(room, logs, np.log(_LEAST))
    return np.asarray(found.reshape(n, -1).mean(axis=1))


def compare(new: Array, old: Array) -> float:
    """Say by how many standard errors scores are better, paired by row.

    Parameters
    ----------
    new, old : ndarray of shape (n,) or ()

    Returns
    -------
    advantage : float
        Infinite where all rows agree, and for metrics that give one number.

    Examples
    --------
    >>> compare(np.array([1.0, 1.0, 0.0, 1.0]), np.zeros(4)) > 1
    True
    """
    gap = np.atleast_1d(np.asarray(new, np.float64) - np.asarray(old, np.float64))
    mean = float(gap.mean())
    if not mean:
        return 0.0
    spread = float(gap.std(ddof=1)) if len(gap) > 1 else 0.0
    if not spread:
        return float(np.copysign(np.inf, mean))
    return mean / (spread / float(np.sqrt(len(gap))))
