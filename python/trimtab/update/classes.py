"""Labels of new rows as numbers of a model's classes; those that it does not have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.recognise import recognise
from trimtab.evaluate.task import Task, plain_value

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.types import Array

__all__ = ["Classes", "read_classes"]

# New classes, at most: a mistake more likely.
_MOST_NEW = 1024
# Rows of length 1 up to this error are embeddings, where they are no probabilities.
_UNIT = 1e-3


@dataclass(frozen=True, eq=False)
class Classes:
    """Labels, read.

    Parameters
    ----------
    labels : ndarray
        Classes as their numbers; everything else as it was.
    task : Task
    reading : Task
        The same for labels as they were given.
    new_values : tuple
        Of classes that the model does not have; their numbers follow its own.
    n_new_rows : int
        Rows that are of these.
    """

    labels: Array
    task: Task
    reading: Task
    new_values: tuple[Any, ...] = ()
    n_new_rows: int = 0


def read_classes(
    model: Model, labels: Array, outputs: Array, task: Task | None
) -> Classes:
    """Say what labels mean to a model.

    Parameters
    ----------
    model : trimtab.Model
    labels : ndarray
        Of all rows.
    outputs : ndarray
        Of the first rows.
    task : Task or None
        As other data said.

    Returns
    -------
    classes : Classes

    Raises
    ------
    InputError
        Labels and outputs fit no task, or outputs are embeddings.

    Examples
    --------
    >>> read_classes(model, np.array([0, 11]), outputs, None)  # doctest: +SKIP
    Classes(...)
    """
    names = _names(model, labels, outputs)
    is_new, values = _new_values(labels, outputs, names)
    if len(values) > _MOST_NEW:
        raise InputError(
            f"labels: {len(values)} classes that the model does not have, expected at "
            f"most {_MOST_NEW}"
        )
    if is_new.all() and len(values):
        raise InputError(
            "labels: the model has none of these classes: "
            f"{[plain_value(value) for value in values[:6]]}"
        )
    if task is None:
        known = labels[~is_new] if len(values) else labels
        shown = outputs[~is_new[: len(outputs)]] if len(values) else outputs
        if not len(shown):
            shown = outputs
        first = known[: len(shown)]
        if len(first) < len(shown):
            shown = shown[: len(first)]
        task = recognise(first, shown, all_labels=known, classes=names)
        _check_no_embedding(task, outputs)
    if task.kind not in ("binary", "multiclass"):
        return Classes(_as_numbers(task, labels), task, task)
    codes = np.zeros(len(labels), np.int64)
    given = labels if task.is_one_hot(labels) else labels.reshape(len(labels), -1)
    if not task.is_one_hot(labels) and given.shape[1] == 1:
        given = given[:, 0]
    elif given.ndim > 1 and not task.is_one_hot(labels):
        codes = np.zeros(labels.shape, np.int64)
        given = labels
    n = len(task.classes)
    codes[~is_new] = task.encode(given[~is_new])
    for i, value in enumerate(values):
        codes[given == value] = n + i
    plain = replace(task, _codes={})
    new = tuple(plain_value(value) for value in values)
    n_new = int(is_new.sum()) if len(values) else 0
    return Classes(codes, plain, task, new, n_new)


def _names(model: Model, labels: Array, outputs: Array) -> list[str] | None:
    """Names of the classes, where the labels are texts and the model has as many."""
    if labels.dtype.kind not in "US":
        return None
    names = model.class_names
    n_scores = outputs.shape[-1] if outputs.ndim > 1 else 0
    if names is None or len(names) != n_scores:
        raise InputError(
            f"labels are texts, and the model says of {len(names or ())} classes what "
            f"they are called; it has {n_scores}: give numbers from 0, or set "
            "model.class_names"
        )
    return names


def _new_values(
    labels: Array, outputs: Array, names: list[str] | None
) -> tuple[Array, Array]:
    """Which rows are of classes without a score, and those classes."""
    none = np.zeros(len(labels), bool), labels[:0].reshape(-1)
    flat = labels.reshape(len(labels), -1)
    if outputs.ndim != 2 or outputs.dtype.kind != "f" or flat.shape[1] != 1:
        return none
    if outputs.shape[1] < 2:
        return none
    if names is not None:
        is_new = ~np.isin(flat[:, 0], names)
    elif labels.dtype.kind in "iu":
        is_new = flat[:, 0] >= outputs.shape[1]
    else:
        return none
    return is_new, np.unique(flat[is_new, 0])


def _check_no_embedding(task: Task, outputs: Array) -> None:
    if task.kind not in ("binary", "multiclass") or outputs.ndim != 2:
        return
    lengths = np.linalg.norm(np.asarray(outputs, np.float64), axis=1)
    is_unit = outputs.shape[1] > 2 and bool((np.abs(lengths - 1) < _UNIT).all())
    if is_unit and float(outputs.min()) < 0:
        raise InputError(
            f"the outputs are embeddings ({outputs.shape[1]} numbers of length 1), not "
            "scores of classes: there is nothing that the labels are right or wrong "
            "about; method='prototypes' needs a model with classes behind them"
        )


def _as_numbers(task: Task, labels: Array) -> Array:
    if task.kind == "regression":
        return np.asarray(labels, np.float64)
    return labels
