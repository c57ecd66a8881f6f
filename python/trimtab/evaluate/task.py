"""What is asked of a model, and what its outputs are.

Enters: outputs of every batch. Leaves: what metrics take: classes, probabilities,
numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.types import Array

__all__ = [
    "KINDS",
    "OUTPUTS",
    "Task",
    "is_one_hot",
    "plain_value",
    "short_list",
]

#: Kinds of tasks.
KINDS = (
    "binary",
    "multiclass",
    "multilabel",
    "regression",
    "ranking",
    "text",
    "boxes",
)
#: What outputs can be.
OUTPUTS = ("probabilities", "logits", "labels", "values")


@dataclass(frozen=True, eq=False)
class Task:
    """What is asked of the model, and what its outputs are.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    output : str
        One of `OUTPUTS`.
    why : str
        For people.
    classes : tuple
        Their values in the order of the scores; empty where they are not known.
    class_axis : int, default=-1
        Of outputs with scores.
    is_single : bool, default=False
        There is one score for two classes.
    """

    kind: str
    output: str
    why: str
    classes: tuple[Any, ...] = ()
    class_axis: int = -1
    is_single: bool = False
    _codes: dict[Any, int] = field(default_factory=dict, repr=False)

    # ---- labels -------------------------------------------------------------

    @property
    def has_scores(self) -> bool:
        """Are there scores of classes, not only classes?"""
        return self.output in ("probabilities", "logits")

    def encode(self, labels: Array) -> Array:
        """Give classes as their numbers.

        Parameters
        ----------
        labels : ndarray
            Classes, or one-hot rows.

        Returns
        -------
        codes : ndarray of int64
            Everything but classes comes back as it is.

        Raises
        ------
        InputError
            A label is none of the classes.
        """
        if self.kind not in ("binary", "multiclass"):
            return labels
        n_classes = len(self.classes)
        if self.is_one_hot(labels):
            return np.asarray(labels.argmax(axis=-1), np.int64)
        if self._codes:
            return self._looked_up(labels)
        codes = np.asarray(labels).astype(np.int64)
        if n_classes and codes.size and (codes.min() < 0 or codes.max() >= n_classes):
            raise InputError(
                f"labels: from {codes.min()} to {codes.max()}, but there are "
                f"{n_classes} classes: expected 0 to {n_classes - 1}; other values are "
                "named by classes=[...], in the order of the model's scores"
            )
        return codes

    def is_one_hot(self, labels: Array) -> bool:
        """Are labels rows with a single 1, as long as there are classes?

        Parameters
        ----------
        labels : ndarray

        Returns
        -------
        is_one_hot : bool
        """
        return (
            self.has_scores
            and labels.ndim > 1
            and len(self.classes) > 1
            and labels.shape[-1] == len(self.classes)
            and is_one_hot(labels)
        )

    def _looked_up(self, labels: Array) -> Array:
        """Numbers of classes that have values of their own."""
        values, inverse = np.unique(labels, return_inverse=True)
        try:
            codes = np.array([self._codes[plain_value(value)] for value in values], int)
        except KeyError as error:
            raise InputError(
                f"labels: {error.args[0]!r} is none of the classes "
                f"{short_list(self.classes)}"
            ) from error
        return codes[inverse].reshape(labels.shape)

    def _answered(self, outputs: Array) -> Array:
        """Numbers of classes that were answered; those that no label has get one."""
        if not self._codes:
            return self.encode(outputs)
        values, inverse = np.unique(outputs, return_inverse=True)
        known = self._codes
        codes = [known.setdefault(plain_value(value), len(known)) for value in values]
        return np.array(codes, np.int64)[inverse].reshape(outputs.shape)

    # ---- outputs ------------------------------------------------------------

    def labels_of(self, outputs: Array) -> Array:
        """Give the class that is answered, as a number.

        Parameters
        ----------
        outputs : ndarray

        Returns
        -------
        codes : ndarray
        """
        if not self.has_scores:
            return self._answered(np.asarray(outputs))
        scores = np.moveaxis(outputs, self.class_axis, -1)
        middle = 0.5 if self.output == "probabilities" else 0.0
        if self.kind == "multilabel":
            return np.asarray(scores > middle, np.int64)
        if self.kind == "binary" and self.is_single:
            return np.asarray(_single(outputs) > middle, np.int64)
        return np.asarray(scores.argmax(axis=-1), np.int64)

    def scores_of(self, outputs: Array) -> Array:
        """Give probabilities: of the second class where there are two.

        Parameters
        ----------
        outputs : ndarray

        Returns
        -------
        scores : ndarray of float64
            Of shape (n,) for two classes, else (..., k).
        """
        scores = np.asarray(np.moveaxis(outputs, self.class_axis, -1), np.float64)
        is_logit = self.output == "logits"
        if self.kind == "multilabel":
            return _sigmoid(scores) if is_logit else scores
        if self.kind == "binary" and self.is_single:
            only = np.asarray(_single(outputs), np.float64)
            return _sigmoid(only) if is_logit else np.clip(only, 0.0, 1.0)
        if is_logit:
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        # float16 and int8 softmaxes do not quite sum to 1
        total = scores.sum(axis=-1, keepdims=True)
        scores = scores / np.where(total > 0, total, 1.0)
        return np.asarray(scores[..., 1] if self.kind == "binary" else scores)

    def values_of(self, outputs: Array, labels: Array) -> Array:
        """Give numbers in the shape of the labels.

        Parameters
        ----------
        outputs, labels : ndarray

        Returns
        -------
        values : ndarray of float64

        Raises
        ------
        InputError
            There are not as many.
        """
        if outputs.size != labels.size:
            raise InputError(
                f"labels of shape {list(labels.shape)}, but the model gives "
                f"{list(outputs.shape)}: expected as many numbers"
            )
        return np.asarray(outputs, np.float64).reshape(labels.shape)

    def class_names(self) -> tuple[str, ...]:
        """Give the classes as texts, and what was answered besides."""
        return tuple(str(value) for value in self._codes or self.classes)


# ---- small things -------------------------------------------------------------------


def is_one_hot(labels: Array) -> bool:
    """Are labels rows with a single 1?

    Parameters
    ----------
    labels : ndarray

    Returns
    -------
    is_one_hot : bool

    Examples
    --------
    >>> is_one_hot(np.eye(3)), is_one_hot(np.ones((2, 2)))
    (True, False)
    """
    if labels.dtype.kind not in "iubf":
        return False
    is_binary = np.isin(labels, (0, 1)).all()
    return bool(is_binary and (labels.sum(axis=-1) == 1).all())


def _single(outputs: Array) -> Array:
    return outputs[..., 0] if outputs.ndim > 1 and outputs.shape[-1] == 1 else outputs


def _sigmoid(scores: Array) -> Array:
    small = np.exp(-np.abs(scores))
    return np.asarray(np.where(scores >= 0, 1 / (1 + small), small / (1 + small)))


def plain_value(value: Any) -> Any:
    """Give a scalar of NumPy as Python has it.

    Parameters
    ----------
    value : object

    Returns
    -------
    value : object

    Examples
    --------
    >>> plain_value(np.int64(3))
    3
    """
    return value.item() if isinstance(value, np.generic) else value


def short_list(values: Sequence[Any]) -> str:
    """Give the first of many values as text.

    Parameters
    ----------
    values : sequence

    Returns
    -------
    text : str

    Examples
    --------
    >>> short_list(range(9))
    '[0, 1, 2, 3, 4, 5, ...]'
    """
    text = ", ".join(repr(plain_value(value)) for value in values[:6])
    return f"[{text}{', ...' if len(values) > 6 else ''}]"
