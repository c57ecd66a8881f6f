"""From a classifier's scores to named classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError

__all__ = ["ClassScore", "decode_class", "softmax"]


@dataclass(frozen=True)
class ClassScore:
    """One class of a classifier's answer."""

    index: int
    label: str
    probability: float


def softmax(scores: npt.ArrayLike, *, axis: int = -1) -> npt.NDArray[np.floating]:
    """``exp(s) / sum(exp(s))`` along an axis, without overflow.

    Parameters
    ----------
    scores : array-like
    axis : int, default=-1
        Where the results sum to 1.

    Returns
    -------
    probabilities : ndarray

    Examples
    --------
    >>> softmax([1000.0, 1000.0]).tolist()
    [0.5, 0.5]
    """
    values = np.asarray(scores)
    shifted = np.exp(values - values.max(axis=axis, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=axis, keepdims=True))


def decode_class(
    scores: npt.ArrayLike,
    *,
    labels: Sequence[str] | None = None,
    top: int = 5,
    from_logits: bool = False,
) -> list[ClassScore]:
    """Name the best classes of one sample, best first.

    Parameters
    ----------
    scores : array-like of shape (n_classes,) or (1, n_classes)
        Probabilities, or logits with `from_logits`.
    labels : sequence of str, default=None
        Names by index; the index itself where there is none.
    top : int, default=5
        How many to return at most.
    from_logits : bool, default=False
        Apply `softmax` first.

    Returns
    -------
    classes : list of ClassScore
        Of falling probability; equal ones in the order of their index.

    Raises
    ------
    InputError
        There is more than one sample, or fewer labels than classes.

    Examples
    --------
    >>> decode_class([0.1, 0.7, 0.2], labels=["cat", "dog", "owl"], top=2)[0]
    ClassScore(index=1, label='dog', probability=0.7)
    """
    values = np.asarray(scores)
    if values.ndim == 0 or values.size != values.shape[-1]:
        raise InputError(f"expected the scores of one sample, got {values.shape}")
    values = values.reshape(-1)
    if labels is not None and len(labels) != values.size:
        raise InputError(f"expected {values.size} labels, got {len(labels)}")
    if from_logits:
        values = softmax(values)
    best = np.argsort(-values, kind="stable")[:top]
    return [
        ClassScore(
            index=int(i),
            label=str(i) if labels is None else labels[i],
            probability=float(values[i]),
        )
        for i in best
    ]
