"""Labels as what a layer of logits is to give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trimtab.errors import InputError

if TYPE_CHECKING:
    from trimtab.evaluate.task import Task
    from trimtab.types import Array

__all__ = ["is_classes", "is_sigmoid", "targets_of"]


def is_classes(task: Task) -> bool:
    """Are labels classes, or several yes and no?

    Parameters
    ----------
    task : Task

    Returns
    -------
    is_classes : bool

    Raises
    ------
    InputError
        They are neither these nor numbers.

    Examples
    --------
    >>> from trimtab.evaluate.task import Task
    >>> is_classes(Task("regression", "values", ""))
    False
    """
    if task.kind not in ("binary", "multiclass", "multilabel", "regression"):
        raise InputError(
            f"the task is {task.kind!r} ({task.why}): this method learns classes and "
            "numbers only"
        )
    if task.kind != "regression" and not task.has_scores:
        raise InputError(
            "the model gives classes without scores: name the output of its scores"
        )
    return task.kind != "regression"


def is_sigmoid(task: Task, activation: str = "none") -> bool:
    """Is each logit a yes or no of its own?

    Parameters
    ----------
    task : Task
    activation : str, default="none"
        What the model ends in.

    Returns
    -------
    is_sigmoid : bool

    Examples
    --------
    >>> from trimtab.evaluate.task import Task
    >>> is_sigmoid(Task("binary", "logits", "", is_single=True))
    True
    """
    is_own = task.kind == "multilabel" or (task.kind == "binary" and task.is_single)
    return is_own or activation == "sigmoid"


def targets_of(task: Task, labels: Array, n_outputs: int) -> Array:
    """Give what each logit stands for: 1 and 0, or numbers.

    Parameters
    ----------
    task : Task
    labels : ndarray of shape (n,) or (n, k)
        Classes as their numbers.
    n_outputs : int

    Returns
    -------
    targets : ndarray of float64, shape (n, n_outputs)

    Raises
    ------
    InputError
        Labels do not fit as many outputs.

    Examples
    --------
    >>> from trimtab.evaluate.task import Task
    >>> task = Task("multiclass", "logits", "", tuple(range(3)))
    >>> targets_of(task, np.array([2, 0]), 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    is_single = task.kind == "binary" and task.is_single
    if task.kind in ("regression", "multilabel") or is_single:
        found = np.asarray(labels, np.float64).reshape(len(labels), -1)
        if found.shape[1] == n_outputs:
            return found
        shape = list(np.shape(labels))
        raise InputError(f"labels {shape} do not fit {n_outputs} outputs of a row")
    codes = np.asarray(labels, np.int64).reshape(-1)
    if codes.size and not 0 <= codes.min() <= codes.max() < n_outputs:
        raise InputError(
            f"labels: from {codes.min()} to {codes.max()}, but the last layer has "
            f"{n_outputs} outputs"
        )
    return np.asarray(codes[:, None] == np.arange(n_outputs), np.float64)
