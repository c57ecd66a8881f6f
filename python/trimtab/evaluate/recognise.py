"""Recognising what is asked of a model, and what its outputs are.

Enters: labels and the outputs of the first batch. Leaves: a `Task` that says how they
were read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.task import (
    KINDS,
    OUTPUTS,
    Task,
    is_one_hot,
    plain_value,
    short_list,
)
from trimtab.types import Array

__all__ = ["recognise"]

# Rows of probabilities sum to 1 up to this error: that of float16 and int8 softmaxes.
_SUM = 2e-2


def recognise(
    labels: Array,
    outputs: Array,
    *,
    all_labels: Array | None = None,
    classes: Sequence[Any] | None = None,
    task: str = "auto",
    output_kind: str = "auto",
    ignore_label: Any = None,
) -> Task:
    """Say what is asked of the model, and what its outputs are.

    Parameters
    ----------
    labels, outputs : ndarray
        Of the first batch.
    all_labels : ndarray, optional
        Where they are known beforehand.
    classes : sequence, optional
        Values of the classes, in the order of the scores.
    task : str, default="auto"
        One of `KINDS`.
    output_kind : str, default="auto"
        One of `OUTPUTS`.
    ignore_label : object, optional
        Labels that do not count.

    Returns
    -------
    task : Task

    Raises
    ------
    InputError
        Labels and outputs fit no task, or not the one that was named.

    Examples
    --------
    >>> recognise(np.array([0, 1]), np.array([[2.0, -1.0, 0.5], [0.1, 3.0, 1.0]])).why
    'labels are classes, outputs 3 scores each; rows do not sum to 1: logits'
    """
    for name, value, known in (
        ("task", task, KINDS),
        ("output_kind", output_kind, OUTPUTS),
    ):
        if value not in ("auto", *known):
            raise InputError(f"{name}: expected one of {known}, got {value!r}")
    known_labels = labels if all_labels is None else all_labels
    if ignore_label is not None:
        known_labels = known_labels[known_labels != ignore_label]
        all_labels = None if all_labels is None else known_labels
    if task == "auto":
        found = _guess(labels, outputs, known_labels, classes)
    else:
        axis = _class_axis(labels, outputs)
        found = Task(
            task, "", f"task={task!r}", class_axis=-1 if axis is None else axis
        )
    if found.kind == "binary":
        found = replace(found, is_single=_is_single(labels, outputs))
    found = _with_output(found, labels, outputs, output_kind)
    found = _with_classes(found, labels, outputs, all_labels, classes)
    _check_shapes(found, labels, outputs)
    found.encode(known_labels)
    return found


def _guess(
    labels: Array, outputs: Array, known: Array, classes: Sequence[Any] | None
) -> Task:
    """The kind of task, by the first rule that fits."""
    kind = labels.dtype.kind
    if kind == "O" or outputs.dtype == object:
        return _of_objects(labels, outputs)
    is_named = kind in "US"
    if is_named and outputs.dtype.kind in "US" and _are_texts(known):
        return Task("text", "", "labels and outputs are sentences")
    axis = _class_axis(labels, outputs)
    if kind in "iubUS" or (kind == "f" and axis is not None and _is_whole(known)):
        if axis is not None:
            n = outputs.shape[axis]
            told = f"labels are classes, outputs {n} scores each"
            name = "binary" if n == 2 else "multiclass"
            return Task(name, "", told, class_axis=axis)
        is_table = labels.ndim == 2 and labels.shape[1] > 1  # several for each sample
        is_two = kind != "f" and not is_table and _is_two(known, classes)
        if outputs.dtype.kind in "iubUS":  # classes: none but these two
            values = np.unique(known) if classes is None else np.asarray(classes)
            is_two = is_two and bool(np.isin(outputs, values).all())
        if is_two and _is_one_each(labels, outputs):
            return Task("binary", "", "labels are two classes, outputs one value each")
        if outputs.dtype.kind in "iubUS" and _is_one_each(labels, outputs):
            return Task("multiclass", "", "labels and outputs are classes")
    if labels.ndim == 2 and labels.shape == outputs.shape and _is_two(known, None):
        if is_one_hot(labels) and labels.shape[1] > 1:
            name = "binary" if labels.shape[1] == 2 else "multiclass"
            return Task(name, "", "labels are one-hot rows")
        if outputs.shape[1] > 1:
            return Task(
                "multilabel", "", "labels are several yes or no for each sample"
            )
    if kind in "fiu" and outputs.dtype.kind in "fiu" and labels.size == outputs.size:
        return Task("regression", "values", "labels are numbers, as many as outputs")
    raise InputError(
        f"labels {labels.dtype}{list(labels.shape)} do not fit outputs "
        f"{outputs.dtype}{list(outputs.shape)}: expected a class for each row of "
        "scores, or as many numbers; task= says what is meant, output= which output"
    )


def _of_objects(labels: Array, outputs: Array) -> Task:
    if len(labels) and isinstance(labels[0], dict):
        return Task("boxes", "values", "labels are boxes")
    if len(labels) and isinstance(labels[0], str):
        return Task("text", "values", "labels are sentences")
    raise InputError(
        f"labels: expected numbers, classes, sentences or boxes, got objects of "
        f"{type(labels[0]).__name__}"
    )


def _class_axis(labels: Array, outputs: Array) -> int | None:
    """Where outputs have scores: the axis that labels lack."""
    if outputs.dtype.kind != "f" or outputs.ndim < 2:
        return None
    shape, wanted = outputs.shape, labels.shape
    if wanted == (len(labels), 1) and outputs.ndim == 2:
        wanted = wanted[:1]
    if shape[:-1] == wanted and shape[-1] > 1:
        return -1
    if outputs.ndim > 2 and (shape[0], *shape[2:]) == wanted and shape[1] > 1:
        return 1
    return None


def _is_single(labels: Array, outputs: Array) -> bool:
    """Is there one score for two classes?"""
    if _class_axis(labels, outputs) is not None:
        return False
    is_pair = outputs.ndim == 2 and outputs.shape[1] == 2
    return not (is_pair and labels.shape == outputs.shape and is_one_hot(labels))


def _is_one_each(labels: Array, outputs: Array) -> bool:
    return labels.size == outputs.size


def _is_whole(values: Array) -> bool:
    return values.dtype.kind != "f" or bool((values == np.floor(values)).all())


def _is_two(values: Array, classes: Sequence[Any] | None) -> bool:
    if classes is not None:
        return len(classes) == 2
    if values.dtype.kind in "US":
        return len(np.unique(values)) == 2
    return values.dtype.kind == "b" or bool(np.isin(values, (0, 1)).all())


def _are_texts(values: Array) -> bool:
    """Sentences, not names of classes: with blanks, and hardly ever the same."""
    flat = values.reshape(-1)
    has_blank = np.char.find(flat.astype(str), " ") >= 0
    return bool(has_blank.mean() > 0.5 and len(np.unique(flat)) > 0.5 * len(flat))


def _with_output(task: Task, labels: Array, outputs: Array, given: str) -> Task:
    """Scores, and of which kind, or classes?"""
    if task.kind in ("regression", "ranking", "text", "boxes"):
        return replace(task, output="values")
    if given != "auto":
        return replace(task, output=given, why=f"{task.why}; output_kind={given!r}")
    if outputs.dtype.kind in "iubUS":
        return replace(task, output="labels")
    if outputs.dtype.kind != "f":
        raise InputError(f"outputs: expected numbers or classes, got {outputs.dtype}")
    finite = outputs[np.isfinite(outputs)]
    is_share = not finite.size or (finite.min() >= -1e-6 and finite.max() <= 1 + 1e-3)
    is_single = task.kind == "multilabel" or task.is_single
    if is_single:
        told = "within [0, 1]: probabilities" if is_share else "beyond [0, 1]: logits"
    else:
        sums = outputs.sum(axis=task.class_axis, dtype=np.float64)
        sums = sums[np.isfinite(sums)]
        is_share = is_share and bool((np.abs(sums - 1) < _SUM).all())
        told = "sum to 1: probabilities" if is_share else "do not sum to 1: logits"
        told = f"rows {told}"
    kind = "probabilities" if is_share else "logits"
    return replace(task, output=kind, why=f"{task.why}; {told}")


def _with_classes(
    task: Task,
    labels: Array,
    outputs: Array,
    all_labels: Array | None,
    classes: Sequence[Any] | None,
) -> Task:
    """Values of the classes, and their numbers where they are not 0 to k - 1."""
    if task.kind == "multilabel":
        n = outputs.shape[-1]
        return replace(task, classes=tuple(classes or range(n)))
    if task.kind not in ("binary", "multiclass"):
        return task
    n_scores = 0
    if task.has_scores:
        n_scores = 2 if task.is_single else outputs.shape[task.class_axis]
    if classes is None:
        classes = _found_classes(task, labels, outputs, all_labels, n_scores)
    values = tuple(plain_value(value) for value in classes)
    if n_scores and len(values) != n_scores:
        raise InputError(
            f"classes: the model gives {n_scores} scores, got {len(values)} classes"
        )
    if len(set(values)) != len(values):
        raise InputError(f"classes: some stand twice: {short_list(values)}")
    is_plain = values == tuple(range(len(values)))
    # names of classes that labels give as numbers are for people only
    is_text = all(isinstance(value, str) for value in values)
    is_shown = is_text and labels.dtype.kind in "iub" and bool(values)
    codes = {} if is_plain or is_shown else {v: i for i, v in enumerate(values)}
    return replace(task, classes=values, _codes=codes)


def _found_classes(
    task: Task,
    labels: Array,
    outputs: Array,
    all_labels: Array | None,
    n_scores: int,
) -> Sequence[Any]:
    if n_scores and labels.dtype.kind not in "US":
        return range(n_scores)
    if n_scores > 2 or (n_scores and all_labels is None):
        raise InputError(
            "labels are texts: name the classes in the order of the model's scores, "
            f"classes=[...]; the first labels are {short_list(tuple(labels[:5]))}"
        )
    if task.kind == "binary" and labels.dtype.kind not in "US":
        return range(2)
    if all_labels is None:
        if labels.dtype.kind in "US":
            raise InputError(
                "labels are texts and come as a stream: name the classes, classes=[...]"
            )
        return ()
    seen = np.unique(all_labels)
    if seen.dtype.kind in "US":
        return [str(value) for value in seen]
    return () if seen.dtype.kind in "iub" else list(seen)


def _check_shapes(task: Task, labels: Array, outputs: Array) -> None:
    """Refuse what a task that was named cannot be."""
    if task.kind in ("text", "boxes"):
        return
    if task.kind in ("regression",):
        task.values_of(outputs, labels)
        return
    if task.kind in ("multilabel", "ranking"):
        if labels.shape != outputs.shape or labels.ndim != 2:
            raise InputError(
                f"task {task.kind!r}: expected labels and outputs of one shape (n, k), "
                f"got {list(labels.shape)} and {list(outputs.shape)}"
            )
        return
    wanted = labels.shape[:-1] if task.is_one_hot(labels) else labels.shape
    n_wanted = int(np.prod(wanted))
    if task.labels_of(outputs[:0]).ndim > outputs.ndim or (
        task.labels_of(outputs).size != n_wanted
    ):
        raise InputError(
            f"labels {labels.dtype}{list(labels.shape)} do not fit outputs "
            f"{outputs.dtype}{list(outputs.shape)}: expected one class for each"
        )
