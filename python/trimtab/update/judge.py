"""How wrong a model's answers are, row by row, whatever the task."""

from __future__ import annotations

import numpy as np

from trimtab.evaluate.task import Task
from trimtab.types import Array

__all__ = ["errors_of"]


def errors_of(task: Task, outputs: Array, labels: Array) -> Array:
    """Say of each row how wrong it is answered.

    Parameters
    ----------
    task : Task
    outputs : ndarray of shape (n, ...)
    labels : ndarray of shape (n, ...)
        Classes as their numbers.

    Returns
    -------
    errors : ndarray of float64, shape (n,)
        0 or 1; of numbers, squared errors as shares of the labels' variance.

    Examples
    --------
    >>> task = Task("multiclass", "logits", "", classes=(0, 1))
    >>> errors_of(task, np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([0, 0])).tolist()
    [0.0, 1.0]
    """
    n = len(labels)
    if task.has_scores:
        is_wrong = task.labels_of(outputs).reshape(n, -1) != labels.reshape(n, -1)
        return np.asarray(is_wrong.any(axis=1), np.float64)
    truth = np.asarray(labels, np.float64).reshape(n, -1)
    squares = (np.asarray(outputs, np.float64).reshape(n, -1) - truth) ** 2
    return np.asarray(squares.mean(axis=1) / (float(truth.var()) or 1.0))
