"""Steps that turn a classifier's scores into classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trimtab.errors import InputError
from trimtab.processing.checks import (
    check_bool,
    check_int,
    check_number,
    check_texts,
    describe,
)
from trimtab.processing.decode_class import ClassScore, decode_class, softmax
from trimtab.processing.step import Context, Step

__all__ = ["ArgMax", "Sigmoid", "Softmax", "Threshold", "TopK"]


def _numbers(value: Any) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.ndim == 0 or array.size == 0:
        raise InputError(f"expected an array of scores, got {describe(value)}")
    return array


@dataclass(frozen=True)
class Softmax(Step):
    """Scores to probabilities along an axis.

    Parameters
    ----------
    axis : int, default=-1

    Raises
    ------
    InputError
        The axis is no integer.
    """

    kind: ClassVar[str] = "softmax"
    axis: int = -1

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("axis", self.axis, -32, 31)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.decode_class.softmax`.

        Parameters
        ----------
        value : array-like
        context : dict

        Returns
        -------
        probabilities : ndarray
        """
        return softmax(_numbers(value), axis=self.axis)


@dataclass(frozen=True)
class Sigmoid(Step):
    """Scores to probabilities, each by itself: ``1 / (1 + exp(-s))``."""

    kind: ClassVar[str] = "sigmoid"

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply it, without overflow.

        Parameters
        ----------
        value : array-like
        context : dict

        Returns
        -------
        probabilities : ndarray
            float32 of float32, else float64.
        """
        scores = _numbers(value)
        if scores.dtype.kind != "f":
            scores = scores.astype(np.float64)
        small = np.exp(-np.abs(scores))
        return np.where(scores >= 0, 1 / (1 + small), small / (1 + small)).astype(
            scores.dtype
        )


@dataclass(frozen=True)
class TopK(Step):
    """The best classes of one sample, best first.

    Parameters
    ----------
    k : int, default=5
    labels : tuple of str, default=()
        Names by index, of all classes; without them the index.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "top_k"
    k: int = 5
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("k", self.k, 1, 1 << 20)
        self._set(labels=check_texts("labels", self.labels))

    def __call__(self, value: Any, context: Context) -> Any:
        """Name them.

        Parameters
        ----------
        value : array-like of shape (n_classes,) or (1, n_classes)
        context : dict

        Returns
        -------
        classes : list of ClassScore
        """
        return decode_class(_numbers(value), labels=self.labels or None, top=self.k)


@dataclass(frozen=True)
class ArgMax(Step):
    """The index of the greatest value along an axis, or its name.

    Parameters
    ----------
    axis : int, default=-1
    labels : tuple of str, default=()
        Names by index. With them one sample gives a text, several give a list.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "arg_max"
    axis: int = -1
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("axis", self.axis, -32, 31)
        self._set(labels=check_texts("labels", self.labels))

    def __call__(self, value: Any, context: Context) -> Any:
        """Find it.

        Parameters
        ----------
        value : array-like
        context : dict

        Returns
        -------
        index : ndarray of int64, or str, or list of str
        """
        scores = _numbers(value)
        best = scores.argmax(axis=self.axis)
        if not self.labels:
            return best
        if scores.shape[self.axis] != len(self.labels):
            raise InputError(
                f"{len(self.labels)} labels for {scores.shape[self.axis]} classes"
            )
        names = [self.labels[i] for i in np.ravel(best).tolist()]
        return names[0] if len(names) == 1 else names


@dataclass(frozen=True)
class Threshold(Step):
    """Which of several independent classes are there.

    Parameters
    ----------
    threshold : float, default=0.5
        Scores from here on count.
    labels : tuple of str, default=()
        Names by index. Without them an array of bool.
    sort : bool, default=True
        Best first; False: in the order of their index.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "threshold"
    threshold: float = 0.5
    labels: tuple[str, ...] = ()
    sort: bool = True

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_number("threshold", self.threshold)
        check_bool("sort", self.sort)
        self._set(labels=check_texts("labels", self.labels))

    def __call__(self, value: Any, context: Context) -> Any:
        """Compare.

        Parameters
        ----------
        value : array-like of shape (n_classes,) or (1, n_classes) with labels
        context : dict

        Returns
        -------
        present : ndarray of bool, or list of ClassScore
        """
        scores = _numbers(value)
        if not self.labels:
            return scores >= self.threshold
        n_classes = len(self.labels)
        found = decode_class(scores, labels=self.labels, top=n_classes)
        found = [one for one in found if one.probability >= self.threshold]
        return found if self.sort else sorted(found, key=_index)


def _index(one: ClassScore) -> int:
    return one.index
